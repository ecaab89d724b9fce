package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"

	"efcn/convert/compress"
	"efcn/onnxio"
)

// printSpectra prints the share of the energy in the first singular values of every
// layer, and the values themselves.
func printSpectra(w io.Writer, spectra []compress.Spectrum) {
	header := []string{"node", "layout", ">matrix", ">|W_off|"}
	for _, n := range compress.Shares() {
		header = append(header, fmt.Sprintf(">first %d", n))
	}
	measured := slices.DeleteFunc(slices.Clone(spectra), func(s compress.Spectrum) bool { return s.NotMeasured != "" })
	rows := make([][]string, len(measured))
	for i, s := range measured {
		rows[i] = []string{
			s.Node, string(s.Layout), fmt.Sprintf("%d x %d", s.Rows, s.Cols), formatShare(s.OffLocal),
		}
		for _, share := range s.Energy {
			rows[i] = append(rows[i], fmt.Sprintf("%.2f %%", 100*share))
		}
	}
	fmt.Fprint(w, "\nenergy outside the support in the largest singular values:\n\n")
	printTable(w, header, rows)
	for _, s := range measured {
		fmt.Fprintf(w, "\n%s, %d singular values:\n", onnxio.Printable(s.Node), len(s.Values))
		for line := range slices.Chunk(s.Values, 8) {
			for _, v := range line {
				fmt.Fprintf(w, "  %11s", formatShare(v))
			}
			fmt.Fprintln(w)
		}
	}
}

// writeSpectra writes a row for each singular value, with all digits, and the share of
// the energy in those up to it.
func writeSpectra(w io.Writer, spectra []compress.Spectrum) error {
	digits := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	rows := [][]string{{"node", "op", "layout", "rank", "singular_value", "energy"}}
	for _, s := range spectra {
		for i, v := range s.Values {
			rows = append(rows, []string{
				s.Node, s.Op, string(s.Layout), strconv.Itoa(i + 1), digits(v), digits(s.Share(i + 1)),
			})
		}
	}
	return csv.NewWriter(w).WriteAll(rows)
}
