package report

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"strconv"

	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/finetune/relax"
	"efcn/onnxio"
)

// model reads a model of the study.
func (s *study) model(file string) (*onnxio.Model, error) {
	return onnxio.Read(filepath.Join(s.dir, filepath.FromSlash(file)))
}

// certificate verifies every embedding of the study: the CNN at a relax time
// against what its eFCN started with.
func (s *study) certificate(ctx context.Context) (*section, error) {
	part := &section{ID: "certificate", Title: "Certificate"}
	if s.options.NoCheck {
		part.Text = append(part.Text, "The embeddings were not verified for this page.")
		return part, nil
	}
	type pair struct{ cnn, efcn string }
	var pairs []pair
	for _, r := range s.folder.Results {
		if r.Kind == relax.CNN || r.Kind == relax.FCN || r.Kind == relax.Snapshot || r.RelaxEpoch == nil {
			continue
		}
		cnn := s.embedded(r)
		if cnn == "" {
			continue
		}
		pairs = append(pairs, pair{cnn, r.Run + "/start.onnx"})
	}
	if len(pairs) == 0 {
		return nil, nil
	}
	t := newTable("CNN", "embedded", "verdict", ">entries compared", ">float64", ">float32", "argmax")
	t.Name = "Embedding by embedding"
	t.Caption = "Entries: stored numbers of the eFCN that were compared bit for bit with the CNN's parameters, and are " +
		"equal where the verdict says so. Float64, float32: the largest difference of an output. Argmax: samples on which " +
		"both models choose the same class."
	different, unproved := 0, 0
	for i, p := range pairs {
		if s.options.Progress != nil {
			s.options.Progress("verifying", i, len(pairs))
		}
		cells, outcome, err := s.verify(ctx, p.cnn, p.efcn)
		switch {
		case err != nil:
			return nil, err
		case outcome == verify.Failed:
			different++
		case outcome == verify.Skipped:
			unproved++
		}
		t.add(cells...)
	}
	part.Tables = append(part.Tables, t)
	switch {
	case different > 0:
		part.Verdict = &verdict{Text: fmt.Sprintf("%d of the %d embeddings do not compute what their CNN computes: efcn "+
			"verify says where they part.", different, len(pairs)), Bad: true}
	case unproved > 0:
		part.Verdict = &verdict{Text: fmt.Sprintf("%d of the %d embeddings were not verified, or not in all checks; the "+
			"others compute what their CNN computes.", unproved, len(pairs)), Bad: true}
	default:
		part.Verdict = &verdict{Text: fmt.Sprintf("Every one of the %d embeddings computes what its CNN computes: each "+
			"stored number is the CNN's, and the outputs agree up to rounding.", len(pairs))}
	}
	part.Text = append(part.Text,
		fmt.Sprintf("efcn verify on the files of the study, %d random inputs each; docs/verification.md says what each "+
			"check proves.", s.options.samples()))
	return part, nil
}

// embedded is the file of the CNN that a run's model was made from, "" where
// the folder does not have it.
func (s *study) embedded(r *relax.Result) string {
	for _, other := range s.folder.Results {
		if other.Kind == relax.Snapshot && other.RelaxEpoch != nil && *other.RelaxEpoch == *r.RelaxEpoch &&
			(other.Seed == nil || r.Seed != nil && *other.Seed == *r.Seed) {
			return other.File
		}
	}
	return ""
}

