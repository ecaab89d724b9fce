package verify_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"efcn/convert/verify"
	"efcn/internal/arrays"
	"efcn/internal/engine"
	"efcn/onnxio"
)

// TestQuantizedFiles: what ONNX Runtime's quantizer makes of five networks is a quantization of them,
// and none of its ranges cuts off much of what they were calibrated on.
func TestQuantizedFiles(t *testing.T) {
	for _, c := range []struct {
		cnn, kind         string
		constants, ranges int // that are quantized
		numbers           int64
	}{
		{"lenet-torchscript", "uint8", 8, 8, 7178},
		{"lenet-torchscript", "channels", 8, 8, 7178},
		{"plain-torchscript", "uint8", 6, 5, 4266},
		{"resnet-torchscript", "symmetric", 19, 22, 2098},
		{"keras-tf2onnx", "channels", 11, 14, 3258},
		{"separable", "mixed", 10, 13, 1377},
		{"separable", "symmetric", 10, 15, 1377},
	} {
		t.Run(c.cnn+" "+c.kind, func(t *testing.T) {
			a, images := quantizedSource(t, c.cnn)
			o := verify.Options{Samples: 16, As: onnxio.Int8, Inputs: images}
			r, err := verify.Verify(context.Background(), a, readQuantized(t, c.cnn+"-"+c.kind), o)
			if err != nil {
				t.Fatal(err)
			}
			if !r.Equal() || r.JudgedAs != "int8" || !strings.HasPrefix(r.Verdict(), "EQUAL within the rounding of int8") {
				t.Fatalf("%s: %v", r.Verdict(), r.Findings)
			}
			if len(r.QuantizedConstants) != c.constants || len(r.QuantizedValues) != c.ranges {
				t.Errorf("%d constants and %d values are quantized; want %d and %d", len(r.QuantizedConstants), len(r.QuantizedValues),
					c.constants, c.ranges)
			}
			numbers := int64(0)
			for _, k := range r.QuantizedConstants {
				numbers += k.Elements
				if k.CutOff != 0 || k.Wrong != 0 || k.Furthest > 0.5001 {
					t.Errorf("%+v", k)
				}
			}
			if numbers != c.numbers {
				t.Errorf("%d numbers; want %d", numbers, c.numbers)
			}
			for _, v := range r.QuantizedValues {
				if v.Given.Outside != 0 || v.Given.Elements == 0 || v.Random.Elements == 0 || v.Distance.Ratio < 0.9 || v.Distance.Ratio > 1 {
					t.Errorf("%+v", v)
				}
			}
			for _, v := range r.Values {
				if v.Float64 == nil || v.Float64.Unbounded > 0 || v.Float32.Unbounded > 0 {
					t.Errorf("%s has no bound", v.Name)
				}
			}
			for _, o := range r.Outputs {
				if o.Ratio > 1 || o.Exact {
					t.Errorf("%+v", o)
				}
			}
		})
	}
}

