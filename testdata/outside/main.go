// Command outside uses efcn from another module, as any Go program would: it
// converts a CNN, verifies the eFCN against it, and trains the eFCN for one epoch.
//
//	outside TESTDATA DIR
//
// reads models and images from the folder TESTDATA and writes into DIR.
package main

import (
	"context"
	"efcn"
	"efcn/convert"
	"efcn/convert/verify"
	"efcn/finetune"
	"efcn/finetune/data"
	"fmt"
	"log"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: outside TESTDATA DIR")
	}
	if err := run(context.Background(), os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, testdata, dir string) error {
	in := filepath.Join(testdata, "models", "lenet-torchscript", "model.onnx")
	out, tuned := filepath.Join(dir, "efcn.onnx"), filepath.Join(dir, "tuned.onnx")
	images := filepath.Join(testdata, "fashion-mnist")

	cnn, err := efcn.Open(in)
	if err != nil {
		return err
	}
	plan, err := convert.NewPlan(cnn, convert.Options{MaxBytes: 1 << 30})
	if err != nil {
		return err
	}
	net, err := plan.Model() // refused if it is over the budget of the options
	if err != nil {
		return err
	}
	if err := efcn.Save(ctx, out, net); err != nil {
		return err
	}
	fmt.Printf("embedded %d of %d layers, %d bytes of weights\n",
		plan.Coverage.Embedded, plan.Coverage.Linear, plan.WeightBytes)

	report, err := efcn.Verify(ctx, in, out, verify.Options{Samples: 8})
	if err != nil {
		return err
	}
	fmt.Printf("equal: %t\n", report.Equal())

	train, err := data.Open(ctx, "idx:"+filepath.Join(images, "train-images-10k-idx3-ubyte.gz")+","+
		filepath.Join(images, "train-labels-10k-idx1-ubyte.gz")+"?normalize=0.2860/0.3530&limit=500")
	if err != nil {
		return err
	}
	trained, err := finetune.Train(ctx, net, train, nil, finetune.Options{Epochs: 1, Batch: 50, Rate: 0.01},
		func(e finetune.Epoch) error {
			fmt.Printf("epoch %d: %d steps\n", e.Epoch, e.Steps)
			return nil
		})
	if err != nil {
		return err
	}
	if err := efcn.Save(ctx, tuned, trained); err != nil {
		return err
	}

	if report, err = efcn.Verify(ctx, in, tuned, verify.Options{Samples: 8}); err != nil {
		return err
	}
	first, _ := report.FirstDifference()
	fmt.Printf("equal after training: %t; the %s differs first at %s (%s)\n", report.Equal(), first.Check, first.Node,
		first.Op)
	return nil
}
