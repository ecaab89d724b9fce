package onnxio

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// zeros is content of n bytes that takes no memory.
func zeros(n int64) Data {
	return Generate(n, func(w io.Writer) error {
		var block [4096]byte
		for n := n; n > 0; n -= int64(len(block)) {
			if _, err := w.Write(block[:min(n, int64(len(block)))]); err != nil {
				return err
			}
		}
		return nil
	})
}

// counting is a model with tensors of 1 MiB, 1 KiB and 4 bytes, a subgraph with
// one of 2 KiB, all float32 and each element its index.
func counting() *Model {
	tensor := func(name string, n int) *Tensor {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(i)
		}
		return NewTensor(name, []int64{int64(n)}, v)
	}
	inner := &Graph{Name: "inner", Initializers: []*Tensor{tensor("d", 512)}}
	return &Model{IRVersion: 10, Opsets: []Opset{{"", 17}}, Graph: &Graph{
		Name:         "g",
		Initializers: []*Tensor{tensor("odd", 300), tensor("a", 1<<18), tensor("b", 256), tensor("c", 1)},
		Nodes: []*Node{{
			OpType:     "If",
			Attributes: []*Attribute{{Name: "then_branch", Type: AttrGraph, G: inner}},
		}},
	}}
}

func checkCounting(t *testing.T, m *Model) {
	t.Helper()
	n := 0
	m.tensors(func(x *Tensor) {
		n++
		got, err := Floats[float32](x)
		if err != nil {
			t.Error(err)
		}
		for i := range got {
			if got[i] != float32(i) {
				t.Fatalf("tensor %q: element %d is %v", x.Name, i, got[i])
			}
		}
	})
	if n != 5 {
		t.Errorf("%d tensors, want 5", n)
	}
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestWriteExternal(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.onnx")
	write := func(m *Model, o WriteOptions) Written {
		t.Helper()
		w, err := Write(path, m, o)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	// read reads the model back and says in which file each tensor is.
	read := func() (*Model, map[string]string) {
		t.Helper()
		m, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		checkCounting(t, m)
		where := make(map[string]string)
		m.tensors(func(x *Tensor) {
			if r, ok := x.Data.(region); ok {
				where[x.Name] = r.location
				if r.offset%alignSmall != 0 || r.length >= largeTensor && r.offset%alignLarge != 0 {
					t.Errorf("tensor %q is at %d", x.Name, r.offset)
				}
			}
		})
		return m, where
	}
	files := func(want ...string) {
		t.Helper()
		if got := list(t, dir); !slices.Equal(got, want) {
			t.Errorf("the folder holds %v, want %v", got, want)
		}
	}

	w := write(counting(), WriteOptions{External: ExternalAlways})
	if w.DataPath != path+".data" || w.Path != path {
		t.Errorf("got %+v", w)
	}
	for name, size := range map[string]int64{w.Path: w.Bytes, w.DataPath: w.DataBytes} {
		if info, err := os.Stat(name); err != nil || info.Size() != size {
			t.Errorf("%s: want %d bytes: %v, %v", name, size, info, err)
		}
	}
	m, where := read()
	if len(where) != 4 || where["a"] != "out.onnx.data" || where["d"] != "out.onnx.data" {
		t.Errorf("external are %v, want odd, a, b and d", where)
	}
	files("out.onnx", "out.onnx.data")

	// A model written over itself copies from the file that it replaces.
	if w := write(m, WriteOptions{External: ExternalAlways}); w.DataPath != path+".1.data" {
		t.Errorf("got %+v", w)
	}
	files("out.onnx", "out.onnx.1.data")
	m, _ = read()
	write(m, WriteOptions{External: ExternalAlways})
	files("out.onnx", "out.onnx.data")

	// Data that another model mentions stays, as does what is not ours.
	other := filepath.Join(dir, "copy.onnx")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(other, b, 0o666), os.WriteFile(path+".x.data", nil, 0o666)); err != nil {
		t.Fatal(err)
	}
	m, _ = read()
	write(m, WriteOptions{})
	files("copy.onnx", "out.onnx", "out.onnx.data", "out.onnx.x.data")
	if _, where := read(); len(where) != 0 {
		t.Errorf("a small model has external data: %v", where)
	}
	if c, err := Read(other); err != nil {
		t.Error(err)
	} else {
		checkCounting(t, c)
	}
}

func TestWriteOverTheLimit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.onnx")
	if _, err := Write(path, counting(), WriteOptions{limit: 1 << 20, External: ExternalNever}); err == nil ||
		!strings.Contains(err.Error(), "more than the 1048576 of a protobuf message; allow external data") {
		t.Errorf("never: got error %v", err)
	}
	if _, err := Write(path, counting(), WriteOptions{limit: 100}); err == nil {
		t.Error("a model whose graph alone is too large was written")
	}
	if got := list(t, dir); len(got) != 0 {
		t.Errorf("failing writes left %v", got)
	}
	w, err := Write(path, counting(), WriteOptions{limit: 1 << 20})
	if err != nil || w.DataBytes < 1<<20 {
		t.Errorf("auto: %+v, %v", w, err)
	}
	huge := counting()
	huge.Graph.Initializers[0] = &Tensor{Name: "h", Type: Float32, Dims: []int64{1 << 30}, Data: zeros(4 << 30)}
	if _, err := WriteTo(io.Discard, huge); err == nil || !strings.Contains(err.Error(), "more than the 2147483647") {
		t.Errorf("4 GiB in one message: got error %v", err)
	}
}

