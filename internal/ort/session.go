// Package ort runs models in ONNX Runtime, whose shared library it finds at run
// time: a second opinion from an engine that shares no code with ours.
//
// Start with [Load], then [Library.Open] and [Session.Run].
//
// The C API (onnxruntime_c_api.h) is called without cgo, so that a program built
// without a C compiler, or for another system, can use it.
package ort

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"efcn/onnxio"
)

// Session is a model that ONNX Runtime has loaded, on the CPU and with its
// default optimisations. One goroutine at a time may use it.
type Session struct {
	*Library
	env, session, allocator uintptr
	inputs, outputs         []*onnxio.ValueInfo
	folder                  string // of the file that was made of a model without one
}

// Open loads m from its file, or if it has none from one made of it in the
// system's folder for temporary files, which Close removes. threads is how many
// ONNX Runtime may compute on, 0 for as many as it likes.
func (l *Library) Open(ctx context.Context, m *onnxio.Model, threads int) (*Session, error) {
	s := &Session{Library: l, inputs: m.Graph.FeedInputs(), outputs: m.Graph.Outputs}
	if len(s.inputs) == 0 || len(s.outputs) == 0 {
		return nil, errors.New("ONNX Runtime runs models with an input and an output")
	}
	err := s.load(ctx, m, threads)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Session) load(ctx context.Context, m *onnxio.Model, threads int) error {
	file := m.Path
	if file == "" {
		var err error
		if s.folder, err = os.MkdirTemp("", "efcn-"); err != nil {
			return err
		}
		file = filepath.Join(s.folder, "model.onnx")
		if _, err = onnxio.WriteContext(ctx, file, m, onnxio.WriteOptions{}); err != nil {
			return err
		}
	}
	path, err := cPath(file)
	if err != nil {
		return err
	}
	id := []byte("efcn\x00")
	if err := s.call(createEnv, logFatal, uintptr(unsafe.Pointer(&id[0])),
		uintptr(unsafe.Pointer(&s.env))); err != nil {
		return says(err)
	}
	// Some builds report what is run to their maker unless told not to.
	if err := s.call(disableTelemetryEvents, s.env); err != nil {
		return says(err)
	}
	if err := s.call(getAllocatorWithDefaultOptions, uintptr(unsafe.Pointer(&s.allocator))); err != nil {
		return says(err)
	}
	var options uintptr
	if err := s.call(createSessionOptions, uintptr(unsafe.Pointer(&options))); err != nil {
		return says(err)
	}
	defer s.release(releaseSessionOptions, options)
	if err := s.call(setIntraOpNumThreads, options, uintptr(threads)); err != nil {
		return says(err)
	}
	return says(s.call(createSession, s.env, uintptr(unsafe.Pointer(&path[0])), options,
		uintptr(unsafe.Pointer(&s.session))))
}

// says puts the name of the engine before what it said.
func says(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("ONNX Runtime: %w", err)
}

// Close frees what the session holds. It must not be used afterwards.
func (s *Session) Close() error {
	s.release(releaseSession, s.session)
	s.release(releaseEnv, s.env)
	s.session, s.env = 0, 0
	if s.folder == "" {
		return nil
	}
	return os.RemoveAll(s.folder)
}

// Run computes the outputs of the model, in the order of its graph, from inputs
// in the order of Graph.FeedInputs and of the types that it declares. It ends
// soon after ctx is done.
func (s *Session) Run(ctx context.Context, inputs []*onnxio.Tensor) ([]*onnxio.Tensor, error) {
	if len(inputs) != len(s.inputs) {
		return nil, fmt.Errorf("%d inputs; the model has %d", len(inputs), len(s.inputs))
	}
	in, out := newStrings(s.inputs), newStrings(s.outputs)
	defer in.free()
	defer out.free()
	given, results := make([]uintptr, len(s.inputs)), make([]uintptr, len(s.outputs))
	defer func() {
		for _, v := range append(given, results...) {
			s.release(releaseValue, v)
		}
	}()
	for i, t := range inputs {
		var err error
		if given[i], err = s.value(t); err != nil {
			return nil, fmt.Errorf("input %q: %w", s.inputs[i].Name, err)
		}
	}
	if err := s.compute(ctx, in, given, out, results); err != nil {
		return nil, err
	}
	outputs := make([]*onnxio.Tensor, len(results))
	for i, v := range results {
		t, err := s.tensor(v)
		if err != nil {
			return nil, fmt.Errorf("output %q: %w", s.outputs[i].Name, err)
		}
		t.Name = s.outputs[i].Name
		outputs[i] = t
	}
	return outputs, nil
}

