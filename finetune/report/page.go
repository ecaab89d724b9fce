package report

import (
	"bytes"
	_ "embed" // the page
	"encoding/base64"
	"html/template"
	"io"

	"efcn/internal/chart"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is what is shown, in the order of its fields.
type page struct {
	Title    string
	Lead     []string
	Sections []*section
	Footer   string
}

type section struct {
	ID, Title string
	Verdict   *verdict
	Text      []string
	Figures   []figure
	Tables    []*table
	Galleries []*gallery

	charts []*chart.Chart // what Figures show
}

type verdict struct {
	Text string
	Bad  bool
}

type figure struct {
	Image        template.URL
	Alt, Caption string
}

// table is a table; Right says which columns are set to the right, and Wrap
// that the others may break their lines.
type table struct {
	Caption string
	Header  []string
	Right   []bool
	Wrap    bool
	Rows    [][]string
}

// gallery is a table of pictures.
type gallery struct {
	Caption string
	Header  []string
	Rows    []tileRow
}

type tileRow struct {
	Unit  string
	Tiles []figure
}

func (p *page) write(w io.Writer) error { return pageTemplate.Execute(w, p) }

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
	var b bytes.Buffer
	if len(c.Lines) == 0 || c.Write(&b, "svg") != nil {
		return
	}
	s.charts = append(s.charts, c)
	s.Figures = append(s.Figures, figure{Image: dataURL("image/svg+xml", b.Bytes()), Alt: c.Title, Caption: caption})
}

// dataURL is a picture inside the page: it needs no other file.
func dataURL(kind string, content []byte) template.URL {
	return template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(content))
}
