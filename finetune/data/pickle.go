package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// unpickle reads a Python pickle of the shape that the files of CIFAR have: a
// dict of byte strings, lists of integers and NumPy arrays of bytes. Nothing is
// executed. Names of Python's are looked up in a list of five, which stand for how
// NumPy writes such an array; any other name, and any opcode that these files do
// not need, is an error. What is allocated is bounded by the length of content.
//
// Opcodes: Python's Lib/pickletools.py. Protocol 2 is what the files come in; 3 to
// 5 are what newer Pythons write.
func unpickle(content []byte) (*pickleDict, error) {
	p := unpickler{content: content, memo: make(map[uint32]any)}
	for range maxPickleSteps {
		start := p.at
		op, err := p.take(1)
		if err == nil && op[0] == '.' {
			d, ok := p.only().(*pickleDict)
			if !ok {
				return nil, fmt.Errorf("offset %d: the pickle holds no dict", start)
			}
			return d, nil
		}
		if err == nil {
			err = p.step(op[0])
		}
		if err != nil {
			return nil, fmt.Errorf("offset %d: %w", start, err)
		}
	}
	return nil, fmt.Errorf("offset %d: more than %d opcodes; the batches of CIFAR have fewer", p.at, maxPickleSteps)
}

// maxPickleSteps bounds the opcodes of a pickle. The longest batch, of CIFAR-100, has
// some for each of 50,000 images.
const maxPickleSteps = 1 << 22

// What a value of a pickle may be, beside nil, bool, int64 and []any for a tuple.
type (
	pickleBytes struct {
		bytes  []byte
		offset int // in the pickle; -1 where the bytes do not lie there as they are
	}
	pickleText   []byte // UTF-8
	pickleList   struct{ items []any }
	pickleDict   struct{ items map[string]any }
	pickleGlobal string // module and name
	pickleMark   struct{}
	pickleDtype  struct{} // unsigned bytes
	pickleArray  struct {
		shape  []int64
		pixels pickleBytes
	}
)

// What may be called. NumPy 2 has moved its modules from numpy.core.
const (
	callReconstruct pickleGlobal = "numpy.core.multiarray _reconstruct"
	callFromBuffer  pickleGlobal = "numpy.core.numeric _frombuffer"
	callArray       pickleGlobal = "numpy ndarray"
	callDtype       pickleGlobal = "numpy dtype"
	callEncode      pickleGlobal = "_codecs encode"
)

type unpickler struct {
	content []byte
	at      int
	stack   []any
	memo    map[uint32]any
	encoded int // bytes that were made of texts
}

var errPickleShape = errors.New("the pickle is not put together as the batches of CIFAR are")

// take returns the next n bytes.
func (p *unpickler) take(n uint64) ([]byte, error) {
	if left := uint64(len(p.content) - p.at); n > left {
		return nil, fmt.Errorf("the pickle promises %d bytes more and has %d", n, left)
	}
	b := p.content[p.at : p.at+int(n)]
	p.at += int(n)
	return b, nil
}

// number reads a little-endian number of so many bytes.
func (p *unpickler) number(width uint64) (uint64, error) {
	b, err := p.take(width)
	if err != nil {
		return 0, err
	}
	var wide [8]byte
	copy(wide[:], b)
	return binary.LittleEndian.Uint64(wide[:]), nil
}

// counted reads as many bytes as the number before them says.
func (p *unpickler) counted(width uint64) (pickleBytes, error) {
	n, err := p.number(width)
	if err != nil {
		return pickleBytes{}, err
	}
	at := p.at
	b, err := p.take(n)
	return pickleBytes{b, at}, err
}

func (p *unpickler) line() (string, error) {
	n := bytes.IndexByte(p.content[p.at:], '\n')
	if n < 0 {
		return "", errors.New("the pickle ends inside a name")
	}
	b, err := p.take(uint64(n) + 1)
	return string(b[:max(0, len(b)-1)]), err
}

func (p *unpickler) push(v any) { p.stack = append(p.stack, v) }

// pop returns the last n values; ok is false where there are fewer since the last
// mark.
func (p *unpickler) pop(n int) (values []any, ok bool) {
	at := len(p.stack) - n
	if at < 0 {
		return nil, false
	}
	values = p.stack[at:]
	p.stack = p.stack[:at]
	for _, v := range values {
		if _, mark := v.(pickleMark); mark {
			return nil, false
		}
	}
	return values, true
}

// popMark returns what lies above the last mark, and takes the mark away too.
func (p *unpickler) popMark() (values []any, ok bool) {
	for i := len(p.stack) - 1; i >= 0; i-- {
		if _, mark := p.stack[i].(pickleMark); mark {
			values = p.stack[i+1:]
			p.stack = p.stack[:i]
			return values, true
		}
	}
	return nil, false
}

