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

// ExternalData says when Write puts weights into a file of their own.
type ExternalData string

// The values of WriteOptions.External.
const (
	ExternalAuto   ExternalData = "auto"   // when the model would pass protobuf's 2 GiB
	ExternalAlways ExternalData = "always" // every initializer of at least 1 KiB
	ExternalNever  ExternalData = "never"  // a larger model is an error
)

// WriteOptions says how Write stores a model.
type WriteOptions struct {
	External ExternalData // default (the empty string): ExternalAuto

	limit int64 // bytes of a protobuf message; default maxMessage
}

// Validate reports a value that is none of the constants.
func (o WriteOptions) Validate() error {
	switch o.External {
	case "", ExternalAuto, ExternalAlways, ExternalNever:
		return nil
	default:
		return fmt.Errorf("external data %q: want auto, always or never", o.External)
	}
}

// Written says what Write made. DataPath is "" if all is in one file.
type Written struct {
	Path      string
	Bytes     int64
	DataPath  string
	DataBytes int64
}

const (
	// writeBuffer collects small pieces. What comes in larger ones, as generated
	// matrices do, is not copied through it.
	writeBuffer = 64 << 10
	// syncStep is how much is written before the disk is told to begin with it:
	// it then works while the rest is generated, and little is left for the Sync
	// that ends the writing. Tried on 484 MB: 8 to 64 MiB make no difference.
	syncStep = 16 << 20
)

// Write writes m to path, streaming: no tensor is in memory that was not there
// before. Whoever opens path finds the old file or the whole new one; if Write
// fails it leaves no file, and the old one as it was.
//
// External data goes to a new file beside path, called as path with ".data", or
// with ".1.data" and so on where that is taken. When the new model is in place,
// a data file that only the model it replaces referred to is removed: a Model
// that was read from path must then be read again.
func Write(path string, m *Model, opts WriteOptions) (Written, error) {
	return WriteContext(context.Background(), path, m, opts)
}

// WriteContext is Write, and fails with ctx's error once ctx is done.
func WriteContext(ctx context.Context, path string, m *Model, opts WriteOptions) (Written, error) {
	if err := opts.Validate(); err != nil {
		return Written{}, err
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return Written{}, fmt.Errorf("%s: not a regular file; a model can't replace it", path)
	}
	w, err := write(ctx, path, m, opts)
	if err != nil {
		return Written{}, fmt.Errorf("%s: %w", path, err)
	}
	return w, nil
}

// WriteTo writes m to w as one protobuf message, with all its data inside.
func WriteTo(w io.Writer, m *Model) (int64, error) {
	r, err := new(encoder).model(m)
	if err != nil {
		return 0, err
	}
	if r.size > maxMessage {
		return 0, tooLarge(r.size, maxMessage)
	}
	b := bufio.NewWriterSize(w, int(min(r.size, writeBuffer)))
	n, err := r.WriteTo(b)
	if err != nil {
		return n, err
	}
	return n, b.Flush()
}

func tooLarge(size, limit int64) error {
	return fmt.Errorf("the model takes %d bytes, more than the %d of a protobuf message; allow external data", size, limit)
}

func write(ctx context.Context, path string, m *Model, opts WriteOptions) (w Written, err error) {
	limit := opts.limit
	if limit == 0 {
		limit = maxMessage
	}
	model, err := new(encoder).model(m)
	if err != nil {
		return Written{}, err
	}
	w = Written{Path: path}
	if opts.External == ExternalAlways || model.size > limit && opts.External != ExternalNever {
		var f *os.File
		f, model, err = writeExternal(ctx, path, m, &w)
		if f != nil {
			defer func() {
				if err != nil {
					os.Remove(f.Name())
				}
			}()
		}
		if err != nil {
			return Written{}, err
		}
	}
	if model.size > limit {
		return Written{}, tooLarge(model.size, limit)
	}
	w.Bytes = model.size

	f, err := createBeside(path)
	if err != nil {
		return Written{}, plain(err)
	}
	if err := fill(ctx, f, model, model.size); err != nil {
		os.Remove(f.Name())
		return Written{}, err
	}
	if info, statErr := os.Stat(path); statErr == nil {
		err = os.Chmod(f.Name(), info.Mode().Perm())
	}
	unused := replacedData(path, w.DataPath)
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return Written{}, plain(err)
	}
	// The new model is in place. What fails from here on leaves a file too many,
	// which is not worth an error.
	syncFolder(filepath.Dir(path))
	for _, name := range unused {
		os.Remove(name)
	}
	return w, nil
}

// createBeside creates a temporary file in the folder of path, with the
// permissions that a new file gets (os.CreateTemp's are the owner's only).
func createBeside(path string) (*os.File, error) {
	dir, base := filepath.Split(path)
	for i := 0; ; i++ {
		name := filepath.Join(dir, fmt.Sprintf(".%s.%d-%d.tmp", base, os.Getpid(), i))
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if !errors.Is(err, os.ErrExist) {
			return f, err
		}
	}
}

// fill writes content of that size to the new file f, makes sure that it is on
// the disk, and closes f.
func fill(ctx context.Context, f *os.File, content io.WriterTo, size int64) error {
	err := reserve(f, size)
	if err != nil {
		err = fmt.Errorf("no room for %d bytes: %w", size, plain(err))
	} else {
		b := bufio.NewWriterSize(&syncingWriter{f: f}, writeBuffer)
		if _, err = content.WriteTo(&contextWriter{ctx, b}); err == nil {
			err = b.Flush()
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return plain(err)
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

// contextWriter stops writing when its context is done.
type contextWriter struct {
	ctx context.Context // for the length of one call of fill
	w   io.Writer
}

func (c *contextWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}

// syncFolder puts a rename on the disk. Not every system can do it.
func syncFolder(dir string) {
	if f, err := os.Open(dir); err == nil {
		_ = f.Sync()
		f.Close()
	}
}
