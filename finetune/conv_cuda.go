package finetune

import (
	"efcn/internal/cuda"
	"efcn/internal/kernel"
)

// columnBytes bounds the columns of a convolution on a device, which all convolutions
// share, except where one output position takes more: as many bytes as keep every
// multiprocessor busy with a product.
const columnBytes = 256 << 20

// deviceConv returns a convolution on a device.
func deviceConv[T float32 | float64](m *formMaker[T], c kernel.Conv[T]) cuda.Conv[T] {
	most, least := cuda.ConvRoom(c, m.n)
	return cuda.Conv[T]{Conv: c, N: m.n, Room: m.scratch(min(most, max(least, columnBytes/dtypeSize[T]())))}
}

func (c *conv[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	d := deviceConv(m, c.Conv)
	return deviceForm[T]{
		forward: func(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
			var bias cuda.Buffer[T]
			if len(in) > 2 {
				bias = in[2]
			}
			return d.Forward(s, in[0], in[1], bias, y)
		},
		backward: func(s *cuda.Stream, p devicePass[T]) error {
			if p.din[0].Len() > 0 {
				if err := d.BackwardInput(s, p.dout, p.in[1], p.din[0]); err != nil {
					return err
				}
			}
			if p.din[1].Len() > 0 {
				if err := d.BackwardWeights(s, 1, 0, p.in[0], p.dout, p.din[1]); err != nil {
					return err
				}
			}
			if len(p.din) > 2 && p.din[2].Len() > 0 {
				return cuda.SumRows(s, c.OutSize()*m.n, 1, p.dout, p.din[2])
			}
			return nil
		},
	}, nil
}

func (c *convTranspose[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	d := deviceConv(m, c.Conv)
	return deviceForm[T]{
		forward: func(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
			var bias cuda.Buffer[T]
			if len(in) > 2 {
				bias = in[2]
			}
			return d.Transposed(s, in[0], in[1], bias, y)
		},
		backward: func(s *cuda.Stream, p devicePass[T]) error {
			if p.din[0].Len() > 0 {
				if err := d.Forward(s, p.dout, p.in[1], cuda.Buffer[T]{}, p.din[0]); err != nil {
					return err
				}
			}
			if p.din[1].Len() > 0 {
				if err := d.BackwardWeights(s, 1, 0, p.dout, p.in[0], p.din[1]); err != nil {
					return err
				}
			}
			if len(p.din) > 2 && p.din[2].Len() > 0 {
				return cuda.SumRows(s, c.InSize()*m.n, 1, p.dout, p.din[2])
			}
			return nil
		},
	}, nil
}
