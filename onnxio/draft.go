package onnxio

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// draft is a file that is being written. Where the file system can do that it has
// no name before it is finished, so that nothing of it is left behind by a
// program that is killed; elsewhere it has its name from the start.
type draft struct {
	*os.File
	name string // "" if it has none
	path string
	next func(path string, i int) string
}

// newDraft starts a file in the folder of path. Its name will be the first of
// next(path, 0), next(path, 1), … that is free.
func newDraft(path string, next func(path string, i int) string) (*draft, error) {
	d := &draft{path: path, next: next}
	dir := filepath.Dir(path)
	f, err := createUnnamed(dir)
	if errors.Is(err, errors.ErrUnsupported) {
		err = d.claim(func(name string) error {
			// With the permissions that a new file gets (os.CreateTemp's are the
			// owner's only).
			f, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
			return err
		})
	}
	d.File = f
	return d, err
}

// claim calls try with names until one is free.
func (d *draft) claim(try func(name string) error) error {
	for i := 0; ; i++ {
		name := d.next(d.path, i)
		err := try(name)
		if err == nil {
			d.name = name
		}
		if !errors.Is(err, os.ErrExist) {
			return err
		}
	}
}

// fill writes content of that size to the draft, which is new, and unless the options say
// otherwise makes sure that it is on the disk.
func (d *draft) fill(ctx context.Context, content io.WriterTo, size int64, opts WriteOptions) error {
	err := reserve(d.File, size)
	if err != nil {
		return fmt.Errorf("no room for %d bytes: %w", size, plain(err))
	}
	var out io.Writer = d.File
	if !opts.NoSync {
		out = &syncingWriter{f: d.File}
	}
	b := bufio.NewWriterSize(out, writeBuffer)
	if _, err = content.WriteTo(&contextWriter{ctx: ctx, w: b, progress: opts.Progress, size: size}); err == nil {
		err = b.Flush()
	}
	if err == nil && !opts.NoSync {
		err = d.Sync()
	}
	return plain(err)
}

// finish gives the draft its name, if it has none yet, and closes it.
func (d *draft) finish() error {
	if d.name == "" {
		if err := d.claim(func(name string) error { return nameFile(d.File, name) }); err != nil {
			return err
		}
	}
	return d.Close()
}

// discard removes the draft.
func (d *draft) discard() {
	_ = d.Close() // it may be closed already
	if d.name != "" {
		os.Remove(d.name)
	}
}

// temporaryName names a file beside path that will take its place.
func temporaryName(path string, i int) string {
	dir, base := filepath.Split(path)
	return filepath.Join(dir, fmt.Sprintf(".%s.%d-%d.tmp", base, os.Getpid(), i))
}

// syncingWriter writes to f, and has what it wrote put on the disk step by step.
type syncingWriter struct {
	f               *os.File
	written, synced int64
}

func (s *syncingWriter) Write(p []byte) (int, error) {
	n, err := s.f.Write(p)
	s.written += int64(n)
	if s.written-s.synced >= syncStep {
		beginSync(s.f, s.synced, s.written-s.synced)
		s.synced = s.written
	}
	return n, err
}

// contextWriter stops writing when its context is done, and says how much is written.
type contextWriter struct {
	ctx           context.Context // for the length of one write
	w             io.Writer
	progress      func(done, of int64) // nil for none
	written, size int64
}

func (c *contextWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.w.Write(p)
	c.written += int64(n)
	if c.progress != nil {
		c.progress(c.written, c.size)
	}
	return n, err
}
