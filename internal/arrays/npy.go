package arrays

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"efcn/onnxio"
)

// The .npy format: NumPy's documentation, numpy.lib.format, versions 1 to 3.
const npyMagic = "\x93NUMPY"

// npyTypes are the element types by their NumPy code, without the byte order.
var npyTypes = map[string]onnxio.DataType{
	"b1": onnxio.Bool, "f2": onnxio.Float16, "f4": onnxio.Float32, "f8": onnxio.Float64,
	"i1": onnxio.Int8, "i2": onnxio.Int16, "i4": onnxio.Int32, "i8": onnxio.Int64,
	"u1": onnxio.Uint8, "u2": onnxio.Uint16, "u4": onnxio.Uint32, "u8": onnxio.Uint64,
}

var (
	npyDescr   = regexp.MustCompile(`'descr':\s*'([^']*)'`)
	npyFortran = regexp.MustCompile(`'fortran_order':\s*(True|False)`)
	npyShape   = regexp.MustCompile(`'shape':\s*\(([^)]*)\)`)
)

// maxNPYHeader bounds what a header may claim to take: the longest that NumPy
// itself writes for a plain array is a few hundred bytes.
const maxNPYHeader = 1 << 16

// readNPY reads one array. Column-major and big-endian ones come out row-major
// and little-endian.
func readNPY(r io.Reader, name string) (*onnxio.Tensor, error) {
	h, err := readNPYHeader(r)
	if err != nil {
		return nil, err
	}
	typ, dims, size := h.typ, h.dims, int(h.typ.Size())
	n, err := onnxio.NumElements(append(slices.Clone(dims), typ.Size()))
	if err != nil {
		return nil, fmt.Errorf("shape %v: %w", dims, err)
	}
	// What is allocated grows with what is read, whatever the header claims.
	var read bytes.Buffer
	if got, err := io.CopyN(&read, r, n); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%d bytes of elements, the header promises %d", got, n)
		}
		return nil, err
	}
	data := read.Bytes()
	if h.bigEndian {
		swapBytes(data, size)
	}
	if h.fortran {
		data = rowMajor(data, dims, size)
	}
	if typ == onnxio.Bool {
		if i := slices.IndexFunc(data, func(b byte) bool { return b > 1 }); i >= 0 {
			return nil, fmt.Errorf("element %d is no bool: byte %d", i, data[i])
		}
	}
	return fromBytes(name, typ, dims, data), nil
}

// npyHeader is what the header of a .npy file says.
type npyHeader struct {
	typ                onnxio.DataType
	dims               []int64
	bigEndian, fortran bool
}

func readNPYHeader(r io.Reader) (npyHeader, error) {
	header, err := readNPYText(r)
	if err != nil {
		return npyHeader{}, err
	}
	descr := npyDescr.FindStringSubmatch(header)
	fortran := npyFortran.FindStringSubmatch(header)
	shape := npyShape.FindStringSubmatch(header)
	if descr == nil || fortran == nil || shape == nil {
		return npyHeader{}, fmt.Errorf(
			"npy header %q is not that of a plain array; structured arrays and objects are not read",
			strings.TrimSpace(header),
		)
	}
	order, code := byte('|'), descr[1]
	if code != "" && strings.IndexByte("<>|", code[0]) >= 0 {
		order, code = code[0], code[1:]
	}
	typ, ok := npyTypes[code]
	size := int(typ.Size())
	if !ok || order == '|' && size > 1 {
		return npyHeader{}, fmt.Errorf("element type %q is not read; bool, float16 to float64 and integers are", descr[1])
	}
	dims, err := parseShape(shape[1])
	return npyHeader{typ, dims, order == '>', fortran[1] == "True"}, err
}

func readNPYText(r io.Reader) (string, error) {
	var start [8]byte
	if _, err := io.ReadFull(r, start[:]); err != nil || string(start[:6]) != npyMagic {
		return "", errors.New("not in the .npy format")
	}
	var size uint32
	switch start[6] {
	case 1:
		var n uint16
		if err := binary.Read(r, binary.LittleEndian, &n); err != nil {
			return "", errors.New("ends inside the .npy header")
		}
		size = uint32(n)
	case 2, 3:
		if err := binary.Read(r, binary.LittleEndian, &size); err != nil {
			return "", errors.New("ends inside the .npy header")
		}
	default:
		return "", fmt.Errorf("version %d of the .npy format is not read; 1 to 3 are", start[6])
	}
	if size > maxNPYHeader {
		return "", fmt.Errorf(".npy header of %d bytes; want at most %d", size, maxNPYHeader)
	}
	header := make([]byte, size)
	if _, err := io.ReadFull(r, header); err != nil {
		return "", errors.New("ends inside the .npy header")
	}
	return string(header), nil
}

func parseShape(s string) ([]int64, error) {
	shape := []int64{}
	for field := range strings.SplitSeq(s, ",") {
		field = strings.TrimSpace(field)
		if field == "" {
			continue
		}
		d, err := strconv.ParseInt(field, 10, 64)
		if err != nil || d < 0 {
			return nil, fmt.Errorf("shape (%s): %q is no dimension", s, field)
		}
		shape = append(shape, d)
	}
	return shape, nil
}

func swapBytes(data []byte, size int) {
	for i := 0; i+size <= len(data); i += size {
		slices.Reverse(data[i : i+size])
	}
}

// rowMajor returns the elements of a column-major array in row-major order.
func rowMajor(data []byte, dims []int64, size int) []byte {
	out := make([]byte, 0, len(data))
	strides := make([]int, len(dims))
	step := size
	for i, d := range dims {
		strides[i] = step
		step *= int(d)
	}
	index := make([]int, len(dims))
	for len(out) < len(data) {
		at := 0
		for i, x := range index {
			at += x * strides[i]
		}
		out = append(out, data[at:at+size]...)
		for i := len(dims) - 1; i >= 0; i-- {
			if index[i]++; index[i] < int(dims[i]) {
				break
			}
			index[i] = 0
		}
	}
	return out
}

// WriteNPY writes one array in the .npy format, version 1, as NumPy does. NumPy has
// no bfloat16; it is written as float32, which holds each of its values.
func WriteNPY(w io.Writer, a *onnxio.Tensor) error {
	if a.Type == onnxio.BFloat16 {
		values, err := onnxio.Floats[float32](a)
		if err != nil {
			return err
		}
		a = onnxio.NewTensor(a.Name, a.Dims, values)
	}
	var code string
	for c, t := range npyTypes {
		if t == a.Type {
			code = c
		}
	}
	if code == "" {
		return fmt.Errorf("array %q: NumPy has no type for %v", a.Name, a.Type)
	}
	order := "<"
	if a.Type.Size() == 1 {
		order = "|"
	}
	if err := writeNPYHeader(w, order+code, a.Dims); err != nil {
		return err
	}
	_, err := a.Data.WriteTo(w)
	return err
}

func writeNPYHeader(w io.Writer, descr string, dims []int64) error {
	shape := &strings.Builder{}
	for i, d := range dims {
		if i > 0 {
			shape.WriteString(", ")
		}
		shape.WriteString(strconv.FormatInt(d, 10))
	}
	if len(dims) == 1 {
		shape.WriteString(",")
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, shape)
	// The elements begin at a multiple of 64, so that they can be mapped.
	const fixed = len(npyMagic) + 4
	header += strings.Repeat(" ", 63-(fixed+len(header))%64) + "\n"
	start := append([]byte(npyMagic), 1, 0)
	start = binary.LittleEndian.AppendUint16(start, uint16(len(header)))
	_, err := w.Write(append(start, header...))
	return err
}
