package cuda

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"efcn/internal/kernel"
)

//go:generate go run ./nvrtc

//go:embed kernels/*.ptx
var compiled embed.FS

// entry is a kernel in the compiled files: its parameters' bytes, in their order.
type entry struct {
	file  string
	sizes []int
}

// entries lists the kernels of all files by name. A compiled file that is not as NVRTC
// writes it is an error of the build, which the tests find.
var entries = sync.OnceValues(func() (map[string]entry, error) {
	all := map[string]entry{}
	files, err := compiled.ReadDir("kernels")
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		text, err := compiled.ReadFile("kernels/" + f.Name())
		if err != nil {
			return nil, err
		}
		if err := readEntries(f.Name(), string(text), all); err != nil {
			return nil, err
		}
	}
	return all, nil
})

// readEntries adds the kernels of a file: ".visible .entry NAME(" and a line for each
// parameter, such as ".param .u64 NAME_param_0," or ".param .align 4 .b8 NAME_param_2[84]".
func readEntries(file, text string, to map[string]entry) error {
	for rest := text; ; {
		_, after, ok := strings.Cut(rest, ".visible .entry ")
		if !ok {
			return nil
		}
		name, after, _ := strings.Cut(after, "(")
		parameters, after, ok := strings.Cut(after, ")")
		if !ok {
			return fmt.Errorf("%s: no end of the parameters of %s", file, name)
		}
		rest = after
		e := entry{file: file}
		for line := range strings.SplitSeq(parameters, "\n") {
			words := strings.Fields(line)
			if len(words) == 0 {
				continue
			}
			size, err := parameterSize(words)
			if err != nil {
				return fmt.Errorf("%s: %s: %q: %w", file, name, line, err)
			}
			e.sizes = append(e.sizes, size)
		}
		to[name] = e
	}
}

// parameterSize reads the bytes of a parameter: .u64 are 8, .b8 with a length as many as
// that.
func parameterSize(words []string) (int, error) {
	if words[0] != ".param" {
		return 0, errors.New("no parameter")
	}
	last := strings.TrimSuffix(words[len(words)-1], ",")
	if _, length, ok := strings.Cut(last, "["); ok {
		return strconv.Atoi(strings.TrimSuffix(length, "]"))
	}
	bits, err := strconv.Atoi(strings.TrimLeft(words[1], ".usfb"))
	return bits / 8, err
}

// maxParameters is the most that a kernel has.
const maxParameters = 16

// kernelFunction is a kernel on a device.
type kernelFunction struct {
	entry
	handle uintptr // CUfunction
}

// function returns the kernel of a name, and loads its file where that is needed.
func (t *Thread) function(name string) (*kernelFunction, error) {
	if f := t.kernels[name]; f != nil {
		return f, nil
	}
	all, err := entries()
	if err != nil {
		return nil, err
	}
	e, ok := all[name]
	if !ok {
		return nil, fmt.Errorf("there is no kernel %s", name)
	}
	module, err := t.module(e.file)
	if err != nil {
		return nil, err
	}
	f := &kernelFunction{entry: e}
	text := append([]byte(name), 0)
	err = t.call(cuModuleGetFunction, uintptr(unsafe.Pointer(&f.handle)), module, uintptr(unsafe.Pointer(&text[0])))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	t.kernels[name] = f
	return f, nil
}

// Options of the driver's compiler: CU_JIT_ERROR_LOG_BUFFER and its size.
const (
	jitErrorLog     = 5
	jitErrorLogSize = 6
)

// module loads a file of kernels, which the driver compiles for the device.
func (t *Thread) module(file string) (uintptr, error) {
	if m, ok := t.modules[file]; ok {
		return m, nil
	}
	text, err := compiled.ReadFile("kernels/" + file)
	if err != nil {
		return 0, err
	}
	text = append(text, 0)
	log := make([]byte, 8192)
	options := []int32{jitErrorLog, jitErrorLogSize}
	var pin runtime.Pinner
	pin.Pin(&log[0])
	defer pin.Unpin()
	values := []uintptr{uintptr(unsafe.Pointer(&log[0])), uintptr(len(log))}
	var module uintptr
	err = t.call(cuModuleLoadDataEx, uintptr(unsafe.Pointer(&module)), uintptr(unsafe.Pointer(&text[0])),
		uintptr(len(options)), uintptr(unsafe.Pointer(&options[0])), uintptr(unsafe.Pointer(&values[0])))
	if err != nil {
		said, _, _ := bytes.Cut(log, []byte{0})
		return 0, fmt.Errorf("%s: %w %s", file, err, bytes.TrimSpace(said))
	}
	t.modules[file] = module
	return module, nil
}