// TestQuantizedFaults: a stored integer, a scale, a zero point or a node that is another is found where
// it is.
func TestQuantizedFaults(t *testing.T) {
	const (
		equal = "EQUAL within the rounding of int8"
		part  = "NOT EQUAL: they part at node "
	)
	times := func(factor float64, at int) func(v *engine.Tensor[float32]) {
		return func(v *engine.Tensor[float32]) { v.F[at] = float32(float64(v.F[at]) * factor) }
	}
	plus := func(n int64, at int) func(v *engine.Tensor[float32]) {
		return func(v *engine.Tensor[float32]) { v.I[at] += n }
	}
	constant := func(name string, change func(v *engine.Tensor[float32])) func(*testing.T, *onnxio.Model) {
		return func(t *testing.T, m *onnxio.Model) { rewrite(t, m, name, change) }
	}
	// own gives a DequantizeLinear a zero point or scale of its own.
	own := func(node string, input int, change func(v *engine.Tensor[float32])) func(*testing.T, *onnxio.Model) {
		return func(t *testing.T, m *onnxio.Model) {
			n := nodeOf(t, m, node)
			copied := *m.Graph.Initializer(n.Inputs[input])
			copied.Name = "own"
			m.Graph.Initializers = append(m.Graph.Initializers, &copied)
			n.Inputs = slices.Clone(n.Inputs)
			n.Inputs[input] = "own"
			rewrite(t, m, "own", change)
		}
	}
	attribute := func(node string, a *onnxio.Attribute) func(*testing.T, *onnxio.Model) {
		return func(t *testing.T, m *onnxio.Model) {
			n := nodeOf(t, m, node)
			n.Attributes = slices.DeleteFunc(slices.Clone(n.Attributes), func(b *onnxio.Attribute) bool { return a.Name == b.Name })
			n.Attributes = append(n.Attributes, a)
		}
	}
	swap := func(v *engine.Tensor[float32]) { // two output channels
		each := len(v.I) / v.Shape[0]
		for i := range each {
			v.I[i], v.I[each+i] = v.I[each+i], v.I[i]
		}
	}
	const weight, bias = "ConvBnFusion_W_wide.weight", "ConvBnFusion_BN_B_wide_bn.bias"
	for _, c := range []struct {
		name, model string
		edit        func(t *testing.T, m *onnxio.Model)
		verdict     string
		finding     string // in the first
	}{
		{"nothing", "separable-mixed", constant(weight+"_quantized", plus(0, 0)), equal, ""},
		{"a weight by one", "separable-mixed", constant(weight+"_quantized", plus(1, 77)), part + `"wide" (Conv), as the check "structure"`, "1 of 864 elements"},
		{"a weight by two", "separable-mixed", constant(weight+"_quantized", plus(-2, 77)), part + `"wide" (Conv), as the check "structure"`, "1 of 864 elements"},
		{"the scale of a channel", "separable-mixed", constant(weight+"_scale", times(1.5, 3)), part + `"wide" (Conv), as the check "structure"`, "steps from the nearest"},
		{"the scale of a channel by a hundredth", "separable-mixed", constant(weight+"_scale", times(1.01, 3)), part + `"wide" (Conv), as the check "structure"`, "steps from the nearest"},
		{"two channels swapped", "separable-mixed", constant(weight+"_quantized", swap), part + `"wide" (Conv), as the check "structure"`, "steps from the nearest"},
		{"a bias by two", "separable-mixed", constant(bias+"_quantized", plus(2, 5)), part + `"wide" (Conv), as the check "structure"`, "1 of 12 elements"},
		{"the scale of a bias", "separable-mixed", constant(bias+"_quantized_scale", times(1.5, 5)), part + `"wide" (Conv), as the check "structure"`, "steps from the nearest"},
		{"the zero point of weights", "lenet-torchscript-uint8", constant("conv2.weight_zero_point", plus(1, 0)), part + `"/conv2/Conv" (Conv), as the check "structure"`, " of 1152 elements are further off"},
		{"the scale of weights", "lenet-torchscript-uint8", constant("fc.weight_scale", times(1.5, 0)), part + `"/fc/Gemm" (Gemm), as the check "structure"`, "steps from the nearest"},
		{"weights of a BatchNormalization", "lenet-torchscript-uint8", constant("bn2.weight_quantized", plus(2, 3)), part + `"/bn2/BatchNormalization" (BatchNormalization), as the check "structure"`, "1 of 16 elements"},
		{"a constant factor", "keras-tf2onnx-channels", constant("sequential_1/bn2_1/batchnorm/mul:0_quantized", plus(2, 3)), part, ""},
		{"the scale of a value", "separable-mixed", constant("sum_scale", times(1.5, 0)), part + `"wide" (Conv), as the check "structure"`, "engines that add up integers"},
		{"the zero point behind a ReLU6", "separable-mixed", constant("stem_bn_relu6_zero_point", plus(1, 0)), part + `"stem_bn_relu6_QuantizeLinear" (QuantizeLinear), as the check "structure"`, "A keeps the value from 0 to 6"},
		{"a range beyond a ReLU6", "separable-mixed", constant("stem_bn_relu6_scale", times(1.5, 0)), part + `"depthwise" (Conv), as the check "structure"`, "engines that add up integers"},
		{"a zero point at one end", "separable-mixed", own("leaky_DequantizeLinear", 2, plus(1, 0)), part + `"leaky_QuantizeLinear" (QuantizeLinear), as the check "structure"`, "behind it has"},
		{"a scale at one end", "separable-mixed", own("leaky_DequantizeLinear", 1, times(1.5, 0)), part + `"leaky_QuantizeLinear" (QuantizeLinear), as the check "structure"`, "behind it has"},
		{
			"a bias that is not there", "separable-mixed", func(t *testing.T, m *onnxio.Model) {
				n := nodeOf(t, m, "wide")
				n.Inputs = n.Inputs[:2]
			}, part + `"wide" (Conv), as the check "structure"`, "B none",
		},
		{"a slope", "separable-mixed", attribute("leaky", onnxio.FloatAttr("alpha", 0.101)), part + `"leaky" (LeakyRelu), as the check "float64"`, "elements are beyond their bound"},
		{"padding counted", "separable-mixed", attribute("mean", onnxio.IntAttr("count_include_pad", 1)), part + `"mean" (AveragePool), as the check "float64"`, "elements are beyond their bound"},
		{"pads", "separable-mixed", attribute("wide", onnxio.IntsAttr("pads", 0, 0, 2, 2)), part + `"wide" (Conv), as the check "float64"`, "elements are beyond their bound"},
		{"other pads", "lenet-torchscript-uint8", attribute("/conv2/Conv", onnxio.IntsAttr("pads", 2, 2, 0, 0)), part + `"/conv2/Conv" (Conv), as the check "structure"`, "pads: A has 1, B 2"},
		{"a factor", "lenet-torchscript-uint8", attribute("/fc/Gemm", onnxio.FloatAttr("alpha", 1.01)), part + `"/fc/Gemm" (Gemm), as the check "structure"`, "alpha: A has 1, B 1.01"},
		{"an epsilon", "lenet-torchscript-uint8", attribute("/bn2/BatchNormalization", onnxio.FloatAttr("epsilon", 2e-5)), part + `"/bn2/BatchNormalization" (BatchNormalization), as the check "structure"`, "epsilon: A has 1e-05, B 2e-05"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cnn, kind := c.model[:strings.LastIndex(c.model, "-")], c.model
			a, images := quantizedSource(t, cnn)
			m := readQuantized(t, kind)
			c.edit(t, m)
			r, err := verify.Verify(context.Background(), a, m, verify.Options{Samples: 16, As: onnxio.Int8, Inputs: images})
			if err != nil {
				t.Fatal(err)
			}
			first, _ := r.FirstDifference()
			if !strings.HasPrefix(r.Verdict(), c.verdict) || !strings.Contains(first.Text, c.finding) {
				t.Errorf("%s; want %s; first %v", r.Verdict(), c.verdict, first)
			}
		})
	}
}

