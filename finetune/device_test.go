package finetune

import (
	"errors"
	"maps"
	"math"
	"slices"
	"testing"

	"efcn/internal/cuda"
	"efcn/onnxio"
)

// deviceTests run on a GPU, or on the stand-in for one that internal/cuda has.
var deviceTests = []struct {
	name string
	test func(t *testing.T, d *cuda.Device)
}{
	{"gradients", testDeviceGradients},
	{"optimisers", testDeviceOptimizers},
	{"whole nets", testDeviceNets},
	{"train", testDeviceTrain},
	{"subspaces", testDeviceSubspaces},
	{"objective", testDeviceObjective},
	{"resume", testDeviceResume},
	{"ranks by hand", testDeviceRanksByHand},
	{"train over ranks", testDeviceTrainOverRanks},
	{"full at every allocation", testDeviceFull},
}

// TestDevice: training on a device comes to what it comes to on the processor. Without a
// device it is skipped; a step of .ci/run builds the stand-in and runs it.
func TestDevice(t *testing.T) {
	library, err := cuda.Open(cuda.Options{})
	var missing *cuda.NotFoundError
	var old *cuda.VersionError
	if errors.As(err, &missing) || errors.As(err, &old) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range deviceTests {
		t.Run(c.name, func(t *testing.T) {
			d, err := library.Device(t.Context(), cuda.DeviceOptions{})
			if err != nil {
				t.Fatal(err)
			}
			c.test(t, d)
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// onDevice returns the network of a model on a device, and its memory.
func onDevice[T float32 | float64](
	t *testing.T, m *onnxio.Model, batch int, keep bool, o Options,
) (*trainee[T], *network[T], error) {
	t.Helper()
	tr, err := newTrainee[T](m, TrainAll)
	if err != nil {
		t.Fatal(err)
	}
	tr.device = newDeviceMemory(tr, o.WithDefaults())
	n, err := tr.network(batch, keep)
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.device.check(t.Context()); err != nil {
		return nil, nil, err
	}
	if err := tr.device.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.device.close(); err != nil {
			t.Error(err)
		}
	})
	return tr, n, nil
}

// testDeviceGradients compares the loss and the gradient at every parameter with those of
// the processor, for every sketch whose operators have a form on a device. Both are in
// float64 and round differently: sums of some hundred terms, most of them of size 1.
func testDeviceGradients(t *testing.T, d *cuda.Device) {
	const tolerance = 1e-11
	checked, without := 0, map[string]bool{}
	all := sketches()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			m := all[name].model(3)
			_, there, err := onDevice[float64](t, m, sketchBatch, true, Options{Device: d})
			var missing *DeviceError
			if errors.As(err, &missing) {
				without[name] = true
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_, here := mustNetwork[float64](t, m, sketchBatch, true)
			fill(here, 4)
			fill(there, 4)
			still := sgd[float64](0)
			if err := errors.Join(here.step(still), there.step(still)); err != nil {
				t.Fatal(err)
			}
			if !(math.Abs(here.loss-there.loss) <= tolerance*max(1, here.loss)) || here.hits != there.hits {
				t.Errorf("loss %v and %d hits on the device, %v and %d here", there.loss, there.hits, here.loss, here.hits)
			}
			for i, g := range there.device.reads {
				got, want := readFrom(t, d, g.gradient), elements[float64](here.reads[i].node.Value())
				size := 1.0
				for _, v := range want {
					size = max(size, math.Abs(v))
				}
				for k, v := range want {
					if !(math.Abs(got[k]-v) <= tolerance*size) {
						t.Errorf("%s: gradient %d is %v on the device, %v here", g.p.name, k, got[k], v)
						break
					}
				}
				checked += len(want)
			}
		})
	}
	// Weights that every sample has its own of.
	if got, want := slices.Sorted(maps.Keys(without)), []string{
		"Add of samples", "LayerNormalization 0 of samples", "Mul of samples", "PRelu of samples",
	}; !slices.Equal(got, want) {
		t.Errorf("without a form on a device: %q, want %q", got, want)
	}
	if checked == 0 {
		t.Error("no derivative was compared")
	}
}

func readFrom[T float32 | float64](t *testing.T, d *cuda.Device, b cuda.Buffer[T]) []T {
	t.Helper()
	values := make([]T, b.Len())
	if err := d.Do(t.Context(), func(on *cuda.Thread) error { return cuda.Read(on.Stream(), values, b) }); err != nil {
		t.Fatal(err)
	}
	return values
}
