package cuda

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"

	"efcn/internal/kernel"
)

// The functions of cuBLAS that are called.
const (
	cublasCreate = iota
	cublasDestroy
	cublasGemmEx
	cublasGemmStridedBatchedEx
	cublasGetStatusName
	cublasGetStatusString
	cublasSetPointerMode
	cublasSetStream
	cublasSetWorkspace
	blasFunctions
)

var blasNames = [blasFunctions]string{
	"cublasCreate_v2", "cublasDestroy_v2", "cublasGemmEx_64", "cublasGemmStridedBatchedEx_64", "cublasGetStatusName",
	"cublasGetStatusString", "cublasSetPointerMode_v2", "cublasSetStream_v2", "cublasSetWorkspace_v2",
}

// callBLAS calls a function of cuBLAS. Pointers of arguments are converted in the call.
//
//go:uintptrescapes
func (l *Library) callBLAS(function int, args ...uintptr) error {
	code, _, _ := purego.SyscallN(l.blas.address[function], args...)
	if int32(code) == 0 {
		return nil
	}
	e := &Error{Call: blasNames[function], Code: -int(int32(code))} // apart from the driver's codes
	for f, to := range map[int]*string{cublasGetStatusName: &e.Name, cublasGetStatusString: &e.Text} {
		text, _, _ := purego.SyscallN(l.blas.address[f], uintptr(int32(code)))
		if text != 0 {
			// The double indirection is for go vet: the address is C's, no Go object moves
			// under it.
			*to = goString(*(**byte)(unsafe.Pointer(&text)))
		}
	}
	return e
}

// workspaceSize is what NVIDIA recommends on the newest cards. cuBLAS gets it from us, so
// that it allocates nothing while work is captured.
const workspaceSize = 32 << 20

// readyBLAS makes what products of a stream need.
func (s *Stream) readyBLAS() error {
	if s.blas != 0 {
		return nil
	}
	l := s.thread.device.library
	workspace, err := Alloc[byte](s.thread, workspaceSize)
	if err != nil {
		return err
	}
	var handle uintptr
	if err := l.callBLAS(cublasCreate, uintptr(unsafe.Pointer(&handle))); err != nil {
		return errors.Join(err, workspace.Free(s.thread))
	}
	s.blas, s.workspace = handle, workspace
	// In this order: another stream takes the workspace away.
	return errors.Join(
		l.callBLAS(cublasSetStream, handle, s.handle),
		l.callBLAS(cublasSetWorkspace, handle, workspace.address, workspace.bytes()),
	)
}

// Product is c = alpha·op(a)·op(b) + beta·c, or several of them, as [kernel.Gemm] has it:
// op(a) is M×K, op(b) K×N and c M×N, row-major; op transposes where TransA or TransB is
// set. With beta = 0, c is not read.
type Product[T kernel.Float] struct {
	TransA, TransB bool
	M, N, K        int
	Alpha, Beta    T
	// Factors, unless it is empty, holds alpha and beta when the product is computed:
	// what a captured step needs where they change.
	Factors       Buffer[T]
	A, B, C       Buffer[T]
	LDA, LDB, LDC int // from a row to the next; 0: no gaps
	// Count is how many products there are; 0 means 1. The matrices of the next begin
	// StrideA, StrideB and StrideC elements behind.
	Count                     int
	StrideA, StrideB, StrideC int
}

// Values of cuBLAS: cublasPointerMode_t, cudaDataType, cublasComputeType_t, and
// CUBLAS_GEMM_DEFAULT.
const (
	onHost, onDevice      = 0, 1
	real32, real64        = 0, 1
	compute32, computeT32 = 68, 77
	compute64             = 70
	defaultAlgorithm      = -1
)