// top returns the last value, nil where there is none.
func (p *unpickler) top() any {
	if len(p.stack) == 0 {
		return nil
	}
	return p.stack[len(p.stack)-1]
}

// only returns the value on the stack where there is one, else nil.
func (p *unpickler) only() any {
	if len(p.stack) != 1 {
		return nil
	}
	return p.stack[0]
}

// step carries out one opcode.
func (p *unpickler) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		v, err := p.number(1)
		if err == nil && (v < 2 || v > 5) {
			err = fmt.Errorf("pickle protocol %d; 2 to 5 are read", v)
		}
		return err
	case 0x95: // FRAME
		_, err := p.number(8)
		return err
	case '(':
		p.push(pickleMark{})
	case 'N':
		p.push(nil)
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		p.push(op == 0x88)
	case ']':
		p.push(&pickleList{})
	case '}':
		p.push(&pickleDict{make(map[string]any)})
	case 'J', 'K', 'M', 0x8a: // BININT, BININT1, BININT2, LONG1
		return p.integer(op)
	case 'U', 'T', 'C', 'B', 0x8e, 0x96: // byte strings, BYTEARRAY8
		return p.bytes(op)
	case 0x8c, 'X', 0x8d: // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8
		return p.text(op)
	case 'q', 'r', 'h', 'j', 0x94: // BINPUT, LONG_BINPUT, BINGET, LONG_BINGET, MEMOIZE
		return p.remember(op)
	case ')', 0x85, 0x86, 0x87, 't': // EMPTY_TUPLE, TUPLE1 to TUPLE3, TUPLE
		return p.tuple(op)
	case 'a', 'e', 's', 'u': // APPEND, APPENDS, SETITEM, SETITEMS
		return p.fill(op)
	case 'c', 0x93: // GLOBAL, STACK_GLOBAL
		return p.global(op)
	case 'R':
		return p.reduce()
	case 'b':
		return p.build()
	default:
		return fmt.Errorf("pickle opcode %q (0x%02x): not among those that the batches of CIFAR need; refused", op, op)
	}
	return nil
}

func (p *unpickler) integer(op byte) error {
	width := map[byte]uint64{'J': 4, 'K': 1, 'M': 2}[op]
	if op == 0x8a {
		var err error
		if width, err = p.number(1); err != nil {
			return err
		}
		if width > 8 {
			return fmt.Errorf("an integer of %d bytes; want 8 at most", width)
		}
	}
	v, err := p.number(width)
	if err != nil {
		return err
	}
	n := int64(v)
	if op == 'J' || op == 0x8a { // signed
		shift := 64 - 8*width
		n = int64(v<<shift) >> shift
	}
	p.push(n)
	return nil
}

func (p *unpickler) bytes(op byte) error {
	width := map[byte]uint64{'U': 1, 'C': 1, 'T': 4, 'B': 4, 0x8e: 8, 0x96: 8}[op]
	b, err := p.counted(width)
	p.push(b)
	return err
}

func (p *unpickler) text(op byte) error {
	width := map[byte]uint64{0x8c: 1, 'X': 4, 0x8d: 8}[op]
	b, err := p.counted(width)
	p.push(pickleText(b.bytes))
	return err
}

// remember puts the last value in the memo, or takes one from there.
func (p *unpickler) remember(op byte) error {
	index := uint64(len(p.memo))
	if op != 0x94 {
		width := uint64(1)
		if op == 'r' || op == 'j' {
			width = 4
		}
		var err error
		if index, err = p.number(width); err != nil {
			return err
		}
	}
	if op == 'h' || op == 'j' {
		v, ok := p.memo[uint32(index)]
		if !ok {
			return fmt.Errorf("nothing was remembered as %d", index)
		}
		p.push(v)
		return nil
	}
	if _, mark := p.top().(pickleMark); mark || len(p.stack) == 0 {
		return errPickleShape
	}
	p.memo[uint32(index)] = p.top()
	return nil
}

func (p *unpickler) tuple(op byte) error {
	var values []any
	ok := true
	switch op {
	case ')':
	case 't':
		values, ok = p.popMark()
	default:
		values, ok = p.pop(int(op-0x85) + 1)
	}
	if !ok {
		return errPickleShape
	}
	p.push(append([]any{}, values...))
	return nil
}

// fill adds to the list or dict that lies below what is added.
func (p *unpickler) fill(op byte) error {
	var values []any
	var ok bool
	switch op {
	case 'a':
		values, ok = p.pop(1)
	case 's':
		values, ok = p.pop(2)
	default:
		values, ok = p.popMark()
	}
	if !ok {
		return errPickleShape
	}
	switch into := p.top().(type) {
	case *pickleList:
		if op != 'a' && op != 'e' {
			return errPickleShape
		}
		into.items = append(into.items, values...)
	case *pickleDict:
		if op != 's' && op != 'u' || len(values)%2 != 0 {
			return errPickleShape
		}
		for i := 0; i < len(values); i += 2 {
			key, ok := pickleString(values[i])
			if !ok {
				return errors.New("a dict has a key that is no short string")
			}
			into.items[key] = values[i+1]
		}
	default:
		return errPickleShape
	}
	return nil
}

