package finetune

import (
	"errors"
	"strings"
	"testing"

	"efcn/convert/record"
	"efcn/internal/cuda"
	"efcn/internal/mpi"
)

// anotherDevice opens the first device for another rank of this process.
func anotherDevice(t *testing.T) (*cuda.Device, error) {
	library, err := cuda.Open(cuda.Options{})
	if err != nil {
		return nil, err
	}
	return library.Device(t.Context(), cuda.DeviceOptions{})
}

// testDeviceRanksByHand is TestRanksByHand with a device for each rank.
func testDeviceRanksByHand(t *testing.T, d *cuda.Device) { compareHandCuts(t, d) }

// testDeviceTrainOverRanks is TestTrainOverRanks with a device for each rank, compared with
// one process on the processor.
func testDeviceTrainOverRanks(t *testing.T, d *cuda.Device) {
	plain := toyModel()
	plain.Graph.Nodes[1] = apply("Tanh", "c", "n")
	for _, c := range []divided{
		{"dense", embedAs(t, branchedModel(), record.Dense), division{3, 0}, division{2, 0}, false},
		{"local", embedAs(t, branchedModel(), record.Local), division{2, 0}, division{3, 0}, false},
		{"sparse", embedAs(t, branchedModel(), record.Sparse), division{2, 0}, division{3, 0}, false},
		{"factored", embedAs(t, branchedModel(), record.Factored), division{3, 0}, division{2, 0}, true},
		{"CNN in groups", plain, division{4, 4}, division{2, 2}, false},
		{"dense in groups", embedAs(t, groupedModel(), record.Dense), division{4, 2}, division{3, 0}, true},
	} {
		t.Run(c.name, func(t *testing.T) { c.train(t, d) })
	}
	refused := trainJob(t, 2, groupedModel(), Options{Device: d, Groups: 2}, nil).errs
	var e *DeviceError
	if !errors.As(refused[0], &e) || len(e.What) != 1 || !strings.HasPrefix(e.What[0], "BatchNormalization ") {
		t.Errorf("a batch that groups share out is normalised on a device: %v", refused[0])
	}
	onRanks(2, func(w *mpi.World) {
		o := Options{World: w}
		if w.Rank() == 0 {
			o.Device = d
		}
		_, err := Train(t.Context(), plain, toySet(10, 3), nil, o, nil)
		if err == nil || !strings.Contains(err.Error(), "rank 1 has another kind of device than rank 0") {
			t.Errorf("a device on rank 0 alone: %v", err)
		}
	})
}
