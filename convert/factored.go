package convert

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/onnxio"
)

// DefaultRank is the rank of factored layers that Options.Rank does not give.
const DefaultRank = 32

// factored puts a linear layer into the eFCN in local form with U·(V·x) added to it. U is
// zero, so that the layer computes what the local form does; V has orthonormal rows,
// which follow from the layer's name.
func (b *builder) factored(n *onnxio.Node, l *Layer) {
	f := b.inLocalForm(n, l)
	f.Left = onnxio.Generate(4*l.Rows*l.Rank, func(w io.Writer) error { return writeZeros(w, 4*l.Rows*l.Rank) })
	f.Right = onnxio.Generate(4*l.Rank*l.Cols, func(w io.Writer) error {
		return affine.WriteOrthonormal(w, l.Node, int(l.Rank), int(l.Cols))
	})
	b.record.Layers = append(b.record.Layers, b.Factored(f))
}

func writeZeros(w io.Writer, n int64) error {
	zeros := make([]byte, min(n, affine.ChunkBytes))
	for ; n > 0; n -= int64(len(zeros)) {
		if _, err := w.Write(zeros[:min(n, int64(len(zeros)))]); err != nil {
			return err
		}
	}
	return nil
}

// factorBytes is what the factors of the layer take where it is factored.
func (l *Layer) factorBytes() int64 { return 4 * l.rank * (l.Rows + l.Cols) }

// FactoredBytes is the size of the layer in factored form, with the rank that the
// options give it.
func (l *Layer) FactoredBytes() int64 {
	if l.weights == nil {
		return l.DenseBytes()
	}
	return l.LocalBytes() + l.factorBytes()
}

// setRanks gives layers the rank that the options ask for, also those that are
// multiplied into others; no rank is larger than the matrix has rows or columns.
func (p *Plan) setRanks(o Options) error {
	for _, l := range p.Layers {
		if err := o.setRank(l); err != nil {
			return err
		}
		if l.Layout == record.Factored {
			l.Rank = l.rank
		}
	}
	for _, f := range p.Folded {
		for _, pc := range f.block {
			if pc.layer != nil {
				pc.layer.rank = min(f.layer.rank, pc.layer.Rows, pc.layer.Cols)
			}
		}
	}
	return p.checkUnusedRanks(o)
}

// setRank gives a layer its rank: the one given to it by its name, or else to an
// operator that it is the product of, or else that of all layers.
func (o Options) setRank(l *Layer) error {
	rank, by := o.Rank, ""
	if rank == 0 {
		rank = DefaultRank
	}
	names := []string{l.Node}
	for _, f := range l.Factors {
		names = append(names, f.Node)
	}
	for _, name := range names {
		given, ok := o.Ranks[name]
		if ok && by != "" && given != rank {
			return fmt.Errorf("layers %q and %q are multiplied into one matrix, and cannot have ranks %d and %d; "+
				"give them one rank", by, name, rank, given)
		}
		if ok {
			rank, by = given, name
		}
	}
	l.rank = min(int64(rank), l.Rows, l.Cols)
	return nil
}

// checkUnusedRanks reports a rank that was given to a layer which is not factored.
func (p *Plan) checkUnusedRanks(o Options) error {
	for _, name := range slices.Sorted(maps.Keys(o.Ranks)) {
		i := slices.IndexFunc(p.Layers, func(l *Layer) bool {
			return l.Node == name || slices.ContainsFunc(l.Factors, func(f record.Factor) bool { return f.Node == name })
		})
		if i >= 0 && p.Layers[i].Layout != record.Factored && p.Layers[i].NonZeros > 0 {
			return fmt.Errorf("layer %q: rank %d: its layout is %s; only factored layers have a rank", name, o.Ranks[name],
				p.Layers[i].Layout)
		}
	}
	return nil
}

// checkRanks reports ranks that make no sense.
func (o Options) checkRanks() error {
	if o.Rank < 0 {
		return fmt.Errorf("rank: %d is negative", o.Rank)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Ranks)) {
		if o.Ranks[name] < 1 {
			return fmt.Errorf("rank of layer %q: %d; want at least 1", name, o.Ranks[name])
		}
		if o.Layers[name] != record.Factored {
			return fmt.Errorf("rank of layer %q: want the layout factored for it too", name)
		}
	}
	factored := o.Layout == record.Factored
	for _, l := range o.Layers {
		factored = factored || l == record.Factored
	}
	if o.Rank > 0 && !factored {
		return fmt.Errorf("rank %d: no layer's layout is factored", o.Rank)
	}
	return nil
}
