package verify

import (
	"context"
	"encoding/json"
	"fmt"

	"efcn/convert/record"
	"efcn/internal/mpi"
)

// Several ranks share out the layers of the structure check. All go through all nodes;
// entries of a layer are compared by one rank, and what that finds of the layer counts.

// layerFound is what the check of one layer found.
type layerFound struct {
	Findings []Finding
	Layers   []Layer
	Compared int64
	Unknown  int
}

// layers checks the layers of the record.
func (s *structure) layers(ctx context.Context, w *mpi.World, tick func()) error {
	var rankOf []int
	if w != nil {
		rankOf = s.shares(w.Size())
	}
	found := map[int]layerFound{} // by this rank
	findings, rows, compared, unknown := len(s.report.Findings), len(s.report.Layers), s.compared, s.unknown
	for i := range s.record.Layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, l, c, u := len(s.report.Findings), len(s.report.Layers), s.compared, s.unknown
		s.others = w != nil && rankOf[i] != w.Rank()
		if rec := &s.record.Layers[i]; len(rec.Factors) > 0 {
			s.product(rec)
		} else {
			s.layer(rec)
		}
		if !s.others {
			found[i] = layerFound{s.report.Findings[f:], s.report.Layers[l:], s.compared - c, s.unknown - u}
		}
		tick()
	}
	if w == nil {
		return nil
	}
	message, err := json.Marshal(found)
	if err != nil {
		return err
	}
	messages, err := w.AllgatherBytes(ctx, message)
	if err != nil {
		return err
	}
	all := map[int]layerFound{}
	for _, m := range messages {
		if err := json.Unmarshal(m, &all); err != nil {
			return err
		}
	}
	s.report.Findings, s.report.Layers = s.report.Findings[:findings:findings], s.report.Layers[:rows:rows]
	s.compared, s.unknown = compared, unknown
	for i := range s.record.Layers {
		of, ok := all[i]
		if !ok {
			return fmt.Errorf("no rank has compared layer %q: the ranks have to have the same models", s.record.Layers[i].Node)
		}
		s.report.Findings = append(s.report.Findings, of.Findings...)
		s.report.Layers = append(s.report.Layers, of.Layers...)
		s.compared, s.unknown = s.compared+of.Compared, s.unknown+of.Unknown
	}
	return nil
}

// shares deals the layers out by the bytes of their weights.
func (s *structure) shares(ranks int) []int {
	bytes := func(l *record.Layer) int64 {
		if t := s.efcn.sparse[l.Weight]; t != nil && t.Values != nil && t.Values.Data != nil {
			return t.Values.Data.Len()
		}
		if t := s.efcn.constants[l.Weight]; t != nil && t.Data != nil {
			return t.Data.Len()
		}
		return 0
	}
	costs := make([]int64, len(s.record.Layers))
	for i := range costs {
		costs[i] = bytes(&s.record.Layers[i])
	}
	return mpi.Shares(costs, ranks)
}

// first reports whether this process makes the whole report: rank 0, or the only one.
func (o *Options) first() bool { return o.World == nil || o.World.Rank() == 0 }

// runs reports whether this process runs the models.
func (o *Options) runs() bool { return o.first() && (!o.skips(Float64) || !o.skips(Float32)) }

// shareReport gives all ranks the report of rank 0.
func (v *verifier) shareReport(ctx context.Context) error {
	w := v.options.World
	if w == nil {
		return nil
	}
	var own []byte
	if w.Rank() == 0 {
		var err error
		if own, err = json.Marshal(v.report); err != nil {
			return err
		}
	}
	messages, err := w.AllgatherBytes(ctx, own)
	if err != nil || w.Rank() == 0 {
		return err
	}
	*v.report = Report{}
	return json.Unmarshal(messages[0], v.report)
}