// TestQuantizedNorms: a model whose BatchNormalizations were folded before it was quantized is compared
// with the one that has them; a number that is another in either is found.
func TestQuantizedNorms(t *testing.T) {
	const wide = `NOT EQUAL: they part at node "wide" (Conv), as the check "structure" shows`
	for _, c := range []struct {
		name    string
		edit    func(a, b *onnxio.Model)
		verdict string
	}{
		{"nothing", func(_, _ *onnxio.Model) {}, "EQUAL within the rounding of int8"},
		{"a weight by one", func(_, b *onnxio.Model) {
			rewrite(t, b, "ConvBnFusion_W_wide.weight_quantized", func(v *engine.Tensor[float32]) { v.I[77]++ })
		}, wide},
		{"a bias by two", func(_, b *onnxio.Model) {
			rewrite(t, b, "ConvBnFusion_BN_B_wide_bn.bias_quantized", func(v *engine.Tensor[float32]) { v.I[7] += 2 })
		}, wide},
		{"a mean by a hundredth", func(a, _ *onnxio.Model) {
			rewrite(t, a, "wide_bn.mean", func(v *engine.Tensor[float32]) { v.F[3] *= 1.01 })
		}, wide},
		{"a variance by a tenth", func(a, _ *onnxio.Model) {
			rewrite(t, a, "wide_bn.var", func(v *engine.Tensor[float32]) { v.F[3] *= 1.1 })
		}, wide},
	} {
		for _, kind := range []string{"mixed", "symmetric"} {
			a, b := readQuantized(t, "separable"), readQuantized(t, "separable-"+kind)
			c.edit(a, b)
			r, err := verify.Verify(context.Background(), a, b, verify.Options{Samples: 8, As: onnxio.Int8})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(r.Verdict(), c.verdict) || !strings.Contains(r.Checks[0].Summary, "4 BatchNormalizations of A") {
				t.Errorf("%s, %s: %s; %v", c.name, kind, r.Verdict(), r.Findings)
			}
		}
	}
}

