package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// didYouMean returns "; did you mean X?" where word is close to one of the names, else "".
func didYouMean(word string, names []string) string {
	best, least := "", len(word)/3+1 // one letter in three may be wrong, and one more
	for _, name := range names {
		if d := editDistance(strings.ToLower(word), strings.ToLower(name)); d < least || d == least && best == "" {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// editDistance counts the letters to insert, delete, change or swap with the next that
// make b of a (optimal string alignment).
func editDistance(a, b string) int {
	var rows [3][]int // of the prefixes of a with i-2, i-1 and i letters
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
	}
	for j := range rows[2] {
		rows[2][j] = j
	}
	for i := 1; i <= len(a); i++ {
		rows[0], rows[1], rows[2] = rows[1], rows[2], rows[0]
		rows[2][0] = i
		for j := 1; j <= len(b); j++ {
			change := rows[1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			rows[2][j] = min(change, rows[1][j]+1, rows[2][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[2][j] = min(rows[2][j], rows[0][j-2]+1)
			}
		}
	}
	return rows[2][len(b)]
}

// unknownCommand refuses arguments of the root, which are commands it does not have.
func unknownCommand(cmd *cobra.Command, given []string) error {
	if len(given) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	return fmt.Errorf("unknown command %q for %q%s", given[0], cmd.CommandPath(), didYouMean(given[0], names))
}

// flagError is a usage error, of an unknown flag with the one that may have been meant.
func flagError(cmd *cobra.Command, err error) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return usageError{err}
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return usagef("%v%s", err, didYouMean("--"+unknown.GetSpecifiedName(), names))
}

// withValues joins a flag that may be given with or without a value with the value that
// follows it: --fold all becomes --fold=all, where all is a value of --fold. The flag
// alone would otherwise take its default, and the value be an argument.
func withValues(root *cobra.Command, args []string) []string {
	cmd, _, err := root.Find(args)
	if err != nil {
		return args
	}
	joined := slices.Clone(args)
	for i := 0; i+1 < len(joined) && joined[i] != "--"; i++ {
		name, long := strings.CutPrefix(joined[i], "--")
		f := cmd.Flags().Lookup(name)
		if !long || f == nil || f.NoOptDefVal == "" || f.Value.Type() == "bool" {
			continue
		}
		if f.Value.Set(joined[i+1]) == nil { // parsing sets it again
			joined[i] += "=" + joined[i+1]
			joined = slices.Delete(joined, i+1, i+2)
		}
	}
	return joined
}
