package main

import (
	"slices"
	"testing"
)

func TestDidYouMean(t *testing.T) {
	names := []string{"verify", "convert", "run", "report", "relax"}
	for word, want := range map[string]string{
		"verfy": "verify", "covnert": "convert", "rnu": "run", "Relax": "relax", "reprot": "report", "bogus": "",
		"x": "", "": "",
	} {
		if want != "" {
			want = "; did you mean " + want + "?"
		}
		if got := didYouMean(word, names); got != want {
			t.Errorf("%q: %q; want %q", word, got, want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"abc", "", 3},
		{"abc", "abc", 0},
		{"kitten", "sitting", 3},
		{"ab", "ba", 1},
		{"abcd", "acbd", 1},
		{"flaw", "lawn", 2},
	} {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: %d; want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestWithValues(t *testing.T) {
	for _, c := range []struct{ given, want []string }{
		{[]string{"convert", "--fold", "all", "a"}, []string{"convert", "--fold=all", "a"}},
		{[]string{"convert", "a", "--fold", "off"}, []string{"convert", "a", "--fold=off"}},
		{[]string{"convert", "--fold", "a.onnx"}, []string{"convert", "--fold", "a.onnx"}},
		{[]string{"convert", "--fold=all", "a"}, []string{"convert", "--fold=all", "a"}},
		{[]string{"convert", "a", "--", "--fold", "all"}, []string{"convert", "a", "--", "--fold", "all"}},
		{[]string{"convert", "a", "--fold"}, []string{"convert", "a", "--fold"}},
		{[]string{"measure", "--spectrum", "8", "a"}, []string{"measure", "--spectrum=8", "a"}},
		{[]string{"measure", "--spectrum", "a"}, []string{"measure", "--spectrum", "a"}},
		{[]string{"convert", "-q", "all"}, []string{"convert", "-q", "all"}},
		{[]string{"fold", "--fold", "all"}, []string{"fold", "--fold", "all"}},
	} {
		if got := withValues(newRoot(&env{}), c.given); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q; want %q", c.given, got, c.want)
		}
	}
}
