package finetune

import (
	"errors"
	"math"
	"strings"
	"testing"

	"efcn/convert/record"
	"efcn/finetune/data"
	"efcn/internal/cuda"
	"efcn/onnxio"
)

// deviceRun trains a model for some epochs in float64, and returns everything that
// training changes, the epochs, and the norms of the last step.
func deviceRun(t *testing.T, m *onnxio.Model, set *data.Set, o Options) ([]array[float64], []Epoch, *Norms) {
	t.Helper()
	o = o.WithDefaults()
	tr, err := newTrainee[float64](m, o.Train)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSession(tr, set, o)
	if err != nil {
		t.Fatal(err)
	}
	if o.Device != nil {
		if err := errors.Join(tr.device.check(t.Context()), tr.device.open(t.Context())); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := tr.device.close(); err != nil {
				t.Error(err)
			}
		}()
	}
	var epochs []Epoch
	var norms *Norms
	for range o.Epochs {
		e, err := s.epoch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		epochs, norms = append(epochs, e), s.at.Norms
		s.at = progress{Epoch: s.at.Epoch + 1, Steps: s.at.Steps, Subspace: s.at.Subspace}
	}
	if err := tr.device.read(true); err != nil {
		t.Fatal(err)
	}
	return tr.arrays(o.Optimizer.States()), epochs, norms
}

// compareRuns compares a run on a device with one on the processor: losses, norms and
// weights are as near as tolerance times the greatest of each. It returns how many arrays
// moved.
func compareRuns(t *testing.T, d *cuda.Device, m *onnxio.Model, set *data.Set, o Options, tolerance float64) int {
	t.Helper()
	if o.Train == "" {
		o.Train = TrainAll
	}
	before, err := newTrainee[float64](m, o.Train)
	if err != nil {
		t.Fatal(err)
	}
	want, epochs, norms := deviceRun(t, m, set, o)
	o.Device = d
	got, epochsThere, normsThere := deviceRun(t, m, set, o)
	for i, e := range epochs {
		if a, b := e.Train, epochsThere[i].Train; !(math.Abs(a.Loss-b.Loss) <= tolerance*a.Loss) || a.Top1 != b.Top1 {
			t.Errorf("epoch %d: %+v on the device, %+v here", e.Epoch, b, a)
		}
	}
	if norms != nil {
		for i, all := range []map[string]float64{norms.Trained, norms.Inside, norms.Outside} {
			there := []map[string]float64{normsThere.Trained, normsThere.Inside, normsThere.Outside}[i]
			if len(there) != len(all) {
				t.Errorf("%d norms on the device, %d here", len(there), len(all))
			}
			for name, v := range all {
				if !(math.Abs(there[name]-v) <= tolerance*max(1, v)) {
					t.Errorf("norm %d of %s is %v on the device, %v here", i, name, there[name], v)
				}
			}
		}
	}
	moved := 0
	for i, a := range want {
		size := 0.0
		for _, v := range a.values {
			size = max(size, math.Abs(v))
		}
		for k, v := range a.values {
			if !(math.Abs(got[i].values[k]-v) <= tolerance*size) {
				t.Errorf("%s: element %d is %v on the device, %v here", a.what(), k, got[i].values[k], v)
				break
			}
		}
		if init := before.initializers[a.Name]; !a.State && init != nil {
			began, err := onnxio.Floats[float64](init)
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range began {
				if v != a.values[k] {
					moved++
					break
				}
			}
		}
	}
	return moved
}

// testDeviceOptimizers trains every layout with every optimiser, and every part of it, for
// a few steps, the last of which has fewer samples.
func testDeviceOptimizers(t *testing.T, d *cuda.Device) {
	const tolerance = 1e-10
	runs, moved := 0, 0
	for name, cnn := range map[string]*onnxio.Model{"toy": toyModel(), "groups": groupedModel()} {
		for layout, modes := range map[record.Layout][]string{
			record.Dense:    {TrainAll, TrainLocal, TrainOffLocal, TrainTied},
			record.Local:    {TrainLocal, TrainTied},
			record.Sparse:   {TrainLocal, TrainTied},
			record.Factored: {TrainAll, TrainLocal},
		} {
			m := embedAs(t, cnn, layout)
			for _, mode := range modes {
				for optimiser, o := range optimisers() {
					t.Run(strings.Join([]string{name, string(layout), mode, optimiser}, "/"), func(t *testing.T) {
						o.Train, o.Epochs, o.Batch, o.Rate, o.Checkpoint = mode, 2, 10, 0.05, "measured"
						o.SaveEvery.Steps = 1000
						runs++
						moved += compareRuns(t, d, m, toySet(37, 3), o, tolerance)
					})
				}
			}
		}
	}
	if want := 2 * 10 * len(optimisers()); runs != want || moved < 3*runs {
		t.Errorf("%d runs, want %d; %d arrays moved", runs, want, moved)
	}
}

// testDeviceNets takes 50 steps of whole nets. A step rounds sums of at most 1000 terms in
// another order, and makes what came before it at most 1.05 times as large, 10 times in all.
func testDeviceNets(t *testing.T, d *cuda.Device) {
	const steps, terms, growth = 50, 1000, 10
	const tolerance = steps * terms * growth * 0x1p-53
	nets := map[string]struct {
		m   *onnxio.Model
		set *data.Set
		o   Options
	}{"lenet": {readModel(t, "lenet-torchscript"), openSet(t, "train", "?normalize=0.2860/0.3530&limit=100"), Options{}}}
	for name, cnn := range map[string]*onnxio.Model{"toy": toyModel(), "groups": groupedModel()} {
		for _, layout := range []record.Layout{record.Dense, record.Local, record.Sparse, record.Factored} {
			c := nets[name]
			c.m, c.set = embedAs(t, cnn, layout), toySet(100, 5)
			if layout == record.Local || layout == record.Sparse {
				c.o.Train = TrainLocal
			}
			nets[name+" "+string(layout)] = c
		}
	}
	for name, c := range nets {
		t.Run(name, func(t *testing.T) {
			o := c.o
			o.Epochs, o.Batch, o.Rate = 1, 2, 0.02
			if compareRuns(t, d, c.m, c.set, o, tolerance) == 0 {
				t.Error("nothing moved")
			}
		})
	}
}
