package convert_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"efcn/convert"
	"efcn/onnxio"
)

// A plan says what a conversion would cost before any matrix is made; one over its
// budget is refused, and one within it is written as it is generated.
func ExampleNewPlan() {
	cnn, err := onnxio.Read("../testdata/models/lenet-torchscript/model.onnx")
	if err != nil {
		log.Fatal(err)
	}
	plan, err := convert.NewPlan(cnn, convert.Options{For: convert.ForVerifier, MaxBytes: 16 << 20})
	if err != nil {
		log.Fatal(err)
	}
	var budget *convert.BudgetError
	if _, err := plan.Model(); errors.As(err, &budget) {
		fmt.Printf("%d bytes needed, %d allowed; the largest layer is %s\n", budget.Need, budget.Allowed, budget.Largest.Node)
	}

	if plan, err = convert.NewPlan(cnn, convert.Options{For: convert.ForInference, MaxBytes: 16 << 20}); err != nil {
		log.Fatal(err)
	}
	for _, l := range plan.Layers {
		fmt.Printf("%s (%s): %.1f %% non-zeros, %s\n", l.Node, l.Op, 100*l.Density(), l.Layout)
	}
	for _, k := range plan.Kept {
		fmt.Printf("%s (%s): %s\n", k.Node, k.Op, k.Why)
	}
	efcn, err := plan.Model()
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "efcn")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	written, err := onnxio.WriteContext(context.Background(), filepath.Join(dir, "efcn.onnx"), efcn, onnxio.WriteOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(plan.WeightBytes, "bytes of weights, file larger:", written.Bytes > plan.WeightBytes)

	// Output:
	// 25118312 bytes needed, 16777216 allowed; the largest layer is /conv1/Conv
	// /conv1/Conv (Conv): 3.2 % non-zeros, local
	// /conv2/Conv (Conv): 5.6 % non-zeros, local
	// /fc/Gemm (Gemm): 100.0 % non-zeros, dense
	// /pool/MaxPool (MaxPool): a maximum is not linear
	// /pool_1/MaxPool (MaxPool): a maximum is not linear
	// 1373388 bytes of weights, file larger: true
}
