package verify_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/internal/engines"
	"efcn/onnxio"
)

// lackingNet is a CNN with two nodes that the embedded engine lacks: a FusedConv,
// and one of a domain that nobody has, whose first output is left out.
func lackingNet() *onnxio.Model {
	b := newNetBuilder(3)
	b.m.Opsets = []onnxio.Opset{{Version: 17}, {Domain: "com.microsoft", Version: 1}, {Domain: "test", Version: 1}}
	b.shape = []int64{3, 6, 6}
	b.m.Graph.Inputs[0].Type = b.typeOf(b.shape)
	pads := onnxio.IntsAttr("pads", 1, 1, 1, 1)
	b.m.Graph.Nodes = []*onnxio.Node{
		{Name: "conv1", OpType: "Conv", Inputs: []string{"x", b.random("w1", 4, 3, 3, 3)}, Outputs: []string{"conv1_out"}, Attributes: []*onnxio.Attribute{pads}},
		{
			Name: "fused", OpType: "FusedConv", Domain: "com.microsoft", Inputs: []string{"conv1_out", b.random("w2", 4, 4, 3, 3), b.random("b2", 4)},
			Outputs: []string{"fused_out"}, Attributes: []*onnxio.Attribute{pads, onnxio.StringAttr("activation", "Relu")},
		},
		{Name: "conv3", OpType: "Conv", Inputs: []string{"fused_out", b.random("w3", 2, 4, 3, 3)}, Outputs: []string{"conv3_out"}},
		{Name: "mystery", OpType: "Mystery", Domain: "test", Inputs: []string{"conv3_out"}, Outputs: []string{"", "y"}},
	}
	b.m.Graph.Outputs = []*onnxio.ValueInfo{{Name: "y", Type: b.typeOf([]int64{2, 4, 4})}}
	return b.m
}

// plainNet is lackingNet in operators that the embedded engine has.
func plainNet() *onnxio.Model {
	m := lackingNet()
	m.Graph.Nodes = plainNodes(m.Graph.Nodes)
	return m
}

func plainNodes(nodes []*onnxio.Node) []*onnxio.Node {
	var all []*onnxio.Node
	for _, n := range nodes {
		n := *n
		switch n.OpType {
		case "FusedConv":
			n.OpType, n.Domain, n.Attributes = "Conv", "", n.Attributes[:1]
			all = append(all, &n, &onnxio.Node{Name: "relu", OpType: "Relu", Inputs: []string{"c"}, Outputs: n.Outputs})
			n.Outputs = []string{"c"}
			continue
		case "Mystery":
			n.OpType, n.Domain, n.Outputs = "Tanh", "", n.Outputs[1:]
		}
		all = append(all, &n)
	}
	return all
}

// stand opens a model of one node that the embedded engine lacks as ONNX Runtime
// would, in what it is made of.
func stand(t *testing.T, opened *[]string) func(context.Context, string, *onnxio.Model) (verify.Session, error) {
	return func(ctx context.Context, engine string, m *onnxio.Model) (verify.Session, error) {
		if engine != engines.ONNXRuntime || len(m.Graph.Nodes) != 1 || m.Path != "" {
			t.Errorf("%s of %d nodes, path %q", engine, len(m.Graph.Nodes), m.Path)
		}
		*opened = append(*opened, m.Graph.Nodes[0].Name)
		m.Graph.Nodes = plainNodes(m.Graph.Nodes)
		return open(ctx, engines.Embedded, m)
	}
}

// TestElsewhere: a node that the embedded engine lacks runs in another one and the
// rest layer by layer, in every layout; the report names it, and faults are found.
func TestElsewhere(t *testing.T) {
	for _, layout := range []record.Layout{record.Dense, record.Local, record.Keep} {
		efcn := converted(t, lackingNet(), convert.Options{Layout: layout})
		var opened []string
		o := verify.Options{Samples: 16, Open: stand(t, &opened)}
		r, err := verify.Verify(t.Context(), lackingNet(), efcn, o)
		if err != nil || !r.Equal() {
			t.Fatal(layout, err, r)
		}
		var nodes []string
		for _, e := range r.Elsewhere {
			nodes = append(nodes, e.Model+" "+e.Node+" "+e.Op)
		}
		want := []string{"cnn fused com.microsoft.FusedConv", "cnn mystery test.Mystery", "efcn fused com.microsoft.FusedConv", "efcn mystery test.Mystery"}
		if !slices.Equal(nodes, want) {
			t.Errorf("%v ran elsewhere, want %v", nodes, want)
		}
		var text strings.Builder
		if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), `node "fused" (com.microsoft.FusedConv) of the CNN, by matrix products`) {
			t.Errorf("%v; the text does not name the node: %s", err, text.String())
		}
		for _, weights := range []string{"w2", "w3"} {
			changed := efcn.Clone()
			if !slices.ContainsFunc(changed.Graph.Initializers, func(i *onnxio.Tensor) bool { return i.Name == weights }) {
				weights = "conv3.weight"
			}
			edit(t, changed, weights, func(v []float32, _ []int64) {
				for i := range v {
					v[i] *= 1.01
				}
			})
			r, err := verify.Verify(t.Context(), lackingNet(), changed, o)
			if err != nil || r.Equal() {
				t.Fatal(layout, weights, err)
			}
			for _, c := range r.Checks {
				if c.Status != verify.Failed {
					t.Errorf("%s, %s changed: %s does not see it", layout, weights, c.Name)
				}
			}
		}
	}
}

