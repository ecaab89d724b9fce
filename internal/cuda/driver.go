package cuda

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"

	"efcn/internal/dynlib"
)

// The functions of the driver that are called.
const (
	cuCtxSetCurrent = iota
	cuDeviceGet
	cuDeviceGetAttribute
	cuDeviceGetCount
	cuDeviceGetName
	cuDeviceGetUUID
	cuDevicePrimaryCtxRelease
	cuDevicePrimaryCtxRetain
	cuDeviceTotalMem
	cuDriverGetVersion
	cuEventCreate
	cuEventDestroy
	cuEventElapsedTime
	cuEventRecord
	cuEventSynchronize
	cuGetErrorName
	cuGetErrorString
	cuGraphDestroy
	cuGraphExecDestroy
	cuGraphInstantiate
	cuGraphLaunch
	cuInit
	cuLaunchKernel
	cuMemAlloc
	cuMemcpyDtoDAsync
	cuMemcpyDtoHAsync
	cuMemcpyHtoDAsync
	cuMemFree
	cuMemFreeHost
	cuMemGetInfo
	cuMemHostAlloc
	cuMemsetD8Async
	cuModuleGetFunction
	cuModuleLoadDataEx
	cuModuleUnload
	cuStreamBeginCapture
	cuStreamCreate
	cuStreamDestroy
	cuStreamEndCapture
	cuStreamSynchronize
	cuStreamWaitEvent
	driverFunctions
)

// driverNames has them as the library does: cuda.h gives some a version by macros.
var driverNames = [driverFunctions]string{
	"cuCtxSetCurrent", "cuDeviceGet", "cuDeviceGetAttribute", "cuDeviceGetCount", "cuDeviceGetName",
	"cuDeviceGetUuid_v2",
	"cuDevicePrimaryCtxRelease_v2", "cuDevicePrimaryCtxRetain", "cuDeviceTotalMem_v2", "cuDriverGetVersion",
	"cuEventCreate", "cuEventDestroy_v2", "cuEventElapsedTime", "cuEventRecord", "cuEventSynchronize", "cuGetErrorName",
	"cuGetErrorString", "cuGraphDestroy", "cuGraphExecDestroy", "cuGraphInstantiateWithFlags", "cuGraphLaunch", "cuInit",
	"cuLaunchKernel", "cuMemAlloc_v2", "cuMemcpyDtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuMemcpyHtoDAsync_v2",
	"cuMemFree_v2", "cuMemFreeHost", "cuMemGetInfo_v2", "cuMemHostAlloc", "cuMemsetD8Async", "cuModuleGetFunction",
	"cuModuleLoadDataEx", "cuModuleUnload", "cuStreamBeginCapture_v2", "cuStreamCreate", "cuStreamDestroy_v2",
	"cuStreamEndCapture", "cuStreamSynchronize", "cuStreamWaitEvent",
}

// functions are those of a library that was loaded.
type functions struct {
	file    string
	names   []string
	address []uintptr
}

func newFunctions(handle uintptr, file string, names []string) (*functions, error) {
	f := &functions{file: file, names: names, address: make([]uintptr, len(names))}
	for i, name := range names {
		var err error
		if f.address[i], err = dynlib.Symbol(handle, name); err != nil {
			return nil, fmt.Errorf("CUDA: %s: it has no %s", file, name)
		}
	}
	return f, nil
}

// Error is what a call of the driver or of cuBLAS reports.
type Error struct {
	Call string
	Code int
	Name string // CUDA_ERROR_OUT_OF_MEMORY
	Text string // out of memory
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s (%s)", e.Call, e.Name, e.Text) }

// Kinds of errors, for errors.Is.
var (
	// ErrOutOfMemory: the memory of the device, or of the host for pinned buffers, is full.
	ErrOutOfMemory = errors.New("out of memory")
	// ErrLost: nothing that was on the device can be used any more, and the process cannot
	// go on with it.
	ErrLost = errors.New("the device is lost")
)

// lostCodes are the driver's codes after which a context cannot be used.
var lostCodes = map[int]bool{
	46:  true, // DEVICE_UNAVAILABLE
	214: true, // ECC_UNCORRECTABLE
	220: true, // NVLINK_UNCORRECTABLE
	226: true, // CONTAINED
	700: true, // ILLEGAL_ADDRESS
	702: true, // LAUNCH_TIMEOUT
	709: true, // CONTEXT_IS_DESTROYED
	710: true, // ASSERT
	714: true, // HARDWARE_STACK_ERROR
	715: true, // ILLEGAL_INSTRUCTION
	716: true, // MISALIGNED_ADDRESS
	717: true, // INVALID_ADDRESS_SPACE
	718: true, // INVALID_PC
	719: true, // LAUNCH_FAILED
	911: true, // EXTERNAL_DEVICE
	999: true, // UNKNOWN
}

// Is makes errors.Is tell the kinds.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrOutOfMemory:
		return e.Name == "CUDA_ERROR_OUT_OF_MEMORY" || e.Name == "CUBLAS_STATUS_ALLOC_FAILED"
	case ErrLost:
		return lostCodes[e.Code]
	}
	return false
}

// call calls a function of the driver. Pointers of arguments are converted in the call.
//
//go:uintptrescapes
func (l *Library) call(function int, args ...uintptr) error {
	code, _, _ := purego.SyscallN(l.driver.address[function], args...)
	if int32(code) == 0 {
		return nil
	}
	e := &Error{Call: driverNames[function], Code: int(int32(code)), Name: fmt.Sprintf("error %d", int32(code))}
	for f, to := range map[int]*string{cuGetErrorName: &e.Name, cuGetErrorString: &e.Text} {
		var text *byte
		again, _, _ := purego.SyscallN(l.driver.address[f], uintptr(int32(code)), uintptr(unsafe.Pointer(&text)))
		if int32(again) == 0 && text != nil {
			*to = goString(text)
		}
	}
	return e
}

// goString is the text of C at an address.
func goString(text *byte) string {
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(text), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(text, n))
}
