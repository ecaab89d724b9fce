package arrays

import (
	"fmt"
	"slices"

	"efcn/onnxio"
)

// Batches puts arrays that come in batches together again, along their first axis.
// The zero value has none.
type Batches struct {
	arrays []*joined // in the order they came
}

type joined struct {
	name string
	typ  onnxio.DataType
	dims []int64
	data []byte
}

// Append adds a batch of each array, called prefix and its name. The elements are
// copied. A batch whose other axes or type are not those of the first is an error.
func (b *Batches) Append(prefix string, batch []*onnxio.Tensor) error {
	for _, t := range batch {
		name := prefix + t.Name
		if len(t.Dims) == 0 {
			return fmt.Errorf("array %q has no axis to join batches along", name)
		}
		data, err := onnxio.Packed(t)
		if err != nil {
			return fmt.Errorf("array %q: %w", name, err)
		}
		at := slices.IndexFunc(b.arrays, func(j *joined) bool { return j.name == name })
		if at < 0 {
			at = len(b.arrays)
			b.arrays = append(b.arrays, &joined{name: name, typ: t.Type, dims: append([]int64{0}, t.Dims[1:]...)})
		}
		j := b.arrays[at]
		if t.Type != j.typ || !slices.Equal(t.Dims[1:], j.dims[1:]) {
			return fmt.Errorf("array %q: a batch is %s, those before are %v %v", name, Describe(t), j.typ, j.dims)
		}
		j.dims[0] += t.Dims[0]
		j.data = append(j.data, data...)
	}
	return nil
}

// Tensors returns the arrays, each whole, in the order they came.
func (b *Batches) Tensors() []*onnxio.Tensor {
	all := make([]*onnxio.Tensor, len(b.arrays))
	for i, j := range b.arrays {
		all[i] = fromBytes(j.name, j.typ, j.dims, j.data)
	}
	return all
}