// TestElsewherePair: of two models without a record either may have such nodes; a
// fault in one is found.
func TestElsewherePair(t *testing.T) {
	var opened []string
	o := verify.Options{Samples: 16, Open: stand(t, &opened)}
	fused := func() *onnxio.Model {
		m := lackingNet()
		m.Graph.Nodes[3] = plainNet().Graph.Nodes[4]
		return m
	}
	for _, c := range []struct {
		name  string
		a, b  *onnxio.Model
		equal bool
	}{
		{"the second", plainNet(), fused(), true},
		{"the first", fused(), plainNet(), true},
		{"neither", plainNet(), plainNet(), true},
	} {
		r, err := verify.Verify(t.Context(), c.a, c.b, o)
		if err != nil || !r.Equal() {
			t.Fatal(c.name, err, r)
		}
		edit(t, c.b, "w2", func(v []float32, _ []int64) {
			for i := range v {
				v[i] *= 1.01
			}
		})
		if r, err = verify.Verify(t.Context(), c.a, c.b, o); err != nil || r.Equal() {
			t.Errorf("%s: weights by a hundredth are not seen (%v)", c.name, err)
		}
	}
}

// TestElsewhereEngines: what the embedded engine lacks and no bound is known of, the
// engine that was asked for decides.
func TestElsewhereEngines(t *testing.T) {
	// The engine that stands for ONNX Runtime rounds a single Mystery as the whole model
	// does not.
	whole := func(ctx context.Context, _ string, m *onnxio.Model) (verify.Session, error) {
		m = m.Clone()
		if m.Graph.Nodes[0].OpType == "Mystery" {
			m.Graph.Initializers = append(m.Graph.Initializers, onnxio.NewTensor("scale", nil, []float32{1 + 0x1p-23}))
			m.Graph.Nodes = append(plainNodes(m.Graph.Nodes),
				&onnxio.Node{Name: "scaled", OpType: "Mul", Inputs: []string{"y", "scale"}, Outputs: []string{"scaled_y"}})
			m.Graph.Outputs = []*onnxio.ValueInfo{{Name: "scaled_y", Type: m.Graph.Outputs[0].Type}}
			return open(ctx, engines.Embedded, m)
		}
		m.Graph.Nodes = plainNodes(m.Graph.Nodes)
		return open(ctx, engines.Embedded, m)
	}
	fused, plain := lackingNet, plainNet()
	o := verify.Options{Samples: 16, Open: whole}
	if r, err := verify.Verify(t.Context(), fused(), plain, o); err != nil || r.Equal() {
		t.Errorf("%v: a difference without a bound is called equal", err)
	}
	o.Engines = []string{engines.ONNXRuntime}
	r, err := verify.Verify(t.Context(), fused(), plain, o)
	if err != nil || !r.Equal() {
		t.Fatal(err, r)
	}
	for _, c := range r.Checks {
		if judged := strings.Contains(c.Name, engines.ONNXRuntime); judged != (c.Status == verify.OK) {
			t.Errorf("%s: %s: %s", c.Name, c.Status, c.Summary)
		}
	}
	edit(t, plain, "w2", func(v []float32, _ []int64) { v[0] *= 1.5 })
	_, err = verify.Verify(t.Context(), fused(), plain, o)
	if err == nil || !strings.HasPrefix(err.Error(), "nothing was compared") || !strings.Contains(err.Error(), "a tolerance would decide") {
		t.Errorf("%v: where the engines differ too, and no bound is known, nothing is judged", err)
	}
	o.ATol = 1e-6
	if r, err := verify.Verify(t.Context(), fused(), plain, o); err != nil || r.Equal() {
		t.Errorf("%v: a weight by a half is not seen", err)
	}
}

