package main

import "testing"

func TestFormatSeconds(t *testing.T) {
	for s, want := range map[float64]string{
		0.0004: "0.4 ms", 0.0123: "12 ms", 0.0996: "0.1 s", 0.5: "0.5 s", 3.44: "3.4 s", 9.96: "10 s", 12.4: "12 s", 99.4: "99 s", 99.6: "1m40s", 3700: "1h1m40s",
	} {
		if got := formatSeconds(s); got != want {
			t.Errorf("%v: %q, want %q", s, got, want)
		}
	}
}
