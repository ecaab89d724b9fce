package finetune

import (
	"encoding/json"
	"os"
	"testing"

	"efcn/onnxio"
)

// Five steps of networks with LayerNormalization, as it is and written out, GELU and
// layer scale, and with GroupNorm, InstanceNorm, PReLU and Softmax, come to the
// weights that PyTorch comes to. testdata/make_nets.py makes the models and figures.
func TestNetsAgreeWithPyTorch(t *testing.T) {
	text, err := os.ReadFile("testdata/nets/nets.json")
	if err != nil {
		t.Fatal(err)
	}
	var ref reference
	if err := json.Unmarshal(text, &ref); err != nil {
		t.Fatal(err)
	}
	set := openSet(t, "train", "?limit=1000")
	compared := 0
	for _, name := range []string{
		"convnext-dynamo", "convnext-torchscript", "convnext-opset13", "norms-dynamo",
		"norms-torchscript",
	} {
		m, err := onnxio.Read("testdata/nets/" + name + ".onnx")
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Rate: 0.05}
		compared += compareRun[float32](t, ref, "float32", name, m, o, set, nil, 1e-5)
		compared += compareRun[float64](t, ref, "float64", name, m, o, set, nil, 1e-12)
	}
	if want := 2 * (3*26 + 2*14); compared != want {
		t.Errorf("compared %d tensors, want %d", compared, want)
	}
}
