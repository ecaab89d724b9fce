// Command nvrtc compiles the kernels, kernels/NAME.cu, to PTX: kernels/NAME_float32.ptx
// and kernels/NAME_float64.ptx. It runs in internal/cuda, and needs no GPU: pip install
// nvidia-cuda-nvrtc==13.0.88 in an active environment.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"

	"efcn/internal/dynlib"
)

// release is what the compiler says of itself in what it writes: another one would
// write other PTX.
const release = "Cuda compilation tools, release 13.0, V13.0.88"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "nvrtc:", err)
		os.Exit(1)
	}
}

func run() error {
	c, err := open()
	if err != nil {
		return err
	}
	sources, err := filepath.Glob("kernels/*.cu")
	if err != nil {
		return err
	}
	if len(sources) == 0 {
		return errors.New("no kernels/*.cu: run it in internal/cuda")
	}
	headers, err := filepath.Glob("kernels/*.h")
	if err != nil {
		return err
	}
	old, err := filepath.Glob("kernels/*.ptx")
	if err != nil {
		return err
	}
	for _, file := range old {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	for _, source := range sources {
		for suffix, real := range map[string]string{"_float32": "float", "_float64": "double"} {
			ptx, err := c.compile(source, headers, "-DReal="+real, "-DSuffix="+suffix)
			if err != nil {
				return fmt.Errorf("%s: %w", source, err)
			}
			if !bytes.Contains(ptx, []byte(release)) {
				return fmt.Errorf("%s: it was not compiled by %q", source, release)
			}
			if err := os.WriteFile(strings.TrimSuffix(source, ".cu")+suffix+".ptx", ptx, 0o666); err != nil {
				return err
			}
		}
	}
	return nil
}

// compiler has the functions of NVRTC.
type compiler struct {
	create, compileProgram, ptxSize, ptx, logSize, log, destroy uintptr
}

func open() (*compiler, error) {
	files := append(dynlib.InEnvironments(os.Getenv, "lib/python3*/site-packages/nvidia/*/lib/libnvrtc.so.13"),
		"libnvrtc.so.13")
	var handle uintptr
	var err error
	for _, file := range files {
		// NVRTC looks for it by its name, where the system looks for libraries: once it is
		// loaded, it is found. If it is not there, NVRTC says so.
		_, _ = dynlib.Open(filepath.Join(filepath.Dir(file), "libnvrtc-builtins.so.13.0"), false)
		if handle, err = dynlib.Open(file, false); err == nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w; pip install nvidia-cuda-nvrtc==13.0.88 and activate its environment", err)
	}
	c := &compiler{}
	for name, to := range map[string]*uintptr{
		"nvrtcCreateProgram": &c.create, "nvrtcCompileProgram": &c.compileProgram, "nvrtcGetPTXSize": &c.ptxSize,
		"nvrtcGetPTX": &c.ptx, "nvrtcGetProgramLogSize": &c.logSize, "nvrtcGetProgramLog": &c.log,
		"nvrtcDestroyProgram": &c.destroy,
	} {
		if *to, err = dynlib.Symbol(handle, name); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// compile compiles a file, which may include the headers.
func (c *compiler) compile(file string, headers []string, defines ...string) ([]byte, error) {
	source, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var texts, names []string
	for _, header := range headers {
		text, err := os.ReadFile(header)
		if err != nil {
			return nil, err
		}
		texts, names = append(texts, string(text)), append(names, filepath.Base(header))
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	var program uintptr
	err = c.call(c.create, uintptr(unsafe.Pointer(&program)), text(&pin, string(source)), text(&pin, filepath.Base(file)),
		uintptr(len(texts)), list(&pin, texts), list(&pin, names))
	if err != nil {
		return nil, err
	}
	defer purego.SyscallN(c.destroy, uintptr(unsafe.Pointer(&program)))
	options := append([]string{"--gpu-architecture=compute_80", "--std=c++17"}, defines...)
	if err := c.call(c.compileProgram, program, uintptr(len(options)), list(&pin, options)); err != nil {
		message, failed := c.read(c.logSize, c.log, program)
		return nil, errors.Join(err, failed, errors.New(string(message)))
	}
	return c.read(c.ptxSize, c.ptx, program)
}

// read returns a text of a program without the zero at its end.
func (c *compiler) read(size, content, program uintptr) ([]byte, error) {
	var n uintptr
	if err := c.call(size, program, uintptr(unsafe.Pointer(&n))); err != nil {
		return nil, err
	}
	b := make([]byte, n+1)
	if err := c.call(content, program, uintptr(unsafe.Pointer(&b[0]))); err != nil {
		return nil, err
	}
	return b[:n-1], nil
}

//go:uintptrescapes
func (c *compiler) call(function uintptr, args ...uintptr) error {
	code, _, _ := purego.SyscallN(function, args...)
	if int32(code) == 0 {
		return nil
	}
	return fmt.Errorf("NVRTC: error %d", int32(code))
}

// text returns the address of s as C has it.
func text(pin *runtime.Pinner, s string) uintptr {
	b := append([]byte(s), 0)
	pin.Pin(&b[0])
	return uintptr(unsafe.Pointer(&b[0]))
}

// list returns the address of an array of such texts.
func list(pin *runtime.Pinner, all []string) uintptr {
	addresses := make([]uintptr, len(all)+1)
	for i, s := range all {
		addresses[i] = text(pin, s)
	}
	pin.Pin(&addresses[0])
	return uintptr(unsafe.Pointer(&addresses[0]))
}
