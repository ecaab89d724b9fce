package finetune

import (
	"testing"

	"efcn/onnxio"
)

// Every real model of testdata, and its eFCN, trains: a little at a small rate
// lowers the loss on the samples it trained on. The eFCN takes a smaller one:
// a weight vector there moves along the whole image, not along a patch.
func TestTrainRealModels(t *testing.T) {
	set := openSet(t, "train", "?normalize=0.2860/0.3530&limit=300")
	names := []string{
		"plain-torchscript", "lenet-torchscript", "lenet-dynamo", "resnet-torchscript", "resnet-dynamo",
		"keras-tf2onnx", "keras-tf2onnx-shape",
	}
	trained := 0
	for _, name := range names {
		cnn := readModel(t, name)
		for _, form := range []struct {
			name string
			m    *onnxio.Model
			rate float64
		}{{"cnn", cnn, 0.02}, {"efcn", embed(t, cnn), 0.0005}} {
			t.Run(name+"/"+form.name, func(t *testing.T) {
				var losses []float64
				out, err := Train(t.Context(), form.m, set, nil, Options{Epochs: 2, Batch: 100, Rate: form.rate},
					func(e Epoch) error {
						losses = append(losses, e.Train.Loss)
						return nil
					})
				if err != nil {
					t.Fatal(err)
				}
				if losses[1] >= losses[0] {
					t.Errorf("losses %v: training does not lower it", losses)
				}
				if _, err := Evaluate(t.Context(), out, set, 100); err != nil {
					t.Error(err)
				}
				trained++
			})
		}
	}
	if want := 2 * len(names); trained != want {
		t.Errorf("trained %d models, want %d", trained, want)
	}
}
