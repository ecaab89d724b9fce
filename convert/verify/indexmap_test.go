package verify

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// TestIndexMaps: what the operators' pages say of selections is what the engine
// selects.
func TestIndexMaps(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 6))
	ran := make(map[string]int)
	for round := range 1500 {
		op := []string{"Slice", "Split", "Pad", "DepthToSpace", "SpaceToDepth", "Concat", "Gather"}[round%7]
		in := []int{1, 1 + random.IntN(4), 1 + random.IntN(5), 1 + random.IntN(5)}
		node := &onnxio.Node{OpType: op, Inputs: []string{"x"}, Outputs: []string{"y"}}
		s := &structure{
			cnn:    &net{opset: 18, constants: make(map[string]*onnxio.Tensor), Links: onnxio.NewLinks(nil)},
			shapes: map[string][]int{"x": in},
		}
		list := func(name string, v ...int64) {
			s.cnn.constants[name] = onnxio.NewTensor(name, []int64{int64(len(v))}, v)
			node.Inputs = append(node.Inputs, name)
		}
		axis := 1 + random.IntN(3)
		attr := func(a *onnxio.Attribute) { node.Attributes = append(node.Attributes, a) }
		k := 0
		switch op {
		case "Slice":
			list("starts", int64(random.IntN(9)-4), 0)
			list("ends", []int64{int64(random.IntN(9) - 4), math.MaxInt64, math.MinInt64}[random.IntN(3)], math.MaxInt64)
			list("axes", int64(axis-4*random.IntN(2)), int64(axis%3+1))
			list("steps", []int64{1, 2, -1, -2}[random.IntN(4)], 1)
		case "Split":
			first := int64(random.IntN(in[axis] + 1))
			list("split", first, int64(in[axis])-first)
			node.Outputs = append(node.Outputs, "z")
			attr(onnxio.IntAttr("axis", int64(axis)))
			k = random.IntN(2)
		case "Pad":
			mode := []string{"constant", "edge", "reflect", "wrap"}[random.IntN(4)]
			s.cnn.opset = 19
			attr(onnxio.StringAttr("mode", mode))
			pads := make([]int64, 8)
			for i := 1; i < 4; i++ {
				pads[i], pads[4+i] = random.Int64N(int64(in[i])), random.Int64N(int64(in[i]))
			}
			list("pads", pads...)
		case "DepthToSpace":
			in[1] *= 4
			attr(onnxio.IntAttr("blocksize", 2))
			attr(onnxio.StringAttr("mode", []string{"DCR", "CRD"}[random.IntN(2)]))
		case "SpaceToDepth":
			in[2], in[3] = 2*in[2], 3*2*in[3]
			attr(onnxio.IntAttr("blocksize", 2))
		case "Gather":
			n := int64(in[axis])
			list("indices", random.Int64N(2*n)-n, random.Int64N(2*n)-n, 0)
			attr(onnxio.IntAttr("axis", int64(axis-4*random.IntN(2))))
		case "Concat":
			other := slices.Clone(in)
			other[axis] = 1 + random.IntN(4)
			s.shapes["z"] = other
			node.Inputs = append(node.Inputs, "z", "x")
			attr(onnxio.IntAttr("axis", int64(axis-4*random.IntN(2))))
		}
		got, err := s.selection(node, k)
		want, engineErr := selectedByEngine(s, node, k)
		if (err != nil) != (engineErr != nil) || !slices.Equal(got, want) {
			t.Fatalf("%s of %v, output %d, attributes %v, constants %v:\ngot  %v (%v)\nwant %v (%v)", op, in, k, texts(node), constantsOf(s.cnn), got, err, want, engineErr)
		}
		if err == nil {
			ran[op]++
		}
	}
	for op, n := range ran {
		if n < 200 {
			t.Errorf("%d of %s", n, op)
		}
	}
	if len(ran) != 7 {
		t.Errorf("%v", ran)
	}
}

// selectedByEngine runs a node on the numbers of the elements.
func selectedByEngine(s *structure, node *onnxio.Node, k int) ([]int, error) {
	inputs := make([]*engine.Tensor[float64], len(node.Inputs))
	next := 1
	for i, name := range node.Inputs {
		switch {
		case name == "":
		case i == 0 || isOp(node, "Concat"):
			shape := s.shapes[name]
			if len(shape) < 2 || s.cnn.constants[name] != nil {
				return nil, fmt.Errorf("input %d (%q) of shape %v has no batch axis", i, name, shape)
			}
			one := append([]int{1}, shape[1:]...)
			inputs[i] = &engine.Tensor[float64]{Type: onnxio.Float32, Shape: one, F: make([]float64, product(one))}
			for e := range inputs[i].F {
				inputs[i].F[e] = float64(next)
				next++
			}
		case isOp(node, "Pad") && i == 2: // left out, what is padded is 0
		default:
			t := s.cnn.constants[name]
			if t == nil {
				return nil, fmt.Errorf("input %d (%q) is computed at run time", i, name)
			}
			v, err := engine.FromONNX[float64](t)
			if err != nil {
				return nil, err
			}
			if isOp(node, "Resize") && i == 3 && len(v.I) > 0 { // sizes: of one sample
				axes, err := node.Ints("axes")
				if err != nil {
					return nil, err
				}
				if axes == nil {
					v.I = slices.Clone(v.I)
					v.I[0] = 1
				}
			}
			inputs[i] = v
		}
	}
	bare := *node
	if isOp(node, "Pad") {
		bare.Attributes = slices.DeleteFunc(slices.Clone(node.Attributes), func(a *onnxio.Attribute) bool { return a.Name == "value" })
		if len(inputs) > 2 {
			bare.Inputs = slices.Clone(node.Inputs)
			bare.Inputs[2] = ""
		}
	}
	out, err := engine.RunNode(&bare, s.cnn.opset, inputs)
	if err != nil {
		return nil, err
	}
	from := make([]int, out[k].Len())
	for i, v := range out[k].F {
		if from[i] = int(v) - 1; float64(from[i]+1) != v || from[i] >= next-1 {
			return nil, fmt.Errorf("its elements are not elements of its input")
		}
	}
	return from, nil
}

func texts(node *onnxio.Node) (list []string) {
	for _, a := range node.Attributes {
		list = append(list, a.Name+" "+attributeText(a))
	}
	return list
}

func constantsOf(n *net) (list []string) {
	for name, t := range n.constants {
		v, err := engine.FromONNX[float64](t)
		if err != nil {
			return nil
		}
		list = append(list, fmt.Sprint(name, v.I))
	}
	return list
}
