package relax_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"efcn/finetune/relax"
	"efcn/internal/folderlock"
)

// Shards that work at once, are stopped and start again, end with the files of one
// process, and no step is taken twice.
func TestShards(t *testing.T) {
	whole := t.TempDir()
	steps := 0
	s := toyStudy(relax.ELCN)
	s.Stepped = func(relax.Progress) { steps++ }
	run(t, s, whole)

	dir := filepath.Join(t.TempDir(), "study")
	var mu sync.Mutex
	var all sync.WaitGroup
	taken, stops := 0, 0
	const count = 3
	for index := range count {
		all.Go(func() {
			for {
				ctx, cancel := context.WithCancel(t.Context())
				s := toyStudy(relax.ELCN)
				s.Shard = &relax.Shard{Index: index, Count: count}
				n := 0
				s.Stepped = func(relax.Progress) {
					mu.Lock()
					defer mu.Unlock()
					taken++
					if n++; n == 7 {
						stops++
						cancel()
					}
				}
				_, err := s.Run(ctx, dir)
				cancel()
				if err == nil {
					return
				}
				if !errors.Is(err, context.Canceled) {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if taken != steps || stops < count {
		t.Errorf("%d steps, want %d; %d stops", taken, steps, stops)
	}
	same(t, "in shards", contents(t, dir), contents(t, whole))
}

// One shard alone does its runs and what they begin with; the rest is missing.
func TestShardAlone(t *testing.T) {
	dir, s := t.TempDir(), toyStudy()
	s.Shard = &relax.Shard{Index: 2, Count: 4}
	f := run(t, s, dir)
	// The runs of a seed are cnn, fcn, efcn-0, efcn-1, efcn-3: those at 2 and 6 are
	// efcn-0 of the first seed and fcn of the second.
	if len(f.Missing) != 7 || len(f.Results) != 1+3+1+1 {
		t.Errorf("%d results, missing %v", len(f.Results), f.Missing)
	}
	for _, r := range f.Results {
		if r.Run != "seed-7/cnn" && r.Run != "seed-7/efcn-0" && r.Run != "seed-8/fcn" {
			t.Errorf("%s", r.Run)
		}
	}
	whole := t.TempDir()
	run(t, toyStudy(), dir)
	run(t, toyStudy(), whole)
	same(t, "the rest", contents(t, dir), contents(t, whole))
}

func TestShardRefuses(t *testing.T) {
	for _, c := range []relax.Shard{{0, 0}, {-1, 2}, {2, 2}} {
		s := toyStudy()
		s.Shard = &c
		if _, err := s.Run(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "there is none") {
			t.Errorf("%v: %v", c, err)
		}
	}
	// A process that does all runs does not join shards: the run that it finds taken ends it.
	dir, s := t.TempDir(), toyStudy()
	s.Shard = &relax.Shard{Index: 0, Count: 2}
	var held *folderlock.InUseError
	s.Stepped = func(p relax.Progress) {
		if held == nil {
			if _, err := toyStudy().Run(t.Context(), dir); !errors.As(err, &held) {
				t.Errorf("%s is done twice: %v", p.Run.Path(), err)
			}
		}
	}
	run(t, s, dir)
	if want := filepath.Join(dir, "seed-7", "cnn"); held == nil || held.Dir != want {
		t.Errorf("%v, want %s in use", held, want)
	}
}

// A folder that was begun with other matrix products is gone on with, and said so.
func TestShardNotesOtherProducts(t *testing.T) {
	dir := t.TempDir()
	s := toyStudy()
	s.Options.Seeds = 1
	run(t, s, dir)
	path := filepath.Join(dir, "settings.json")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := regexp.MustCompile(`"matrix_products": ".*"`).ReplaceAll(b, []byte(`"matrix_products": "another"`))
	if err := os.WriteFile(path, other, 0o666); err != nil {
		t.Fatal(err)
	}
	var notes []string
	s = toyStudy()
	s.Options.Train.Notice = func(text string) { notes = append(notes, text) }
	s.Shard = &relax.Shard{Index: 0, Count: 1}
	run(t, s, dir)
	if !slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, "was begun with matrix products by another") }) {
		t.Errorf("%q", notes)
	}
}