// compute is the run itself, which ctx can end.
func (s *Session) compute(ctx context.Context, in *cStrings, given []uintptr, out *cStrings, results []uintptr) error {
	var options uintptr
	if err := s.call(createRunOptions, uintptr(unsafe.Pointer(&options))); err != nil {
		return says(err)
	}
	defer s.release(releaseRunOptions, options)
	told := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(told)
		_ = s.call(runOptionsSetTerminate, options) // else the run ends by itself
	})
	err := s.call(run, s.session, options,
		uintptr(unsafe.Pointer(&in.list[0])), uintptr(unsafe.Pointer(&given[0])), uintptr(len(given)),
		uintptr(unsafe.Pointer(&out.list[0])), uintptr(len(results)), uintptr(unsafe.Pointer(&results[0])))
	if !stop() {
		<-told // the options are to be freed
		return ctx.Err()
	}
	return says(err)
}

// value makes a value of the library from t, in the library's memory.
func (s *Session) value(t *onnxio.Tensor) (uintptr, error) {
	n, err := onnxio.NumElements(append([]int64{t.Type.Size()}, t.Dims...))
	if err != nil {
		return 0, err
	}
	if t.Data == nil || t.Data.Len() != n || t.Type.Size() == 0 {
		return 0, fmt.Errorf("%s %v cannot be handed to ONNX Runtime", t.Type, t.Dims)
	}
	var v, data uintptr
	dims := unsafe.Pointer(unsafe.SliceData(t.Dims))
	if err := s.call(createTensorAsOrtValue, s.allocator, uintptr(dims), uintptr(len(t.Dims)), uintptr(t.Type),
		uintptr(unsafe.Pointer(&v))); err != nil {
		return 0, says(err)
	}
	if err := s.call(getTensorMutableData, v, uintptr(unsafe.Pointer(&data))); err != nil {
		s.release(releaseValue, v)
		return 0, says(err)
	}
	if n == 0 {
		return v, nil
	}
	to := unsafe.Slice((*byte)(pointer(data)), n)
	for block, err := range onnxio.Blocks(t.Data, 1<<16) {
		if err != nil {
			s.release(releaseValue, v)
			return 0, err
		}
		to = to[copy(to, block):]
	}
	return v, nil
}

// tensor copies a value of the library.
func (s *Session) tensor(v uintptr) (*onnxio.Tensor, error) {
	var is int32
	if err := s.call(isTensor, v, uintptr(unsafe.Pointer(&is))); err != nil {
		return nil, says(err)
	}
	if is == 0 {
		return nil, errors.New("it is no tensor")
	}
	var info uintptr
	if err := s.call(getTensorTypeAndShape, v, uintptr(unsafe.Pointer(&info))); err != nil {
		return nil, says(err)
	}
	defer s.release(releaseTensorTypeAndShapeInfo, info)
	var elem int32 // ONNXTensorElementDataType has the numbers of TensorProto.DataType
	var rank uintptr
	if err := s.call(getTensorElementType, info, uintptr(unsafe.Pointer(&elem))); err != nil {
		return nil, says(err)
	}
	if err := s.call(getDimensionsCount, info, uintptr(unsafe.Pointer(&rank))); err != nil {
		return nil, says(err)
	}
	dims := make([]int64, rank)
	if rank > 0 {
		if err := s.call(getDimensions, info, uintptr(unsafe.Pointer(&dims[0])), rank); err != nil {
			return nil, says(err)
		}
	}
	t := onnxio.DataType(elem)
	n, err := onnxio.NumElements(append([]int64{t.Size()}, dims...))
	if err != nil {
		return nil, err
	}
	if t.Size() == 0 {
		return nil, fmt.Errorf("%s elements are not read", t)
	}
	content := make([]byte, n)
	if n > 0 {
		var data uintptr
		if err := s.call(getTensorMutableData, v, uintptr(unsafe.Pointer(&data))); err != nil {
			return nil, says(err)
		}
		copy(content, unsafe.Slice((*byte)(pointer(data)), n))
	}
	out := onnxio.NewTensor("", dims, content)
	out.Type = t
	return out, nil
}
