package efcn_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"efcn"
	"efcn/convert"
	"efcn/convert/verify"
	"efcn/finetune"
)

// A CNN that PyTorch trained, its eFCN, the proof that they are equal, and an epoch
// of training after which they are not.
func Example() {
	dir, err := os.MkdirTemp("", "efcn")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx, cnn := context.Background(), "testdata/models/lenet-torchscript/model.onnx"
	out, trained := filepath.Join(dir, "efcn.onnx"), filepath.Join(dir, "trained.onnx")

	plan, err := efcn.Convert(ctx, cnn, out, convert.Options{MaxBytes: 1 << 30})
	if err != nil {
		log.Fatal(err)
	}
	for _, l := range plan.Layers {
		fmt.Printf("%s: %d×%d, %d non-zeros\n", l.Node, l.Rows, l.Cols, l.NonZeros)
	}
	report, err := efcn.Verify(ctx, cnn, out, verify.Options{Samples: 8})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("equal:", report.Equal())

	epochs, err := efcn.Train(ctx, out, trained, efcn.Images{Train: images}, finetune.Options{Epochs: 1, Rate: 0.01})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("steps:", epochs[0].Steps)
	if report, err = efcn.Verify(ctx, cnn, trained, verify.Options{Samples: 8}); err != nil {
		log.Fatal(err)
	}
	first, _ := report.FirstDifference()
	fmt.Println("equal:", report.Equal(), "from", first.Node)

	// Output:
	// /conv1/Conv: 4608×784, 115200 non-zeros
	// /conv2/Conv: 2304×1152, 147968 non-zeros
	// /fc/Gemm: 10×576, 5760 non-zeros
	// equal: true
	// steps: 2
	// equal: false from /conv1/Conv
}

// The same step by step, on a model in memory.
func ExampleOpen() {
	cnn, err := efcn.Open("testdata/models/lenet-torchscript/model.onnx")
	if err != nil {
		log.Fatal(err)
	}
	plan, err := convert.NewPlan(cnn, convert.Options{For: convert.ForInference})
	if err != nil {
		log.Fatal(err)
	}
	net, err := plan.Model()
	if err != nil {
		log.Fatal(err)
	}
	report, err := verify.Verify(context.Background(), cnn, net, verify.Options{Samples: 8})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(plan.WeightBytes, report.Equal())
	// Output: 1373388 true
}
