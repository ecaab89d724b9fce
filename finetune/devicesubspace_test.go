package finetune

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/internal/cuda"
	"efcn/onnxio"
)

// testDeviceSubspaces: V of factored layers, chosen before the first step or anew as training
// goes on, is bit for bit what the processor makes of the same weights, and what is trained
// from there comes to what it comes to on the processor.
func testDeviceSubspaces(t *testing.T, d *cuda.Device) {
	const tolerance = 1e-10 // of testDeviceOptimizers
	for name, cnn := range map[string]*onnxio.Model{"toy": toyModel(), "groups": groupedModel()} {
		m := embedWith(t, cnn, convert.Options{Layout: record.Factored, Rank: 4})
		for kind, o := range map[string]Options{
			"gradient": {Init: InitGradient}, "orthonormal": {Init: InitOrthonormal}, "refresh": {Refresh: 1},
		} {
			o.InitBatches, o.Batch, o.Rate, o.Seed = 2, 10, 0.05, 7
			t.Run(strings.Join([]string{name, kind}, "/"), func(t *testing.T) { compareSubspaces(t, d, m, o) })
			for optimiser, of := range optimisers() {
				t.Run(strings.Join([]string{name, kind, optimiser}, "/"), func(t *testing.T) {
					o := o
					o.Optimizer, o.Clip, o.Epochs = of.Optimizer, of.Clip, 2
					if compareRuns(t, d, m, toySet(37, 3), o, tolerance) == 0 {
						t.Error("nothing moved")
					}
				})
			}
		}
	}
}

// compareSubspaces takes some steps on a device, and gives the processor the weights and the
// state of the optimiser that it arrives at. Then both choose V.
func compareSubspaces(t *testing.T, d *cuda.Device, m *onnxio.Model, o Options) {
	o.Optimizer.Method, o.Train = Adam, TrainAll
	o = o.WithDefaults()
	run := func(device *cuda.Device) *session[float64] {
		tr, err := newTrainee[float64](m, o.Train)
		if err != nil {
			t.Fatal(err)
		}
		o.Device = device
		s, err := newSession(tr, toySet(37, 3), o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	here, there := run(nil), run(d)
	device := there.trainee.device
	if err := errors.Join(device.check(t.Context()), device.open(t.Context())); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := device.close(); err != nil {
			t.Error(err)
		}
	}()
	if o.Refresh > 0 {
		if _, err := there.epoch(t.Context()); err != nil {
			t.Fatal(err)
		}
		there.at = progress{Epoch: 2, Steps: there.at.Steps}
		here.at = there.at
	}
	if err := device.read(true); err != nil {
		t.Fatal(err)
	}
	want, got := here.trainee.arrays(2), there.trainee.arrays(2)
	var before [][]float64
	for i, a := range got {
		copy(want[i].values, a.values)
		before = append(before, slices.Clone(a.values))
	}
	here.shuffle()
	there.shuffle()
	for _, s := range []*session[float64]{here, there} {
		if chosen, err := s.chooseSubspaces(t.Context()); err != nil || !chosen {
			t.Fatalf("chosen: %v, %v", chosen, err)
		}
	}
	for _, a := range got { // what is compared is what the device has
		clear(a.values)
	}
	if err := device.read(true); err != nil {
		t.Fatal(err)
	}
	changed, sameBits := 0, func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) }
	for i, a := range want {
		if !slices.EqualFunc(a.values, got[i].values, sameBits) {
			t.Errorf("%s of the device are other values than here", a.what())
		}
		if !slices.EqualFunc(a.values, before[i], sameBits) {
			changed++
		}
	}
	if changed == 0 {
		t.Error("nothing changed")
	}
	for _, p := range there.trainee.params {
		for _, state := range p.state {
			if p.since > 0 && slices.ContainsFunc(state, func(v float64) bool { return v != 0 }) {
				t.Errorf("the optimiser's state of %s is not that before a first step", p.name)
			}
		}
	}
}
