// Package docs_test compares what the documents say of the repository with the
// repository: links lead somewhere, and the picture of the packages is right.
package docs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestLinks follows every relative link of every Markdown file.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)\s]*))?\)`)
	links := 0
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
			return fs.SkipDir
		}
		if filepath.Ext(file) != ".md" {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			to, anchor := m[1], m[2]
			if strings.Contains(to, "://") {
				continue
			}
			links++
			target := file
			if to != "" {
				target = filepath.Join(filepath.Dir(file), to)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", file, err)
			} else if anchor != "" && !slices.Contains(anchors(t, target), anchor) {
				t.Errorf("%s: %s has no heading #%s", file, target, anchor)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if links < 20 {
		t.Errorf("%d links found", links)
	}
}

// anchors are the names that GitHub gives the headings of a file.
func anchors(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(text)) {
		if heading := strings.TrimLeft(line, "#"); heading != line {
			name := regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
			all = append(all, strings.ReplaceAll(name, " ", "-"))
		}
	}
	return all
}

// TestPackages compares the picture of the packages in architecture.md with the
// imports: every arrow is one, and every one between two packages of the picture is
// an arrow or follows from some.
func TestPackages(t *testing.T) {
	text, err := os.ReadFile("architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```mermaid\n")
	picture, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("architecture.md has no picture")
	}
	boxes := map[string]string{} // packages by the name of their box
	for _, m := range regexp.MustCompile(`(?m)^\s*(\w+)\["([\w/.]+)`).FindAllStringSubmatch(picture, -1) {
		boxes[m[1]] = path.Join("efcn", strings.TrimPrefix(m[2], "efcn"))
	}
	arrows := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^\s*(\w+) --> (\w+(?: & \w+)*)$`).FindAllStringSubmatch(picture, -1) {
		for to := range strings.SplitSeq(m[2], " & ") {
			arrows[boxes[m[1]]] = append(arrows[boxes[m[1]]], boxes[to])
		}
	}
	if len(boxes) < 15 || len(arrows) < 10 {
		t.Fatalf("read %d packages with arrows from %d", len(boxes), len(arrows))
	}
	imports := importsOf(t)
	drawn := slices.Sorted(maps.Values(boxes))
	for _, from := range drawn {
		if _, ok := imports[from]; !ok {
			t.Errorf("there is no package %s", from)
		}
		for _, to := range arrows[from] {
			if !slices.Contains(imports[from], to) {
				t.Errorf("%s does not import %s, as the picture has it", from, to)
			}
		}
		for _, to := range imports[from] {
			if slices.Contains(drawn, to) && !reaches(arrows, from, to) {
				t.Errorf("the picture lacks an arrow from %s to %s", from, to)
			}
		}
	}
}

func reaches(arrows map[string][]string, from, to string) bool {
	for _, next := range arrows[from] {
		if next == to || reaches(arrows, next, to) {
			return true
		}
	}
	return false
}

// importsOf returns what each package of the module imports, tests left out.
func importsOf(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(fmt.Errorf("go list: %w", err))
		}
		all[p.ImportPath] = p.Imports
	}
}
