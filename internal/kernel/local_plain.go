package kernel

// localCode in plain Go, made of matrix products.

func (l *LocalLayer[T]) forwardPlain(table []int32, x, w, y []T, ldy int, bias []T, ldb int) {
	line := lanes[T]()
	column := borrow[T](l.Slots * line)
	gatherPlain(table, x, *column)
	gemmSerial(false, false, l.Out, line, l.Slots, 1, w, max(1, l.Slots), *column, line, 0, y, ldy)
	giveBack(column)
	for o := range l.Out {
		v := bias[o*ldb]
		for i := range y[o*ldy : o*ldy+line] {
			y[o*ldy+i] += v
		}
	}
}

func (l *LocalLayer[T]) inputPlain(table []int32, w, dy, dx []T) {
	line := lanes[T]()
	column := borrow[T](len(table) * line)
	gemmSerial(true, false, len(table), line, l.Out, 1, w, l.Slots, dy, line, 0, *column, line)
	for s, at := range table {
		add(dx[int(at)*line:], (*column)[s*line:(s+1)*line])
	}
	giveBack(column)
}

func (l *LocalLayer[T]) dotsPlain(g, p, n int, alpha, beta T, column []T, step int, dw []T) {
	line := lanes[T]()
	if l.blocks == 0 {
		scaleRows(l.Out, n, beta, dw, l.Slots)
	}
	for b := range l.blocks {
		gemmSerial(
			false, true, l.Out, n, line, alpha, l.gradient(g, b, p), line,
			column[b*step*line:], line, beta, dw, l.Slots,
		)
		beta = 1
	}
}

func gatherPlain[T Float](table []int32, x, column []T) {
	line := lanes[T]()
	for s, at := range table {
		copy(column[s*line:(s+1)*line], x[int(at)*line:])
	}
}
