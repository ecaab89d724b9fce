package finetune

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/ebitengine/purego"

	"efcn/convert/record"
	"efcn/internal/cuda"
	"efcn/internal/dynlib"
	"efcn/onnxio"
)

// testDeviceTrain: a run on a device measures the model as the processor does, within
// rounding, and the model that it returns is the one that it measured.
func testDeviceTrain(t *testing.T, d *cuda.Device) {
	train, test := toySet(57, 3), toySet(45, 4)
	for name, m := range map[string]*onnxio.Model{
		"cnn": toyModel(), "factored": embedAs(t, groupedModel(), record.Factored),
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Epochs: 2, Batch: 10, Rate: 0.05, Device: d, Checkpoint: t.TempDir(), Snapshots: Snapshots{Every: 7}}
			o.Holdout = Holdout{Share: 0.2, Best: true}
			var before Metrics
			o.Before = func(m Metrics) { before = m }
			epochs := 0
			near := func(what string, m *onnxio.Model, got Metrics) {
				want, err := Evaluate(t.Context(), m, test, 10)
				if err != nil {
					t.Fatal(err)
				}
				want.Loss, got.Loss = want.Loss/got.Loss, 1
				if !(math.Abs(want.Loss-1) <= 1e-5) {
					t.Errorf("%s: the loss here is %v times that of the device", what, want.Loss)
				}
				want.Loss = 1
				if got != want {
					t.Errorf("%s: measured %+v on the device, %+v here", what, got, want)
				}
			}
			_, err := Train(t.Context(), m, train, test, o, func(e Epoch) error {
				epochs++
				model, err := e.Model()
				if err != nil {
					return err
				}
				near("after an epoch", model, *e.Test)
				if e.Held == nil || e.Held.N != 11 {
					t.Errorf("held out: %+v", e.Held)
				}
				return nil
			})
			if err != nil || epochs != 2 {
				t.Fatalf("%d epochs, %v", epochs, err)
			}
			near("before", m, before)
			if _, err := os.Stat(filepath.Join(o.Checkpoint, "step-0000007.onnx")); err != nil {
				t.Error(err)
			}
		})
	}
}

// testDeviceResume: a run that is stopped after any step ends with the bits of one that is
// not, and one that was begun on the processor goes on with a notice.
func testDeviceResume(t *testing.T, d *cuda.Device) {
	train, test := toySet(47, 3), toySet(20, 4)
	for name, o := range map[string]Options{
		"sgd": {}, "adam": {Optimizer: Optimizer{Method: Adam}, Clip: 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := toyModel()
			o.Epochs, o.Batch, o.Rate, o.Device = 2, 10, 0.05, d
			whole, err := Train(t.Context(), m, train, test, o, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, stop := range []int{0, 1, 4, 5, 6, 9} {
				o.Checkpoint, o.Resume = t.TempDir(), true
				ctx, cancel := context.WithCancel(t.Context())
				steps := 0
				o.Stepped = func(Step) {
					if steps++; steps == stop {
						cancel()
					}
				}
				if stop == 0 {
					cancel()
				}
				if _, err := Train(ctx, m, train, test, o, nil); !errors.Is(err, context.Canceled) {
					t.Fatalf("stopped after %d steps: %v", stop, err)
				}
				cancel()
				o.Stepped = nil
				got, err := Train(t.Context(), m, train, test, o, nil)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(encoded(t, whole), encoded(t, got)) {
					t.Errorf("stopped after %d steps it ends with other weights", stop)
				}
			}
			noticed := 0
			o.Checkpoint, o.Device, o.Epochs, o.Resume = t.TempDir(), nil, 1, false
			if _, err := Train(t.Context(), m, train, test, o, nil); err != nil {
				t.Fatal(err)
			}
			o.Device, o.Epochs, o.Resume, o.Notice = d, 2, true, func(string) { noticed++ }
			if _, err := Train(t.Context(), m, train, test, o, nil); err != nil || noticed != 1 {
				t.Errorf("from the processor: %d notices, %v", noticed, err)
			}
		})
	}
}

// testDeviceFull lets each allocation of a run fail in turn: that ends it with one error
// that says so, nothing is left on the device, and the checkpoint of before is whole.
func testDeviceFull(t *testing.T, d *cuda.Device) {
	standIn, err := dynlib.Open(filepath.Join(os.Getenv("EFCN_CUDA"), "libcuda.so.1"), false)
	if err != nil {
		t.Skip("no stand-in: a real device is not full on demand")
	}
	call := func(name string, n int) int {
		f, err := dynlib.Symbol(standIn, name)
		if err != nil {
			t.Skip("no stand-in: a real device is not full on demand")
		}
		got, _, _ := purego.SyscallN(f, uintptr(n))
		return int(int32(got))
	}
	set := toySet(25, 3)
	m := embedAs(t, groupedModel(), record.Factored)
	o := Options{Epochs: 1, Batch: 10, Rate: 0.05, Device: d, Optimizer: Optimizer{Momentum: 0.9}, Checkpoint: t.TempDir()}
	if _, err := Train(t.Context(), m, set, nil, o, nil); err != nil {
		t.Fatal(err)
	}
	saved := filepath.Join(o.Checkpoint, checkpointName)
	want, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	live := call("standinLive", 0)
	o.Epochs, o.Resume = 2, true
	failed := 0
	for n := 1; ; n++ {
		if n > 1 {
			if err := os.WriteFile(saved, want, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		call("standinFail", n)
		_, err := Train(t.Context(), m, set, nil, o, nil)
		left := call("standinFailLeft", 0)
		call("standinFail", 0)
		if now := call("standinLive", 0); now != live {
			t.Fatalf("allocation %d fails: %d things are on the device, %d before", n, now, live)
		}
		if left > 0 { // there are fewer
			if err != nil {
				t.Errorf("with memory for all: %v", err)
			}
			break
		}
		failed++
		if !errors.Is(err, cuda.ErrOutOfMemory) {
			t.Errorf("allocation %d fails: %v", n, err)
		}
		if got, err := os.ReadFile(saved); err != nil || !bytes.Equal(got, want) {
			t.Errorf("allocation %d fails: the checkpoint is another one (%v)", n, err)
		}
	}
	if failed < 30 {
		t.Errorf("%d allocations", failed)
	}
}
