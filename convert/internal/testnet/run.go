package testnet

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// SameFace checks that two models have the same inputs, outputs and opsets.
func SameFace(t *testing.T, a, b *onnxio.Model) {
	t.Helper()
	face := func(m *onnxio.Model) string {
		var s strings.Builder
		for _, v := range slices.Concat(m.Graph.FeedInputs(), m.Graph.Outputs) {
			fmt.Fprintln(&s, v.Name, v.Type)
		}
		fmt.Fprintln(&s, m.Opsets, m.IRVersion, m.ProducerName)
		return s.String()
	}
	if face(a) != face(b) {
		t.Errorf("inputs, outputs or opsets differ:\n%s\n%s", face(a), face(b))
	}
}

// Run returns the outputs of m for the input x, in float64.
func Run(t *testing.T, m *onnxio.Model, x *engine.Tensor[float64]) map[string]*engine.Tensor[float64] {
	t.Helper()
	e, err := engine.New[float64](m)
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.Run(context.Background(), map[string]*engine.Tensor[float64]{m.Graph.FeedInputs()[0].Name: x})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// CheckSame compares two outputs of models that are equal but for the rounding
// of folded entries to float32.
func CheckSame(t *testing.T, got, want *engine.Tensor[float64]) {
	t.Helper()
	if !slices.Equal(got.Shape, want.Shape) {
		t.Fatalf("shape %v, want %v", got.Shape, want.Shape)
	}
	scale := 1.0
	for _, v := range want.F {
		scale = max(scale, math.Abs(v))
	}
	for i := range want.F {
		if d := math.Abs(got.F[i] - want.F[i]); !(d <= 1e-5*scale) {
			t.Fatalf("output %d is %v, want %v", i, got.F[i], want.F[i])
		}
	}
}
