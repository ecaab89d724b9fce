package kernel

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// openblas multiplies with an OpenBLAS library that was found at run time.
//
// It calls the Fortran interface, sgemm_ and dgemm_, in which every argument is
// a pointer. Integers are passed as 64-bit cells, of which a library built with
// 32-bit integers reads the low half on the little-endian machines we run on:
// so a library of either width is called rightly, and no float travels by value.
type openblas struct {
	file, config   string
	single, double uintptr

	// shared: several goroutines may be inside the library at once.
	// A build without threads may lack the locks for it, and one on OpenMP
	// would start a team for every caller: there, calls take turns at serial,
	// and the library cuts the product itself.
	shared     bool
	serial     sync.Mutex
	setThreads uintptr
}

// chooseBackend returns OpenBLAS, or what stands in for it where it is switched off
// or not found. choice is the value of EFCN_OPENBLAS.
func chooseBackend(choice string) backend {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		return standIn()
	}
	switch choice {
	case "off":
		return standIn()
	case "":
		for _, file := range libraryNames() {
			if lib, err := openLibrary(file); err == nil {
				return lib
			}
		}
		return standIn()
	default:
		lib, err := openLibrary(choice)
		if err != nil {
			// A wrong choice costs speed, not correctness: it is shown where
			// the BLAS is shown.
			return noted{standIn(), fmt.Sprintf(" (EFCN_OPENBLAS=%s: %v)", choice, err)}
		}
		return lib
	}
}

// standIn is the best backend there is without OpenBLAS.
func standIn() backend {
	if own, ok := packed(); ok {
		return own
	}
	return gonumBLAS{}
}

// noted is a backend with the reason why it was taken in its name.
type noted struct {
	backend
	note string
}

func (n noted) String() string { return n.backend.String() + n.note }

// libraryNames lists what OpenBLAS is called, with 32-bit integers and with
// 64-bit ones, in the loader's path and in the places that package managers of
// macOS use.
func libraryNames() []string {
	switch runtime.GOOS {
	case "darwin":
		return []string{
			"libopenblas.dylib",
			"/opt/homebrew/opt/openblas/lib/libopenblas.dylib",
			"/usr/local/opt/openblas/lib/libopenblas.dylib",
			"/opt/local/lib/libopenblas.dylib",
			"libscipy_openblas.dylib",
		}
	case "windows":
		return []string{"libopenblas.dll", "openblas.dll", "libopenblas64_.dll", "libscipy_openblas.dll"}
	default:
		return []string{
			"libopenblas.so.0", "libopenblas.so", "libopenblasp.so.0", "libopenblas64.so.0",
			"libopenblas64_.so.0", "libopenblas64_.so", "libscipy_openblas.so", "libscipy_openblas64_.so",
		}
	}
}

// spellings are the decorations that builds put on names: none, the suffix of
// 64-bit integers, and the prefix of the wheels that NumPy and SciPy ship.
var spellings = [...]struct{ prefix, suffix string }{
	{"", ""}, {"", "64_"}, {"scipy_", ""}, {"scipy_", "64_"},
}

func openLibrary(file string) (*openblas, error) {
	handle, err := loadLibrary(file)
	if err != nil {
		return nil, err
	}
	for _, s := range spellings {
		symbol := func(name string) uintptr {
			address, err := librarySymbol(handle, s.prefix+name+s.suffix)
			if err != nil {
				return 0
			}
			return address
		}
		lib := &openblas{
			file: file, single: symbol("sgemm_"), double: symbol("dgemm_"),
			setThreads: symbol("openblas_set_num_threads"),
		}
		config, parallel := symbol("openblas_get_config"), symbol("openblas_get_parallel")
		// The openblas_ functions set a real OpenBLAS apart from any other BLAS
		// that someone has put under its name.
		if lib.single == 0 || lib.double == 0 || lib.setThreads == 0 || config == 0 || parallel == 0 {
			continue
		}
		lib.config = callString(config)
		kind, _, _ := purego.SyscallN(parallel)
		const pthreads = 1
		lib.shared = int32(kind) == pthreads
		if lib.shared {
			// Gemm does the cutting; the library's own threads would spin
			// beside our goroutines.
			purego.SyscallN(lib.setThreads, 1)
		}
		if err := lib.probe(); err != nil {
			return nil, err
		}
		return lib, nil
	}
	return nil, errors.New("not an OpenBLAS library")
}

// probe multiplies a small product whose result is known.
func (l *openblas) probe() error {
	a, b := []float64{1, 2, 3, 4, 5, 6}, []float64{7, 8, 9, 10, 11, 12}
	want := [...]float64{58, 64, 139, 154}
	c := []float64{-1, -1, -1, -1}
	l.dgemm(1, false, false, 2, 2, 3, 1, a, 3, b, 2, 0, c, 2)
	c32 := []float32{-1, -1}
	l.sgemm(1, true, true, 1, 2, 3, 2, []float32{1, 2, 3}, 1, []float32{7, 9, 11, 8, 10, 12}, 3, 1, c32, 2)
	if [4]float64(c) != want || [2]float32(c32) != [2]float32{115, 127} {
		return fmt.Errorf("%s multiplies wrongly", l.file)
	}
	return nil
}