// TestQuantizedRange: a range that is too small for the samples is no fault: each number is as close as
// it gets, and how many are cut off is in the report. Neither is a coarser step.
func TestQuantizedRange(t *testing.T) {
	a, images := quantizedSource(t, "separable")
	m := readQuantized(t, "separable-mixed")
	half := func(v *engine.Tensor[float32]) { v.F[0] /= 2 }
	rewrite(t, m, "joined_scale", half)
	r, err := verify.Verify(context.Background(), a, m, verify.Options{Samples: -1, As: onnxio.Int8, Inputs: images})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Equal() {
		t.Errorf("%s: %v", r.Verdict(), r.Findings)
	}
	for _, v := range r.QuantizedValues {
		if cut := v.Given.Outside > 0 && v.Given.Furthest > 0; cut != (v.Name == "joined") {
			t.Errorf("%+v", v)
		}
	}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), `% of "joined" lies outside the range that B has for it`) {
		t.Errorf("%v\n%s", err, &text)
	}
}

// TestQuantizedSamples: random samples lie in the range of the input.
func TestQuantizedSamples(t *testing.T) {
	a, _ := quantizedSource(t, "separable")
	ran, least, most := 0, 0.0, 0.0
	o := verify.Options{As: onnxio.Int8, Ran: func(inputs, _, _ []*onnxio.Tensor) error {
		v, err := onnxio.Floats[float64](inputs[0])
		ran += len(v) / (3 * 16 * 16)
		least, most = min(least, slices.Min(v)), max(most, slices.Max(v))
		return err
	}}
	if _, err := verify.Verify(context.Background(), a, readQuantized(t, "separable-mixed"), o); err != nil {
		t.Fatal(err)
	}
	if ran != 64 || least < -0.997 || least > -0.99 || most < 0.99 || most > 1.005 {
		t.Errorf("%d samples from %g to %g", ran, least, most)
	}
}

// TestQuantizedRefused: models in another form, and of another network, are refused in a line.
func TestQuantizedRefused(t *testing.T) {
	a, _ := quantizedSource(t, "separable")
	before := readQuantized(t, "separable")
	nodeOf(t, before, "logits").Outputs[0], nodeOf(t, before, "flat").Outputs[0] = "unread", "logits"
	nodeOf(t, before, "logits").Inputs[0] = "logits"
	integers := func(op, domain string) *onnxio.Model {
		m := readQuantized(t, "separable-mixed")
		n := nodeOf(t, m, "wide")
		n.OpType, n.Domain = op, domain
		return m
	}
	computed := readQuantized(t, "separable-mixed") // a weight behind an Identity
	weight := nodeOf(t, computed, "wide").Inputs[1]
	nodeOf(t, computed, "wide").Inputs[1] = "same"
	for i, n := range computed.Graph.Nodes {
		if n.Output(0) == weight {
			same := &onnxio.Node{Name: "same", OpType: "Identity", Inputs: []string{weight}, Outputs: []string{"same"}}
			computed.Graph.Nodes = slices.Insert(slices.Clone(computed.Graph.Nodes), i+1, same)
			break
		}
	}
	for _, c := range []struct {
		name string
		a, b *onnxio.Model
		want error
	}{
		{"a constant that is computed", a, computed, &verify.QuantizedFormError{
			Node: "same", Op: "Identity",
			Why: "makes a constant of other constants, which are to be folded before a model is quantized",
		}},
		{"a network without its last node", before, readQuantized(t, "separable-mixed"), &verify.PairingError{First: `node "flat" (Flatten)`, Second: `node "logits" (Gemm)`}},
		{"another network", readTrained(t, "lenet-torchscript"), readQuantized(t, "plain-torchscript-uint8"), &verify.PairingError{First: `node "/Reshape" (Reshape)`, Second: `node "/Flatten" (Flatten)`}},
		{"no integers", a, a, &verify.UnusedTypeError{As: onnxio.Int8}},
		{"QLinearConv", a, integers("QLinearConv", ""), &verify.QuantizedFormError{Node: "wide", Op: "QLinearConv", Why: "computes with integers"}},
		{"ConvInteger", a, integers("ConvInteger", ""), &verify.QuantizedFormError{Node: "wide", Op: "ConvInteger", Why: "computes with integers"}},
		{"QLinearAdd", a, integers("QLinearAdd", "com.microsoft"), &verify.QuantizedFormError{Node: "wide", Op: "com.microsoft.QLinearAdd", Why: "computes with integers"}},
	} {
		_, err := verify.Verify(context.Background(), c.a, c.b, verify.Options{Samples: 8, As: onnxio.Int8})
		if err == nil || !strings.Contains(err.Error(), c.want.Error()) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want %v", c.name, err, c.want)
		}
	}
	if _, err := verify.Verify(context.Background(), a, a, verify.Options{As: onnxio.Uint16}); err == nil {
		t.Error("a type without bounds is not refused")
	} else if e, ok := errors.AsType[*verify.NarrowTypeError](err); !ok || e.Type != onnxio.Uint16 {
		t.Error(err)
	}
}

