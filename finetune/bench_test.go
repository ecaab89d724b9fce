package finetune

import (
	"fmt"
	"testing"

	"efcn/onnxio"
)

// BenchmarkStep is one step of SGD at batch 250: forward, backward, update.
// bench/step measures the same beside PyTorch.
func BenchmarkStep(b *testing.B) {
	for _, name := range []string{"plain-torchscript", "lenet-torchscript", "resnet-torchscript"} {
		cnn, err := onnxio.Read("../testdata/models/" + name + "/model.onnx")
		if err != nil {
			b.Fatal(err)
		}
		for form, m := range map[string]*onnxio.Model{"cnn": cnn, "efcn": embed(b, cnn)} {
			b.Run(fmt.Sprintf("%s/%s", name, form), func(b *testing.B) {
				tr, err := newTrainee[float32](m, TrainAll)
				if err != nil {
					b.Fatal(err)
				}
				n, err := tr.network(250, false)
				if err != nil {
					b.Fatal(err)
				}
				fill(n, 1)
				b.ReportAllocs()
				for b.Loop() {
					if err := n.step(sgd[float32](1e-6)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
