package finetune

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"efcn/onnxio"
)

// through makes a sketch of a 2×4×5 value.
func through(opset, size int64, nodes []*onnxio.Node, inits ...*onnxio.Tensor) sketch {
	return sketch{shape: []int64{2, 4, 5}, nodes: nodes, inits: inits, size: size, opset: opset}
}

// ofSamples is s where a constant has an entry for every sample.
func ofSamples(s sketch) sketch {
	s.oneBatch = true
	return s
}

// elementwiseSketches has the functions of one element, and of several that are
// broadcast, in the forms they have.
func elementwiseSketches() map[string]sketch {
	cases := map[string]sketch{}
	list := func(nodes ...*onnxio.Node) []*onnxio.Node { return nodes }
	for _, name := range []string{
		"Abs", "Asinh", "Atan", "Ceil", "Celu", "Cos", "Cosh", "Exp", "Floor", "Mish", "Reciprocal", "Round",
		"Sign", "Sin", "Sinh", "Softsign", "Tan", "ThresholdedRelu", "Shrink",
	} {
		cases[name] = through(18, 40, list(apply("Tanh", "x", "t"), apply(name, "t", "f"), apply("Add", "f x", "y")))
	}
	// Those that are not defined everywhere.
	for _, name := range []string{"Acos", "Asin", "Atanh"} {
		cases[name] = through(0, 40, list(apply("Sin", "x", "s"), apply("Mul", "s c", "t"), apply(name, "t", "y")),
			scalarTensor("c", 0.9))
	}
	for _, name := range []string{"Acosh", "Log", "Sqrt"} {
		cases[name] = through(0, 40, list(apply("Softplus", "x", "s"), apply("Add", "s c", "t"), apply(name, "t", "y")),
			scalarTensor("c", 1.1))
	}
	cases["Swish"] = through(24, 40, list(apply("Swish", "x", "y", onnxio.FloatAttr("alpha", 1.5))))
	cases["Celu 0.7"] = through(0, 40, list(apply("Celu", "x", "y", onnxio.FloatAttr("alpha", 0.7))))
	cases["Celu -0.7"] = through(0, 40,
		list(apply("Tanh", "x", "c"), apply("Celu", "c", "y", onnxio.FloatAttr("alpha", -0.7))))
	cases["ThresholdedRelu 0.3"] = through(0, 40, list(apply("ThresholdedRelu", "x", "y", onnxio.FloatAttr("alpha", 0.3))))
	cases["Shrink soft"] = through(0, 40,
		list(apply("Shrink", "x", "y", onnxio.FloatAttr("lambd", 0.3), onnxio.FloatAttr("bias", 0.3))))
	cases["Clip without a lower"] = through(0, 40, list(apply("Clip", "x - hi", "y")), scalarTensor("hi", 0.5))
	cases["Clip whose bounds cross"] = through(0, 40, list(apply("Clip", "x lo hi", "c"), apply("Add", "c x", "y")),
		scalarTensor("lo", 1), scalarTensor("hi", -1))
	cases["Clip attributes, one"] = through(7, 40, list(apply("Clip", "x", "y", onnxio.FloatAttr("max", 0.5))))
	cases["Cast"] = through(0, 40, list(
		apply("Cast", "x", "f", onnxio.IntAttr("to", int64(onnxio.Float32))), apply("Tanh", "f", "t"),
		apply("Cast", "t", "y", onnxio.IntAttr("to", int64(onnxio.Float64)))))
	pairs(cases)
	powers(cases)
	variadics(cases)
	prelus(cases)
	softmaxes(cases)
	return cases
}

// pairs has the arithmetic of two operands.
func pairs(cases map[string]sketch) {
	rng := rand.New(rand.NewPCG(21, 1))
	constants := map[string][]int64{
		"scalar": {}, "one": {1, 1}, "row": {5}, "column": {4, 1}, "channel": {2, 1, 1}, "apart": {2, 1, 5},
		"sample": {2, 4, 5}, "whole": {1, 2, 4, 5},
	}
	for _, op := range []string{"Add", "Sub", "Mul", "Div"} {
		c := noise(rng, "c", sketchBatch, 1, 4, 5)
		cases[op+" of samples"] = ofSamples(through(0, 40, []*onnxio.Node{apply(op, "x c", "y")}, c))
		for what, dims := range constants {
			c := noise(rng, "c", dims...)
			cases[op+" "+what] = through(0, 40, []*onnxio.Node{apply(op, "x c", "y")}, c)
			nodes := []*onnxio.Node{apply(op, "c x", "y")}
			if op == "Div" {
				nodes = []*onnxio.Node{apply("Sigmoid", "x", "s"), apply("Exp", "s", "e"), apply(op, "c e", "y")}
			}
			cases[op+" to "+what] = through(0, 40, nodes, c)
		}
		// A constant that makes the value larger, in its place and from both sides.
		for what, dims := range map[string][]int64{"more channels": {3, 1, 1}, "more of both": {3, 1, 5}} {
			cases[op+" "+what] = sketch{
				shape: []int64{1, 4, 5}, size: 60, nodes: []*onnxio.Node{apply(op, "x c", "y")}, inits: []*onnxio.Tensor{noise(rng,
					"c", dims...)},
			}
		}
		// Two computed values, each of some length 1.
		for what, axes := range map[string][2][]int64{
			"row by column": {{2}, {3}}, "channel by row": {{2, 3}, {1, 2}},
			"sample by one": {{}, {1, 2, 3}},
		} {
			nodes := []*onnxio.Node{apply("Tanh", "x", "t"), apply("Exp", "t", "e")}
			size := int64(40)
			var ends [2]string
			for i, list := range axes {
				ends[i] = []string{"x", "e"}[i]
				for k, a := range list {
					next := fmt.Sprintf("s%d_%d", i, k)
					nodes = append(nodes, apply("Gather", ends[i]+" at", next, onnxio.IntAttr("axis", a)))
					ends[i] = next
				}
			}
			for a, d := range []int64{2, 4, 5} {
				if slices.Contains(axes[0], int64(a+1)) && slices.Contains(axes[1], int64(a+1)) {
					size /= d
				}
			}
			nodes = append(nodes, apply(op, ends[0]+" "+ends[1], "y"))
			cases[op+" "+what] = through(0, size, nodes, integers("at", 1))
		}
	}
}

