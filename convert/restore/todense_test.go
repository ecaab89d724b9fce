package restore_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/internal/testnet"
	"efcn/convert/record"
	"efcn/convert/restore"
	"efcn/internal/engine"
	"efcn/onnxio"
)

// contents are the constants of a model by name, and its nodes.
func contents(t *testing.T, m *onnxio.Model) (map[string]string, []string) {
	t.Helper()
	constants := map[string]string{}
	for _, c := range m.Graph.Initializers {
		var b bytes.Buffer
		if _, err := c.Data.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		constants[c.Name] = fmt.Sprint(c.Type, c.Dims, b.String())
	}
	var nodes []string
	for _, n := range m.Graph.Nodes {
		nodes = append(nodes, fmt.Sprint(n.Name, n.OpType, n.Inputs, n.Outputs))
	}
	return constants, nodes
}

// An eFCN in local or sparse form that is made dense is what convert makes with
// the dense layout: nodes, constants bit for bit, record.
func TestToDense(t *testing.T) {
	compared := 0
	for _, name := range []string{"plain-torchscript", "lenet-torchscript", "keras-tf2onnx"} {
		cnn := testnet.ReadFolded(t, name)
		want := testnet.Embedded(t, cnn, convert.Options{Layout: record.Dense})
		for _, layout := range []record.Layout{record.Local, record.Sparse} {
			efcn := testnet.Embedded(t, cnn, convert.Options{Layout: layout})
			got, layers, err := restore.ToDense(t.Context(), efcn, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := got.Check(); err != nil {
				t.Errorf("%s, %s: %v", name, layout, err)
			}
			wantConstants, wantNodes := contents(t, want)
			constants, nodes := contents(t, got)
			if !maps.Equal(constants, wantConstants) {
				t.Errorf("%s, %s: the constants are not those of the dense layout: %v, want %v", name, layout, slices.Sorted(maps.Keys(constants)), slices.Sorted(maps.Keys(wantConstants)))
			}
			if !slices.Equal(nodes, wantNodes) {
				t.Errorf("%s, %s: nodes\n%s\nwant\n%s", name, layout, strings.Join(nodes, "\n"), strings.Join(wantNodes, "\n"))
			}
			have, _ := got.Meta(record.Key)
			if rec, _ := want.Meta(record.Key); have != rec {
				t.Errorf("%s, %s: record\n%s\nwant\n%s", name, layout, have, rec)
			}
			rec, err := record.Read(efcn)
			if err != nil {
				t.Fatal(err)
			}
			var inLayout []string
			for _, l := range rec.Layers {
				if l.Layout == layout {
					inLayout = append(inLayout, l.Node)
				}
			}
			if !slices.Equal(layers, inLayout) {
				t.Errorf("%s, %s: made %q dense, want %q", name, layout, layers, inLayout)
			}
			compared++
		}
		if same, layers, err := restore.ToDense(t.Context(), want, 1); same != want || layers != nil || err != nil {
			t.Errorf("%s: a dense eFCN is not handed back: %v, %v", name, layers, err)
		}
		if same, _, err := restore.ToDense(t.Context(), cnn, 1); same != cnn || err != nil {
			t.Errorf("%s: a CNN is not handed back: %v", name, err)
		}
	}
	if compared != 6 {
		t.Errorf("compared %d models, want 6", compared)
	}
}

// Rows of a matrix that is made dense are made alone, bit for bit as in the whole.
func TestToDenseByRows(t *testing.T) {
	cnn := testnet.ReadFolded(t, "lenet-torchscript")
	compared := 0
	for _, layout := range []record.Layout{record.Local, record.Sparse, record.Factored} {
		efcn := testnet.Embedded(t, cnn, convert.Options{Layout: layout})
		rec, err := record.Read(efcn)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range rec.Layers {
			if u := efcn.Graph.Initializer(l.Left); u != nil {
				values := make([]float32, u.Dims[0]*u.Dims[1])
				for i := range values {
					values[i] = float32(i%7) - 3
				}
				u.Data = onnxio.NewTensor(u.Name, u.Dims, values).Data
			}
		}
		dense, layers, err := restore.ToDense(t.Context(), efcn, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range rec.Layers {
			w := dense.Graph.Initializer(l.Weight)
			if !slices.Contains(layers, l.Node) {
				continue
			}
			var whole bytes.Buffer
			if _, err := w.Data.WriteTo(&whole); err != nil {
				t.Fatal(err)
			}
			row := 4 * w.Dims[1]
			for _, rows := range [][2]int64{{0, 1}, {w.Dims[0] / 3, w.Dims[0] / 2}, {w.Dims[0] - 1, w.Dims[0]}} {
				var part bytes.Buffer
				section := onnxio.Section(w.Data, row*rows[0], row*(rows[1]-rows[0]))
				if _, err := section.WriteTo(&part); err != nil || !bytes.Equal(part.Bytes(), whole.Bytes()[row*rows[0]:row*rows[1]]) {
					t.Errorf("%s: rows %v of %q are not what they are in the whole (%v)", layout, rows, w.Name, err)
				}
				compared++
			}
		}
	}
	if compared < 18 {
		t.Errorf("compared %d parts", compared)
	}
}

// A layer without a bias gets one where Gemm has to have it.
func TestToDenseOldOpset(t *testing.T) {
	cnn := testnet.ReadFolded(t, "plain-torchscript")
	for _, n := range cnn.Graph.Nodes {
		if n.OpType == "Conv" {
			n.Inputs = n.Inputs[:2]
		}
	}
	cnn.Opsets = []onnxio.Opset{{Version: 9}}
	got, _, err := restore.ToDense(t.Context(), testnet.Embedded(t, cnn, convert.Options{Layout: record.Local}), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Check(); err != nil {
		t.Error(err)
	}
	if _, err := engine.New[float32](got); err != nil {
		t.Error(err)
	}
	for _, n := range got.Graph.Nodes {
		if n.OpType == "Gemm" && len(n.Inputs) != 3 {
			t.Errorf("%s has inputs %q", n.Name, n.Inputs)
		}
	}
	if _, err := record.Open(got, "/conv1/Conv"); err != nil {
		t.Error(err)
	}
}

func TestToDenseBudget(t *testing.T) {
	cnn := testnet.ReadFolded(t, "plain-torchscript")
	local, dense := testnet.Embedded(t, cnn, convert.Options{Layout: record.Local}), testnet.Embedded(t, cnn, convert.Options{Layout: record.Dense})
	size := func(m *onnxio.Model) (n int64) {
		for _, c := range m.Graph.Initializers {
			n += c.Data.Len()
		}
		return n
	}
	_, _, err := restore.ToDense(t.Context(), local, size(dense)-1)
	var e *restore.DenseError
	if !errors.As(err, &e) || e.Dense <= e.Bytes || e.Need < size(dense) || e.Allowed != size(dense)-1 {
		t.Fatalf("%+v", err)
	}
	if _, _, err := restore.ToDense(t.Context(), local, e.Need); err != nil {
		t.Errorf("the budget that the error names: %v", err)
	}
}
