package verify

import (
	"testing"

	"efcn/onnxio"
)

// TestOperatorTable: every row is of an operator that ONNX has, under that name, and what one
// claim asks for another row has is there.
func TestOperatorTable(t *testing.T) {
	if len(operators) < 144 {
		t.Errorf("%d rows, there have been 144", len(operators))
	}
	known := func(name string) bool {
		for opset := int64(1); opset <= 28; opset++ {
			if _, ok := onnxio.LookupOp("", name, opset); ok {
				return true
			}
		}
		return name == "com.microsoft.FusedConv"
	}
	for name, op := range operators {
		if name != op.name || !known(name) {
			t.Errorf("%s: the row of %q is of no operator that ONNX has", name, op.name)
		}
		for claim, wrong := range map[string]bool{
			"weighted, but no sum":                         op.weighted && op.terms == nil,
			"a sum without a matrix":                       op.terms != nil && op.matrix == nil,
			"weighted, but of no channels":                 op.channelOf != nil && !op.weighted,
			"a maximum that selects nothing":               op.windows != nil && op.selection == nil,
			"absorbs a Pad, but has no windows":            op.absorbs != nil && op.window == nil,
			"joins, but selects nothing":                   op.joins && op.selection == nil,
			"interpolates, but selects nothing":            op.interpolates != nil && op.selection == nil,
			"selects, but moves no bounds":                 op.selection != nil && op.moves == nil,
			"only reshapes, but moves no bounds":           op.reshapes && op.moves == nil,
			"exact, but no function":                       op.exact && op.lipschitz == nil,
			"both steps and a bound that has none":         op.steps != nil && op.bound != nil,
			"a diagonal that is not elementwise":           op.diagonal != nil && op.normalization == nil && !op.elementwise,
			"a diagonal without magnitudes":                op.diagonal != nil && op.magnitudes == nil,
			"moves as an operator that has no row of that": op.moves != nil && op.moves.as != "" && operators[op.moves.as].moves == nil,
		} {
			if wrong {
				t.Errorf("%s: %s", name, claim)
			}
		}
	}
}

// TestUnknownOperator: nothing is claimed of an operator without a row, or of no node.
func TestUnknownOperator(t *testing.T) {
	for _, node := range []*onnxio.Node{nil, {OpType: "NoSuch"}, {OpType: "Conv", Domain: "com.example"}} {
		if op := operatorOf(node); op != &other {
			t.Errorf("%v has the row of %s", node, op.name)
		}
	}
}
