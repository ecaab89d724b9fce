package cuda

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"

	"efcn/internal/dynlib"
	"efcn/internal/kernel"
)

// deviceTests run on a GPU, or on the stand-in for one that testdata/standin/build makes.
var deviceTests = []struct {
	name string
	test func(*testing.T, *rig)
}{
	{"memory", testMemory},
	{"refusals", testRefusals},
	{"streams", testStreams},
	{"graph", testGraph},
	{"gemm", testGemm},
	{"elementwise", testElementwise},
	{"functions", testFunctions},
	{"sums", testSums},
	{"transpose", testTranspose},
	{"arrange", testArrange},
	{"local", testLocal},
	{"csr", testCSR},
	{"pooling", testPooling},
	{"p-norms of windows", testLpPooling},
	{"conv", testConv},
	{"batch normalisation", testNorm},
	{"loss", testLoss},
	{"softmax", testSoftmax},
	{"pairs", testPairs},
	{"reductions", testReduce},
	{"normalisation of groups", testGroupNorm},
	{"local response normalisation", testLRN},
	{"mixing", testMix},
	{"products of values", testProducts},
	{"optimisers", testOptimizers},
	{"ties and masks", testTies},
	{"a network", testNetwork},
}

// standInTests need what only the stand-in has: memory that is full when it should be,
// and a report of every wrong access.
var standInTests = []struct {
	name string
	test func(*testing.T, *standIn)
}{
	{"full at every allocation", testFull},
	{"wrong addresses", testWrongAddresses},
	{"a lost device", testLost},
	{"a driver that is of no use", testUnusable},
	{"TF32", testTF32},
}

// openForTest skips a test or benchmark where no GPU can be used.
func openForTest(t testing.TB) *Library {
	t.Helper()
	library, err := Open(Options{})
	var missing *NotFoundError
	var old *VersionError
	if errors.As(err, &missing) || errors.As(err, &old) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	devices, err := library.Devices()
	if err != nil {
		t.Fatal(err)
	}
	if devices[0].Major < oldest {
		t.Skip(devices[0])
	}
	return library
}

// TestDevice: everything that computes, on a device. Without one it is skipped; a step of
// .ci/run builds the stand-in and runs it.
func TestDevice(t *testing.T) {
	library := openForTest(t)
	device, err := library.Device(t.Context(), DeviceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(library, device)
	stand := newStandIn(t, library)
	r := &rig{device: device}
	ran := 0
	for _, c := range deviceTests {
		t.Run(c.name, func(t *testing.T) {
			before := stand.live()
			c.test(t, r)
			if live := stand.live(); live > before+r.kept(stand) {
				t.Errorf("%d things were made and not given back", live-before)
			}
			ran++
		})
		if r.lost {
			t.Fatalf("the device is lost: %s", stand.message())
		}
	}
	used := 0
	err = device.Do(t.Context(), func(t *Thread) error {
		used = len(t.kernels)
		return nil
	})
	if err != nil || used != kernelCount {
		t.Errorf("%d of %d kernels were used (%v)", used, kernelCount, err)
	}
	if err := device.Close(); err != nil {
		t.Error(err)
	}
	if live := stand.live(); live != 0 {
		t.Errorf("%d things are left when the device is closed", live)
	}
	if ran != 27 {
		t.Errorf("%d tests ran, want 27", ran)
	}
	if stand == nil {
		return
	}
	for _, c := range standInTests {
		t.Run(c.name, func(t *testing.T) { c.test(t, stand) })
		if live := stand.live(); live != 0 {
			t.Errorf("%s: %d things are left", c.name, live)
		}
		ran++
	}
	if ran != 32 {
		t.Errorf("%d tests ran, want 32", ran)
	}
}

// rig is a device under test.
type rig struct {
	device   *Device
	lost     bool
	lastKept int
}

// kept is how many things the thread has made for itself since the last call: what it
// keeps until it is closed.
func (r *rig) kept(s *standIn) int {
	if s == nil {
		return 0
	}
	n := 0
	_ = r.device.Do(context.Background(), func(t *Thread) error {
		n = len(t.modules)
		if t.stream.blas != 0 {
			n += 2
		}
		if len(t.staging.data) > 0 {
			n++
		}
		return nil
	})
	more := n - r.lastKept
	r.lastKept = n
	return more
}

// run runs f on the device's thread; what it gives to the arena is freed after. f does not
// end the test (t.Fatal): that would end the thread.
func (r *rig) run(t testing.TB, f func(a *arena)) {
	t.Helper()
	err := r.device.Do(t.Context(), func(th *Thread) error {
		a := &arena{t: t, thread: th, Stream: th.Stream()}
		f(a)
		errs := []error{th.Stream().Wait()}
		for _, free := range a.free {
			errs = append(errs, free())
		}
		return errors.Join(errs...)
	})
	r.lost = errors.Is(err, ErrLost)
	if err != nil {
		t.Fatal(err)
	}
}

// arena is where a test's buffers are made.
type arena struct {
	*Stream
	t      testing.TB
	thread *Thread
	free   []func() error
}

// do fails the test for an error. It does not end it: the device's thread goes on.
func (a *arena) do(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Error(err)
	}
}

