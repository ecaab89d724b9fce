package relax_test

import (
	"bytes"
	"encoding/csv"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"efcn/onnxio"
)

// table reads a table: its header, and its rows by the names of the columns.
func table(t *testing.T, path string) (header []string, rows []map[string]string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, name := range records[0] {
			row[name] = record[i]
		}
		rows = append(rows, row)
	}
	return records[0], rows
}

func float(t *testing.T, text string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func read(t *testing.T, elements ...string) *onnxio.Model {
	t.Helper()
	m, err := onnxio.Read(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func encoded(t *testing.T, m *onnxio.Model) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := onnxio.WriteTo(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// contents returns the files of a study, but for what depends on the clock, the
// memory and the folder: metrics and results as text without those, and by their
// names.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	clock := regexp.MustCompile(`"(seconds|time|peak_bytes)": ?[0-9.e+-]+`)
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasPrefix(d.Name(), "events.") {
			b = nil // the metrics once more
		}
		name, err := filepath.Rel(dir, path)
		switch filepath.Ext(path) {
		case ".json", ".jsonl":
			b = clock.ReplaceAll(b, nil)
		case ".csv":
			header, rows := table(t, path)
			b = nil
			for _, row := range rows {
				for _, column := range header {
					if column != "seconds" {
						b = append(b, row[column]+","...)
					}
				}
				b = append(b, '\n')
			}
		}
		all[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for name, text := range want {
		if have, ok := got[name]; !ok || have != text {
			t.Errorf("%s: %s is there: %v, or differs", what, name, ok)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d files, want %d", what, len(got), len(want))
	}
}
