package verify

import (
	"fmt"
	"slices"
)

// Verdict is what a report comes to, in a sentence. It claims no more than was checked.
func (r *Report) Verdict() string {
	words := r.words()
	switch {
	case !r.Equal():
		return "NOT EQUAL" + r.where()
	case r.JudgedAs != "" && r.RTol == 0 && r.ATol == 0:
		return fmt.Sprintf("EQUAL within the rounding of %s on the %d samples that were run; "+
			"nothing is known of other inputs", r.JudgedAs, r.Samples)
	case r.RTol != 0 || r.ATol != 0:
		return r.verdictOfTolerance()
	case r.Checks[0].Status != OK: // the structure
		return fmt.Sprintf("EQUAL up to rounding on the %d samples that were run; nothing is known of other inputs",
			r.Samples)
	case slices.ContainsFunc(r.Checks[1:], func(c Check) bool { return c.Status == OK }):
		return fmt.Sprintf("EQUAL: every number that %s stores is %s's, and on all %d samples both compute the same up to "+
			"rounding", words.second, words.first, r.Samples)
	default:
		return fmt.Sprintf("EQUAL: every number that %s stores is %s's; neither was run", words.second, words.first)
	}
}

// verdictOfTolerance is the verdict on models that are equal within a tolerance that was
// given: whether they are equal up to rounding as well.
func (r *Report) verdictOfTolerance() string {
	within := fmt.Sprintf("EQUAL within the tolerance given, on the %d samples that were run", r.Samples)
	var over, unbounded int64
	count := func(d *Distance) {
		if d != nil {
			over, unbounded = over+d.Over, unbounded+d.Unbounded
		}
	}
	for i := range r.Values {
		count(r.Values[i].Float64)
		count(r.Values[i].Float32)
	}
	for i := range r.Outputs {
		count(&r.Outputs[i].Distance)
	}
	for _, e := range r.Engines {
		for i := range e.Outputs {
			count(&e.Outputs[i].Distance)
		}
	}
	switch {
	case over > 0:
		return within + "; beyond rounding"
	case unbounded > 0:
		return within + "; whether rounding explains the difference is not known"
	default:
		return within + ", and up to rounding"
	}
}

// where names the place at which models part that are not equal.
func (r *Report) where() string {
	f, ok := r.FirstDifference()
	if i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Kind == overflowKind }); i >= 0 {
		over := r.Findings[i]
		return fmt.Sprintf(": %s overflows %s at node %q (%s), as the check %q shows", r.words().second, r.JudgedAs,
			over.Node, over.Op, over.Check)
	}
	switch {
	case !ok:
		return ""
	case f.Node != "" && f.Op != "":
		return fmt.Sprintf(": they part at node %q (%s), as the check %q shows", f.Node, f.Op, f.Check)
	case f.Value != "":
		return fmt.Sprintf(": they part at value %q, as the check %q shows", f.Value, f.Check)
	default:
		return fmt.Sprintf(": the check %q fails", f.Check)
	}
}
