package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"efcn/internal/cuda"
	"efcn/internal/mpi"
)

// deviceFlags choose where a command computes.
type deviceFlags struct {
	device string // Default cpu.
	tf32   bool   // Default false.
}

func (f *deviceFlags) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&f.device, "device", "cpu",
		"where to compute: cpu, or cuda[:N], an NVIDIA GPU (not yet run on hardware)")
	flags.BoolVar(&f.tf32, "tf32", false,
		"on a GPU, let products of float32 round their factors to 10 bits of mantissa, many times as fast")
}

func (f *deviceFlags) validate() error {
	if _, _, err := f.parse(); err != nil {
		return err
	}
	if f.tf32 && f.device == "cpu" {
		return usagef("--tf32 is for --device cuda")
	}
	return nil
}

// parse reads --device.
func (f *deviceFlags) parse() (gpu bool, index int, err error) {
	kind, number, numbered := strings.Cut(f.device, ":")
	if numbered {
		index, err = strconv.Atoi(number)
	}
	if err != nil || index < 0 || kind != "cuda" && f.device != "cpu" {
		return false, 0, usagef("--device %q; want cpu, cuda or cuda:N, the N of efcn version -v", f.device)
	}
	return kind == "cuda", index, nil
}

// open makes the GPU ready, which release gives back; nil for the processor.
func (f *deviceFlags) open(ctx context.Context, e *env) (d *cuda.Device, release func(), err error) {
	gpu, index, err := f.parse()
	if !gpu || err != nil {
		return nil, func() {}, err
	}
	library, err := cuda.Open(cuda.Options{})
	if err == nil && e.world != nil && e.world.Size() > 1 {
		index, err = f.ofRank(ctx, e.world, library)
	}
	if err == nil {
		d, err = library.Device(ctx, cuda.DeviceOptions{Index: index, TF32: f.tf32})
	}
	if err != nil {
		return nil, nil, fmt.Errorf("--device %s: %w", f.device, err)
	}
	e.logf("%s; %s", d, library)
	// What a run had there it has given back; an error of this could only hide its own.
	return d, func() { _ = d.Close() }, nil
}

// ofRank returns which GPU is that of this rank: ranks that see the same GPUs take one each, in
// their order. A launcher may give each rank GPUs of its own to see.
func (f *deviceFlags) ofRank(ctx context.Context, w *mpi.World, library *cuda.Library) (int, error) {
	if f.device != "cuda" {
		return 0, fmt.Errorf("one GPU for %d ranks, which take one each; want --device cuda", w.Size())
	}
	devices, err := library.Devices()
	if err != nil {
		return 0, err
	}
	var own []byte
	for _, d := range devices {
		own = append(own, d.UUID[:]...)
	}
	all, err := w.AllgatherBytes(ctx, own)
	if err != nil {
		return 0, err
	}
	index, sharing := 0, 0
	for rank, other := range all {
		if bytes.Equal(other, own) {
			sharing++
			if rank < w.Rank() {
				index++
			}
		}
	}
	if sharing > len(devices) {
		return 0, fmt.Errorf("%d ranks see the same GPUs, %d in all; want one for each rank", sharing, len(devices))
	}
	return index, nil
}

// deviceHelp describes --device.
const deviceHelp = `--device cuda, or cuda:N, computes on an NVIDIA GPU: compute capability 8.0 or newer, driver
580 or newer, and cuBLAS, which "pip install nvidia-cublas" brings; efcn version -v lists
what is found. This has not yet run on hardware: it is tested on a stand-in for a GPU. An
operator that has no form there is named before anything starts, and so is a model that
takes more memory than is free. --tf32 rounds the factors of products. Each rank of eval and
finetune takes the next GPU of its machine. More: docs/gpu.md`
