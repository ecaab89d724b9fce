package onnxio

import (
	"path/filepath"
	"testing"
)

// TestWriteProgress: the bytes that are written grow to all of them, in whichever file the data
// are.
func TestWriteProgress(t *testing.T) {
	for _, external := range []ExternalData{ExternalNever, ExternalAlways} {
		weight := NewTensor("w", []int64{1 << 18}, make([]float32, 1<<18))
		m := &Model{IRVersion: 8, Opsets: []Opset{{Version: 17}}, Graph: &Graph{
			Name: "net", Initializers: []*Tensor{weight},
			Outputs: []*ValueInfo{{Name: "w", Type: TensorType{Elem: Float32}}},
		}}
		calls, last, of := 0, int64(0), int64(0)
		w, err := Write(filepath.Join(t.TempDir(), "m.onnx"), m, WriteOptions{
			External: external, NoSync: true, Progress: func(done, total int64) {
				if done < last || done > total || calls > 0 && total != of {
					t.Errorf("%s: %d of %d after %d of %d", external, done, total, last, of)
				}
				calls, last, of = calls+1, done, total
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		want := w.Bytes
		if external == ExternalAlways {
			want = w.DataBytes
		}
		if calls == 0 || last != want || of != want {
			t.Errorf("%s: it ends at %d of %d in %d calls; want %d", external, last, of, calls, want)
		}
	}
}
