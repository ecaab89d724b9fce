// Step measures one step of SGD in efcn and in PyTorch, side by
// side.
//
//	go run ./bench/step -python PYTHON -net efcn       # a Python that has torch
//
// -net is one of
//
//	cnn      the eFCN paper's net of three convolutions to 64 channels
//	efcn     its dense eFCN, beside PyTorch on the same matrices and on the
//	         authors' layout, in which padding is part of the input
//	elcn     its eLCN, in local form: the weights of the support, untied
//	sparse   the same in sparse form, beside the local form and PyTorch
//	factored the local form and factors of rank 32, all trained, beside the local form
//	resnet   a residual net of eight layers with batch normalisation
//	resnet20 ResNet-20 for images of 32×32, at batch 128
//	mobilenet MobileNetV2 with one block a stage, at batch 128
//	strided  dense layers 3072 → 3072 → 1536 → 768 → 10 with ReLU between them
//
// The batch is 250 where nothing else is said. All sides start from random weights and
// train on random data: the time of a step does not depend on them. They take turns, a
// few steps each, on the same number of threads, so that whatever else the machine does
// meets all; the ratio is taken of the medians. On a busy machine the processor time of
// one thread each (-threads 1) says more: threads of PyTorch wait for each other.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"efcn/bench/internal/profile"
	"efcn/finetune"
	"efcn/finetune/data"
	"efcn/internal/kernel"
)

const classes = 10

func main() {
	log.SetFlags(0)
	net := flag.String("net", "strided", strings.Join(slices.Sorted(maps.Keys(comparisons)), ", "))
	python := flag.String("python", "python3", "Python with torch; empty leaves PyTorch out")
	script := flag.String("script", "bench/step/step_pytorch.py", "the PyTorch side")
	rounds := flag.Int("rounds", 15, "turns of each side")
	steps := flag.Int("steps", 4, "steps in a turn")
	threads := flag.Int("threads", 2, "threads of each side")
	profileTo := flag.String("profile", "", "file to write a CPU profile of efcn to")
	answer := flag.Bool("answer", false, "take turns as the PyTorch side does: when told on stdin")
	flag.Parse()
	kernel.SetThreads(*threads)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	c, ok := comparisons[*net]
	if !ok {
		log.Fatalf("-net %s: no such net", *net)
	}
	b := &bench{comparison: c, rounds: *rounds, steps: *steps, threads: *threads}
	if *answer {
		if err := b.answer(ctx, os.Stdin, os.Stdout); err != nil {
			log.Fatal(err)
		}
		return
	}
	if err := b.run(ctx, *python, *script, *profileTo); err != nil {
		log.Fatal(err)
	}
}

type bench struct {
	comparison
	rounds, steps, threads int
	others                 []*side
	ours                   []cost  // of a step, turn by turn
	busy                   float64 // processor time up to the beginning of our turn
}

