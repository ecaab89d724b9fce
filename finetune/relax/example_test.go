package relax_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"efcn/finetune"
	"efcn/finetune/data"
	"efcn/finetune/relax"
	"efcn/onnxio"
)

// A study of one seed that embeds a small CNN before its training and after an epoch
// of it, and trains on for one epoch.
func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cnn, err := onnxio.Read("../../testdata/models/plain-torchscript/model.onnx")
	if err != nil {
		log.Fatal(err)
	}
	images := "../../testdata/fashion-mnist/"
	train, err := data.Open(context.Background(), "idx:"+images+"test-images-2k-idx3-ubyte.gz,"+
		images+"test-labels-2k-idx1-ubyte.gz?limit=100&normalize=auto")
	if err != nil {
		log.Fatal(err)
	}
	study := &relax.Study{
		CNN: cnn, Data: train, Test: train,
		Options: relax.Options{
			Train:       finetune.Options{Epochs: 1, Batch: 20},
			RelaxEpochs: []int{0, 1},
			Seeds:       1,
		},
	}
	folder, err := study.Run(context.Background(), dir)
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range folder.Results {
		fmt.Println(r.Run, r.Kind)
	}
	// Output:
	// seed-0/cnn cnn
	// seed-0/cnn snapshot
	// seed-0/cnn snapshot
	// seed-0/fcn fcn
	// seed-0/efcn-0 efcn
	// seed-0/efcn-1 efcn
}