// verify returns the row of an embedding and whether it holds: Skipped where not
// every check was made.
func (s *study) verify(
	ctx context.Context, cnnFile, efcnFile string,
) (cells []string, outcome verify.Status, err error) {
	cnn, err := s.model(cnnFile)
	if errors.Is(err, fs.ErrNotExist) {
		return []string{cnnFile, efcnFile, "not verified: the CNN's file is missing", "", "", "", ""}, verify.Skipped, nil
	}
	if err != nil {
		return nil, "", err
	}
	efcn, err := s.model(efcnFile)
	if err != nil {
		return nil, "", err
	}
	report, err := verify.Verify(ctx, cnn, efcn, verify.Options{Samples: s.options.samples(), Seed: 1})
	if err != nil {
		return nil, "", fmt.Errorf("verify %s and %s: %w", cnnFile, efcnFile, err)
	}
	var entries int64
	for _, l := range report.Layers {
		if l.Layout == record.Dense {
			entries += int64(l.Rows) * int64(l.Cols)
		} else {
			entries += l.NonZeros
		}
	}
	largest := map[string]float64{}
	argmax := ""
	for _, out := range report.Outputs {
		largest[out.Precision] = math.Max(largest[out.Precision], float64(out.Max))
		if out.Precision == verify.Float32 {
			argmax = fmt.Sprintf("%d of %d", out.Agree, out.Rows)
		}
	}
	outcome = verify.OK
	text := "equal"
	failed := false
	for _, c := range report.Checks {
		failed = failed || c.Status == verify.Failed
		if c.Status == verify.Skipped {
			outcome, text = verify.Skipped, text+"; "+c.Name+" not checked: "+c.Summary
		}
	}
	if failed {
		outcome, text = verify.Failed, "NOT EQUAL"
		if len(report.Findings) > 0 {
			text += ": " + report.Findings[0].String()
		}
	}
	return []string{
		cnnFile, efcnFile, text, number(entries), short(largest[verify.Float64]),
		short(largest[verify.Float32]), argmax,
	}, outcome, nil
}

// planOf lists the layers of a record.
func planOf(rec *record.Record) (*section, error) {
	t := newTable("layer", "op", "input → output", "geometry", ">matrix", ">non-zeros", ">density", "layout")
	t.Name = "Layer by layer"
	t.Caption = "The layers that were embedded. Non-zeros are the entries that the CNN's operator can reach: geometry, " +
		"not values."
	var entries, support int64
	for _, l := range rec.Layers {
		m, err := l.Support()
		if err != nil {
			return nil, fmt.Errorf("layer %q: %w", l.Node, err)
		}
		rows, cols := product(l.OutputShape), product(l.InputShape)
		nonZeros := rows * cols
		if m != nil {
			nonZeros = m.NonZeros()
		}
		entries, support = entries+rows*cols, support+nonZeros
		t.add(l.Node, l.Op, shape(l.InputShape)+" → "+shape(l.OutputShape), geometry(&l), number(rows)+" × "+number(cols),
			number(nonZeros), share(nonZeros, rows*cols), layout(&l))
	}
	return &section{
		ID: "plan", Title: "Plan of the embedding", Tables: []*table{t},
		Text: []string{fmt.Sprintf("%s weights in the matrices, of which %s (%s) are local.", number(entries),
			number(support), share(support, entries))},
	}, nil
}

// layout is the layout of a layer, and the rank of a factored one.
func layout(l *record.Layer) string {
	if l.Layout == record.Factored {
		return fmt.Sprintf("%s %d", l.Layout, l.Rank)
	}
	return string(l.Layout)
}

func share(part, of int64) string {
	if of == 0 {
		return ""
	}
	return percent(float64(part)/float64(of)) + " %"
}

func product(dims []int64) int64 {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	return n
}

func shape(dims []int64) string {
	text := ""
	for i, d := range dims {
		if i > 0 {
			text += "×"
		}
		text += strconv.FormatInt(d, 10)
	}
	return text
}

// geometry is the window of a layer in short.
func geometry(l *record.Layer) string {
	if len(l.KernelShape) == 0 {
		return ""
	}
	text := shape(l.KernelShape)
	differs := func(v []int64, from int64) bool {
		for _, d := range v {
			if d != from {
				return true
			}
		}
		return false
	}
	for _, part := range []struct {
		name string
		v    []int64
		from int64
	}{{"stride", l.Strides, 1}, {"pad", l.Pads, 0}, {"dilation", l.Dilations, 1}} {
		if differs(part.v, part.from) {
			text += " " + part.name + " " + shape(part.v)
		}
	}
	if l.Group > 1 {
		text += fmt.Sprintf(" group %d", l.Group)
	}
	return text
}