func (b *bench) run(ctx context.Context, python, script, profileTo string) error {
	m, err := b.model()
	if err != nil {
		return err
	}
	fmt.Printf("%s %s/%s, %d threads, %s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, b.threads, kernel.BLAS())
	fmt.Printf("%-20s %.2f million weights, batch %d, %d turns of %d steps each\n", "efcn", float64(weights(m))/1e6,
		b.batch, b.rounds, b.steps)
	var commands []*exec.Cmd
	threads := strconv.Itoa(b.threads)
	var names []string
	for _, net := range b.own {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		commands = append(commands,
			exec.CommandContext(ctx, self, "-answer", "-net", net, "-threads", threads, "-steps", strconv.Itoa(b.steps)))
		names = append(names, "efcn, "+net)
	}
	if python != "" {
		for _, name := range b.peers {
			commands = append(commands, exec.CommandContext(ctx, python, script, threads, strconv.Itoa(b.batch), name))
		}
		names = append(names, b.peers...)
	}
	for i, cmd := range commands {
		p, err := start(cmd, names[i])
		if err != nil {
			return err
		}
		defer p.stop()
		fmt.Printf("%-20s %s\n", p.name, p.version)
		b.others = append(b.others, p)
	}
	stop, err := profile.Start(profileTo)
	if err != nil {
		return err
	}
	defer stop()
	// The first turn of all warms up and is not counted.
	o := finetune.Options{Epochs: b.rounds + 1, Batch: b.batch, Rate: 0.01, Train: b.train}
	b.busy = processorTime()
	if _, err := finetune.Train(ctx, m, samples(b.batch*b.steps), nil, o, b.turn); err != nil {
		return err
	}
	report("efcn", b.ours)
	for _, p := range b.others {
		report(p.name, p.costs)
		wall, its, busy, itsBusy := of(b.ours, wallTime), of(p.costs, wallTime), of(b.ours, busyTime), of(p.costs, busyTime)
		fmt.Printf("%-20s %.2f of the medians, %.2f of the fastest turns; of processor time %.2f and %.2f\n", "  efcn : it",
			median(wall)/median(its), slices.Min(wall)/slices.Min(its), median(busy)/median(itsBusy),
			slices.Min(busy)/slices.Min(itsBusy))
	}
	return nil
}

// answer takes a turn for every line that it is told, and says how long a step of
// it took.
func (b *bench) answer(ctx context.Context, in io.Reader, out io.Writer) error {
	m, err := b.model()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s, %d threads, %.2f million weights\n", runtime.Version(), b.threads, float64(weights(m))/1e6)
	told := bufio.NewScanner(in)
	if !told.Scan() {
		return told.Err()
	}
	o := finetune.Options{Epochs: math.MaxInt32, Batch: b.batch, Rate: 0.01, Train: b.train}
	b.busy = processorTime()
	_, err = finetune.Train(ctx, m, samples(b.batch*b.steps), nil, o, func(e finetune.Epoch) error {
		c := b.cost(e)
		fmt.Fprintln(out, c.wall, c.busy)
		if told.Scan() {
			b.busy = processorTime()
			return nil
		}
		return io.EOF
	})
	if errors.Is(err, io.EOF) {
		return told.Err()
	}
	return err
}

// turn notes our turn and lets the others have theirs.
func (b *bench) turn(e finetune.Epoch) error {
	c := b.cost(e)
	if e.Epoch > 1 {
		b.ours = append(b.ours, c)
	}
	for _, p := range b.others {
		c, err := p.turn(b.steps)
		if err != nil {
			return err
		}
		if e.Epoch > 1 {
			p.costs = append(p.costs, c)
		}
	}
	b.busy = processorTime()
	return nil
}

// cost is what a step took, in seconds: of the clock, and of all processors together.
type cost struct{ wall, busy float64 }

func wallTime(c cost) float64 { return c.wall }
func busyTime(c cost) float64 { return c.busy }

func of(costs []cost, which func(cost) float64) []float64 {
	v := make([]float64, len(costs))
	for i, c := range costs {
		v[i] = which(c)
	}
	return v
}

// cost is that of a step of our turn, which has just ended.
func (b *bench) cost(e finetune.Epoch) cost {
	steps := float64(b.steps)
	return cost{e.Seconds / steps, (processorTime() - b.busy) / steps}
}

// processorTime is that of this process, in seconds.
func processorTime() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		log.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func report(name string, costs []cost) {
	wall, busy := of(costs, wallTime), of(costs, busyTime)
	fmt.Printf("%-20s median %6.1f ms, fastest %6.1f ms, slowest %6.1f ms a step; processors %6.1f ms, fastest %6.1f ms\n",
		name, 1e3*median(wall), 1e3*slices.Min(wall), 1e3*slices.Max(wall), 1e3*median(busy), 1e3*slices.Min(busy))
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func samples(n int) *data.Set {
	rng := rand.New(rand.NewPCG(2, 2))
	s := &data.Set{X: make([]float32, n*3*32*32), Shape: []int{3, 32, 32}, Labels: make([]int, n), Classes: classes}
	for i := range s.X {
		s.X[i] = float32(rng.NormFloat64())
	}
	for i := range s.Labels {
		s.Labels[i] = rng.IntN(s.Classes)
	}
	return s
}

// side is another side: a process that takes so many steps whenever it is told a
// number, and answers with the cost of one.
type side struct {
	name, version string
	process       *exec.Cmd
	in            io.WriteCloser
	out           *bufio.Reader
	costs         []cost // of a step, turn by turn
}

func start(cmd *exec.Cmd, name string) (*side, error) {
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &side{name: name, process: cmd, in: in, out: bufio.NewReader(out)}
	line, err := p.out.ReadString('\n')
	if err != nil {
		return nil, errors.Join(err, cmd.Wait())
	}
	p.version = strings.TrimSpace(line)
	return p, nil
}

func (p *side) turn(steps int) (cost, error) {
	if _, err := fmt.Fprintln(p.in, steps); err != nil {
		return cost{}, err
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		return cost{}, err
	}
	var c cost
	_, err = fmt.Sscan(line, &c.wall, &c.busy)
	return c, err
}

func (p *side) stop() {
	p.in.Close()
	// Its work is done: how it ends does not matter any more.
	_ = p.process.Wait()
}
