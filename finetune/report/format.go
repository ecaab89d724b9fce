package report

import (
	"fmt"
	"math"
	"strings"

	"efcn/finetune/relax"
	"efcn/internal/chart"
)

// name is how a kind of run is called on the page.
func name(k relax.Kind, relaxed *int) string {
	text := map[relax.Kind]string{
		relax.CNN: "CNN", relax.FCN: "FCN", relax.EFCN: "eFCN", relax.ELCN: "eLCN", relax.Local: "eFCN, local weights only",
		relax.OffLocal: "eFCN, off-local weights only", relax.Tied: "eFCN, tied", relax.Snapshot: "CNN at the relax time",
	}[k]
	if rank := k.Rank(); rank > 0 {
		text = fmt.Sprintf("eFCN, factored %d", rank)
		if init := k.Init(); init != "" {
			text += fmt.Sprintf(" (%s)", init)
		}
		if n := k.Refresh(); n > 0 {
			text += fmt.Sprintf(", restarted every %s", plural(n, "epoch"))
		}
	}
	if relaxed != nil {
		text += fmt.Sprintf(" from %d", *relaxed)
	}
	return text
}

// briefName is how a kind is called beside its line.
func briefName(k relax.Kind) string {
	rank := k.Rank()
	if rank == 0 {
		return name(k, nil)
	}
	var how []string
	if init := k.Init(); init != "" {
		how = append(how, string(init))
	}
	if n := k.Refresh(); n > 0 {
		how = append(how, fmt.Sprintf("restarted every %d", n))
	}
	text := fmt.Sprintf("rank %d", rank)
	if how != nil {
		text += " (" + strings.Join(how, ", ") + ")"
	}
	return text
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%s %ss", number(int64(n)), what)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// percent writes a share in percent: 78.61.
func percent(share float64) string { return chart.Number(100*share, 2) }

// percents writes a mean of shares in percent as 78.61 ± 0.21.
func percents(m *relax.Mean) string {
	switch {
	case m == nil:
		return ""
	case m.SD == nil:
		return percent(m.Mean)
	default:
		return percent(m.Mean) + " ± " + percent(*m.SD)
	}
}

// plain writes a mean and its standard deviation with the same decimals.
func plain(m *relax.Mean) string {
	if m == nil {
		return ""
	}
	text := short(m.Mean)
	if m.SD != nil {
		text += " ± " + chart.Number(*m.SD, decimals(m.Mean))
	}
	return text
}

// short writes a number with three digits, and three decimals where it is about 1.
func short(v float64) string {
	if v != 0 && math.Abs(v) < 1e-6 {
		return fmt.Sprintf("%.2g", v)
	}
	return chart.Number(v, decimals(v))
}

// decimals is how many of them short writes.
func decimals(v float64) int {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return min(max(0, 2-int(math.Floor(math.Log10(math.Abs(v)*1.0005)))), 8)
}

// points writes a difference of shares in percentage points, with its sign.
func points(v float64) string {
	text := chart.Number(100*v, 2)
	if 100*v >= 0.005 {
		text = "+" + text
	}
	return text
}

func number(n int64) string { return chart.Number(float64(n), 0) }