// TestQuantizedRandomNets: no random net that is quantized, to ranges that cut off more or less of its
// values, is flagged.
func TestQuantizedRandomNets(t *testing.T) {
	const nets = 120
	constants, values, cut := 0, 0, int64(0)
	for seed := range uint64(nets) {
		m, _ := randomNet(seed)
		r, err := verify.Verify(context.Background(), m, quantizedNet(t, m, seed), verify.Options{Samples: 8, Seed: seed, Batch: 3, As: onnxio.Int8})
		if err != nil {
			t.Fatalf("net %d: %v", seed, err)
		}
		if !r.Equal() {
			var text strings.Builder
			_ = r.WriteText(&text)
			t.Errorf("net %d: flagged\n%s", seed, &text)
		}
		constants, values = constants+len(r.QuantizedConstants), values+len(r.QuantizedValues)
		for _, v := range r.QuantizedValues {
			cut += v.Random.Outside
		}
		for _, o := range r.Outputs {
			if o.Ratio > 1 {
				t.Errorf("net %d: %+v", seed, o)
			}
		}
	}
	if constants < 2*nets || values < 3*nets || cut == 0 {
		t.Errorf("%d constants, %d values, %d numbers cut off", constants, values, cut)
	}
}

// quantizedNet quantizes a net: its weights to what they are, its values to random ranges.
func quantizedNet(t *testing.T, m *onnxio.Model, seed uint64) *onnxio.Model {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 11))
	c := m.Clone()
	g := c.Graph
	tensor := func(name string, elem onnxio.DataType, shape []int, codes []int64, floats []float32) string {
		g.Initializers = append(g.Initializers, engine.ToONNX(name, &engine.Tensor[float32]{Type: elem, Shape: shape, I: codes, F: floats}))
		return name
	}
	var nodes []*onnxio.Node
	var around func(value string) string
	around = func(value string) string { // a QuantizeLinear and a DequantizeLinear, or several
		elem, zero := onnxio.Uint8, random.Int64N(256)
		if random.IntN(2) == 0 {
			elem, zero = onnxio.Int8, random.Int64N(256)-128
		}
		s := tensor(value+"_scale", onnxio.Float32, []int{}, nil, []float32{float32(math.Exp(2*random.NormFloat64())) / 64})
		z := tensor(value+"_zero_point", elem, []int{}, []int64{zero}, nil)
		nodes = append(nodes, &onnxio.Node{OpType: "QuantizeLinear", Inputs: []string{value, s, z}, Outputs: []string{value + "_q"}},
			&onnxio.Node{OpType: "DequantizeLinear", Inputs: []string{value + "_q", s, z}, Outputs: []string{value + "_dq"}})
		if random.IntN(4) == 0 {
			return around(value + "_dq")
		}
		return value + "_dq"
	}
	stored := func(node *onnxio.Node, i int) { // a constant
		w, err := engine.FromONNX[float32](g.Initializer(node.Inputs[i]))
		if err != nil {
			t.Fatal(err)
		}
		name := node.Inputs[i] + "_of_" + node.Output(0)
		axis, channels, inner := 0, 1, len(w.F)
		if len(w.Shape) > 1 && random.IntN(2) == 0 {
			axis = random.IntN(len(w.Shape))
			channels, inner = w.Shape[axis], 1
			for _, d := range w.Shape[axis+1:] {
				inner *= d
			}
		}
		scales, codes := make([]float32, channels), make([]int64, len(w.F))
		for k, v := range w.F {
			at := k / inner % channels
			scales[at] = max(scales[at], float32(math.Abs(float64(v)))/127, 1e-3)
		}
		for k, v := range w.F {
			codes[k] = int64(math.RoundToEven(float64(v) / float64(scales[k/inner%channels])))
		}
		shape := []int{channels}
		if channels == 1 && random.IntN(2) == 0 {
			shape = []int{}
		}
		nodes = append(nodes, &onnxio.Node{
			OpType: "DequantizeLinear", Outputs: []string{name + "_dq"},
			Inputs:     []string{tensor(name+"_q", onnxio.Int8, w.Shape, codes, nil), tensor(name+"_scale", onnxio.Float32, shape, nil, scales)},
			Attributes: []*onnxio.Attribute{onnxio.IntAttr("axis", int64(axis))},
		})
		node.Inputs[i] = name + "_dq"
	}
	behind := map[string]string{}
	if random.IntN(2) == 0 {
		behind["x"] = around("x")
	}
	for _, n := range g.Nodes {
		node := *n
		node.Inputs = slices.Clone(n.Inputs)
		for i, in := range node.Inputs {
			if q := behind[in]; q != "" {
				node.Inputs[i] = q
			}
		}
		switch n.OpType {
		case "Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "Mul", "Add", "Sub", "PRelu":
			for i := range min(3, len(n.Inputs)) {
				if init := g.Initializer(n.Inputs[i]); init != nil && init.Type == onnxio.Float32 && random.IntN(4) > 0 {
					stored(&node, i)
				}
			}
		}
		nodes = append(nodes, &node)
		switch n.OpType {
		case "Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "Mul", "Add", "Sub", "PRelu", "Relu", "MaxPool",
			"AveragePool", "GlobalAveragePool", "Concat", "Transpose", "LeakyRelu", "Sigmoid", "Softmax":
			if random.IntN(3) > 0 {
				behind[n.Output(0)] = around(n.Output(0))
			}
		}
	}
	g.Nodes = nodes
	return c
}

