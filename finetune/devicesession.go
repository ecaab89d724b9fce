package finetune

import (
	"context"
	"errors"
	"fmt"

	"efcn/internal/cuda"
	"efcn/internal/kernel"
	"efcn/internal/mpi"
	"efcn/onnxio"
)

// deviceSession runs a network on a device as Session has it. It may be used while the
// network is there, and needs no closing.
type deviceSession[T kernel.Float] struct{ *deviceNetwork[T] }

// Run computes the logits of any number of samples, as many at a time as the network takes.
func (s deviceSession[T]) Run(ctx context.Context, inputs []*onnxio.Tensor) ([]*onnxio.Tensor, error) {
	if len(inputs) != 1 || len(inputs[0].Dims) < 1 {
		return nil, fmt.Errorf("%d inputs; want one", len(inputs))
	}
	x, err := onnxio.Floats[T](inputs[0])
	if err != nil {
		return nil, err
	}
	rows, size := int(inputs[0].Dims[0]), s.samples.size/s.net.batch
	if len(x) != rows*size {
		return nil, fmt.Errorf("%d elements for %d samples; want %d each", len(x), rows, size)
	}
	logits := make([]float32, 0, rows*s.net.classes)
	for at := 0; at < rows; at += s.net.batch {
		n := min(s.net.batch, rows-at)
		part, err := s.run(ctx, x[at*size:(at+n)*size])
		if err != nil {
			return nil, err
		}
		for _, v := range part[:n*s.net.classes] {
			logits = append(logits, float32(v))
		}
	}
	return []*onnxio.Tensor{onnxio.NewTensor("logits", []int64{int64(rows), int64(s.net.classes)}, logits)}, nil
}

// Close does nothing: the network belongs to a run.
func (deviceSession[T]) Close() error { return nil }

// run computes the logits of at most a batch of samples, and of anything in place of the
// rest.
func (n *deviceNetwork[T]) run(ctx context.Context, x []T) ([]T, error) {
	copy(n.net.x, x)
	batch, classes := n.net.batch, n.net.classes
	logits := make([]T, batch*classes)
	err := n.memory.device.Do(ctx, func(t *cuda.Thread) error {
		s, out := t.Stream(), n.memory.feed.copied.Part(0, len(logits))
		if err := n.load(s); err != nil {
			return err
		}
		if err := runAll(s, n.forward); err != nil {
			return err
		}
		return errors.Join(cuda.Transpose(s, classes, batch, n.at[n.logits], out), cuda.Read(s, logits, out))
	})
	return logits, err
}

// OnDevice makes models ready on a device for [EvaluateIn], batches of so many samples at a
// time. A session has its memory there to itself until it is closed. The ranks of w, unless
// that is nil, compute each its part of the large layers, on a device of its own; all of them
// make the same calls.
func OnDevice(d *cuda.Device, w *mpi.World, batch int) Opener {
	return func(ctx context.Context, m *onnxio.Model) (Session, error) {
		batch := batch // of this model
		var together *team
		if w != nil && w.Size() > 1 {
			together = &team{all: w, group: w}
		}
		// Every layer, in whatever layout it is.
		t, err := newTraineeOver[float32](m, together, Options{Train: "*"}.WithDefaults())
		if err := agree(ctx, w, err); err != nil {
			return nil, err
		}
		if fixed := t.input.Type.Shape[0]; fixed.Known() {
			batch = int(fixed.Value)
		}
		t.device = newDeviceMemory(t, Options{Device: d}.WithDefaults())
		n, err := t.networkOf(networkForm[float32]{batch: batch, evaluates: true})
		if err == nil {
			err = t.device.check(ctx)
		}
		if err := agree(ctx, w, err); err != nil {
			return nil, err
		}
		opened := t.device.open(ctx)
		if err := agree(ctx, w, opened); err != nil {
			if opened == nil {
				err = errors.Join(err, t.device.close())
			}
			return nil, err
		}
		return &ownedSession{deviceSession[float32]{n.device}}, nil
	}
}

// ownedSession is a deviceSession with memory of its own.
type ownedSession struct{ deviceSession[float32] }

// Close gives the memory back.
func (s *ownedSession) Close() error { return s.memory.close() }