func powers(cases map[string]sketch) {
	rng := rand.New(rand.NewPCG(21, 2))
	tame := apply("Tanh", "x", "t")
	exp := apply("Exp", "t", "e") // positive
	for what, b := range map[string]float64{"2": 2, "3": 3, "0": 0, "-1": -1, "half": 0.5, "1.7": 1.7} {
		in := "e"
		if b == math.Trunc(b) && b >= 0 {
			in = "t"
		}
		cases["Pow "+what] = through(0, 40, []*onnxio.Node{tame, exp, apply("Pow", in+" b", "p"), apply("Add", "p e", "y")},
			scalarTensor("b", b))
	}
	cases["Pow of integers"] = through(0, 40, []*onnxio.Node{tame, apply("Pow", "t b", "y")},
		onnxio.NewTensor("b", []int64{2, 1, 1}, []int64{2, 3}))
	cases["Pow vector"] = through(0, 40, []*onnxio.Node{tame, exp, apply("Pow", "e b", "y")}, noise(rng, "b", 5))
	cases["Pow of a constant base"] = through(0, 40, []*onnxio.Node{tame, apply("Pow", "b t", "y")},
		scalarTensor("b", 1.5))
	cases["Pow of a vector of bases"] = through(0, 40, []*onnxio.Node{tame, apply("Pow", "b t", "y")},
		onnxio.NewTensor("b", []int64{2, 1, 1}, []float64{0.5, 2}))
	cases["Pow of two values"] = through(0, 40, []*onnxio.Node{tame, exp, apply("Pow", "e t", "y")})
	cases["Pow of a value with itself"] = through(0, 40, []*onnxio.Node{tame, exp, apply("Pow", "e e", "y")})
}

func variadics(cases map[string]sketch) {
	rng := rand.New(rand.NewPCG(21, 3))
	for _, op := range []string{"Max", "Min", "Mean", "Sum"} {
		cases[op] = through(0, 40,
			[]*onnxio.Node{apply("Tanh", "x", "t"), apply("Sin", "x", "s"), apply(op, "x c t d s", "y")},
			noise(rng, "c", 2, 1, 1), noise(rng, "d", 1, 5))
		cases[op+" of two"] = through(8, 40, []*onnxio.Node{apply("Sin", "x", "s"), apply(op, "s x", "y")})
		cases[op+" with a constant"] = through(0, 40, []*onnxio.Node{apply(op, "c x", "y")}, scalarTensor("c", 0.25))
		cases[op+" of one"] = through(0, 40, []*onnxio.Node{apply(op, "x", "y")})
		cases[op+" of one twice"] = through(0, 40, []*onnxio.Node{apply(op, "x x", "y")})
		cases[op+" broadcast"] = through(0, 40, []*onnxio.Node{apply("GlobalAveragePool", "x", "m"), apply(op, "m x", "y")})
	}
}

func prelus(cases map[string]sketch) {
	rng := rand.New(rand.NewPCG(21, 4))
	for what, dims := range map[string][]int64{
		"channel": {2, 1, 1}, "one": {1}, "scalar": {}, "element": {2, 4, 5},
		"row": {1, 5}, "apart": {1, 2, 1, 5},
	} {
		cases["PRelu "+what] = through(0, 40, []*onnxio.Node{apply("PRelu", "x s", "y")}, noise(rng, "s", dims...))
	}
	cases["PRelu of samples"] = ofSamples(through(0, 40, []*onnxio.Node{apply("PRelu", "x s", "y")},
		noise(rng, "s", sketchBatch, 2, 1, 1)))
	cases["PRelu computed"] = through(0, 40,
		[]*onnxio.Node{apply("GlobalAveragePool", "x", "s"), apply("PRelu", "x s", "y")})
}

func softmaxes(cases map[string]sketch) {
	for _, op := range []string{"Softmax", "LogSoftmax"} {
		for _, axis := range []int64{0, 1, 2, -1} {
			for _, opset := range []int64{11, 13} {
				cases[fmt.Sprintf("%s %d, opset %d", op, axis, opset)] = through(opset, 40,
					[]*onnxio.Node{apply(op, "x", "y", onnxio.IntAttr("axis", axis))})
			}
		}
		cases[op] = through(0, 40, []*onnxio.Node{apply(op, "x", "y")})
		cases[op+", opset 11"] = through(11, 40, []*onnxio.Node{apply(op, "x", "y")})
	}
}
