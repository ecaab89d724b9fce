package memplan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// simulate executes a program in the memory of a plan. Every element of a value
// holds the number of the value, and an operation finds its operands whole, before
// and, where it does not compute in place, after it has written its results.
func simulate(p *Program, plan *Plan) error {
	memory := make([][]int, len(plan.Buffers))
	for b, size := range plan.Buffers {
		memory[b] = make([]int, size)
	}
	cells := func(v Value) []int {
		at := plan.Places[v]
		if p.Sizes[v] == 0 {
			return nil
		}
		return memory[at.Buffer][at.Offset : at.Offset+p.Sizes[v]]
	}
	write := func(v Value) {
		for i := range cells(v) {
			cells(v)[i] = int(v) + 1
		}
	}
	whole := func(what string, v Value) error {
		for i, c := range cells(v) {
			if c != int(v)+1 {
				return fmt.Errorf("%s: element %d of value %d is clobbered by value %d", what, i, v, c-1)
			}
		}
		return nil
	}
	written := map[Value]bool{}
	for _, o := range p.Operations {
		for _, v := range o.Writes {
			written[v] = true
		}
	}
	for v := range p.Sizes {
		if !written[Value(v)] {
			write(Value(v))
		}
	}
	for i, o := range p.Operations {
		for _, v := range o.Reads {
			if err := whole(fmt.Sprintf("before operation %d", i), v); err != nil {
				return err
			}
		}
		for _, v := range o.Writes {
			write(v)
		}
		over := map[Value]bool{}
		for _, pair := range o.InPlace {
			over[pair.Operand] = over[pair.Operand] || plan.Places[pair.Operand] == plan.Places[pair.Result]
		}
		for _, v := range append(slices.Clone(o.Reads), o.Writes...) {
			if err := whole(fmt.Sprintf("after operation %d", i), v); err != nil && !over[v] {
				return err
			}
		}
	}
	for _, v := range p.Outputs {
		if err := whole("at the end", v); err != nil {
			return err
		}
	}
	return nil
}

// inPlace is an operation that reads and writes, and can compute its first result
// over its first operand.
func inPlace(reads, writes []Value) Operation {
	return Operation{Reads: reads, Writes: writes, InPlace: []Pair{{writes[0], reads[0]}}}
}

func values(v ...Value) []Value { return v }

