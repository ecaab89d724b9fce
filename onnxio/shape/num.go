package shape

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// symbol stands for an integer that is not known.
type symbol struct {
	id   int
	name string // "" for one that nothing in the model names
	size bool   // a dimension: not negative
}

// num is an integer that may not be known: coef times the product of syms,
// which is sorted by id and never modified. The zero num is 0.
type num struct {
	coef int64
	syms []*symbol
}

// maxSymbols bounds a product of symbols, which repeated squaring would
// otherwise double at every node.
const maxSymbols = 16

func fixed(v int64) num { return num{coef: v} }

func (n num) known() bool { return len(n.syms) == 0 }

// is reports whether n is surely v.
func (n num) is(v int64) bool { return n.known() && n.coef == v }

// isSize reports whether n is surely not negative.
func (n num) isSize() bool {
	if n.coef < 0 {
		return false
	}
	for _, s := range n.syms {
		if !s.size {
			return false
		}
	}
	return true
}

// named reports whether n is known, or a product of symbols that have a name.
func (n num) named() bool {
	for _, s := range n.syms {
		if s.name == "" {
			return false
		}
	}
	return true
}

// equal reports whether a and b are surely the same.
func (n num) equal(b num) bool { return n.coef == b.coef && slices.Equal(n.syms, b.syms) }

func (n num) String() string {
	if n.known() {
		return strconv.FormatInt(n.coef, 10)
	}
	var b strings.Builder
	if n.coef != 1 {
		fmt.Fprintf(&b, "%d·", n.coef)
	}
	for i, s := range n.syms {
		if i > 0 {
			b.WriteString("·")
		}
		if s.name == "" {
			b.WriteString("?")
		} else {
			b.WriteString(s.name)
		}
	}
	return b.String()
}

// mul multiplies. It returns false where the product does not fit.
func mul(a, b num) (num, bool) {
	c, ok := mulInt(a.coef, b.coef)
	if !ok || len(a.syms)+len(b.syms) > maxSymbols {
		return num{}, false
	}
	if c == 0 {
		return num{}, true
	}
	switch {
	case len(a.syms) == 0:
		return num{c, b.syms}, true
	case len(b.syms) == 0:
		return num{c, a.syms}, true
	}
	syms := append(slices.Clone(a.syms), b.syms...)
	slices.SortFunc(syms, func(x, y *symbol) int { return x.id - y.id })
	return num{c, syms}, true
}

// product multiplies all of list. It returns false where that does not fit.
func product(list []num) (num, bool) {
	p := fixed(1)
	for _, n := range list {
		var ok bool
		if p, ok = mul(p, n); !ok {
			return num{}, false
		}
	}
	return p, true
}

// quotient divides exactly. It returns false where a is not surely a multiple
// of b.
func quotient(a, b num) (num, bool) {
	if b.coef == 0 || a.coef%b.coef != 0 || a.coef == math.MinInt64 {
		return num{}, false
	}
	rest := slices.Clone(a.syms)
	for _, s := range b.syms {
		i := slices.Index(rest, s)
		if i < 0 {
			return num{}, false
		}
		rest = slices.Delete(rest, i, i+1)
	}
	if a.coef == 0 {
		return num{}, true
	}
	return num{a.coef / b.coef, rest}, true
}

// add adds. It returns false where the sum is no monomial or does not fit.
func add(a, b num) (num, bool) {
	switch {
	case a.is(0):
		return b, true
	case b.is(0):
		return a, true
	case !slices.Equal(a.syms, b.syms):
		return num{}, false
	}
	c := a.coef + b.coef
	if (a.coef > 0) == (b.coef > 0) && (c > 0) != (a.coef > 0) {
		return num{}, false
	}
	if c == 0 {
		return num{}, true
	}
	return num{c, a.syms}, true
}

// sub subtracts, as add adds.
func sub(a, b num) (num, bool) {
	if b.coef == math.MinInt64 {
		return num{}, false
	}
	return add(a, num{-b.coef, b.syms})
}

// mulInt multiplies and reports whether the product fits.
func mulInt(a, b int64) (int64, bool) {
	c := a * b
	if a != 0 && (c/a != b || a == -1 && b == math.MinInt64) {
		return 0, false
	}
	return c, true
}

// addInt adds and reports whether the sum fits.
func addInt(a, b int64) (int64, bool) {
	c := a + b
	return c, (c > a) == (b > 0)
}
