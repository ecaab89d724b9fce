package convert

import (
	"math/rand/v2"
	"strings"
	"testing"

	"efcn/onnxio"
)

// poolModel returns a model of one AveragePool node with that geometry.
func poolModel(g geometry, ceil, includePad int64) *onnxio.Model {
	n := &onnxio.Node{
		Name: "pool", OpType: "AveragePool", Inputs: []string{"x"}, Outputs: []string{"y"},
		Attributes: []*onnxio.Attribute{
			onnxio.IntsAttr("kernel_shape", g.kernel...),
			onnxio.IntsAttr("strides", g.stride...),
			onnxio.IntsAttr("dilations", g.dilation...),
			onnxio.IntsAttr("pads", append(append([]int64{}, g.padBegin...), g.padEnd...)...),
			onnxio.IntAttr("ceil_mode", ceil),
			onnxio.IntAttr("count_include_pad", includePad),
		},
	}
	m := testModel(append([]int64{-1, int64(g.inPerGroup)}, g.in...), nil, n)
	m.Opsets[0].Version = 22
	return m
}

// naiveAveragePool is the matrix of a pooling straight from the definition.
// With the padding counted, the cells of a window are those inside the padded
// input: what ceil_mode lets reach beyond it is no cell.
func naiveAveragePool(g geometry, out []int64, includePad bool) map[[2]int]float32 {
	entries := make(map[[2]int]float32)
	inSize, outSize := elements(g.in...), elements(out...)
	for c := range g.inPerGroup {
		counter(out, func(p []int64) {
			cells := 0
			var inside []int
			counter(g.kernel, func(t []int64) {
				q := make([]int64, len(t))
				padded, input := true, true
				for i := range t {
					q[i] = p[i]*g.stride[i] + t[i]*g.dilation[i] - g.padBegin[i]
					padded = padded && q[i] < g.in[i]+g.padEnd[i]
					input = input && q[i] >= 0 && q[i] < g.in[i]
				}
				if input {
					inside = append(inside, offset(g.in, q))
				}
				if input || includePad && padded {
					cells++
				}
			})
			for _, q := range inside {
				entries[[2]int{c*outSize + offset(out, p), c*inSize + q}] = float32(1 / float64(cells))
			}
		})
	}
	return entries
}

func TestAveragePoolMatrix(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	ceiled := 0
	for range 200 {
		g := randomGeometry(rng)
		for i := range g.in { // a pad is smaller than the kernel it pads for
			g.padBegin[i], g.padEnd[i] = g.padBegin[i]%g.kernel[i], g.padEnd[i]%g.kernel[i]
		}
		out := make([]int64, len(g.in))
		fits := true
		ceil := rng.Int64N(2)
		for i := range out {
			room := g.in[i] + g.padBegin[i] + g.padEnd[i] - (g.kernel[i]-1)*g.dilation[i] - 1
			fits = fits && room >= 0
			out[i] = room/g.stride[i] + 1
			if ceil == 1 && room%g.stride[i] != 0 && out[i]*g.stride[i] < g.in[i]+g.padBegin[i] {
				out[i]++
				ceiled++
			}
		}
		if !fits {
			continue
		}
		includePad := rng.Int64N(2)
		plan, err := NewPlan(poolModel(g, ceil, includePad), Options{})
		if err != nil {
			t.Fatalf("%v: %v", g, err)
		}
		rows, cols := g.inPerGroup*elements(out...), g.inPerGroup*elements(g.in...)
		checkMatrix(t, plan.Layers[0], rows, cols, naiveAveragePool(g, out, includePad == 1))
		if t.Failed() {
			t.Fatalf("%v, ceil_mode %d, count_include_pad %d", g, ceil, includePad)
		}
	}
	if ceiled < 20 {
		t.Errorf("ceil_mode made a difference only %d times", ceiled)
	}
}

func TestGlobalAverage(t *testing.T) {
	mean := func(axes ...int64) *onnxio.Node {
		return &onnxio.Node{
			Name: "mean", OpType: "ReduceMean", Inputs: []string{"x"}, Outputs: []string{"y"},
			Attributes: []*onnxio.Attribute{onnxio.IntsAttr("axes", axes...)},
		}
	}
	tests := []struct {
		name string
		node *onnxio.Node
		kept string
	}{
		{name: "GlobalAveragePool", node: &onnxio.Node{Name: "pool", OpType: "GlobalAveragePool", Inputs: []string{"x"}, Outputs: []string{"y"}}},
		{name: "ReduceMean", node: mean(2, 3)},
		{name: "ReduceMean from behind", node: mean(-1, -2)},
		{name: "ReduceMean of the batch", node: mean(0, 2, 3), kept: "no batch axis in front"},
		{name: "ReduceMean of everything", node: mean(), kept: "it reduces all axes or none"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			plan, err := NewPlan(testModel([]int64{-1, 3, 4, 5}, nil, test.node), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if test.kept != "" {
				if len(plan.Layers) != 0 || len(plan.Kept) != 1 || !strings.Contains(plan.Kept[0].Why, test.kept) {
					t.Errorf("layers %v, kept %v; want it kept: %s", plan.Layers, plan.Kept, test.kept)
				}
				return
			}
			want := make(map[[2]int]float32)
			for c := range 3 {
				for q := range 20 {
					want[[2]int{c, c*20 + q}] = 1.0 / 20
				}
			}
			checkMatrix(t, plan.Layers[0], 3, 60, want)
		})
	}
}
