package report

import (
	"bytes"
	_ "embed" // the page
	"encoding/base64"
	"html"
	"html/template"
	"io"
	"strings"

	"efcn/internal/chart"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(
	template.New("page").Funcs(template.FuncMap{"breakable": breakable}).Parse(pageText))

// page is what is shown, in the order of its fields.
type page struct {
	Title    string
	Answer   string // what came of it, in a sentence
	Lead     []string
	Facts    []fact
	Sections []*section
	Footer   string
}

// fact is a line about what the page is of: the data, say.
type fact struct{ Name, Value string }

type section struct {
	ID, Title string
	Verdict   *verdict
	Text      []string
	Figures   []figure
	Tables    []*table
	Galleries []*gallery
	charts    []*chart.Chart // what Figures show
}

type verdict struct {
	Text string
	Bad  bool
}

// figure is a drawing, with links to its files, in the page.
type figure struct {
	Drawing  template.HTML
	Caption  string
	File     string // name of the files, without what comes behind the dot
	SVG, CSV template.URL
}

// tile is a picture of numbers.
type tile struct {
	Image template.URL
	Alt   string
}

// table is a table; Right says which columns are set to the right, and Wrap
// that the others may break their lines. Its first column names the row.
type table struct {
	Name    string // where it is folded
	Caption string
	Header  []string
	Right   []bool
	Wrap    bool
	Rows    [][]string
}

// longTable is how many rows a table has that is folded.
const longTable = 20

// Folded reports whether the table is folded until it is asked for.
func (t *table) Folded() bool { return len(t.Rows) > longTable }

// Length says how long the table is.
func (t *table) Length() string { return plural(len(t.Rows), "row") }

// gallery is a table of pictures.
type gallery struct {
	Caption string
	Header  []string
	Rows    []tileRow
}

type tileRow struct {
	Unit  string
	Tiles []tile
}

// breakable is a command line or a specification of data in HTML: a line may end where a
// part of it does, and not within an option.
func breakable(text string) template.HTML {
	words := strings.Split(text, " ")
	for i, word := range words {
		escaped := html.EscapeString(word)
		if strings.HasPrefix(word, "-") {
			words[i] = `<span class="option">` + escaped + "</span>"
		} else {
			parts := strings.NewReplacer(",", ",<wbr>", "&amp;", "<wbr>&amp;", "?", "?<wbr>").Replace(escaped)
			words[i] = strings.TrimSuffix(parts, "<wbr>")
		}
	}
	return template.HTML(strings.Join(words, " ")) // escaped above
}

func (p *page) write(w io.Writer) error { return pageTemplate.Execute(w, p) }

// add puts the sections on the page that have something to show.
func (p *page) add(parts ...*section) {
	for _, part := range parts {
		if part != nil {
			p.Sections = append(p.Sections, part)
		}
	}
}

// newTable makes a table of columns; a > in front of a header sets the column
// to the right.
func newTable(header ...string) *table {
	t := &table{Right: make([]bool, len(header))}
	for i, h := range header {
		if h[0] == '>' {
			t.Right[i], h = true, h[1:]
		}
		t.Header = append(t.Header, h)
	}
	return t
}

func (t *table) add(cells ...string) { t.Rows = append(t.Rows, cells) }

// draw makes a figure of a chart. What cannot be drawn, because nothing was
// measured, is left out.
func (s *section) draw(c *chart.Chart, caption string) {
	var drawing, svg, points bytes.Buffer
	if len(c.Lines)+len(c.Levels) == 0 || c.WriteInline(&drawing) != nil || c.Write(&svg, "svg") != nil ||
		c.Write(&points, "csv") != nil {
		return
	}
	s.charts = append(s.charts, c)
	s.Figures = append(s.Figures, figure{
		Drawing: template.HTML(drawing.String()), // package chart escapes what it is given
		Caption: caption, File: fileName(c),
		SVG: dataURL("image/svg+xml", svg.Bytes()), CSV: dataURL("text/csv;charset=utf-8", points.Bytes()),
	})
}

// unlessEmpty is the section, nil where it has no figure.
func (s *section) unlessEmpty() *section {
	if len(s.Figures) == 0 {
		return nil
	}
	return s
}

// fileName is the name of a chart's files: of its title in small letters and figures.
func fileName(c *chart.Chart) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(c.Title), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}), "-")
}

// dataURL is a file inside the page: it needs no other.
func dataURL(kind string, content []byte) template.URL {
	return template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(content))
}
