package onnxio

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// NodeError says which node of a model an error is about. Its text is the
// form that every command prints: node "conv1" (Conv): what is wrong.
type NodeError struct {
	Node string // the node's name or, if it has none, its first output's
	Op   string // operator type, with its domain unless that is ai.onnx
	Err  error
}

func (e *NodeError) Error() string {
	return fmt.Sprintf("node %q (%s): %v", e.Node, Printable(e.Op), e.Err)
}

func (e *NodeError) Unwrap() error { return e.Err }

// Errorf returns an error about the node n. Its text follows the house form
// "what is wrong; what would work".
func (n *Node) Errorf(format string, args ...any) error {
	return n.Wrap(fmt.Errorf(format, args...))
}

// Wrap returns err as an error about the node n, or nil if err is nil.
func (n *Node) Wrap(err error) error {
	if err == nil {
		return nil
	}
	return &NodeError{Node: n.Label(), Op: n.QualifiedOp(), Err: err}
}

// Label returns what to call the node in a message: its name or, since names
// are optional in ONNX, the name of its first output.
func (n *Node) Label() string {
	if n.Name != "" {
		return n.Name
	}
	return n.Output(0)
}

// QualifiedOp returns the operator type, with its domain in front unless that
// is the default one.
func (n *Node) QualifiedOp() string {
	if d := CanonicalDomain(n.Domain); d != "" {
		return d + "." + n.OpType
	}
	return n.OpType
}

// PrintableText returns a message that may quote names of a model as it may go to
// a terminal: what steers it, and bytes that are no UTF-8, are escaped as Go has it.
func PrintableText(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		if r == utf8.RuneError && n == 1 || !unicode.IsGraphic(r) && r != '\n' {
			quoted := strconv.Quote(text[:n])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteString(text[:n])
		}
		text = text[n:]
	}
	return b.String()
}

// Printable returns a name of a model as it may go to a terminal: as it is, or
// quoted where it holds characters that break lines or steer the terminal.
func Printable(name string) string {
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		return strconv.Quote(name)
	}
	return name
}
