package verify_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/verify"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// timeFirst is a CNN on a sequence [T, N, C], with one number beside it.
func timeFirst() *onnxio.Model {
	b := newNetBuilder(13)
	x, scale := &onnxio.ValueInfo{Name: "x"}, &onnxio.ValueInfo{Name: "scale"}
	x.Type = onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: onnxio.Shape{onnxio.Fixed(5), onnxio.Symbol("N"), onnxio.Fixed(4)}}
	scale.Type = onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: onnxio.Shape{onnxio.Fixed(1)}}
	b.m.Graph.Inputs = []*onnxio.ValueInfo{x, scale}
	b.node("Mul", []string{"x", "scale"})
	b.node("Transpose", []string{b.at}, onnxio.IntsAttr("perm", 1, 2, 0))
	b.node("Conv", []string{b.at, b.random("w", 6, 4, 3)})
	b.node("Relu", []string{b.at})
	b.node("Flatten", []string{b.at})
	b.node("Gemm", []string{b.at, b.random("fc", 18, 3)})
	b.m.Graph.Outputs = []*onnxio.ValueInfo{{Name: b.at, Type: onnxio.TensorType{Elem: onnxio.Float32}}}
	return b.m
}

// TestBatchAxis: the batch of an input may be another axis than the first. Samples
// are cut along it, and what differs is found.
func TestBatchAxis(t *testing.T) {
	if _, err := convert.NewPlan(timeFirst(), convert.Options{}); err == nil || !strings.Contains(err.Error(), `input "x": dimension 1 ("N") is not a number`) {
		t.Errorf("without the axis: %v", err)
	}
	for _, c := range []struct {
		axes map[string]int
		want string
	}{
		{map[string]int{"x": 3}, `input "x": it has no axis 3 for the batch, but 3 axes`},
		{map[string]int{"y": 1}, `the graph has no input "y", of which a batch axis is given`},
		{map[string]int{"x": 1, "scale": 0}, `inputs "x" and "scale": the axes given for the batch have other sizes`},
	} {
		if _, err := convert.NewPlan(timeFirst(), convert.Options{BatchAxes: c.axes}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error %v; want %s", c.axes, err, c.want)
		}
	}
	axes := map[string]int{"x": 1, "scale": shape.NoBatch}
	efcn := converted(t, timeFirst(), convert.Options{BatchAxes: axes})
	if x := efcn.Graph.Inputs[0]; x.Name != "x" || x.Type.Shape[1].Param != "N" {
		t.Errorf("the input of the eFCN is %q %v", x.Name, x.Type.Shape)
	}
	// Two samples that differ in one place, along axis 1.
	x := make([]float32, 40)
	x[2*8+1*4+3] = 7
	given := []*onnxio.Tensor{onnxio.NewTensor("x", []int64{5, 2, 4}, x), onnxio.NewTensor("scale", []int64{1}, []float32{1})}
	for _, o := range []verify.Options{{Samples: 16}, {Samples: 16, BatchAxes: axes}, {Samples: -1, Inputs: given}} {
		r, err := verify.Verify(context.Background(), timeFirst(), efcn, o)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Equal() || len(r.Layers) != 2 || r.Samples != max(o.Samples, 2) {
			t.Errorf("%+v: %d layers, %d samples:", o, len(r.Layers), r.Samples)
			_ = r.WriteText(os.Stdout)
		}
	}
	wrong := efcn.Clone()
	edit(t, wrong, "fc", func(v []float32, _ []int64) {
		for i := range v {
			v[i] *= 1.5
		}
	})
	r, err := verify.Verify(context.Background(), timeFirst(), wrong, verify.Options{Samples: -1, Inputs: given, Skip: []string{verify.Structure}})
	if err != nil || r.Equal() {
		t.Fatalf("other weights: %v, equal %t", err, err == nil && r.Equal())
	}
	if got := r.FailingInputs; len(got) != 2 || got[1].Name != "x" || !slices.Equal(got[1].Dims, []int64{5, 1, 4}) {
		t.Errorf("the sample that fails is %+v; want the second, as the file takes it", got)
	} else if v, err := onnxio.Floats[float32](got[1]); err != nil || v[2*4+3] != 7 {
		t.Errorf("the sample that fails is %v (%v); want the second, as the file takes it", v, err)
	}
	open := func(context.Context, string, *onnxio.Model) (verify.Session, error) {
		t.Error("a file was opened in another engine")
		return nil, errors.New("no engine")
	}
	if _, err := verify.Verify(context.Background(), timeFirst(), efcn, verify.Options{Engines: []string{"onnxruntime"}, Open: open}); err == nil || !strings.Contains(err.Error(), "they take the files as they are") {
		t.Errorf("other engines: %v", err)
	}
}
