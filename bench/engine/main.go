// Engine says where the embedded engine spends its time on a model:
//
//	go run ./bench/engine -model M.onnx -inputs X.npz -runs 20 -profile cpu.out
//	go tool pprof -top cpu.out
//
// It also times every step by itself, by observing runs. An observed run does
// each node on its own, so those times add up to more than a run takes.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"maps"
	"slices"
	"time"

	"efcn/bench/internal/profile"
	"efcn/internal/arrays"
	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

func main() {
	log.SetFlags(0)
	model := flag.String("model", "", "ONNX model")
	inputs := flag.String("inputs", "", ".npz with an array for each input")
	runs := flag.Int("runs", 20, "runs to take part in the profile")
	profileTo := flag.String("profile", "", "file to write a CPU profile to")
	threads := flag.Int("threads", 0, "threads (default: all cores)")
	flag.Parse()
	kernel.SetThreads(*threads)
	if err := run(*model, *inputs, *profileTo, *runs); err != nil {
		log.Fatal(err)
	}
}

func run(model, inputs, profileTo string, runs int) error {
	ctx := context.Background()
	m, err := onnxio.Read(model)
	if err != nil {
		return err
	}
	given, err := arrays.ReadNPZ(inputs)
	if err != nil {
		return err
	}
	feeds := map[string]*engine.Tensor[float32]{}
	for _, a := range given {
		if feeds[a.Name], err = engine.FromONNX[float32](a); err != nil {
			return err
		}
	}
	eng, err := engine.New[float32](m)
	if err != nil {
		return err
	}
	eng.Pack()
	if _, err := eng.Run(ctx, feeds); err != nil {
		return err
	}
	stop, err := profile.Start(profileTo)
	if err != nil {
		return err
	}
	start := time.Now()
	for range runs {
		if _, err := eng.Run(ctx, feeds); err != nil {
			return err
		}
	}
	fmt.Printf("%.3f ms a run (%s, %d threads)\n", float64(time.Since(start))/1e6/float64(runs), kernel.BLAS(),
		kernel.Threads())
	stop()
	return steps(ctx, m, eng, feeds, runs)
}

// steps prints the least time that every node took, by operator and the most
// expensive by name.
func steps(
	ctx context.Context, m *onnxio.Model, eng *engine.Engine[float32],
	feeds map[string]*engine.Tensor[float32], runs int,
) error {
	least := map[string]time.Duration{}
	for range runs {
		last := time.Now()
		_, err := eng.Observe(ctx, feeds, func(name string, _ *engine.Tensor[float32]) error {
			took := time.Since(last)
			if before, ok := least[name]; !ok || took < before {
				least[name] = took
			}
			last = time.Now()
			return nil
		})
		if err != nil {
			return err
		}
	}
	operators := map[string]time.Duration{}
	for _, n := range m.Graph.Nodes {
		for _, name := range n.Outputs {
			operators[n.OpType] += least[name]
		}
	}
	ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
	byTime := func(times map[string]time.Duration) func(a, b string) int {
		return func(a, b string) int { return int(times[b] - times[a]) }
	}
	for _, op := range slices.SortedFunc(maps.Keys(operators), byTime(operators)) {
		fmt.Printf("%10.3f ms %s\n", ms(operators[op]), op)
	}
	names := slices.SortedFunc(maps.Keys(least), byTime(least))
	for _, name := range names[:min(len(names), 25)] {
		fmt.Printf("%10.3f ms %s\n", ms(least[name]), name)
	}
	return nil
}
