package main

import (
	"fmt"
	"slices"

	"efcn/onnxio"
)

// Nets of convolutions with batch normalisation.

// residual is the residual net with batch normalisation for CIFAR of He et al. (arXiv
// 1512.03385, section 4.2) with so many blocks a stage, and projections where the size
// changes: 8 layers with one block, ResNet-20 with three.
func residual(blocks int) *onnxio.Model {
	s := newSketcher("residual", 3, 32, 32)
	s.conv(3, 16, 3, 1, 1)
	s.node("Relu", nil)
	in := int64(16)
	for _, out := range []int64{16, 32, 64} {
		for range blocks {
			from, stride := s.at, out/in
			s.conv(in, out, 3, stride, 1)
			s.node("Relu", nil)
			s.conv(out, out, 3, 1, 1)
			if stride > 1 {
				inner := s.at
				s.at = from
				s.conv(in, out, 1, stride, 1)
				from, s.at = s.at, inner
			}
			s.add(from)
			s.node("Relu", nil)
			in = out
		}
	}
	s.classify(in)
	return s.model(classes)
}

// mobile is MobileNetV2 (Sandler et al., arXiv 1801.04381, table 2) for images of 32×32,
// with one block a stage in place of up to four: the first stride of 2 of that table is
// left out, and so is that of the second stage.
func mobile() *onnxio.Model {
	s := newSketcher("mobile", 3, 32, 32)
	s.conv(3, 32, 3, 1, 1)
	s.relu6()
	in := int64(32)
	for _, b := range []struct{ expand, out, stride int64 }{
		{1, 16, 1}, {6, 24, 1}, {6, 32, 2}, {6, 64, 2}, {6, 96, 1}, {6, 160, 2}, {6, 320, 1},
	} {
		wide := in * b.expand
		if b.expand > 1 {
			s.conv(in, wide, 1, 1, 1)
			s.relu6()
		}
		s.conv(wide, wide, 3, b.stride, wide)
		s.relu6()
		s.conv(wide, b.out, 1, 1, 1)
		in = b.out
	}
	s.conv(in, 1280, 1, 1, 1)
	s.relu6()
	s.classify(1280)
	return s.model(classes)
}

// conv appends a convolution that keeps the size, but for its stride, and a
// BatchNormalization.
func (s *sketcher) conv(in, out, kernel, stride, groups int64) {
	s.node("Conv", []int64{out, in / groups, kernel, kernel}, onnxio.IntsAttr("strides", stride, stride),
		onnxio.IntsAttr("pads", kernel/2, kernel/2, kernel/2, kernel/2), onnxio.IntAttr("group", groups))
	s.normalise(out)
}

// classify appends a mean over positions and a linear classifier.
func (s *sketcher) classify(channels int64) {
	s.node("GlobalAveragePool", nil)
	s.node("Flatten", nil)
	s.node("Gemm", []int64{classes, channels}, onnxio.IntAttr("transB", 1))
}

// relu6 appends a Clip from 0 to 6.
func (s *sketcher) relu6() {
	s.node("Clip", nil)
	n := s.Nodes[len(s.Nodes)-1]
	for i, bound := range []float32{0, 6} {
		n.Inputs = append(n.Inputs, fmt.Sprintf("%s.%d", n.Name, i))
		s.Initializers = append(s.Initializers, onnxio.NewTensor(n.Inputs[1+i], nil, []float32{bound}))
	}
}

// normalise appends a BatchNormalization.
func (s *sketcher) normalise(channels int64) {
	s.node("BatchNormalization", nil)
	n := s.Nodes[len(s.Nodes)-1]
	for _, p := range []struct {
		name  string
		value float32
	}{{"scale", 1}, {"bias", 0}, {"mean", 0}, {"variance", 1}} {
		n.Inputs = append(n.Inputs, n.Name+"."+p.name)
		s.Initializers = append(s.Initializers,
			onnxio.NewTensor(n.Name+"."+p.name, []int64{channels}, slices.Repeat([]float32{p.value}, int(channels))))
	}
}

// add appends the sum with another value.
func (s *sketcher) add(value string) {
	s.node("Add", nil)
	n := s.Nodes[len(s.Nodes)-1]
	n.Inputs = append(n.Inputs, value)
}
