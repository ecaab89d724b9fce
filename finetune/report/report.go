// Package report puts what is in the folder of a study, or of a single run of
// training, on one page: a file of HTML that needs no other and no network.
//
// Start with [Write].
package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"efcn/internal/version"
)

// Options say what is put on the page besides what stands in the folder.
type Options struct {
	// NoCheck leaves out the verification of the embeddings, which takes the time
	// of efcn verify for every one. Default false.
	NoCheck bool
	// Samples is how many random inputs an embedding is verified on. Default (0) 16.
	Samples int
	// Progress is called before every embedding is verified, with how many of how
	// many are done. Default (nil): it is not called.
	Progress func(what string, done, of int)
}

func (o Options) samples() int {
	if o.Samples == 0 {
		return 16
	}
	return o.Samples
}

// Write writes the page about the folder dir: that of a study (see
// [efcn/finetune/relax.Study]), finished or not, or of a run with a
// metrics.jsonl (see [efcn/finetune.Options.Checkpoint]). Nothing in dir is changed.
func Write(ctx context.Context, w io.Writer, dir string, o Options) error {
	if o.Samples < 0 {
		return fmt.Errorf("samples: %d is negative", o.Samples)
	}
	p, err := build(ctx, dir, o)
	if err != nil {
		return err
	}
	p.Footer = "Made by efcn " + version.String() + ", from the files in the folder."
	return p.write(w)
}

// FolderError reports that there is nothing in a folder to write a page about.
type FolderError struct{ Dir, Why string }

func (e *FolderError) Error() string {
	return fmt.Sprintf("%s: %s; want the folder of a study, or of a run with checkpoints", e.Dir, e.Why)
}

func build(ctx context.Context, dir string, o Options) (*page, error) {
	if info, err := os.Stat(dir); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, &FolderError{dir, "not a folder"}
	}
	for _, kind := range []struct {
		file string
		page func(context.Context, string, Options) (*page, error)
	}{{"settings.json", studyPage}, {"metrics.jsonl", runPage}} {
		_, err := os.Stat(filepath.Join(dir, kind.file))
		if err == nil {
			return kind.page(ctx, dir, o)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return nil, &FolderError{dir, "has neither settings.json nor metrics.jsonl"}
}
