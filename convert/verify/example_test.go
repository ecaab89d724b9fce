package verify_test

import (
	"context"
	"fmt"
	"log"

	"efcn/convert/verify"
	"efcn/onnxio"
)

// Two exports of one trained network, and what is reported when a weight of one changes.
func ExampleVerify() {
	ctx, o := context.Background(), verify.Options{Samples: 8}
	a, err := onnxio.Read("../../testdata/models/lenet-torchscript/model.onnx")
	if err != nil {
		log.Fatal(err)
	}
	b, err := onnxio.Read("../../testdata/models/lenet-dynamo/model.onnx")
	if err != nil {
		log.Fatal(err)
	}
	report, err := verify.Verify(ctx, a, b, o)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("two exports are equal:", report.Equal())

	for i, t := range b.Graph.Initializers {
		if weights, err := onnxio.Floats[float32](t); err == nil && len(t.Dims) == 4 {
			weights[0] += 0.25
			b.Graph.Initializers[i] = onnxio.NewTensor(t.Name, t.Dims, weights)
			break
		}
	}
	if report, err = verify.Verify(ctx, a, b, o); err != nil {
		log.Fatal(err)
	}
	if first, ok := report.FirstDifference(); ok {
		fmt.Printf("equal: %t; they part at %s, computed by %s\n", report.Equal(), first.Value, first.Op)
	}
	// Output:
	// two exports are equal: true
	// equal: false; they part at /conv1/Conv_output_0, computed by Conv
}