// A write that fails leaves the old model and its data, and nothing else.
func TestFailingWriteLeavesNoFile(t *testing.T) {
	boom := errors.New("boom")
	for _, external := range []ExternalData{ExternalNever, ExternalAlways} {
		for _, c := range []struct {
			name string
			data Data
			want string
		}{
			{"fails midway", Generate(2<<20, func(w io.Writer) error {
				if _, err := w.Write(make([]byte, 3<<19)); err != nil {
					return err
				}
				return boom
			}), "boom"},
			{
				"too little", Generate(2<<20, func(io.Writer) error { return nil }),
				"generated 0 bytes of a tensor of 2097152",
			},
			{"too much", Generate(2<<20, func(w io.Writer) error {
				_, err := w.Write(make([]byte, 2<<20+1))
				return err
			}), "generated 1 bytes more"},
			{"not what the dimensions say", zeros(5), "need 2097152 bytes, got 5"},
		} {
			dir := t.TempDir()
			path := filepath.Join(dir, "out.onnx")
			bad := counting()
			bad.Graph.Initializers[1] = &Tensor{Name: "w", Type: Float32, Dims: []int64{1 << 19}, Data: c.data}
			check := func(want ...string) {
				t.Helper()
				_, err := Write(path, bad, WriteOptions{External: external})
				if err == nil || !strings.Contains(err.Error(), c.want) ||
					!strings.Contains(err.Error(), `tensor "w"`) || !strings.HasPrefix(err.Error(), path) {
					t.Errorf("%s, %s: got error %v, want %q", external, c.name, err, c.want)
				}
				if got := list(t, dir); !slices.Equal(got, want) {
					t.Errorf("%s, %s: the folder holds %v, want %v", external, c.name, got, want)
				}
			}
			check()
			if _, err := Write(path, counting(), WriteOptions{External: ExternalAlways}); err != nil {
				t.Fatal(err)
			}
			check("out.onnx", "out.onnx.data")
			m, err := Read(path)
			if err != nil {
				t.Fatal(err)
			}
			checkCounting(t, m)
		}
	}
}

// An interrupt in the middle of a write is a failure like any other.
func TestWriteStopsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	m := counting()
	m.Graph.Initializers[1] = &Tensor{
		Name: "w", Type: Float32, Dims: []int64{1 << 24},
		Data: Generate(1<<26, func(w io.Writer) error {
			cancel()
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return err
				}
			}
		}),
	}
	_, err := WriteContext(ctx, filepath.Join(dir, "out.onnx"), m, WriteOptions{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want that of the context", err)
	}
	if got := list(t, dir); len(got) != 0 {
		t.Errorf("the write left %v", got)
	}
}

func TestWriteRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := Write(dir, counting(), WriteOptions{}); err == nil ||
		!strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("onto a folder: got error %v", err)
	}
	if _, err := Write(filepath.Join(dir, "none", "out.onnx"), counting(), WriteOptions{}); err == nil {
		t.Error("into a folder that is not there: no error")
	}
	if _, err := Write(filepath.Join(dir, "out.onnx"), counting(), WriteOptions{External: "maybe"}); err == nil ||
		!strings.Contains(err.Error(), `external data "maybe": want auto, always or never`) {
		t.Errorf("unknown option: got error %v", err)
	}
	if _, err := Write(filepath.Join(dir, "out.onnx"), &Model{}, WriteOptions{}); err == nil ||
		!strings.Contains(err.Error(), "no graph") {
		t.Errorf("no graph: got error %v", err)
	}
	if got := list(t, dir); len(got) != 0 {
		t.Errorf("failing writes left %v", got)
	}
}

func TestWriteKeepsPermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // it has none of these
	}
	path := filepath.Join(t.TempDir(), "out.onnx")
	if err := errors.Join(os.WriteFile(path, nil, 0o640), os.Chmod(path, 0o640)); err != nil { // whatever the umask
		t.Fatal(err)
	}
	if _, err := Write(path, counting(), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode is %v, %v; want that of the file replaced", info.Mode(), err)
	}
}

// Memory does not grow with what is written.
func TestWriteStreams(t *testing.T) {
	const size = 256 << 20
	m := counting()
	m.Graph.Initializers = append(m.Graph.Initializers,
		&Tensor{Name: "big", Type: Float32, Dims: []int64{size / 4}, Data: zeros(size)})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, err := WriteTo(io.Discard, m)
	if err != nil || n < size {
		t.Fatal(n, err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20 {
		t.Errorf("writing %d bytes allocated %d", size, got)
	}
}

// Two writes of one model are the same bytes.
func TestWriteIsDeterministic(t *testing.T) {
	var a, b bytes.Buffer
	_, errA := WriteTo(&a, counting())
	_, errB := WriteTo(&b, counting())
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two writes differ")
	}
}
