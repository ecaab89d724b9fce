package shape

import (
	"errors"

	"efcn/onnxio"
)

// Check reports what [Infer] finds wrong with m: the first node whose inputs or
// attributes its operator does not take, and every declared shape that is not the
// inferred one.
func Check(m *onnxio.Model, o Options) error {
	info, err := Infer(m, o)
	if err != nil {
		return err
	}
	return errors.Join(info.Contradictions()...)
}