// team is how many threads a block has; see kernels/device.h.
const team = 256

// blocks says how many blocks a kernel has.
type blocks struct{ x, y int }

// over has a thread for each of n elements, and more elements for each thread where they
// are very many.
func over(n int) blocks { return blocks{min((n+team-1)/team, 1<<20), 1} }

// word is a parameter that takes 4 bytes, where an int takes 8.
type word int

// launch adds a kernel to s: the one of this name for T. Its parameters are buffers, ints,
// words, numbers of type T or float64, and windows, in the order in which the kernel has
// them.
func launch[T kernel.Float](s *Stream, name string, grid blocks, parameters ...any) error {
	if grid.x == 0 || grid.y == 0 {
		return nil
	}
	name += suffix[T]()
	if grid.x < 0 || int(int32(grid.x)) != grid.x || grid.y < 0 || grid.y > 1<<16-1 {
		return fmt.Errorf("%s: %d×%d blocks", name, grid.x, grid.y)
	}
	t := s.thread
	f, err := t.function(name)
	if err != nil {
		return err
	}
	if len(parameters) != len(f.sizes) {
		return fmt.Errorf("%s: %d parameters; want %d", name, len(parameters), len(f.sizes))
	}
	at := 0
	for i, p := range parameters {
		size := t.put(at, p)
		if size != f.sizes[i] {
			return fmt.Errorf("%s: parameter %d has %d bytes; want %d", name, i, size, f.sizes[i])
		}
		t.pointer[i] = unsafe.Pointer(&t.cells[at])
		at += (size + 7) / 8
	}
	err = t.call(cuLaunchKernel, f.handle, uintptr(grid.x), uintptr(grid.y), 1, team, 1, 1, 0, s.handle,
		uintptr(unsafe.Pointer(&t.pointer[0])), 0)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// put writes a parameter to the cells from at on, and returns its bytes.
func (t *Thread) put(at int, parameter any) int {
	cell := unsafe.Pointer(&t.cells[at])
	switch p := parameter.(type) {
	case interface{ location() uintptr }:
		*(*uintptr)(cell) = p.location()
		return 8
	case int:
		*(*int64)(cell) = int64(p)
		return 8
	case word:
		*(*int32)(cell) = int32(p)
		return 4
	case float32:
		*(*float32)(cell) = p
		return 4
	case float64:
		*(*float64)(cell) = p
		return 8
	case window:
		*(*window)(cell) = p
		return int(unsafe.Sizeof(p))
	}
	panic(fmt.Sprintf("cuda: a parameter of type %T", parameter))
}

func (b Buffer[T]) location() uintptr { return b.address }

// suffix is what the kernels of a precision end with.
func suffix[T kernel.Float]() string {
	if sizeOf[T]() == 4 {
		return "_float32"
	}
	return "_float64"
}

// need is how many elements a kernel reads or writes of a buffer.
type need struct {
	name       string
	have, want int
}

// check returns an error of a call for the first buffer that is too short.
func check(call string, needs ...need) error {
	for _, n := range needs {
		if n.want < 0 {
			return fmt.Errorf("%s: %s: a negative size", call, n.name)
		}
		if n.have < n.want {
			return fmt.Errorf("%s: %s has %d elements; want %d", call, n.name, n.have, n.want)
		}
	}
	return nil
}

// checkInts returns an error for the first size that the kernels, whose ints have 32
// bits, do not take.
func checkInts(call string, sizes ...int) error {
	for _, v := range sizes {
		if v < 0 || int(int32(v)) != v {
			return fmt.Errorf("%s: a size of %d; want 31 bits", call, v)
		}
	}
	return nil
}
