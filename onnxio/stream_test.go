package onnxio

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

// torn is content that is written a few bytes at a time.
type torn struct {
	bytes []byte
	step  int
	claim int64 // Len, if that is not so
	err   error // at the end
}

func (d torn) Len() int64 {
	if d.claim != 0 {
		return d.claim
	}
	return int64(len(d.bytes))
}

func (d torn) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for p := range slices.Chunk(d.bytes, d.step) {
		n, err := w.Write(p)
		written += int64(n)
		if err != nil {
			return written, errors.New(err.Error()) // that it is ours is lost
		}
	}
	return written, d.err
}

func collect[T any](seq func(yield func([]T, error) bool)) (all [][]T, err error) {
	for block, e := range seq {
		if e != nil {
			err = e
			continue
		}
		all = append(all, slices.Clone(block))
	}
	return all, err
}

func TestBlocks(t *testing.T) {
	content := []byte("abcdefghij")
	for step := 1; step <= 11; step++ {
		for size := 1; size <= 11; size++ {
			got, err := collect(Blocks(torn{bytes: content, step: step}, size))
			want := slices.Collect(slices.Chunk(content, size))
			if err != nil || !slices.EqualFunc(got, want, slices.Equal) {
				t.Errorf("written by %d, read by %d: %q, %v", step, size, got, err)
			}
		}
	}
	for what, d := range map[string]Data{
		"too short": torn{bytes: content, step: 3, claim: 11},
		"too long":  torn{bytes: content, step: 3, claim: 9},
		"an error":  torn{bytes: content, step: 3, err: errors.New("broken")},
	} {
		if got, err := collect(Blocks(d, 4)); err == nil {
			t.Errorf("%s: %q without an error", what, got)
		}
	}
	for _, err := range Blocks(torn{bytes: content, step: 1}, 2) {
		if err != nil {
			t.Error(err)
		}
		break // it must not be called again
	}
	if got, err := collect(Blocks(rawData(nil), 4)); err != nil || len(got) > 0 {
		t.Errorf("empty: %v, %v", got, err)
	}
}

func TestFloatBlocks(t *testing.T) {
	values := []float32{0, 1.5, float32(math.Inf(-1)), math.MaxFloat32, -2}
	whole := NewTensor("t", []int64{5}, values)
	encoded := appendElements(nil, values)
	for step := 1; step <= 21; step++ {
		split := &Tensor{Name: "t", Type: Float32, Dims: []int64{5}, Data: torn{bytes: encoded, step: step}}
		for n := 1; n <= 6; n++ {
			want := slices.Collect(slices.Chunk(values, n))
			for _, tensor := range []*Tensor{whole, split} {
				got, err := collect(FloatBlocks[float32](tensor, n))
				if err != nil || !slices.EqualFunc(got, want, slices.Equal) {
					t.Errorf("written by %d, read by %d: %v, %v", step, n, got, err)
				}
			}
			double, err := collect(FloatBlocks[float64](split, n))
			if err != nil || len(double) != len(want) || double[0][0] != 0 || n == 2 && double[0][1] != 1.5 {
				t.Errorf("as float64: %v, %v", double, err)
			}
		}
	}
	for _, err := range FloatBlocks[float32](&Tensor{
		Type: Float32, Dims: []int64{5},
		Data: torn{bytes: encoded, step: 1},
	}, 2) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	for what, c := range map[string]*Tensor{
		"want a floating type":  NewTensor("t", []int64{1}, []int64{1}),
		"need 24 bytes, got 20": {Type: Float32, Dims: []int64{6}, Data: rawData(encoded)},
		"it holds no data":      {Type: Float32, Dims: []int64{6}},
		"got 20 of 24 bytes":    {Type: Float32, Dims: []int64{6}, Data: torn{bytes: encoded, step: 7, claim: 24}},
		"more data":             {Type: Float32, Dims: []int64{4}, Data: torn{bytes: encoded, step: 7, claim: 16}},
	} {
		if _, err := collect(FloatBlocks[float32](c, 4)); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want %s", err, what)
		}
	}
}

func TestIntBlocks(t *testing.T) {
	got, err := collect(IntBlocks(NewTensor("t", []int64{3}, []int8{-1, 2, 3}), 2))
	if err != nil || fmt.Sprint(got) != "[[-1 2] [3]]" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := collect(IntBlocks(NewTensor("t", []int64{1}, []uint64{1 << 63}), 2)); err == nil {
		t.Error("a uint64 that no int64 holds is taken")
	}
}

func TestSparseBlocks(t *testing.T) {
	values := NewTensor("s", []int64{3}, []float32{1, 2, 3})
	linear := &SparseTensor{Dims: []int64{2, 3}, Values: values, Indices: NewTensor("", []int64{3}, []int64{0, 2, 4})}
	places := &SparseTensor{
		Dims: []int64{2, 3}, Values: values,
		Indices: NewTensor("", []int64{3, 2}, []int64{0, 0, 0, 2, 1, 1}),
	}
	for _, s := range []*SparseTensor{linear, places} {
		for n := 1; n <= 4; n++ {
			var indices []int64
			var got []float64
			for block, err := range SparseBlocks[float64](s, n) {
				if err != nil {
					t.Fatal(err)
				}
				indices, got = append(indices, block.Indices...), append(got, block.Values...)
			}
			if !slices.Equal(indices, []int64{0, 2, 4}) || !slices.Equal(got, []float64{1, 2, 3}) {
				t.Errorf("%d at a time: %v at %v", n, got, indices)
			}
		}
		for _, err := range SparseBlocks[float32](s, 1) {
			if err != nil {
				t.Error(err)
			}
			break
		}
	}
	for what, s := range map[string]*SparseTensor{
		"missing": {Values: values},
		"with indices of [2]": {
			Dims: []int64{6}, Values: values,
			Indices: NewTensor("", []int64{2}, []int64{0, 1}),
		},
		"with indices of [3 1]": {
			Dims: []int64{2, 3}, Values: values,
			Indices: NewTensor("", []int64{3, 1}, []int64{0, 1, 2}),
		},
		"index [0 3] lies outside": {
			Dims: []int64{2, 3}, Values: values,
			Indices: NewTensor("", []int64{3, 2}, []int64{0, 0, 0, 3, 1, 1}),
		},
		"want an integer type": {Dims: []int64{6}, Values: values, Indices: values},
		"want a floating type": {Dims: []int64{6}, Values: linear.Indices, Indices: linear.Indices},
		"need 12 bytes, got 8": {
			Dims:   []int64{6},
			Values: &Tensor{Type: Float32, Dims: []int64{3}, Data: rawData(make([]byte, 8))}, Indices: linear.Indices,
		},
	} {
		var err error
		for _, e := range SparseBlocks[float32](s, 2) {
			err = e
		}
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want %s", err, what)
		}
	}
}
