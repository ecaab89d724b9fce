//go:build linux && (amd64 || arm64)

package mpi

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

// play is the main function of a rank.
func play(role string) {
	if role == "find" {
		l, err := find("", os.Getenv)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Printf("%s\n%s\n", l.file, l)
		os.Exit(0)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if role == "late" { // one rank waits in MPI_Init for the others
		if os.Getenv("PMI_RANK")+os.Getenv("OMPI_COMM_WORLD_RANK") != "0" {
			time.Sleep(time.Hour)
		}
		late, stop := context.WithTimeout(ctx, 300*time.Millisecond)
		defer stop()
		ctx = late
	}
	w, err := Init(ctx, Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	defer w.AbortOnPanic()
	if err := roles[role](ctx, w); err != nil {
		if ctx.Err() != nil {
			err = errors.New("stopped")
		}
		w.Abort(3, err)
	}
	if err := w.Close(ctx); err != nil {
		w.Abort(4, err)
	}
	Exit(0)
}

var roles = map[string]func(context.Context, *World) error{
	"binding":     binding,
	"calls":       allCalls,
	"garbage":     garbage,
	"overlap":     overlap,
	"mismatch":    mismatch,
	"last":        last,
	"sums":        sums,
	"handled":     handled,
	"endless":     endless,
	"abort":       func(ctx context.Context, w *World) error { return lastRank(ctx, w, fails) },
	"panic":       func(ctx context.Context, w *World) error { return lastRank(ctx, w, panics) },
	"panicBeside": func(ctx context.Context, w *World) error { return lastRank(ctx, w, panicsBeside) },
	"unguarded":   func(ctx context.Context, w *World) error { return lastRank(ctx, w, panicsUnguarded) },
	"stuck":       stuck,
	"exit":        func(ctx context.Context, w *World) error { return lastRank(ctx, w, exits) },
	"agree":       agree,
}

// ready tells the parent that this rank is at work, and may be killed.
func ready(w *World) { fmt.Printf("ready %d %d\n", w.Rank(), os.Getpid()) }

func binding(_ context.Context, w *World) error {
	err := w.Binding()
	if err == nil {
		err = errors.New("not bound")
	}
	fmt.Println(err)
	return nil
}

// lastRank does something on the last rank while the others wait for it.
func lastRank(ctx context.Context, w *World, do func(*World) error) error {
	ready(w)
	if w.Rank() == w.Size()-1 {
		time.Sleep(20 * time.Millisecond)
		if err := do(w); err != nil {
			return err
		}
	}
	return w.Barrier(ctx)
}

func fails(*World) error { return errors.New("it failed") }

func panics(*World) error { panic("it panicked") }

func panicsBeside(w *World) error {
	go func() {
		defer w.AbortOnPanic()
		panic("it panicked")
	}()
	select {}
}

func panicsUnguarded(*World) error {
	go panic("it panicked")
	select {}
}

func exits(*World) error {
	os.Exit(0)
	return nil
}

// stuck: the rank's thread is inside of a call that the others do not make.
func stuck(ctx context.Context, w *World) error {
	ready(w)
	if w.Rank() == w.Size()-1 {
		go func() {
			time.Sleep(50 * time.Millisecond)
			w.Abort(3, errors.New("it failed"))
		}()
		_, err := w.Split(ctx, 0, 0)
		return err
	}
	select {}
}

// agree: an error of one rank is one of all, and each can end by itself.
func agree(ctx context.Context, w *World) error {
	if err := w.Agree(ctx, nil); err != nil {
		return err
	}
	var mine error
	if w.Rank() == 1 {
		mine = errors.New("the second file is missing")
	}
	err := w.Agree(ctx, mine)
	var other *RankError
	switch {
	case err == nil:
		return errors.New("the ranks agreed on nothing")
	case w.Rank() == 1 && !errors.Is(err, mine):
		return fmt.Errorf("its own error came back as %w", err)
	case w.Rank() != 1 && (!errors.As(err, &other) || other.Rank != 1):
		return fmt.Errorf("the error of rank 1 came as %w", err)
	}
	if w.Rank() == 0 {
		fmt.Fprintf(os.Stderr, "the first: %s\n", other.Text)
	}
	if err := w.Close(ctx); err != nil {
		return err
	}
	Exit(2)
	return nil
}

// endless makes calls until it is stopped.
func endless(ctx context.Context, w *World) error {
	b, err := Alloc[float32](w, 100_003)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		if err := Allreduce(ctx, w, b, Max); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if i == 3 {
			ready(w)
		}
	}
}

// handled makes calls while signals come, until SIGUSR2 came to all.
func handled(ctx context.Context, w *World) error {
	hangups, stop := make(chan os.Signal, 1000), make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	signal.Notify(stop, syscall.SIGUSR2)
	go churn()
	b, err := Alloc[int64](w, 10_001)
	if err != nil {
		return err
	}
	now, err := handlers()
	if err != nil {
		return err
	}
	for signal, a := range now {
		if a.handler >= firstHandler && (a.flags&onStack == 0 || a.handler != now[syscall.SIGTERM].handler && signal < 32) {
			return fmt.Errorf("signal %d has a handler that is not Go's", signal)
		}
	}
	stopped := int64(0)
	for i := int64(0); ; i++ {
		select {
		case <-stop:
			stopped = 1
		default:
		}
		data := b.Data()
		for j := range data {
			data[j] = i
		}
		data[0] = stopped
		if err := Allreduce(ctx, w, b, Sum); err != nil {
			return err
		}
		if data[1] != i*int64(w.Size()) || data[len(data)-1] != data[1] {
			return fmt.Errorf("step %d: a sum of %d", i, data[1])
		}
		if data[0] == int64(w.Size()) {
			break
		}
		if i == 3 {
			ready(w)
		}
	}
	if len(hangups) == 0 {
		return errors.New("no SIGHUP reached the program")
	}
	return nil
}

// churn makes garbage, deep stacks and collections for as long as the process lives.
func churn() {
	debug.SetGCPercent(1)
	var deep func(n int) int
	deep = func(n int) int {
		var frame [64]int
		if n == 0 {
			return 0
		}
		frame[n%64] = n
		return deep(n-1) + frame[n%64]
	}
	kept := make([][]byte, 100)
	for i := 0; ; i++ {
		kept[i%len(kept)] = make([]byte, 1+i%50_000)
		done := make(chan int)
		go func() { done <- deep(500) }()
		<-done
		if i%20 == 0 {
			runtime.GC()
		}
	}
}

// garbage: 300 reductions in place while garbage is collected.
func garbage(ctx context.Context, w *World) error {
	go churn()
	b, err := Alloc[float32](w, 65_537)
	if err != nil {
		return err
	}
	for step := range 300 {
		for i := range b.Data() {
			b.Data()[i] = float32((i + step + w.Rank()) % 1000)
		}
		if err := Allreduce(ctx, w, b, Sum); err != nil {
			return err
		}
		for i, got := range b.Data() {
			want := float32(0)
			for rank := range w.Size() {
				want += float32((i + step + rank) % 1000)
			}
			if got != want {
				return fmt.Errorf("step %d, element %d: %v, want %v", step, i, got, want)
			}
		}
	}
	return b.Free(w)
}

// overlap: calls that were begun go on while this rank computes, and end in any order
// of waiting.
func overlap(ctx context.Context, w *World) error {
	const n = 30_011
	counts := make([]int, w.Size())
	for r := range counts {
		counts[r] = n + r
	}
	total := n*w.Size() + w.Size()*(w.Size()-1)/2
	from := n*w.Rank() + w.Rank()*(w.Rank()-1)/2
	var buffers []Buffer[float64]
	var requests []*Request
	for k := range 6 {
		b, err := Alloc[float64](w, total)
		if err != nil {
			return err
		}
		for i := range b.Data() {
			b.Data()[i] = float64(k + i*(w.Rank()+1))
		}
		buffers = append(buffers, b)
		if k%2 == 0 {
			requests = append(requests, Iallgatherv(w, b, counts))
		} else {
			requests = append(requests, IreduceScatter(w, b, counts, Sum))
		}
	}
	// Nobody waits: the thread has to see to the calls by itself.
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		select {
		case <-requests[5].done:
		default:
			if time.Since(begin) > 30*time.Second {
				return errors.New("nothing goes on while nobody waits")
			}
			continue
		}
		break
	}
	for k := len(requests) - 1; k >= 0; k-- {
		if err := requests[k].Wait(ctx); err != nil {
			return err
		}
		got := buffers[k].Data()
		if k%2 == 0 {
			i := 0
			for r, count := range counts {
				for range count {
					if want := float64(k + i*(r+1)); got[i] != want {
						return fmt.Errorf("gathered %d, element %d: %v, want %v", k, i, got[i], want)
					}
					i++
				}
			}
			continue
		}
		for i := from; i < from+counts[w.Rank()]; i++ {
			want := float64(0)
			for r := range w.Size() {
				want += float64(k + i*(r+1))
			}
			if got[i] != want {
				return fmt.Errorf("reduced %d, element %d: %v, want %v", k, i, got[i], want)
			}
		}
	}
	return nil
}

