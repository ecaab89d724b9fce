package kernel

// csrCode in plain Go, entry by entry.

// rowAt returns some lines of a row of y.
func (l *CSRLayer[T]) rowAt(y []T, r int32, first, lines int) []T {
	line := lanes[T]()
	return y[(int(r)*l.step+first)*line:][:lines*line]
}

// columnAt does the same for the column of an entry.
func (l *CSRLayer[T]) columnAt(x []T, t *csrTile, entry, first, lines int) []T {
	return l.rowAt(x, l.columns[t.at+entry], first, lines)
}

// fill sets the rows of a tile to their bias.
func (l *CSRLayer[T]) fill(t *csrTile, bias, y []T, first, lines int) {
	for _, r := range t.rows[:t.count] {
		v := T(0)
		if bias != nil {
			v = bias[r]
		}
		row := l.rowAt(y, r, first, lines)
		for i := range row {
			row[i] = v
		}
	}
}

func (l *CSRLayer[T]) forwardPlain(t *csrTile, w, bias, y []T, first, lines int) {
	l.fill(t, bias, y, first, lines)
	for _, r := range t.rows[:t.count] {
		row := l.rowAt(y, r, first, lines)
		for k, v := range w[l.starts[r]:][:t.n] {
			for i, x := range l.columnAt(l.x, t, k, first, lines) {
				row[i] += v * x
			}
		}
	}
}

func (l *CSRLayer[T]) inputPlain(t *csrTile, lo, hi int, w []T, first, lines int) {
	for _, r := range t.rows[:t.count] {
		row, at := l.rowAt(l.y, r, first, lines), l.starts[r]
		for k := lo; k < hi; k++ {
			v, dx := w[at+k], l.columnAt(l.dx, t, k, first, lines)
			for i, d := range row {
				dx[i] += v * d
			}
		}
	}
}

func (l *CSRLayer[T]) dotsPlain(t *csrTile, alpha, beta T, dw []T) {
	for _, r := range t.rows[:t.count] {
		row, to := l.rowAt(l.y, r, 0, l.lines), dw[l.starts[r]:][:t.n]
		for k := range to {
			var sum T
			for i, x := range l.columnAt(l.x, t, k, 0, l.lines) {
				sum += x * row[i]
			}
			sum *= alpha
			if beta != 0 {
				sum += beta * to[k]
			}
			to[k] = sum
		}
	}
}
