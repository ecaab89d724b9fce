package finetune_test

import (
	"context"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"

	"efcn/finetune"
	"efcn/finetune/data"
	"efcn/onnxio"
)

// A CNN is trained from new weights for one epoch on 500 images, and saved.
func Example() {
	model, err := onnxio.Read("../testdata/models/lenet-torchscript/model.onnx")
	if err != nil {
		log.Fatal(err)
	}
	folder := "../testdata/fashion-mnist/"
	train, err := data.Open(context.Background(), "idx:"+folder+"test-images-2k-idx3-ubyte.gz,"+
		folder+"test-labels-2k-idx1-ubyte.gz?normalize=auto&limit=500")
	if err != nil {
		log.Fatal(err)
	}
	report := func(e finetune.Epoch) error {
		fmt.Printf("epoch %d of %d: %d steps\n", e.Epoch, e.Of, e.Steps)
		return nil
	}
	options := finetune.Options{Epochs: 1, Batch: 20, Rate: 0.1, Reinit: true}
	trained, err := finetune.Train(context.Background(), model, train, nil, options, report)
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if _, err := onnxio.Write(filepath.Join(dir, "trained.onnx"), trained, onnxio.WriteOptions{}); err != nil {
		log.Fatal(err)
	}
	metrics, err := finetune.Evaluate(context.Background(), trained, train, 0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("better than a guess:", metrics.Loss < math.Log(10) && metrics.Top1 > 0.1)
	// Output:
	// epoch 1 of 1: 25 steps
	// better than a guess: true
}