// mismatch: ranks that do not make the same call get an error, not each other's data.
func mismatch(ctx context.Context, w *World) error {
	b, err := Alloc[int64](w, 4)
	if err != nil {
		return err
	}
	n := 4
	if w.Rank() == 0 {
		n = 3
	}
	err = Bcast(ctx, w, b.Part(0, n), 0)
	if w.Rank() == 0 {
		if err != nil {
			return err
		}
	} else if err == nil || !strings.Contains(err.Error(), "rank 0 sent 24 bytes where 32 were expected") {
		return fmt.Errorf("got error %w", err)
	}
	return nil
}

func last(_ context.Context, w *World) error {
	for line := range 100 {
		fmt.Printf("rank %d line %d\n", w.Rank(), line)
	}
	return nil
}

// sums compares sums of numbers of all magnitudes, of ranks that come late by turns,
// with those in the order of the ranks, and prints a hash of them.
func sums(ctx context.Context, w *World) error {
	late := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 2))
	ranks := make([]*rand.Rand, w.Size()) // every rank knows what the others have
	for r := range ranks {
		ranks[r] = rand.New(rand.NewPCG(1, uint64(r)))
	}
	hash := fnv.New64a()
	for _, n := range []int{1, 7, 1000, 50_001} {
		b, err := Alloc[float32](w, n)
		if err != nil {
			return err
		}
		for range 20 {
			want := make([]float32, n)
			for r, rng := range ranks {
				for i := range want {
					v := float32(rng.NormFloat64() * math.Exp(8*rng.NormFloat64()))
					if r == w.Rank() {
						b.Data()[i] = v
					}
					want[i] += v
				}
			}
			time.Sleep(time.Duration(late.IntN(300)) * time.Microsecond)
			if err := Allreduce(ctx, w, b, Sum); err != nil {
				return err
			}
			for i, v := range b.Data() {
				if v != want[i] {
					return fmt.Errorf("a sum of %v, want %v", v, want[i])
				}
				_ = binary.Write(hash, binary.LittleEndian, v) // to memory
			}
		}
	}
	fmt.Printf("rank %d %x\n", w.Rank(), hash.Sum64())
	return nil
}