// TestElsewhereRefused: without another engine, or where that cannot run it, the node
// is named with what is wrong.
func TestElsewhereRefused(t *testing.T) {
	random := plainNet()
	random.Graph.Nodes = slices.Insert(random.Graph.Nodes, 0, &onnxio.Node{Name: "noise", OpType: "RandomNormalLike", Inputs: []string{"x"}, Outputs: []string{"n"}})
	random.Graph.Nodes[1].Inputs[0] = "n"
	for _, c := range []struct {
		m    *onnxio.Model
		open func(context.Context, string, *onnxio.Model) (verify.Session, error)
		err  string
	}{
		{lackingNet(), nil, `node "fused" (com.microsoft.FusedConv): the embedded engine cannot run it, and neither can ONNX Runtime: no other engine is at hand`},
		{
			lackingNet(), func(context.Context, string, *onnxio.Model) (verify.Session, error) {
				return nil, errors.New("it is not found")
			},
			`node "fused" (com.microsoft.FusedConv): the embedded engine cannot run it, and neither can ONNX Runtime: it is not found`,
		},
		{random, stand(t, new([]string)), `node "noise" (RandomNormalLike): it gives other numbers every time`},
	} {
		c.m.Path = "cnn.onnx"
		_, err := verify.Verify(t.Context(), c.m, c.m, verify.Options{Samples: 8, Open: c.open})
		if err == nil || !strings.HasPrefix(err.Error(), "cnn.onnx: "+c.err) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %q", err, c.err)
		}
	}
}

// TestForeignValues: nodes between which goes what the embedded engine cannot hold
// run together; a zero point that is wrong is found.
func TestForeignValues(t *testing.T) {
	net := func() *onnxio.Model {
		b := newNetBuilder(3)
		b.m.Opsets[0].Version = 21
		b.shape = []int64{3, 6, 6}
		b.m.Graph.Inputs[0].Type = b.typeOf(b.shape)
		zero := &onnxio.Tensor{Name: "zero", Type: onnxio.Int4, Dims: []int64{2}, Data: onnxio.NewTensor("", []int64{1}, []uint8{0x31}).Data}
		b.m.Graph.Initializers = append(b.m.Graph.Initializers, zero)
		scale := b.positive("scale", 2)
		b.m.Graph.Nodes = []*onnxio.Node{
			{Name: "conv1", OpType: "Conv", Inputs: []string{"x", b.random("w1", 2, 3, 3, 3)}, Outputs: []string{"a"}},
			{Name: "quant", OpType: "QuantizeLinear", Inputs: []string{"a", scale, "zero"}, Outputs: []string{"q"}},
			{Name: "dequant", OpType: "DequantizeLinear", Inputs: []string{"q", scale, "zero"}, Outputs: []string{"d"}},
			{Name: "conv2", OpType: "Conv", Inputs: []string{"d", b.random("w2", 2, 2, 3, 3)}, Outputs: []string{"y"}},
		}
		b.m.Graph.Outputs = []*onnxio.ValueInfo{{Name: "y", Type: b.typeOf([]int64{2, 2, 2})}}
		return b.m
	}
	two := func(ctx context.Context, _ string, m *onnxio.Model) (verify.Session, error) {
		if len(m.Graph.Nodes) != 2 || len(m.Graph.Inputs) != 1 {
			t.Errorf("%+v", m.Graph)
		}
		zeros := []int8{1, 3}
		if i := slices.IndexFunc(m.Graph.Initializers, func(i *onnxio.Tensor) bool { return i.Name == "other" }); i >= 0 {
			zeros[1] = 2
		}
		m.Graph.Initializers = append(m.Graph.Initializers, onnxio.NewTensor("held", []int64{2}, zeros))
		for i, n := range m.Graph.Nodes {
			n := *n
			n.Inputs = []string{n.Inputs[0], n.Inputs[1], "held"}
			m.Graph.Nodes[i] = &n
		}
		m.Graph.Initializers = slices.DeleteFunc(m.Graph.Initializers, func(i *onnxio.Tensor) bool { return i.Type == onnxio.Int4 })
		return open(ctx, engines.Embedded, m)
	}
	o := verify.Options{Samples: 16, Open: two}
	efcn := converted(t, net(), convert.Options{Layout: record.Local})
	r, err := verify.Verify(t.Context(), net(), efcn, o)
	if err != nil || !r.Equal() || len(r.Elsewhere) != 4 {
		t.Fatal(err, r)
	}
	for _, n := range efcn.Graph.Nodes {
		if n.Name == "quant" || n.Name == "dequant" {
			n.Inputs[2] = "other"
		}
	}
	efcn.Graph.Initializers = append(efcn.Graph.Initializers, &onnxio.Tensor{Name: "other", Type: onnxio.Int4, Dims: []int64{2}, Data: onnxio.NewTensor("", []int64{1}, []uint8{0x21}).Data})
	if r, err = verify.Verify(t.Context(), net(), efcn, o); err != nil || r.Equal() {
		t.Fatal(err, r)
	}
	for _, c := range r.Checks {
		if c.Status != verify.Failed {
			t.Errorf("%s does not see another zero point", c.Name)
		}
	}
	if f := r.Findings[0]; f.Node != "quant" || !strings.HasPrefix(f.Text, `element 1 of "other": want 3`) {
		t.Error(f)
	}
}
