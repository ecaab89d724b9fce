package verify

import (
	"fmt"
	"maps"
	"slices"

	"efcn/onnxio"
)

// attributes compares the attributes of a kept node by what they mean: an axis
// from behind is the same as one from the front, a default may be written out or
// left out, windows are compared where they lie, and what is an attribute in one
// operator set may be an input in another.
func (s *structure) attributes(source, node *onnxio.Node) {
	a, err := s.cnn.meaning(source, s.rankOf(source))
	if err != nil {
		s.fault("attribute", source, source.Output(0), "%v", err)
		return
	}
	b, err := s.efcn.meaning(node, s.rankOf(source))
	if err != nil {
		s.fault("attribute", node, source.Output(0), "%v", err)
		return
	}
	same := s.sameWindows(source, node)
	lists := listInputs(source)
	for _, name := range slices.Sorted(maps.Keys(merged(a, b))) {
		i, list := lists[name]
		if same && slices.Contains(windowAttributes, name) || list && !s.listed(source, node, i) {
			continue
		}
		if x, y := a[name], b[name]; x != y {
			s.fault("attribute", node, source.Output(0), "attribute %s is %s; in the CNN it is %s", name, orNotSet(y), orNotSet(x))
		}
	}
}

func merged(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

func orNotSet(text string) string {
	if text == "" {
		return "not set"
	}
	return text
}

// rankOf is the number of axes that the axes of a node count.
func (s *structure) rankOf(node *onnxio.Node) int {
	if isOp(node, "OneHot") { // the axis is one of the output's
		return len(s.shapes[node.Output(0)])
	}
	return len(s.shapeOf(node.Input(0)))
}

// meaning writes out what the attributes of a node say, by name: those that it
// has, and the defaults of those that it lacks. An axis counts from the front.
func (n *net) meaning(node *onnxio.Node, rank int) (map[string]string, error) {
	texts := make(map[string]string)
	for name, text := range defaultsOf(node, n.opset) {
		texts[name] = text
	}
	for _, a := range node.Attributes {
		texts[a.Name] = attributeText(a)
	}
	if onnxio.CanonicalDomain(node.Domain) != "" {
		return texts, nil
	}
	count := int64(rank)
	if axis, err := node.Int("axis", defaultAxis(node, n.opset)); err == nil && (node.Attr("axis") != nil || hasAxis(node)) {
		if axis < 0 {
			axis += count
		}
		texts["axis"] = fmt.Sprint(axis)
	}
	if axes, err := node.Ints("axes"); err == nil && axes != nil {
		texts["axes"] = fmt.Sprint(fromFront(axes, count))
	}
	for name, i := range listInputs(node) {
		var list []int64
		if given := node.Attr(name); given != nil && given.Type == onnxio.AttrInt { // k of a TopK
			list = []int64{given.I}
		} else if given != nil {
			list = given.Ints
		}
		if t := n.constants[node.Input(i)]; list == nil && t != nil {
			var err error
			if list, err = onnxio.Ints(t); err != nil {
				return nil, err
			}
		}
		if list == nil {
			continue
		}
		if name == "axes" {
			list = fromFront(list, count)
		}
		if isReduction(node) { // the order says nothing
			slices.Sort(list)
		}
		texts[name] = fmt.Sprint(list)
	}
	return texts, nil
}

// fromFront counts axes from the front. Their order is kept: other lists follow
// it.
func fromFront(axes []int64, rank int64) []int64 {
	out := slices.Clone(axes)
	for i, a := range out {
		if a < 0 {
			out[i] += rank
		}
	}
	return out
}

// hasAxis says whether an operator has an axis, whether or not a node names it.
func hasAxis(node *onnxio.Node) bool {
	return isOp(node, "Concat", "Softmax", "LogSoftmax", "Hardmax", "Split", "Gather", "GatherElements", "Scatter", "ScatterElements",
		"Flatten", "OneHot", "ArgMax", "ArgMin", "TopK", "LayerNormalization", "RMSNormalization", "LpNormalization", "QuantizeLinear", "DequantizeLinear", "SplitToSequence")
}

// defaultAxis is the axis of a node that names none.
// https://onnx.ai/onnx/operators, versions up to 24.
func defaultAxis(node *onnxio.Node, opset int64) int64 {
	switch {
	case isOp(node, "Softmax", "LogSoftmax", "Hardmax"):
		if opset >= 13 {
			return -1
		}
		return 1
	case isOp(node, "OneHot", "TopK", "LayerNormalization", "RMSNormalization", "LpNormalization"):
		return -1
	case isOp(node, "Flatten", "QuantizeLinear", "DequantizeLinear", "Concat"):
		return 1
	default:
		return 0
	}
}

// listInputs names the lists of an operator that are attributes before some
// operator set and inputs since, with the number of the input.
func listInputs(node *onnxio.Node) map[string]int {
	switch {
	case isReduction(node):
		return map[string]int{"axes": 1}
	case isOp(node, "Slice"):
		return map[string]int{"starts": 1, "ends": 2, "axes": 3}
	case isOp(node, "Split"):
		return map[string]int{"split": 1}
	case isOp(node, "Pad"):
		return map[string]int{"pads": 1}
	case isOp(node, "Tile"):
		return map[string]int{"repeats": 1}
	case isOp(node, "TopK"):
		return map[string]int{"k": 1}
	default:
		return nil
	}
}

func isReduction(node *onnxio.Node) bool {
	return isOp(node, "ReduceMax", "ReduceMin", "ReduceSum", "ReduceMean", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare")
}

// listed says whether input i of two nodes is a list that their meanings speak for:
// an attribute in one of them, or axes. Others are compared as any constant is.
func (s *structure) listed(source, node *onnxio.Node, i int) bool {
	spelled := source.Input(i) == "" || node.Input(i) == "" || listInputs(source)["axes"] == i
	return spelled && s.cnn.isList(source, i) && s.efcn.isList(node, i)
}

// isList says whether input i of a node is one of listInputs and a constant or left
// out, so that meaning speaks for it.
func (n *net) isList(node *onnxio.Node, i int) bool {
	for _, at := range listInputs(node) {
		if i == at {
			return node.Input(i) == "" || n.constants[node.Input(i)] != nil
		}
	}
	return false
}

// defaultsOf lists the defaults of an operator's attributes.
// https://onnx.ai/onnx/operators, versions up to 24.
func defaultsOf(node *onnxio.Node, opset int64) map[string]string {
	switch {
	case isOp(node, "Gemm"):
		return map[string]string{"alpha": "1", "beta": "1", "transA": "0", "transB": "0"}
	case isOp(node, "LeakyRelu"):
		return map[string]string{"alpha": "0.01"}
	case isOp(node, "Elu", "Celu", "ThresholdedRelu", "Swish"):
		return map[string]string{"alpha": "1"}
	case isOp(node, "Selu"):
		return map[string]string{"alpha": attributeText(onnxio.FloatAttr("alpha", 1.67326319217681884765625)), "gamma": attributeText(onnxio.FloatAttr("gamma", 1.05070102214813232421875))}
	case isOp(node, "HardSigmoid"):
		return map[string]string{"alpha": "0.2", "beta": "0.5"}
	case isOp(node, "Gelu"):
		return map[string]string{"approximate": `"none"`}
	case isOp(node, "BatchNormalization"):
		return map[string]string{"epsilon": "1e-05", "momentum": "0.9", "training_mode": "0", "spatial": "1"}
	case isOp(node, "InstanceNormalization", "GroupNormalization", "LayerNormalization", "RMSNormalization"):
		return map[string]string{"epsilon": "1e-05", "stash_type": "1"}
	case isOp(node, "Conv", "ConvTranspose"):
		return map[string]string{"group": "1", "auto_pad": `"NOTSET"`}
	case isOp(node, "MaxPool", "AveragePool", "LpPool"):
		texts := map[string]string{"ceil_mode": "0", "auto_pad": `"NOTSET"`, "count_include_pad": "0", "storage_order": "0"}
		if node.OpType == "LpPool" {
			texts["p"] = "2"
		}
		return texts
	case isOp(node, "Resize"):
		return map[string]string{
			"mode": `"nearest"`, "coordinate_transformation_mode": `"half_pixel"`, "nearest_mode": `"round_prefer_floor"`, "cubic_coeff_a": "-0.75",
			"exclude_outside": "0", "extrapolation_value": "0", "antialias": "0", "keep_aspect_ratio_policy": `"stretch"`,
		}
	case isOp(node, "Upsample"):
		return map[string]string{"mode": `"nearest"`}
	case isOp(node, "Pad"):
		return map[string]string{"mode": `"constant"`}
	case isOp(node, "DepthToSpace"):
		return map[string]string{"mode": `"DCR"`}
	case isOp(node, "TopK"):
		return map[string]string{"largest": "1", "sorted": "1"}
	case isOp(node, "ArgMax", "ArgMin"):
		return map[string]string{"keepdims": "1", "select_last_index": "0"}
	case isReduction(node):
		return map[string]string{"keepdims": "1", "noop_with_empty_axes": "0"}
	case isOp(node, "GatherND"):
		return map[string]string{"batch_dims": "0"}
	case isOp(node, "ScatterElements", "ScatterND"):
		return map[string]string{"reduction": `"none"`}
	case isOp(node, "Cast", "QuantizeLinear"):
		return map[string]string{"saturate": "1"}
	case isOp(node, "CumSum"):
		return map[string]string{"exclusive": "0", "reverse": "0"}
	case isOp(node, "Mod"):
		return map[string]string{"fmod": "0"}
	case isOp(node, "Trilu"):
		return map[string]string{"upper": "1"}
	case isOp(node, "LRN"):
		return map[string]string{"alpha": attributeText(onnxio.FloatAttr("alpha", 1e-4)), "beta": "0.75", "bias": "1"}
	case isOp(node, "LpNormalization"):
		return map[string]string{"p": "2"}
	case isOp(node, "Clip") && opset < 11:
		return map[string]string{"min": attributeText(onnxio.FloatAttr("min", -3.4028234663852886e+38)), "max": attributeText(onnxio.FloatAttr("max", 3.4028234663852886e+38))}
	default:
		return nil
	}
}