// allCalls compares what every call returns with what it should, for several lengths,
// and again in pieces, on a part of the ranks, and in a part's buffers.
func allCalls(ctx context.Context, w *World) error {
	if w.Rank() < 0 || w.Rank() >= w.Size() || Launched() != (w.Size() > 1) {
		return fmt.Errorf("rank %d of %d, launched %v", w.Rank(), w.Size(), Launched())
	}
	return worldCalls(ctx, w, func() { maxPiece = 1000 })
}

// worldCalls calls between before the second half of the calls.
func worldCalls(ctx context.Context, w *World, between func()) error {
	if err := callsOn(ctx, w); err != nil {
		return err
	}
	part, err := w.Split(ctx, w.Rank()%2, -w.Rank())
	if err != nil {
		return err
	}
	last := (w.Size() - 1) - (w.Size()-1-w.Rank())%2 // of this color, which comes first by key
	if size := (w.Size() + 1 - w.Rank()%2) / 2; part.Size() != size || part.Rank() != (last-w.Rank())/2 {
		return fmt.Errorf("rank %d is %d of %d in its part", w.Rank(), part.Rank(), part.Size())
	}
	between()
	if err := errors.Join(callsOn(ctx, part), callsOn(ctx, w), part.Close(ctx)); err != nil {
		return err
	}
	return traffic(ctx, w)
}

func callsOn(ctx context.Context, w *World) error {
	lengths := []int{0, 1, 3, 1023, 1025, 20_011}
	for _, n := range lengths {
		if err := errors.Join(
			numbers[float32](ctx, w, n), numbers[float64](ctx, w, n), numbers[int64](ctx, w, n),
			messages(ctx, w, n),
		); err != nil {
			return fmt.Errorf("rank %d of %d, %d elements: %w", w.Rank(), w.Size(), n, err)
		}
	}
	return w.Barrier(ctx)
}

// value is what rank has at i: exact in float32, as are sums of four.
func value[T Number](rank, i int) T { return T((rank+1)*(i%4001) - 3*i%7) }

