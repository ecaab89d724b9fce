package main

import "testing"

func TestFormatSeconds(t *testing.T) {
	for s, want := range map[float64]string{
		0.0004: "0.4 ms", 0.0123: "12 ms", 0.0996: "0.1 s", 0.5: "0.5 s", 3.44: "3.4 s", 9.96: "10 s", 12.4: "12 s",
		99.4: "99 s", 99.6: "1m40s", 605: "10m05s", 3599.4: "59m59s", 3599.6: "1h00m", 3700: "1h02m", 86400: "24h00m",
		172000: "47h47m", 172790: "2.0 days", 250000: "2.9 days", 2352509: "27 days",
	} {
		if got := formatSeconds(s); got != want {
			t.Errorf("%v: %q, want %q", s, got, want)
		}
	}
}
