package verify

import (
	"fmt"
	"io"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// NearStep is a value behind a discontinuous operator (QuantizeLinear, a Cast to an
// integer, Floor, a comparison, TopK, …), each model run as a whole, of which some
// elements may be on either side of a step: what lies before them is within its
// bound of one.
type NearStep struct {
	Value     string `json:"value"` // of the CNN
	Node      string `json:"node"`
	Op        string `json:"op"`
	Precision string `json:"precision"` // Float64 or Float32
	Elements  int64  `json:"elements"`  // of the value, over all samples
	Near      int64  `json:"near"`      // of them, within their bound of a step
	Apart     int64  `json:"apart"`     // of these, different in the two models

	distance Distance
}

// atSteps compares what has steps in the two models, each run as a whole: an element
// whose operand is on one plateau for sure has to be equal. values
// are the CNN's and the eFCN's, by their names in the CNN.
func (c *comparison[T]) atSteps(f feed, values [2]map[string]*engine.Tensor[T], total *bounds) error {
	for _, node := range c.cnn.graph.Nodes {
		if operatorOf(node).steps == nil {
			continue
		}
		for _, name := range node.Outputs {
			own := values[0][name]
			if name == "" || own == nil {
				continue
			}
			d, err := total.of(name)
			if err != nil {
				return err
			}
			s := c.steps[name]
			if s == nil {
				s = &NearStep{Value: name, Node: node.Label(), Op: node.QualifiedOp(), Precision: c.bounder.name}
				c.steps[name] = s
			}
			near := total.nearSteps[name]
			s.Elements += int64(own.Len())
			s.Near += int64(len(near))
			other := values[1][name]
			if other == nil || !c.options.holdsAs(own.Type, other.Type) || other.Len() != own.Len() || total.loose[name] {
				continue
			}
			for _, i := range near {
				if differ(own, other, i) != 0 {
					s.Apart++
				}
			}
			var here Distance
			measure(&here, own, other, d, f.first)
			s.distance.add(&here)
		}
	}
	return nil
}

// concludeSteps puts what is near a step into the report, and what differs though it
// is near none. Of two models without a record values are matched, some by chance,
// and only what follows from the values before them is judged.
func (c *comparison[T]) concludeSteps() {
	for _, node := range c.cnn.graph.Nodes {
		for _, name := range node.Outputs {
			s := c.steps[name]
			if s == nil {
				continue
			}
			if s.Near > 0 {
				c.report.Steps = append(c.report.Steps, *s)
			}
			if s.distance.Over > 0 && c.record != nil && (c.distance[name] == nil || c.distance[name].Over == 0) {
				c.report.find(c.finding("step", name,
					"each model run as a whole, "+s.distance.over(name, c.report.words())))
				c.failing(&s.distance)
			}
		}
	}
}

// writeSteps prints how many elements may be on either side of a step.
func (r *Report) writeSteps(w io.Writer) {
	if len(r.Steps) == 0 {
		return
	}
	fmt.Fprintf(w,
		"\nsteps, end to end: a difference there is rounding, and what follows is bounded by the height of the step\n")
	for _, precision := range []string{Float64, Float32} {
		for _, s := range r.Steps {
			if s.Precision == precision {
				fmt.Fprintf(w,
					"  %d of %d elements of value %q, computed by node %q (%s), "+
						"lie within their bound of a step in %s; %d of them differ\n",
					s.Near, s.Elements, onnxio.Printable(s.Value), onnxio.Printable(s.Node), s.Op, s.Precision, s.Apart)
			}
		}
	}
}