// pickleString returns a short string of Python 2 or 3, or bytes.
func pickleString(v any) (string, bool) {
	var s []byte
	switch v := v.(type) {
	case pickleText:
		s = v
	case pickleBytes:
		s = v.bytes
	default:
		return "", false
	}
	if len(s) > math.MaxUint8 { // a copy of a long one for every time that it is named
		return "", false
	}
	return string(s), true
}

func (p *unpickler) global(op byte) error {
	var module, name string
	if op == 'c' {
		var err error
		if module, err = p.line(); err != nil {
			return err
		}
		if name, err = p.line(); err != nil {
			return err
		}
	} else {
		values, ok := p.pop(2)
		if !ok {
			return errPickleShape
		}
		var isModule, isName bool
		module, isModule = pickleString(values[0])
		name, isName = pickleString(values[1])
		if !isModule || !isName {
			return errPickleShape
		}
	}
	g := pickleGlobal(module + " " + name)
	if rest, ok := bytes.CutPrefix([]byte(g), []byte("numpy._core.")); ok {
		g = pickleGlobal("numpy.core." + string(rest))
	}
	switch g {
	case callReconstruct, callFromBuffer, callArray, callDtype, callEncode:
		p.push(g)
		return nil
	}
	return fmt.Errorf("the pickle names %.40q of the Python module %.40q, which the batches of CIFAR do not need; refused",
		name, module)
}

// reduce does what a call that NumPy wrote stands for.
func (p *unpickler) reduce() error {
	values, ok := p.pop(2)
	if !ok {
		return errPickleShape
	}
	call, isCall := values[0].(pickleGlobal)
	args, isTuple := values[1].([]any)
	if !isCall || !isTuple {
		return errPickleShape
	}
	switch {
	case call == callReconstruct && len(args) == 3 && args[0] == any(callArray):
		p.push(&pickleArray{})
	case call == callDtype && len(args) == 3:
		if kind, ok := pickleString(args[0]); !ok || kind != "u1" {
			return fmt.Errorf("an array of type %.20q; want u1, unsigned bytes", kind)
		}
		p.push(&pickleDtype{})
	case call == callFromBuffer && len(args) == 4:
		order, ok := pickleString(args[3])
		if !ok || order != "C" {
			return errors.New("an array that is not in C order")
		}
		a := &pickleArray{}
		p.push(a)
		return a.set(args[2], args[1], args[0])
	case call == callEncode && len(args) == 2:
		return p.encode(args[0], args[1])
	default:
		return fmt.Errorf("a call of %q that the batches of CIFAR do not need; refused", string(call))
	}
	return nil
}

// encode makes bytes of a text in Latin-1, as Python 3 writes bytes in protocol 2.
func (p *unpickler) encode(text, encoding any) error {
	t, isText := text.(pickleText)
	name, isName := pickleString(encoding)
	if !isText || !isName || name != "latin1" {
		return errPickleShape
	}
	// One text may be encoded many times.
	if p.encoded += len(t); p.encoded > len(p.content) {
		return errors.New("texts are encoded more often than once")
	}
	out := make([]byte, 0, len(t))
	for len(t) > 0 {
		r, n := utf8.DecodeRune(t)
		if r > math.MaxUint8 {
			return errors.New("a text of bytes holds a character above 255")
		}
		out, t = append(out, byte(r)), t[n:]
	}
	p.push(pickleBytes{out, -1})
	return nil
}

// build gives a new array or type its state.
func (p *unpickler) build() error {
	values, ok := p.pop(1)
	if !ok {
		return errPickleShape
	}
	state, ok := values[0].([]any)
	if !ok {
		return errPickleShape
	}
	switch v := p.top().(type) {
	case *pickleDtype:
		return nil // bytes have no order, and nothing else is left to say
	case *pickleArray:
		if len(state) != 5 {
			return errPickleShape
		}
		if fortran, ok := state[3].(bool); !ok || fortran {
			return errors.New("an array that is not in C order")
		}
		return v.set(state[1], state[2], state[4])
	}
	return errPickleShape
}

func (a *pickleArray) set(shape, dtype, content any) error {
	dims, isTuple := shape.([]any)
	_, isDtype := dtype.(*pickleDtype)
	b, isBytes := content.(pickleBytes)
	if !isTuple || !isDtype || !isBytes || len(dims) > 2 { // one tuple may be the shape of many
		return errPickleShape
	}
	a.shape, a.pixels = nil, b
	for _, d := range dims {
		n, ok := d.(int64)
		if !ok {
			return errPickleShape
		}
		a.shape = append(a.shape, n)
	}
	return nil
}
