package cuda

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"unsafe"
)

// DeviceOptions says which device, and how it computes.
type DeviceOptions struct {
	Index int // of [Library.Devices]; default 0
	// TF32 lets products of float32 round their factors to 10 bits of mantissa, which
	// tensor cores multiply many times as fast. Default: float32 throughout.
	TF32 bool
}

// oldest is the least compute capability that the kernels are compiled for.
const oldest = 8

// Device is a GPU with a thread of this process that makes all calls for it.
type Device struct {
	Info
	library *Library
	tf32    bool
	thread  *Thread // used on the device's thread only
	calls   chan func()
}

// Kind is what two devices have in common that compute the same bits, with this version of
// cuBLAS.
func (d *Device) Kind() string {
	if d.tf32 {
		return d.Name + " with TF32"
	}
	return d.Name
}

// Thread is what may be called on a device's thread, in [Device.Do].
type Thread struct {
	device  *Device
	handle  int32 // CUdevice
	stream  *Stream
	modules map[string]uintptr // CUmodule by file
	kernels map[string]*kernelFunction
	staging Host[byte]
	// counting means that [Thread.Count] runs, and counted is what it has come to.
	counting bool
	counted  int64
	// What calls point to, here so that it stays where it is and calls make no garbage.
	cells   [maxParameters * 16]uint64
	pointer [maxParameters]unsafe.Pointer
	factors [2]uint64
}

// Device makes a device ready: its primary context, and a stream. [Device.Close] gives it
// back. Errors are an [*Error] or say what the device lacks.
func (l *Library) Device(ctx context.Context, options DeviceOptions) (*Device, error) {
	info, handle, err := l.info(options.Index)
	if err != nil {
		return nil, err
	}
	if info.Major < oldest {
		return nil, fmt.Errorf("%v: want compute capability %d.0 or newer", info, oldest)
	}
	d := &Device{Info: info, library: l, tf32: options.TF32, calls: make(chan func())}
	d.thread = &Thread{device: d, handle: handle, modules: map[string]uintptr{}, kernels: map[string]*kernelFunction{}}
	go func() {
		// The thread ends with the goroutine: nobody else gets one with a context.
		runtime.LockOSThread()
		for do := range d.calls {
			do()
		}
	}()
	if err := d.do(ctx, d.thread.open); err != nil {
		close(d.calls)
		return nil, err
	}
	return d, nil
}

// Do runs f on the device's thread, after others that were asked for before, and returns
// what it returns. f must not call Do, nor hand t to another goroutine. If ctx is done
// before f begins, f does not run; it is not interrupted.
func (d *Device) Do(ctx context.Context, f func(t *Thread) error) error {
	return d.do(ctx, func() error { return f(d.thread) })
}

func (d *Device) do(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	result := make(chan error, 1)
	select {
	case d.calls <- func() { result <- f() }:
		return <-result
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close waits for what the main stream has to do and gives the device back, with what
// the thread has made. What the caller has made is to be freed before.
func (d *Device) Close() error {
	err := d.do(context.Background(), func() error { return d.thread.close() })
	close(d.calls)
	return err
}

//go:uintptrescapes
func (t *Thread) call(function int, args ...uintptr) error {
	return t.device.library.call(function, args...)
}

func (t *Thread) open() error {
	var ctx uintptr
	if err := t.call(cuDevicePrimaryCtxRetain, uintptr(unsafe.Pointer(&ctx)), uintptr(t.handle)); err != nil {
		return fmt.Errorf("%v: %w", t.device.Info, err)
	}
	err := t.call(cuCtxSetCurrent, ctx)
	if err == nil {
		t.stream, err = t.NewStream()
	}
	if err != nil {
		return errors.Join(err, t.close())
	}
	return nil
}

func (t *Thread) close() error {
	var errs []error
	if t.stream != nil {
		errs = append(errs, t.stream.Free())
	}
	errs = append(errs, t.staging.Free(t))
	for _, module := range t.modules {
		errs = append(errs, t.call(cuModuleUnload, module))
	}
	errs = append(errs, t.call(cuCtxSetCurrent, 0), t.call(cuDevicePrimaryCtxRelease, uintptr(t.handle)))
	return errors.Join(errs...)
}

// Stream is the stream that the thread has from the beginning.
func (t *Thread) Stream() *Stream { return t.stream }

// Memory returns how many bytes of the device are free, and how many it has.
func (t *Thread) Memory() (free, total int64, err error) {
	err = t.call(cuMemGetInfo, uintptr(unsafe.Pointer(&free)), uintptr(unsafe.Pointer(&total)))
	return free, total, err
}

// MemoryError reports that what is wanted does not fit into the memory of a device, or
// into that of the host where the device reaches it.
type MemoryError struct {
	Device             string // or "pinned memory of the host"
	Want, Free, Memory int64  // bytes; Free and Memory are 0 for the host
}

func (e *MemoryError) Error() string {
	if e.Memory == 0 {
		return fmt.Sprintf("%s: %.3f GB wanted, and the system does not give it", e.Device, float64(e.Want)/1e9)
	}
	return fmt.Sprintf("%s: %.3f GB wanted, %.3f of %.3f GB are free", e.Device, float64(e.Want)/1e9,
		float64(e.Free)/1e9, float64(e.Memory)/1e9)
}

// Is makes errors.Is find [ErrOutOfMemory].
func (e *MemoryError) Is(target error) bool { return target == ErrOutOfMemory }

// Fits returns a [*MemoryError] if so many bytes are not free on the device. To be asked
// before anything is allocated for a plan.
func (t *Thread) Fits(bytes int64) error {
	free, total, err := t.Memory()
	if err != nil {
		return err
	}
	if bytes > free {
		return &MemoryError{Device: t.device.String(), Want: bytes, Free: free, Memory: total}
	}
	return nil
}