// rewrite changes a constant, whatever its type.
func rewrite(t *testing.T, m *onnxio.Model, name string, change func(v *engine.Tensor[float32])) {
	t.Helper()
	for i, init := range m.Graph.Initializers {
		if init.Name == name {
			v, err := engine.FromONNX[float32](init)
			if err != nil {
				t.Fatal(err)
			}
			change(v)
			m.Graph.Initializers[i] = engine.ToONNX(name, v)
			return
		}
	}
	t.Fatalf("no constant %q", name)
}

func readQuantized(t *testing.T, name string) *onnxio.Model {
	t.Helper()
	m, err := onnxio.Read(filepath.Join("..", "..", "testdata", "quantized", name+".onnx"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// quantizedSource returns what a network was quantized from, and the samples that it was calibrated on.
func quantizedSource(t *testing.T, name string) (*onnxio.Model, []*onnxio.Tensor) {
	t.Helper()
	file := filepath.Join("..", "..", "testdata", "models", name, "inputs.npz")
	var m *onnxio.Model
	if name == "separable" {
		file = filepath.Join("..", "..", "testdata", "quantized", name+"-inputs.npz")
		m = readQuantized(t, name+"-folded")
	} else {
		m = readTrained(t, name)
	}
	all, err := arrays.ReadNPZ(file)
	if err != nil {
		t.Fatal(err)
	}
	return m, all
}
