package onnxio

import (
	"errors"
	"fmt"
	"iter"
)

// Blocks yields the content of d in blocks of size bytes, 1 or more, from the first to the
// last, which is shorter where size does not divide d.Len. No more than one block
// is held. A block is valid until the next one is asked for, and must not be
// modified. An error, with no block, ends the sequence; content of any other
// length than d.Len is one.
func Blocks(d Data, size int) iter.Seq2[[]byte, error] {
	size = max(1, size)
	return func(yield func([]byte, error) bool) {
		stopped := false
		w := &pieceWriter{unit: size, visit: func(p []byte) error {
			for ; len(p) > 0; p = p[size:] {
				if stopped = !yield(p[:size], nil); stopped {
					return errStopped
				}
			}
			return nil
		}}
		switch err := w.read(d); {
		case stopped:
		case err != nil:
			yield(nil, err)
		case len(w.part) > 0:
			yield(w.part, nil)
		}
	}
}

// FloatBlocks yields the elements of a tensor of any real floating type as T, n at
// a time (1 or more), fewer in the last block. They are converted as by [Floats], or those of
// the tensor itself where it holds a slice of T. A block is valid until the next
// one is asked for, and must not be modified. An error, with no block, ends the
// sequence.
func FloatBlocks[T float32 | float64](t *Tensor, n int) iter.Seq2[[]T, error] {
	n = max(1, n)
	if values, ok := t.Data.(sliceData[T]); ok && t.Type == typeOf[T]() && t.checkSize() == nil {
		return func(yield func([]T, error) bool) {
			for rest := values; len(rest) > 0; {
				k := min(n, len(rest))
				if !yield(rest[:k:k], nil) {
					return
				}
				rest = rest[k:]
			}
		}
	}
	return elementBlocks(t, n, floatDecoder[T])
}

// IntBlocks is [FloatBlocks] for a tensor of any integer type, or of bool, whose
// elements are converted as by [Ints].
func IntBlocks(t *Tensor, n int) iter.Seq2[[]int64, error] {
	return elementBlocks(t, max(1, n), intDecoder)
}

// elementDecoder decodes as many elements as dst has room for from src.
type elementDecoder[T any] func(dst []T, src []byte) error

func elementBlocks[T any](t *Tensor, n int, decoderOf func(*Tensor) (elementDecoder[T], error)) iter.Seq2[[]T, error] {
	return func(yield func([]T, error) bool) {
		decode, err := decoderOf(t)
		if err == nil {
			err = t.checkContent()
		}
		if err != nil {
			yield(nil, fmt.Errorf("tensor %q: %w", t.Name, err))
			return
		}
		size, stopped := int(t.Type.Size()), false
		block := make([]T, 0, min(int64(n), t.Data.Len()/int64(size)))
		err = t.eachPiece(func(p []byte) error {
			for len(p) > 0 {
				at := len(block)
				k := min(len(p)/size, cap(block)-at)
				block = block[:at+k]
				if err := decode(block[at:], p[:k*size]); err != nil {
					return err
				}
				p = p[k*size:]
				if len(block) < cap(block) {
					break
				}
				if stopped = !yield(block, nil); stopped {
					return errStopped
				}
				block = block[:0]
			}
			return nil
		})
		switch {
		case stopped:
		case err != nil:
			yield(nil, err)
		case len(block) > 0:
			yield(block, nil)
		}
	}
}

// elements decodes the content of a tensor. Nothing is allocated before the
// content is known to be as long as the dimensions say.
func elements[T any](t *Tensor, decoderOf func(*Tensor) (elementDecoder[T], error)) ([]T, error) {
	decode, err := decoderOf(t)
	if err == nil {
		err = t.checkContent()
	}
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	size := int(t.Type.Size())
	out := make([]T, t.Data.Len()/int64(size))
	rest := out
	err = t.eachPiece(func(p []byte) error {
		n := len(p) / size
		err := decode(rest[:n], p)
		rest = rest[n:]
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// checkContent returns an error unless the content of the tensor is there, and as
// long as its type and dimensions require.
func (t *Tensor) checkContent() error {
	if err := t.checkSize(); err != nil {
		return err
	}
	if t.Data == nil {
		return errors.New("it holds no data")
	}
	return nil
}

// eachPiece calls visit with the content of a tensor in pieces of whole elements,
// of the length that they come in.
func (t *Tensor) eachPiece(visit func(p []byte) error) error {
	w := &pieceWriter{unit: int(t.Type.Size()), visit: visit}
	if err := w.read(t.Data); err != nil {
		return fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	return nil
}

// pieceWriter passes on what is written to it in pieces of whole units. A write
// may end in the middle of a unit.
type pieceWriter struct {
	unit  int // bytes
	visit func(p []byte) error
	part  []byte // of a unit
	left  int64  // bytes that may still come
}

// read writes d to the writer. What is left over of a unit is in w.part.
func (w *pieceWriter) read(d Data) error {
	w.left = d.Len()
	n, err := d.WriteTo(w)
	if err == nil && (n != d.Len() || w.left > 0) {
		err = fmt.Errorf("got %d of %d bytes", d.Len()-w.left, d.Len())
	}
	return err
}

func (w *pieceWriter) Write(p []byte) (int, error) {
	written := len(p)
	if w.left -= int64(written); w.left < 0 {
		return 0, errors.New("more data than its length says")
	}
	if len(w.part) > 0 {
		k := min(w.unit-len(w.part), len(p))
		w.part, p = append(w.part, p[:k]...), p[k:]
		if len(w.part) < w.unit {
			return written, nil
		}
		if err := w.visit(w.part); err != nil {
			return 0, err
		}
		w.part = w.part[:0]
	}
	if whole := len(p) / w.unit * w.unit; whole > 0 {
		if err := w.visit(p[:whole]); err != nil {
			return 0, err
		}
		p = p[whole:]
	}
	w.part = append(w.part, p...)
	return written, nil
}

// errStopped ends the writing of what nobody wants more of.
var errStopped = errors.New("stopped")
