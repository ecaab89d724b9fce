package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"efcn/onnxio"
)

// printTable writes rows under a header, columns apart by blanks; a column
// whose header starts with a > is set to the right. On a terminal that is narrower than
// the table this is folded.
func printTable(w io.Writer, header []string, rows [][]string) {
	printTableIn(w, terminalWidth(w), header, rows)
}

// terminalWidth returns the columns of the terminal that w writes to, 0 where it is none.
func terminalWidth(w io.Writer) int {
	if sticky, ok := w.(*stickyWriter); ok {
		w = sticky.w
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return columns(f)
	}
	return 0
}

// gap is what is between two columns.
const gap = 2

// leastWrapped is how wide a last column has to stay to be wrapped.
const leastWrapped = 24

// printTableIn writes a table in at most so many columns of text, any number if width is
// 0: a long last column is wrapped, and what is still too wide goes into several tables,
// one under the other, each with the first column.
func printTableIn(w io.Writer, width int, header []string, rows [][]string) {
	clean := make([][]string, len(rows))
	widths := make([]int, len(header))
	for i, h := range header {
		widths[i] = text.StringWidthWithoutEscSequences(strings.TrimPrefix(h, ">"))
	}
	for r, row := range rows {
		clean[r] = make([]string, len(row))
		for i, cell := range row {
			clean[r][i] = onnxio.Printable(cell)
			widths[i] = max(widths[i], text.StringWidthWithoutEscSequences(clean[r][i]))
		}
	}
	total := -gap
	for _, n := range widths {
		total += n + gap
	}
	last := len(widths) - 1
	room := width - (total - widths[last])
	switch {
	case width == 0 || total <= width:
		writeTable(w, header, clean, 0)
	case room >= leastWrapped && !strings.HasPrefix(header[last], ">"):
		writeTable(w, header, clean, room)
	default:
		for i, block := range fold(widths, width) {
			if i > 0 {
				fmt.Fprintln(w)
			}
			part := make([][]string, len(clean))
			for r, row := range clean {
				part[r] = pickCells(row, block)
			}
			writeTable(w, pickCells(header, block), part, 0)
		}
	}
}

// fold parts columns into blocks that fit the width, each with the first column and at
// least one other.
func fold(widths []int, width int) [][]int {
	var blocks [][]int
	for i, used := 1, 0; i < len(widths); i++ {
		if used == 0 || used+gap+widths[i] > width {
			blocks, used = append(blocks, []int{0}), widths[0]
		}
		at := len(blocks) - 1
		blocks[at] = append(blocks[at], i)
		used += gap + widths[i]
	}
	if len(widths) == 1 {
		return [][]int{{0}}
	}
	return blocks
}

func pickCells(row []string, columns []int) []string {
	var cells []string
	for _, i := range columns {
		if i < len(row) {
			cells = append(cells, row[i])
		}
	}
	return cells
}

// writeTable writes a table, its last column wrapped at so many characters, if not 0.
func writeTable(w io.Writer, header []string, rows [][]string, wrapped int) {
	t := table.NewWriter()
	t.SetStyle(table.Style{
		Box:     table.BoxStyle{PaddingRight: strings.Repeat(" ", gap), MiddleHorizontal: "-"},
		Format:  table.FormatOptions{Header: text.FormatDefault, Footer: text.FormatDefault},
		Options: table.Options{SeparateHeader: false},
	})
	head := make(table.Row, len(header))
	configs := make([]table.ColumnConfig, len(header))
	for i, h := range header {
		title, right := strings.CutPrefix(h, ">")
		head[i] = title
		configs[i].Number = i + 1
		if right {
			configs[i].Align, configs[i].AlignHeader = text.AlignRight, text.AlignRight
		}
	}
	if wrapped > 0 {
		configs[len(configs)-1].WidthMax, configs[len(configs)-1].WidthMaxEnforcer = wrapped, text.WrapSoft
	}
	t.SetColumnConfigs(configs)
	t.AppendHeader(head)
	for _, row := range rows {
		cells := make(table.Row, len(row))
		for i, c := range row {
			cells[i] = c
		}
		t.AppendRow(cells)
	}
	for line := range strings.SplitSeq(t.Render(), "\n") {
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}
