package finetune

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/finetune/data"
	"efcn/onnxio"
)

// identityModel passes rows of so many logits through.
func identityModel(classes int64) *onnxio.Model {
	return &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}}, Graph: &onnxio.Graph{
		Name: "identity", Inputs: []*onnxio.ValueInfo{value32("x", -1, classes)}, Outputs: []*onnxio.ValueInfo{value32("y",
			-1, classes)},
		Nodes: []*onnxio.Node{apply("Identity", "x", "y")},
	}}
}

func TestEvaluate(t *testing.T) {
	set := &data.Set{
		X: []float32{
			0, 1, 2, 3, 4, 5,
			5, 4, 3, 2, 1, 0,
			0, 0, 0, 0, 0, 0,
		},
		Shape: []int{6}, Labels: []int{5, 4, 0}, Classes: 6,
	}
	// By hand: the partition of 0..5 is Σ eⁱ; labels have logits 5, 1 and 0.
	z := 0.0
	for i := range 6 {
		z += math.Exp(float64(i))
	}
	want := Metrics{N: 3, Loss: (2*math.Log(z) - 6 + math.Log(6)) / 3, Top1: 2. / 3, Top5: 1}
	for _, batch := range []int{0, 1, 2, 3} {
		got, err := Evaluate(t.Context(), identityModel(6), set, batch)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(got.Loss-want.Loss) > 1e-7 || got.Top1 != want.Top1 || got.Top5 != want.Top5 || got.N != 3 {
			t.Errorf("batch %d: %+v, want %+v", batch, got, want)
		}
	}
	// The sixth of six, and the last of equals, are not among the first five.
	set.Labels = []int{0, 5, 5}
	if got, _ := Evaluate(t.Context(), identityModel(6), set, 0); got.Top5 != 0 || got.Top1 != 0 {
		t.Errorf("labels out of reach: %+v", got)
	}
}

// Probabilities and logits of one network give one loss.
func TestEvaluateLooksThroughSoftmax(t *testing.T) {
	set := toySet(30, 4)
	m := toyModel()
	a, err := Evaluate(t.Context(), m, set, 0)
	if err != nil {
		t.Fatal(err)
	}
	m.Graph.Nodes = m.Graph.Nodes[:7]
	m.Graph.Outputs = []*onnxio.ValueInfo{value32("logits", -1, 4)}
	b, err := Evaluate(t.Context(), m, set, 0)
	if err != nil || a != b {
		t.Errorf("%+v through the Softmax, %+v without it; %v", a, b, err)
	}
}

// A fixed batch is filled up; the surplus is not counted.
func TestEvaluateFixedBatch(t *testing.T) {
	set := toySet(10, 4)
	want, err := Evaluate(t.Context(), toyModel(), set, 0)
	if err != nil {
		t.Fatal(err)
	}
	m := toyModel()
	m.Graph.Inputs[0].Type.Shape[0], m.Graph.Outputs[0].Type.Shape[0] = onnxio.Fixed(4), onnxio.Fixed(4)
	got, err := Evaluate(t.Context(), m, set, 0)
	if err != nil || got.N != 10 || got.Top1 != want.Top1 || math.Abs(got.Loss-want.Loss) > 1e-6 {
		t.Errorf("%+v, want %+v; %v", got, want, err)
	}
}

func TestEvaluateRefuses(t *testing.T) {
	narrow := toySet(10, 1)
	narrow.Classes = 7
	cases := []struct {
		name  string
		model *onnxio.Model
		set   *data.Set
		batch int
		want  string
	}{
		{"batch", toyModel(), toySet(3, 1), -1, "batch: -1 is negative"},
		{"no samples", toyModel(), &data.Set{Shape: []int{1, 4, 4}}, 0, "no samples"},
		{"shape", toyModel(), &data.Set{Shape: []int{3, 4, 4}}, 0, "samples have shape [3 4 4], the model takes [1 4 4]"},
		{"classes", toyModel(), narrow, 0, "the data has 7 classes, the model tells 4 apart"},
	}
	for _, c := range cases {
		if _, err := Evaluate(t.Context(), c.model, c.set, c.batch); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestFeeder(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	x := make([]float32, 2*24)
	for i := range x {
		x[i] = rng.Float32()
	}
	cases := []struct {
		name       string
		have, want []int
		// at maps an element of the model's sample to the set's.
		at func(i int) int
	}{
		{"the same", []int{2, 3, 4}, []int{2, 3, 4}, func(i int) int { return i }},
		{"an axis of one elsewhere", []int{1, 4, 6}, []int{4, 6, 1}, func(i int) int { return i }},
		{"no channel axis", []int{4, 6}, []int{1, 4, 6}, func(i int) int { return i }},
		{"vectors", []int{2, 3, 4}, []int{24}, func(i int) int { return i }},
		{"channels last", []int{2, 3, 4}, []int{3, 4, 2}, func(i int) int { return i%2*12 + i/2 }},
		{"channels first", []int{3, 4, 2}, []int{2, 3, 4}, func(i int) int { return i%12*2 + i/12 }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f, err := newFeeder(&data.Set{X: x, Shape: c.have, Labels: []int{0, 1}}, c.want)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]float32, 48)
			if err := f.batch([]int{1, 0}, got); err != nil {
				t.Fatal(err)
			}
			for i, v := range got {
				if want := x[(1-i/24)*24+c.at(i%24)]; v != want {
					t.Fatalf("element %d is %g, want %g", i, v, want)
				}
			}
		})
	}
	for _, want := range [][]int{{2, 4, 3}, {3, 8}, {24, 2}} {
		if _, err := newFeeder(&data.Set{X: x, Shape: []int{2, 3, 4}}, want); err == nil {
			t.Errorf("samples of shape [2 3 4] were taken for %v", want)
		}
	}
}

// A model that has its channels elsewhere gets the same augmented images.
func TestFeederAugments(t *testing.T) {
	set := &data.Set{X: make([]float32, 3*24), Shape: []int{2, 3, 4}, Labels: make([]int, 3)}
	for i := range set.X {
		set.X[i] = float32(i + 1)
	}
	var got [2][]float32
	for i, shape := range [][]int{{2, 3, 4}, {3, 4, 2}} {
		f, err := newFeeder(set, shape)
		if err != nil {
			t.Fatal(err)
		}
		got[i] = make([]float32, 48)
		if err := f.take([]int{2, 0}, 5, 1, got[i]); err != nil {
			t.Fatal(err)
		}
		if got[i][0] != 49 || got[i][24] != 1 {
			t.Errorf("plain samples begin with %v and %v", got[i][0], got[i][24])
		}
		if err := f.augment(data.Augment{Flip: true, Crop: 1}); err != nil {
			t.Fatal(err)
		}
		if err := f.take([]int{2, 0}, 5, 1, got[i]); err != nil {
			t.Fatal(err)
		}
		other := make([]float32, 48)
		if err := f.take([]int{2, 0}, 5, 2, other); err != nil {
			t.Fatal(err)
		}
		if slices.Equal(other, got[i]) {
			t.Error("two epochs have the same images")
		}
	}
	for i, v := range got[0] {
		sample, c, pixel := i/24, i/12%2, i%12
		if w := got[1][sample*24+pixel*2+c]; v != w {
			t.Fatalf("element %d: %v, with the channels last %v", i, v, w)
		}
	}
}
