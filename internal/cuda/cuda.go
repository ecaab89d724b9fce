// Package cuda computes on an NVIDIA GPU, without cgo: the driver and cuBLAS are found at
// run time, and kernels of its own are in it as PTX.
//
// [Open] finds the libraries and [Library.Devices] lists the GPUs. [Library.Device]
// readies one, and [Device.Do] runs a function on the thread that makes all calls for it.
// There, [Alloc] allocates memory, [Write] and [Read] fill and read it, and everything
// that computes ([Gemm], [MaxPool], …) adds work to a [Stream] and returns at once.
//
//	library, err := cuda.Open(cuda.Options{})
//	device, err := library.Device(ctx, cuda.DeviceOptions{})
//	err = device.Do(ctx, func(t *cuda.Thread) error {
//		x, err := cuda.Alloc[float32](t, 1000)
//		…
//		return t.Stream().Wait()
//	})
//	err = device.Close()
//
// # Layout
//
// The batch is the last axis of everything that has one: what internal/kernel has as
// N×L is L×N here, in memory without gaps. Neighbouring threads work on neighbouring
// samples, so that whatever else an operator does, memory is read in whole lines. A
// dense layer is y = W·x, a convolution one product over all samples, and the sums of
// a bias and of batch normalisation run along rows. Samples are transposed once, when
// they arrive ([Transpose]).
//
// # Errors
//
// An [*Error] carries the call and the driver's name for what went wrong. Work fails
// when it is done, so that errors of kernels come from calls that wait. After an error
// that [ErrLost] stands for, nothing works on the device any more.
package cuda

import (
	"errors"
	"fmt"
	"unsafe"
)

// Options says how the libraries are found.
type Options struct {
	// Folder has the libraries. Default: what the environment variable EFCN_CUDA names;
	// then cuBLAS in an active Python environment, where the system looks for libraries
	// and where CUDA is usually installed, and the driver where the system looks.
	// EFCN_CUDA=off makes that an error.
	Folder string
}

// Library is a driver and a cuBLAS that were loaded. It may be used by several
// goroutines at once.
type Library struct {
	driver, blas *functions
	version      int // of CUDA, that the driver has: 13000 is 13.0
}

// Info describes a device.
type Info struct {
	Index        int
	Name         string
	UUID         [16]byte // of no other device anywhere
	Memory       int64    // bytes
	Major, Minor int      // compute capability
	Processors   int      // streaming multiprocessors
}

func (i Info) String() string {
	return fmt.Sprintf("cuda:%d %s, %.1f GB, compute capability %d.%d", i.Index, i.Name, float64(i.Memory)/1e9, i.Major,
		i.Minor)
}

// String returns the version of CUDA that the driver has, and the files.
func (l *Library) String() string {
	return fmt.Sprintf("CUDA %d.%d (%s, %s)", l.version/1000, l.version%1000/10, l.driver.file, l.blas.file)
}

// kernelVersion is the oldest CUDA whose driver takes the PTX of this package.
const (
	kernelVersion = 13000
	kernelDriver  = 580
)

const noDevice = 100 // CUDA_ERROR_NO_DEVICE

// VersionError reports a driver that is too old.
type VersionError struct{ Have, Want int } // as 13000 for 13.0

func (e *VersionError) Error() string {
	return fmt.Sprintf("the NVIDIA driver has CUDA %d.%d; want %d.%d: driver %d or newer", e.Have/1000, e.Have%1000/10,
		e.Want/1000, e.Want%1000/10, kernelDriver)
}

// Open loads the driver and cuBLAS, and starts the driver. Errors are a [*NotFoundError],
// a [*VersionError], an [*Error], or say which file cannot be used.
func Open(options Options) (*Library, error) {
	l, err := find(options.Folder)
	if err != nil {
		return nil, err
	}
	err = l.call(cuInit, 0)
	var e *Error
	if errors.As(err, &e) && e.Code == noDevice {
		return nil, &NotFoundError{fmt.Sprintf("CUDA finds no GPU: %v", err)}
	}
	if err != nil {
		return nil, err
	}
	var version int32
	if err := l.call(cuDriverGetVersion, uintptr(unsafe.Pointer(&version))); err != nil {
		return nil, err
	}
	if l.version = int(version); l.version < kernelVersion {
		return nil, &VersionError{Have: l.version, Want: kernelVersion}
	}
	return l, nil
}

// Devices lists the GPUs.
func (l *Library) Devices() ([]Info, error) {
	var n int32
	if err := l.call(cuDeviceGetCount, uintptr(unsafe.Pointer(&n))); err != nil {
		return nil, err
	}
	all := make([]Info, n)
	for i := range all {
		var err error
		if all[i], _, err = l.info(i); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Attributes of a device: CUdevice_attribute.
const (
	multiprocessorCount    = 16
	computeCapabilityMajor = 75
	computeCapabilityMinor = 76
)

// info returns a description of a device and its handle.
func (l *Library) info(index int) (Info, int32, error) {
	i := Info{Index: index}
	var device int32
	if err := l.call(cuDeviceGet, uintptr(unsafe.Pointer(&device)), uintptr(index)); err != nil {
		return i, 0, fmt.Errorf("cuda:%d: %w", index, err)
	}
	name := make([]byte, 256)
	if err := l.call(cuDeviceGetName, uintptr(unsafe.Pointer(&name[0])), uintptr(len(name)), uintptr(device)); err != nil {
		return i, 0, err
	}
	i.Name = goString(&name[0])
	if err := l.call(cuDeviceGetUUID, uintptr(unsafe.Pointer(&i.UUID)), uintptr(device)); err != nil {
		return i, 0, err
	}
	if err := l.call(cuDeviceTotalMem, uintptr(unsafe.Pointer(&i.Memory)), uintptr(device)); err != nil {
		return i, 0, err
	}
	for attribute, to := range map[int]*int{
		multiprocessorCount: &i.Processors, computeCapabilityMajor: &i.Major, computeCapabilityMinor: &i.Minor,
	} {
		var v int32
		if err := l.call(cuDeviceGetAttribute, uintptr(unsafe.Pointer(&v)), uintptr(attribute), uintptr(device)); err != nil {
			return i, 0, err
		}
		*to = int(v)
	}
	return i, device, nil
}