func TestPlan(t *testing.T) {
	for name, c := range map[string]struct {
		program Program
		buffers []int
		aliases [][2]Value // values that lie in one place
		apart   [][2]Value // values that do not
	}{
		"nothing": {},
		"a chain needs two buffers": {
			program: Program{Sizes: []int{32, 32, 32, 32}, Operations: []Operation{
				{Reads: values(0), Writes: values(1)}, {Reads: values(1), Writes: values(2)}, {Reads: values(2), Writes: values(3)},
			}, Outputs: values(3)},
			buffers: []int{32, 32}, aliases: [][2]Value{{0, 2}, {1, 3}}, apart: [][2]Value{{0, 1}},
		},
		"a chain in place needs one": {
			program: Program{Sizes: []int{32, 32, 32}, Operations: []Operation{
				inPlace(values(0), values(1)), inPlace(values(1), values(2)),
			}, Outputs: values(2)},
			buffers: []int{32}, aliases: [][2]Value{{0, 1}, {1, 2}},
		},
		"not in place where the operand is read later": {
			program: Program{Sizes: []int{32, 32, 32}, Operations: []Operation{
				inPlace(values(0), values(1)), {Reads: values(0, 1), Writes: values(2)},
			}, Outputs: values(2)},
			buffers: []int{32, 32, 32}, apart: [][2]Value{{0, 1}},
		},
		"not in place where the operand is an output": {
			program: Program{Sizes: []int{32, 32}, Operations: []Operation{
				inPlace(values(0), values(1)),
			}, Outputs: values(0, 1)},
			buffers: []int{32, 32}, apart: [][2]Value{{0, 1}},
		},
		"not in place where the sizes differ": {
			program: Program{Sizes: []int{32, 16}, Operations: []Operation{inPlace(values(0), values(1))}, Outputs: values(1)},
			buffers: []int{32, 16}, apart: [][2]Value{{0, 1}},
		},
		"not in place where the result is there already": {
			program: Program{Sizes: []int{32, 32}, Operations: []Operation{
				{Writes: values(1)}, inPlace(values(0, 1), values(1)),
			}, Outputs: values(1)},
			buffers: []int{32, 32}, apart: [][2]Value{{0, 1}},
		},
		"one of two results in place": {
			program: Program{Sizes: []int{32, 32, 32}, Operations: []Operation{
				{Reads: values(0), Writes: values(1, 2), InPlace: []Pair{{1, 0}, {2, 0}}},
			}, Outputs: values(1, 2)},
			buffers: []int{32, 32}, aliases: [][2]Value{{0, 1}}, apart: [][2]Value{{1, 2}},
		},
		"small values share a large buffer": {
			program: Program{Sizes: []int{64, 16, 16, 64}, Operations: []Operation{
				{Reads: values(0)},
				{Writes: values(1)},
				{Reads: values(1), Writes: values(2)},
				{Reads: values(1, 2)},
				{Writes: values(3)},
			}, Outputs: values(3)},
			buffers: []int{64}, aliases: [][2]Value{{0, 3}}, apart: [][2]Value{{1, 2}},
		},
		// What training does: the largest value is needed by the next operation alone,
		// and its gradient comes last.
		"the values behind a pooling lie in the memory of what is pooled": {
			program: Program{Sizes: []int{128, 32, 32, 32, 32, 128}, Operations: []Operation{
				{Writes: values(0)},
				{Reads: values(0), Writes: values(1)},
				{Reads: values(1), Writes: values(2)},
				{Reads: values(2), Writes: values(3)},
				{Reads: values(1, 3), Writes: values(4)},
				{Reads: values(4), Writes: values(5)},
			}, Outputs: values(5)},
			// Beside it are the pooled values and the gradient at them, one written from the other.
			buffers: []int{128, 32, 32}, aliases: [][2]Value{{0, 5}},
		},
		"values that are not read take memory while they are written": {
			program: Program{Sizes: []int{16, 16, 0}, Operations: []Operation{{Writes: values(0, 1, 2)}}},
			buffers: []int{16, 16}, apart: [][2]Value{{0, 1}},
		},
		"aligned": {
			program: Program{Sizes: []int{50, 17, 17}, Operations: []Operation{{Reads: values(0)}, {Writes: values(1, 2)}}},
			buffers: []int{50},
		},
		"what does not fit once it is aligned": {
			program: Program{Sizes: []int{34, 17, 17}, Operations: []Operation{{Reads: values(0)}, {Writes: values(1, 2)}}},
			buffers: []int{34, 17},
		},
	} {
		plan := c.program.Plan()
		if !slices.Equal(plan.Buffers, c.buffers) {
			t.Errorf("%s: buffers of %v, want %v", name, plan.Buffers, c.buffers)
		}
		for _, pair := range c.aliases {
			if plan.Places[pair[0]] != plan.Places[pair[1]] {
				t.Errorf("%s: values %v lie at %v and %v", name, pair, plan.Places[pair[0]], plan.Places[pair[1]])
			}
		}
		for _, pair := range c.apart {
			if plan.Places[pair[0]] == plan.Places[pair[1]] {
				t.Errorf("%s: values %v both lie at %v", name, pair, plan.Places[pair[0]])
			}
		}
		if err := simulate(&c.program, plan); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLiveness(t *testing.T) {
	p := Program{Sizes: []int{1, 1, 1, 1}, Operations: []Operation{
		{Reads: values(0), Writes: values(1)}, {Reads: values(1), Writes: values(2)}, {Reads: values(1), Writes: values(3)},
	}, Outputs: values(2)}
	if got, want := p.Liveness(), []Range{{-1, 0}, {0, 2}, {1, 3}, {2, 2}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// random is a program of some operations that read values which are there and
// write new ones.
func random(rng *rand.Rand) *Program {
	p := &Program{}
	for range 1 + rng.IntN(3) {
		p.NewValue(rng.IntN(100))
	}
	for range rng.IntN(30) {
		var o Operation
		for range rng.IntN(4) {
			o.Reads = append(o.Reads, Value(rng.IntN(len(p.Sizes))))
		}
		for range 1 + rng.IntN(2) {
			size := rng.IntN(100)
			if len(o.Reads) > 0 && rng.IntN(2) == 0 {
				size = p.Sizes[o.Reads[0]]
			}
			v := p.NewValue(size)
			if len(o.Reads) > 0 && rng.IntN(2) == 0 {
				o.InPlace = append(o.InPlace, Pair{v, o.Reads[0]})
			}
			o.Writes = append(o.Writes, v)
		}
		p.Operations = append(p.Operations, o)
	}
	for range rng.IntN(3) {
		p.Outputs = append(p.Outputs, Value(rng.IntN(len(p.Sizes))))
	}
	return p
}

func TestNoLiveValueIsClobbered(t *testing.T) {
	shared, inPlace := 0, 0
	for seed := range uint64(2000) {
		p := random(rand.New(rand.NewPCG(seed, 1)))
		plan := p.Plan()
		if err := simulate(p, plan); err != nil {
			t.Fatalf("seed %d: %v\n%+v\n%+v", seed, err, p, plan)
		}
		total := 0
		for _, size := range p.Sizes {
			total += size
		}
		if plan.Elements() > total {
			t.Errorf("seed %d: %d elements, the values have %d", seed, plan.Elements(), total)
		}
		if plan.Elements() < total {
			shared++
		}
		for _, o := range p.Operations {
			for _, pair := range o.InPlace {
				if p.Sizes[pair.Result] > 0 && plan.Places[pair.Result] == plan.Places[pair.Operand] {
					inPlace++
				}
			}
		}
	}
	if shared < 1000 || inPlace < 500 {
		t.Errorf("%d plans share memory and %d operations are in place: the programs test little", shared, inPlace)
	}
}

// The simulation finds what a plan gets wrong.
func TestSimulationFindsClobberedValues(t *testing.T) {
	p := &Program{Sizes: []int{4, 4, 4}, Operations: []Operation{
		{Reads: values(0), Writes: values(1)}, {Reads: values(0, 1), Writes: values(2)},
	}, Outputs: values(2)}
	for name, places := range map[string][]Place{
		"a result over an operand":               {{0, 0}, {1, 0}, {0, 2}},
		"a value over one that is read again":    {{0, 0}, {0, 0}, {1, 0}},
		"a result over an operand, not in place": {{0, 0}, {1, 0}, {1, 0}},
	} {
		if err := simulate(p, &Plan{Buffers: []int{8, 8}, Places: places}); err == nil {
			t.Errorf("%s: not found", name)
		}
	}
}
