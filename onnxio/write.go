package onnxio

import (
	"bufio"
	"context"
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
	// NoSync does not wait until the disk has everything: where the machine itself
	// stops soon after, the file can be torn, and the old one gone. Default false.
	NoSync bool
	// Progress is called while the file is written that has the data, with how many of its bytes
	// are. Default (nil): it is not called.
	Progress func(done, of int64)

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
	return fmt.Errorf("the model takes %d bytes, more than the %d of a protobuf message; allow external data", size,
		limit)
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
		if model, err = writeExternal(ctx, path, m, opts, &w); err != nil {
			return Written{}, err
		}
		if data := w.DataPath; data != "" {
			opts.Progress = nil // what is left is small
			defer func() {
				if err != nil {
					os.Remove(data)
				}
			}()
		}
	}
	if model.size > limit {
		return Written{}, tooLarge(model.size, limit)
	}
	w.Bytes = model.size

	f, err := newDraft(path, temporaryName)
	if err != nil {
		return Written{}, plain(err)
	}
	if err := f.fill(ctx, model, model.size, opts); err != nil {
		f.discard()
		return Written{}, err
	}
	if info, statErr := os.Stat(path); statErr == nil {
		err = f.Chmod(info.Mode().Perm())
	}
	unused := replacedData(path, w.DataPath)
	if err == nil {
		err = f.finish()
	}
	if err == nil {
		err = os.Rename(f.name, path)
	}
	if err != nil {
		f.discard()
		return Written{}, plain(err)
	}
	// The new model is in place. What fails from here on leaves a file too many,
	// which is not worth an error.
	if !opts.NoSync {
		syncFolder(filepath.Dir(path))
	}
	for _, name := range unused {
		os.Remove(name)
	}
	return w, nil
}

// syncFolder puts a rename on the disk. Not every system can do it.
func syncFolder(dir string) {
	if f, err := os.Open(dir); err == nil {
		_ = f.Sync()
		f.Close()
	}
}