func numbers[T Number](ctx context.Context, w *World, n int) error {
	// Blocks of unequal lengths, some of them empty.
	counts, total, from := make([]int, w.Size()), 0, 0
	for r := range counts {
		counts[r] = n * ((r + 1) % 3) / 2
		if r == w.Rank() {
			from = total
		}
		total += counts[r]
	}
	until := from + counts[w.Rank()]
	b, err := Alloc[T](w, total+2)
	if err != nil {
		return err
	}
	part := b.Part(1, total+1) // at an odd address
	fill := func(rank int) {
		for i := range part.Data() {
			part.Data()[i] = value[T](rank, i)
		}
	}
	check := func(call string, from, until int, want func(i int) T) error {
		for i := from; i < until; i++ {
			if part.Data()[i] != want(i) {
				return fmt.Errorf("%s of %v: element %d is %v, want %v", call, reflect.TypeFor[T](), i, part.Data()[i], want(i))
			}
		}
		if b.Data()[0] != 0 || b.Data()[total+1] != 0 {
			return fmt.Errorf("%s of %v wrote beside its buffer", call, reflect.TypeFor[T]())
		}
		return nil
	}
	sum := func(i int) (s T) {
		for r := range w.Size() {
			s += value[T](r, i)
		}
		return s
	}
	largest := func(i int) T {
		s := value[T](0, i)
		for r := range w.Size() {
			s = max(s, value[T](r, i))
		}
		return s
	}
	for _, c := range []struct {
		name        string
		do          func() error
		from, until int
		want        func(i int) T
	}{
		{"Allreduce", func() error { return Allreduce(ctx, w, part, Sum) }, 0, total, sum},
		{"Allreduce", func() error { return Allreduce(ctx, w, part, Max) }, 0, total, largest},
		{"ReduceScatter", func() error { return ReduceScatter(ctx, w, part, counts, Sum) }, from, until, sum},
		{"ReduceScatter", func() error { return ReduceScatter(ctx, w, part, counts, Max) }, from, until, largest},
		{"AllreduceSlice", func() error { return AllreduceSlice(ctx, w, part.Data(), Sum) }, 0, total, sum},
		{"Bcast", func() error { return Bcast(ctx, w, part, w.Size()-1) }, 0, total, func(i int) T { return value[T](w.Size()-1, i) }},
		{"Allgatherv", func() error { return Allgatherv(ctx, w, part, counts) }, 0, total, func(i int) T {
			owner := 0
			for at := counts[0]; i >= at; at += counts[owner] {
				owner++
			}
			return value[T](owner, i)
		}},
	} {
		fill(w.Rank())
		if err := c.do(); err != nil {
			return err
		}
		if err := check(c.name, c.from, c.until, c.want); err != nil {
			return err
		}
	}
	if err := Allgatherv(ctx, w, part, append(slices.Clone(counts), 0)); err == nil {
		return errors.New("counts for one rank more are taken")
	}
	if total > 0 {
		if err := part.Free(w); err == nil {
			return errors.New("a part is freed")
		}
	}
	return b.Free(w)
}

func messages(ctx context.Context, w *World, n int) error {
	message := func(rank int) []byte { return []byte(strings.Repeat(fmt.Sprint(rank), n*(rank+1))) }
	all, err := w.AllgatherBytes(ctx, message(w.Rank()))
	if err != nil {
		return err
	}
	for rank, got := range all {
		if string(got) != string(message(rank)) {
			return fmt.Errorf("message of rank %d: %d bytes %.20q", rank, len(got), got)
		}
	}
	// Around: to the next, from the one before.
	next, before := (w.Rank()+1)%w.Size(), (w.Rank()+w.Size()-1)%w.Size()
	sent := make(chan error, 1)
	if w.Rank()%2 == 0 && w.Size() > 1 {
		if err := w.Send(ctx, next, message(w.Rank())); err != nil {
			return err
		}
		sent <- nil
	} else {
		go func() { sent <- w.Send(ctx, next, message(w.Rank())) }()
	}
	got, err := w.Recv(ctx, before)
	if err != nil {
		return err
	}
	if string(got) != string(message(before)) {
		return fmt.Errorf("from rank %d: %d bytes %.20q", before, len(got), got)
	}
	if err := w.Send(ctx, w.Size(), nil); err == nil {
		return errors.New("a message to no rank is sent")
	}
	return <-sent
}

// traffic: the bytes that are counted are those of the formulas.
func traffic(ctx context.Context, w *World) error {
	p, n := w.Size(), 7000 // elements for each rank
	b, err := Alloc[float32](w, n*p)
	if err != nil {
		return err
	}
	counts := slices.Repeat([]int{n}, p)
	before := w.Traffic()
	if err := errors.Join(
		Allgatherv(ctx, w, b, counts), ReduceScatter(ctx, w, b, counts, Sum), Allreduce(ctx, w, b, Sum),
	); err != nil {
		return err
	}
	after := w.Traffic()
	bytes := func(call string) int64 { return after[call].Bytes - before[call].Bytes }
	each := int64(4 * n * (p - 1))
	if bytes("Allgatherv") != each || bytes("Reduce_scatter") != each || bytes("Allreduce") != 2*each {
		return fmt.Errorf("counted %d, %d and %d bytes, want %d and twice that",
			bytes("Allgatherv"), bytes("Reduce_scatter"), bytes("Allreduce"), each)
	}
	return nil
}