// Gemm adds products to s. Matrices that are too short are an error.
func Gemm[T kernel.Float](s *Stream, p Product[T]) error {
	if p.Count == 0 {
		p.Count = 1
	}
	rows := func(trans bool, rows, cols int, ld *int) [2]int {
		if trans {
			rows, cols = cols, rows
		}
		if *ld == 0 {
			*ld = max(1, cols)
		}
		return [2]int{rows, cols}
	}
	shapes := [3][2]int{
		rows(p.TransA, p.M, p.K, &p.LDA), rows(p.TransB, p.K, p.N, &p.LDB), rows(false, p.M, p.N, &p.LDC),
	}
	if err := p.check(shapes); err != nil {
		return fmt.Errorf("gemm of %d×%d×%d: %w", p.M, p.N, p.K, err)
	}
	if p.M == 0 || p.N == 0 {
		return nil
	}
	if err := s.readyBLAS(); err != nil {
		return err
	}
	t, l := s.thread, s.thread.device.library
	mode, alpha, beta := onHost, uintptr(unsafe.Pointer(&t.factors[0])), uintptr(unsafe.Pointer(&t.factors[1]))
	*(*T)(unsafe.Pointer(&t.factors[0])), *(*T)(unsafe.Pointer(&t.factors[1])) = p.Alpha, p.Beta
	if p.Factors.n > 0 {
		mode, alpha, beta = onDevice, p.Factors.address, p.Factors.address+uintptr(sizeOf[T]())
	}
	if err := l.callBLAS(cublasSetPointerMode, s.blas, uintptr(mode)); err != nil {
		return err
	}
	kind, compute := uintptr(real32), uintptr(compute32)
	switch {
	case sizeOf[T]() == 8:
		kind, compute = real64, compute64
	case t.device.tf32:
		compute = computeT32
	}
	// cuBLAS has columns where we have rows: its product is cᵀ = op(b)ᵀ·op(a)ᵀ, of what it
	// takes for the transposed matrices.
	algorithm := defaultAlgorithm
	m, n, k := uintptr(p.N), uintptr(p.M), uintptr(p.K)
	if p.Count == 1 {
		return l.callBLAS(cublasGemmEx, s.blas, flag(p.TransB), flag(p.TransA), m, n, k, alpha,
			p.B.address, kind, uintptr(p.LDB), p.A.address, kind, uintptr(p.LDA), beta,
			p.C.address, kind, uintptr(p.LDC), compute, uintptr(algorithm))
	}
	return l.callBLAS(cublasGemmStridedBatchedEx, s.blas, flag(p.TransB), flag(p.TransA), m, n, k, alpha,
		p.B.address, kind, uintptr(p.LDB), uintptr(p.StrideB), p.A.address, kind, uintptr(p.LDA), uintptr(p.StrideA), beta,
		p.C.address, kind, uintptr(p.LDC), uintptr(p.StrideC), uintptr(p.Count), compute, uintptr(algorithm))
}

// check reports sizes that are negative and matrices that are too short for shapes, those
// of a, b and c as they are stored.
func (p *Product[T]) check(shapes [3][2]int) error {
	if p.M < 0 || p.N < 0 || p.K < 0 || p.Count < 0 {
		return fmt.Errorf("%d of them: a negative size", p.Count)
	}
	if p.Factors.n != 0 && p.Factors.n != 2 {
		return fmt.Errorf("factors: want 2 elements, got %d", p.Factors.n)
	}
	for i, m := range []struct {
		name       string
		have       int
		ld, stride int
	}{{"a", p.A.n, p.LDA, p.StrideA}, {"b", p.B.n, p.LDB, p.StrideB}, {"c", p.C.n, p.LDC, p.StrideC}} {
		rows, cols := shapes[i][0], shapes[i][1]
		if m.ld < max(1, cols) || m.stride < 0 {
			return fmt.Errorf("%s: rows of %d elements begin %d apart, matrices %d", m.name, cols, m.ld, m.stride)
		}
		if rows == 0 || cols == 0 {
			continue
		}
		if want := (p.Count-1)*m.stride + (rows-1)*m.ld + cols; p.Count > 0 && m.have < want {
			return fmt.Errorf("%s: want %d elements, got %d", m.name, want, m.have)
		}
	}
	return nil
}

func flag(v bool) uintptr {
	if v {
		return 1
	}
	return 0
}