// callString calls a C function that returns a static string.
func callString(function uintptr) string {
	address, _, _ := purego.SyscallN(function)
	if address == 0 {
		return ""
	}
	var text strings.Builder
	// The double indirection is for go vet: the address is C's, no Go object
	// moves under it.
	for p := *(*unsafe.Pointer)(unsafe.Pointer(&address)); *(*byte)(p) != 0 && text.Len() < 512; p = unsafe.Add(p, 1) {
		text.WriteByte(*(*byte)(p))
	}
	return text.String()
}

func (l *openblas) String() string {
	return fmt.Sprintf("%s (%s)", strings.TrimSpace(l.config), l.file)
}

// tile gives each thread one piece, cut along the longer side: a piece packs
// both its operands anew, so fewer and larger is better.
func (l *openblas) tile(m, n, _ int) (rows, cols int) {
	if !l.shared {
		return m, n
	}
	t := Threads()
	if m > n {
		return roundUp((m+t-1)/t, 16), n
	}
	return m, roundUp((n+t-1)/t, 16)
}

func roundUp(n, multiple int) int { return (n + multiple - 1) / multiple * multiple }

// enter and leave surround every product.
func (l *openblas) enter(threads int) {
	if l.shared {
		return
	}
	l.serial.Lock()
	// OpenMP keeps the number of threads for each caller's thread apart.
	runtime.LockOSThread()
	purego.SyscallN(l.setThreads, uintptr(threads))
}

func (l *openblas) leave() {
	if l.shared {
		return
	}
	runtime.UnlockOSThread()
	l.serial.Unlock()
}

// call holds the arguments of one call: the cells, and the addresses of these and
// of the matrices. It lives on the heap and makes the matrices live there too, since
// Go's stacks move and the library must not lose them. Calls are reused: there is
// one for every image of a convolution.
type call struct {
	arguments [13]unsafe.Pointer
	lengths   [2]uintptr // of the two strings, which Fortran passes last

	transA, transB         [8]byte
	m, n, k, lda, ldb, ldc int64
	alpha32, beta32        float32
	alpha64, beta64        float64
}

var calls = sync.Pool{New: func() any { return new(call) }}

func newCall(transA, transB bool, m, n, k, lda, ldb, ldc int) *call {
	p := calls.Get().(*call)
	p.m, p.n, p.k, p.lda, p.ldb, p.ldc = int64(m), int64(n), int64(k), int64(lda), int64(ldb), int64(ldc)
	p.transA[0], p.transB[0] = 'N', 'N'
	if transA {
		p.transA[0] = 'T'
	}
	if transB {
		p.transB[0] = 'T'
	}
	return p
}

// callGemm calls the library, and then forgets the matrices. alpha and beta point into p.
// Fortran is column-major, in which our row-major c is its transpose: cᵀ =
// op(b)ᵀ·op(a)ᵀ, so the operands change places.
func callGemm[T Float](p *call, l *openblas, function uintptr, threads int, alpha *T, a, b []T, beta *T, c []T) {
	p.arguments = [...]unsafe.Pointer{
		unsafe.Pointer(&p.transB), unsafe.Pointer(&p.transA),
		unsafe.Pointer(&p.n), unsafe.Pointer(&p.m), unsafe.Pointer(&p.k),
		unsafe.Pointer(alpha), unsafe.Pointer(&b[0]), unsafe.Pointer(&p.ldb), unsafe.Pointer(&a[0]),
		unsafe.Pointer(&p.lda), unsafe.Pointer(beta), unsafe.Pointer(&c[0]), unsafe.Pointer(&p.ldc),
	}
	p.lengths = [...]uintptr{1, 1}
	l.enter(threads)
	cells := unsafe.Slice((*uintptr)(unsafe.Pointer(&p.arguments)), len(p.arguments)+len(p.lengths))
	purego.SyscallN(function, cells...)
	l.leave()
	p.arguments = [len(p.arguments)]unsafe.Pointer{}
	calls.Put(p)
}

func (l *openblas) sgemm(
	threads int, transA, transB bool, m, n, k int,
	alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int,
) {
	p := newCall(transA, transB, m, n, k, lda, ldb, ldc)
	p.alpha32, p.beta32 = alpha, beta
	callGemm(p, l, l.single, threads, &p.alpha32, a, b, &p.beta32, c)
}

func (l *openblas) dgemm(
	threads int, transA, transB bool, m, n, k int,
	alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int,
) {
	p := newCall(transA, transB, m, n, k, lda, ldb, ldc)
	p.alpha64, p.beta64 = alpha, beta
	callGemm(p, l, l.double, threads, &p.alpha64, a, b, &p.beta64, c)
}
