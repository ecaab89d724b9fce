// Step measures one step of SGD on an eFCN of 15 million weights at batch 250,
// in efcn and in PyTorch side by side.
//
//	go run ./bench/step -python PYTHON        # a Python that has torch
//
// The net is the eFCN of a CNN on 32×32×3 images with three 3×3 convolutions of
// stride 2 to 12, 24 and 48 channels and a linear classifier: dense layers
// 3072 → 3072 → 1536 → 768 → 10 with ReLU between them. Both sides start from
// random weights and train on random data: the time of a step does not depend
// on them. They take turns, a few steps each, on the same number of threads, so
// that whatever else the machine does meets both; the ratio is taken of the
// medians.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"efcn/finetune"
	"efcn/finetune/data"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

const batch = 250

var widths = []int{3072, 3072, 1536, 768, 10}

func main() {
	log.SetFlags(0)
	python := flag.String("python", "python3", "Python with torch; empty leaves PyTorch out")
	script := flag.String("script", "bench/step/step_pytorch.py", "the PyTorch side")
	rounds := flag.Int("rounds", 15, "turns of each side")
	steps := flag.Int("steps", 4, "steps in a turn")
	threads := flag.Int("threads", 2, "threads of each side")
	flag.Parse()
	kernel.SetThreads(*threads)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, *python, *script, *rounds, *steps, *threads); err != nil {
		log.Fatal(err)
	}
}

func measure(ctx context.Context, python, script string, rounds, steps, threads int) error {
	var peer *pytorch
	if python != "" {
		var err error
		if peer, err = startPyTorch(ctx, python, script, threads); err != nil {
			return err
		}
		defer peer.stop()
	}
	model, weights := network()
	fmt.Printf("%s %s/%s, %d threads, %s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, threads, kernel.BLAS())
	if peer != nil {
		fmt.Println(peer.version)
	}
	fmt.Printf("%.2f million weights, batch %d, %d turns of %d steps each\n", float64(weights)/1e6, batch, rounds, steps)

	var ours, theirs []float64
	// The first turn of both warms up and is not counted.
	o := finetune.Options{Epochs: rounds + 1, Batch: batch, Rate: 0.01}
	_, err := finetune.Train(ctx, model, samples(batch*steps), nil, o, func(e finetune.Epoch) error {
		seconds := e.Seconds / float64(steps)
		other := math.NaN()
		if peer != nil {
			var err error
			if other, err = peer.turn(steps); err != nil {
				return err
			}
		}
		if e.Epoch > 1 {
			ours, theirs = append(ours, seconds), append(theirs, other)
		}
		return nil
	})
	if err != nil {
		return err
	}
	report("efcn", ours)
	if peer != nil {
		report("PyTorch", theirs)
		fmt.Printf("ratio of medians: %.2f\n", median(ours)/median(theirs))
	}
	return nil
}

func report(name string, seconds []float64) {
	fmt.Printf("%-8s median %6.1f ms, fastest %6.1f ms, slowest %6.1f ms a step\n", name, 1e3*median(seconds), 1e3*slices.Min(seconds), 1e3*slices.Max(seconds))
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// network returns the eFCN, as efcn convert writes it, with random weights.
func network() (*onnxio.Model, int) {
	rng := rand.New(rand.NewPCG(1, 1))
	symbolic := func(width int) onnxio.TensorType {
		return onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: onnxio.Shape{onnxio.Symbol("batch"), onnxio.Fixed(int64(width))}}
	}
	last := len(widths) - 1
	g := &onnxio.Graph{
		Name:    "step",
		Inputs:  []*onnxio.ValueInfo{{Name: "v0", Type: symbolic(widths[0])}},
		Outputs: []*onnxio.ValueInfo{{Name: fmt.Sprintf("y%d", last), Type: symbolic(widths[last])}},
	}
	total := 0
	for i := 1; i <= last; i++ {
		in, out := widths[i-1], widths[i]
		w := make([]float32, in*out)
		for k := range w {
			w[k] = float32(rng.NormFloat64() * math.Sqrt(2/float64(in)))
		}
		total += len(w) + out
		weight, bias, y := fmt.Sprintf("w%d", i), fmt.Sprintf("b%d", i), fmt.Sprintf("y%d", i)
		g.Initializers = append(g.Initializers,
			onnxio.NewTensor(weight, []int64{int64(out), int64(in)}, w), onnxio.NewTensor(bias, []int64{int64(out)}, make([]float32, out)))
		g.Nodes = append(g.Nodes, &onnxio.Node{
			Name: "fc" + strconv.Itoa(i), OpType: "Gemm", Inputs: []string{fmt.Sprintf("v%d", i-1), weight, bias}, Outputs: []string{y},
			Attributes: []*onnxio.Attribute{onnxio.IntAttr("transB", 1)},
		})
		if i < last {
			g.Nodes = append(g.Nodes, &onnxio.Node{Name: "relu" + strconv.Itoa(i), OpType: "Relu", Inputs: []string{y}, Outputs: []string{fmt.Sprintf("v%d", i)}})
		}
	}
	return &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}}, Graph: g}, total
}

func samples(n int) *data.Set {
	rng := rand.New(rand.NewPCG(2, 2))
	s := &data.Set{X: make([]float32, n*widths[0]), Shape: []int{widths[0]}, Labels: make([]int, n), Classes: 10}
	for i := range s.X {
		s.X[i] = float32(rng.NormFloat64())
	}
	for i := range s.Labels {
		s.Labels[i] = rng.IntN(s.Classes)
	}
	return s
}

// pytorch is the other side: a process that takes so many steps whenever it is
// told a number, and answers with the seconds of one.
type pytorch struct {
	version string
	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

func startPyTorch(ctx context.Context, python, script string, threads int) (*pytorch, error) {
	sizes := make([]string, len(widths))
	for i, w := range widths {
		sizes[i] = strconv.Itoa(w)
	}
	cmd := exec.CommandContext(ctx, python, script, strconv.Itoa(threads), strconv.Itoa(batch), strings.Join(sizes, ","))
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
	p := &pytorch{process: cmd, in: in, out: bufio.NewReader(out)}
	line, err := p.out.ReadString('\n')
	p.version = strings.TrimSpace(line)
	return p, err
}

func (p *pytorch) turn(steps int) (float64, error) {
	if _, err := fmt.Fprintln(p.in, steps); err != nil {
		return 0, err
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(line), 64)
}

func (p *pytorch) stop() {
	p.in.Close()
	// Its work is done: how it ends does not matter any more.
	_ = p.process.Wait()
}