// put makes memory with values.
func put[T Element](a *arena, values []T) Buffer[T] {
	a.t.Helper()
	b, err := Made(a.thread, values)
	return kept(a, b, len(values), err)
}

// kept frees b after the test. Where there is none, it returns one that no call takes, so
// that the test goes on to its end.
func kept[T Element](a *arena, b Buffer[T], n int, err error) Buffer[T] {
	a.t.Helper()
	if a.do(err); err != nil {
		return Buffer[T]{n: n}
	}
	a.free = append(a.free, func() error { return b.Free(a.thread) })
	return b
}

// room makes memory for n elements.
func room[T Element](a *arena, n int) Buffer[T] {
	a.t.Helper()
	b, err := Alloc[T](a.thread, n)
	return kept(a, b, n, err)
}

// get waits and reads.
func get[T Element](a *arena, b Buffer[T]) []T {
	a.t.Helper()
	values := make([]T, b.Len())
	a.do(Read(a.Stream, values, b))
	return values
}

// columns puts the batch last: rows of x, n×size, become columns.
func columns[T any](n int, x []T) []T {
	if n == 0 {
		return nil
	}
	size := len(x) / n
	y := make([]T, len(x))
	for i := range n {
		for j := range size {
			y[j*n+i] = x[i*size+j]
		}
	}
	return y
}

// samples puts the batch first again.
func samples[T any](n int, x []T) []T {
	if n == 0 {
		return nil
	}
	return columns(len(x)/n, x)
}

func random[T kernel.Float](rng *rand.Rand, n int) []T {
	v := make([]T, n)
	for i := range v {
		v[i] = T(rng.NormFloat64())
	}
	return v
}

// double and size convert for references in float64: the values, and their sizes.
func double[T kernel.Float](v []T) []float64 {
	d := make([]float64, len(v))
	for i, x := range v {
		d[i] = float64(x)
	}
	return d
}

func size[T kernel.Float](v []T) []float64 {
	d := double(v)
	for i, x := range d {
		d[i] = math.Abs(x)
	}
	return d
}

// unit is half the distance from 1 to the next number.
func unit[T kernel.Float]() float64 {
	if sizeOf[T]() == 4 {
		return 0x1p-24
	}
	return 0x1p-53
}

// near reports the first element of got that is further from want than a sum of so many
// terms, whose sizes add up to mass, can be by rounding.
func near[T kernel.Float](t *testing.T, what string, got []T, want, mass []float64, terms int) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d elements, want %d", what, len(got), len(want))
		return
	}
	for i, v := range got {
		if d := math.Abs(float64(v) - want[i]); !(d <= 2*float64(terms+2)*unit[T]()*mass[i]) {
			t.Errorf("%s: element %d of %d is %v; want %v, which differs by %.3g of %.3g", what, i, len(got), v, want[i], d,
				2*float64(terms+2)*unit[T]()*mass[i])
			return
		}
	}
}

// same reports the first element of got that is not that of want, to the bit; every NaN
// is the same.
func same[T kernel.Float](t *testing.T, what string, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d elements, want %d", what, len(got), len(want))
		return
	}
	for i, v := range got {
		w := want[i]
		if math.Float64bits(float64(v)) != math.Float64bits(float64(w)) && !(v != v && w != w) {
			t.Errorf("%s: element %d is %v, want %v", what, i, v, w)
			return
		}
	}
}

// standIn has the functions of the stand-in that a real driver has not.
type standIn struct {
	liveFunction, failFunction, leftFunction, loseFunction, capacityFunction, messageFunction uintptr
}

// newStandIn returns nil where the driver is a real one.
func newStandIn(t testing.TB, l *Library) *standIn {
	t.Helper()
	handle, err := dynlib.Open(l.driver.file, false)
	if err != nil {
		t.Fatal(err)
	}
	s := &standIn{}
	found := 0
	for name, to := range map[string]*uintptr{
		"standinLive": &s.liveFunction, "standinFail": &s.failFunction, "standinFailLeft": &s.leftFunction,
		"standinLose": &s.loseFunction, "standinCapacity": &s.capacityFunction, "standinMessage": &s.messageFunction,
	} {
		if *to, err = dynlib.Symbol(handle, name); err == nil {
			found++
		}
	}
	if found == 0 {
		return nil
	}
	if found != 6 {
		t.Fatalf("a stand-in with %d of 6 functions", found)
	}
	return s
}

// live counts what was made and not destroyed.
func (s *standIn) live() int {
	if s == nil {
		return 0
	}
	n, _, _ := purego.SyscallN(s.liveFunction)
	return int(int32(n))
}

// fail lets the n-th allocation from now on fail, and left counts down to it.
func (s *standIn) fail(n int) { purego.SyscallN(s.failFunction, uintptr(n)) }

func (s *standIn) left() int {
	n, _, _ := purego.SyscallN(s.leftFunction)
	return int(int32(n))
}

func (s *standIn) lose() { purego.SyscallN(s.loseFunction) }

func (s *standIn) capacity(bytes int) { purego.SyscallN(s.capacityFunction, uintptr(bytes)) }

// message is what the stand-in says of the last wrong access.
func (s *standIn) message() string {
	if s == nil {
		return "a real one does not say why"
	}
	text, _, _ := purego.SyscallN(s.messageFunction)
	return goString(*(**byte)(unsafe.Pointer(&text)))
}
