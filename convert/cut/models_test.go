package cut_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"efcn/convert"
	"efcn/convert/cut"
	"efcn/convert/internal/testnet"
	"efcn/convert/record"
)

// The eFCNs of CNNs that exporters wrote, over three ranks: every layer that is large
// enough is cut, but for one of two groups in local form, and what they compute is the
// same.
func TestModels(t *testing.T) {
	layers, whole, unrecorded, gathers := 0, 0, 0, 0
	for _, name := range []string{
		"keras-tf2onnx", "keras-tf2onnx-shape", "lenet-dynamo", "lenet-torchscript", "padded-dynamo", "padded-torchscript",
		"plain-torchscript", "resnet-dynamo", "resnet-torchscript",
	} {
		cnn := testnet.ReadFolded(t, name)
		for _, layout := range testnet.Layouts {
			t.Run(fmt.Sprint(name, " ", layout), func(t *testing.T) {
				m := testnet.Written(t, cnn, convert.Options{Layout: layout})
				var sample []int64
				for _, d := range m.Graph.FeedInputs()[0].Type.Shape[1:] {
					sample = append(sample, d.Value)
				}
				x := testnet.RandomInput(rand.New(rand.NewPCG(5, 6)), 9, sample)
				if layout == record.Sparse { // whose products have other bits beside other rows
					m, x = integral(t, m), integers(9, sample)
				}
				all := parts(t, m, 3, cut.Options{Least: 100_000})
				checkOutputs[float64](t, m, x, all)
				for _, l := range all[0].Layers {
					if layers++; l.Whole == "it has 2 groups, fewer than there are ranks" {
						whole++
					} else if l.Whole != "" {
						t.Errorf("layer %q is whole: %s", l.Node, l.Whole)
					}
					if l.Unrecorded != "" {
						unrecorded++
					}
					checkOwn(t, l.Node, all)
				}
				gathers += len(all[0].Gathers)
			})
		}
	}
	if got := []int{layers, whole, unrecorded, gathers}; !slices.Equal(got, []int{95, 4, 14, 126}) {
		t.Errorf("layers, whole ones, those not in the record, and exchanges: %v; want 95, 4, 14 and 126", got)
	}
}

// checkOwn checks that what the ranks have of a layer is all of it, V of a factored one
// once for each rank where it is whole.
func checkOwn(t *testing.T, node string, all []*cut.Part) {
	t.Helper()
	own, whole := int64(0), int64(0)
	for _, p := range all {
		for _, l := range p.Layers {
			if l.Node == node {
				own, whole = own+l.Own, l.Bytes
			}
		}
	}
	if own < whole || own > int64(len(all))*whole {
		t.Errorf("layer %q: the ranks have %d bytes of %d", node, own, whole)
	}
}
