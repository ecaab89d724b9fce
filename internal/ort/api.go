package ort

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"

	"efcn/internal/dynlib"
	"efcn/onnxio"
)

// The functions of OrtApi that are called, by their place in that struct of
// onnxruntime_c_api.h. The struct only ever grows at its end, so the places
// hold for every release that answers for apiVersion.
const (
	getErrorMessage                = 2
	createEnv                      = 3
	disableTelemetryEvents         = 6
	createSession                  = 7
	run                            = 9
	createSessionOptions           = 10
	setIntraOpNumThreads           = 24
	createRunOptions               = 39
	runOptionsSetTerminate         = 46
	createTensorAsOrtValue         = 48
	isTensor                       = 50
	getTensorMutableData           = 51
	getTensorElementType           = 60
	getDimensionsCount             = 61
	getDimensions                  = 62
	getTensorTypeAndShape          = 65
	getAllocatorWithDefaultOptions = 78
	releaseEnv                     = 92
	releaseStatus                  = 93
	releaseSession                 = 95
	releaseValue                   = 96
	releaseRunOptions              = 97
	releaseTensorTypeAndShapeInfo  = 99
	releaseSessionOptions          = 100

	functions = 101
)

// apiVersion is asked of the library: that of ONNX Runtime 1.11, which has all
// of the above. Newer ones answer for older versions too.
const apiVersion = 11

// logFatal is ORT_LOGGING_LEVEL_FATAL: what goes wrong comes back as an error,
// and is not to be printed as well.
const logFatal = 4

// api calls the library. Arguments are pointers and integers only, so each fits
// a uintptr, and none has more than the eight that purego passes everywhere.
type api struct {
	version  string
	function [functions]uintptr
}

func newAPI(handle uintptr) (*api, error) {
	base, err := dynlib.Symbol(handle, "OrtGetApiBase")
	if err != nil {
		return nil, errors.New("not an ONNX Runtime library")
	}
	address, _, _ := purego.SyscallN(base)
	if address == 0 {
		return nil, errors.New("OrtGetApiBase returned nothing")
	}
	// OrtApiBase: GetApi, GetVersionString.
	of := *(*[2]uintptr)(pointer(address))
	version, _, _ := purego.SyscallN(of[1])
	a := &api{version: text(version)}
	table, _, _ := purego.SyscallN(of[0], apiVersion)
	if table == 0 {
		return nil, fmt.Errorf("ONNX Runtime %s is too old; want 1.11 or newer", a.version)
	}
	a.function = *(*[functions]uintptr)(pointer(table))
	return a, nil
}

// call calls a function that returns an OrtStatus.
//
//go:uintptrescapes
func (a *api) call(function int, args ...uintptr) error {
	status, _, _ := purego.SyscallN(a.function[function], args...)
	if status == 0 {
		return nil
	}
	message, _, _ := purego.SyscallN(a.function[getErrorMessage], status)
	err := errors.New(strings.Join(strings.Fields(text(message)), " "))
	a.release(releaseStatus, status)
	return err
}

// release calls a function that frees an object; 0 is none.
func (a *api) release(function int, object uintptr) {
	if object != 0 {
		purego.SyscallN(a.function[function], object)
	}
}

// pointer is an address of the library's memory as a pointer. The double
// indirection is for go vet: no Go object moves under it.
func pointer(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }

// text copies a C string.
func text(address uintptr) string {
	if address == 0 {
		return ""
	}
	p := (*byte)(pointer(address))
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}

// cStrings is a C array of C strings, which stay where they are until it is freed.
type cStrings struct {
	pinner runtime.Pinner
	list   []*byte
}

func newStrings(values []*onnxio.ValueInfo) *cStrings {
	n := &cStrings{list: make([]*byte, len(values))}
	for i, v := range values {
		name := append([]byte(v.Name), 0)
		n.list[i] = &name[0]
		n.pinner.Pin(n.list[i])
	}
	return n
}

func (n *cStrings) free() { n.pinner.Unpin() }
