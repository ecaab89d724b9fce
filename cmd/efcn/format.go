package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// formatBytes writes a size with a binary unit and three digits or so.
func formatBytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/1024, "KiB"
	for _, next := range []string{"MiB", "GiB", "TiB"} {
		if v < 1023.95 {
			break
		}
		v, unit = v/1024, next
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}

// formatCount writes a whole number with a comma every three digits.
func formatCount(n int64) string {
	digits := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, d := range digits {
		if left := len(digits) - i; i > 0 && left%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// formatLoss writes a loss with four decimals, a large one with six digits.
func formatLoss(v float64) string {
	if math.Abs(v) < 1e6 {
		return strconv.FormatFloat(v, 'f', 4, 64)
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}

// formatSeconds writes a time in the largest unit that leaves it two digits or more:
// 12 ms, 99 s, 1m40s, 3h25m, 27 days.
func formatSeconds(s float64) string {
	const minute, hour, day = 60, 3600, 24 * 3600
	switch {
	case s < 0.0995:
		return fmt.Sprintf("%.2g ms", 1e3*s)
	case s < 9.95:
		return fmt.Sprintf("%.2g s", s)
	case s < 99.5:
		return fmt.Sprintf("%.0f s", s)
	case s < hour-0.5:
		whole := int(math.Round(s))
		return fmt.Sprintf("%dm%02ds", whole/minute, whole%minute)
	case s < 2*day-minute/2:
		whole := int(math.Round(s / minute))
		return fmt.Sprintf("%dh%02dm", whole/60, whole%60)
	case s < 9.95*day:
		return fmt.Sprintf("%.1f days", s/day)
	default:
		return fmt.Sprintf("%.0f days", s/day)
	}
}

// formatShape writes a shape as the flags take it: 1x28x28.
func formatShape[T int | int64](dims []T) string {
	fields := make([]string, len(dims))
	for i, d := range dims {
		fields[i] = strconv.FormatInt(int64(d), 10)
	}
	return strings.Join(fields, "x")
}

// printJSON writes v as the one document of --json.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
