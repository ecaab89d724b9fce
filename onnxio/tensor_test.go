package onnxio

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"efcn/onnxio/internal/onnxpb"
)

// decodeTensor decodes p as Read would.
func decodeTensor(t *testing.T, p *onnxpb.TensorProto) (*Tensor, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.pb")
	if err := os.WriteFile(path, marshal(t, p), 0o666); err != nil {
		t.Fatal(err)
	}
	return ReadTensor(path)
}

func TestTypedDataIsDecoded(t *testing.T) {
	code := func(d DataType) *int32 { return proto.Int32(int32(d)) }
	two := []int64{2}
	for _, c := range []struct {
		name string
		p    *onnxpb.TensorProto
		raw  string // as raw_data would hold it
	}{
		{
			"float32", &onnxpb.TensorProto{DataType: code(Float32), Dims: two, FloatData: []float32{1, -2}},
			"\x00\x00\x80\x3f\x00\x00\x00\xc0",
		},
		{
			"complex64", &onnxpb.TensorProto{DataType: code(Complex64), Dims: []int64{1}, FloatData: []float32{1, -2}},
			"\x00\x00\x80\x3f\x00\x00\x00\xc0",
		},
		{
			"float64", &onnxpb.TensorProto{DataType: code(Float64), DoubleData: []float64{1}},
			"\x00\x00\x00\x00\x00\x00\xf0\x3f",
		},
		{
			"complex128", &onnxpb.TensorProto{DataType: code(Complex128), DoubleData: []float64{0, 1}},
			strings.Repeat("\x00", 8) + "\x00\x00\x00\x00\x00\x00\xf0\x3f",
		},
		{
			"int32", &onnxpb.TensorProto{DataType: code(Int32), Dims: two, Int32Data: []int32{1, -1}},
			"\x01\x00\x00\x00\xff\xff\xff\xff",
		},
		{"int16", &onnxpb.TensorProto{DataType: code(Int16), Dims: two, Int32Data: []int32{1, -1}}, "\x01\x00\xff\xff"},
		{
			"uint16", &onnxpb.TensorProto{DataType: code(Uint16), Dims: two, Int32Data: []int32{1, 0xffff}},
			"\x01\x00\xff\xff",
		},
		{"int8", &onnxpb.TensorProto{DataType: code(Int8), Dims: two, Int32Data: []int32{1, -1}}, "\x01\xff"},
		{"uint8", &onnxpb.TensorProto{DataType: code(Uint8), Dims: two, Int32Data: []int32{1, 255}}, "\x01\xff"},
		{"bool", &onnxpb.TensorProto{DataType: code(Bool), Dims: two, Int32Data: []int32{1, 0}}, "\x01\x00"},
		{
			"float16", &onnxpb.TensorProto{DataType: code(Float16), Dims: two, Int32Data: []int32{0x3c00, 0xc000}},
			"\x00\x3c\x00\xc0",
		},
		{
			"bfloat16", &onnxpb.TensorProto{DataType: code(BFloat16), Dims: two, Int32Data: []int32{0x3f80, 0xc000}},
			"\x80\x3f\x00\xc0",
		},
		{"float8", &onnxpb.TensorProto{DataType: code(Float8E5M2), Dims: two, Int32Data: []int32{1, 0xff}}, "\x01\xff"},
		{
			"int64", &onnxpb.TensorProto{DataType: code(Int64), Int64Data: []int64{-2}},
			"\xfe\xff\xff\xff\xff\xff\xff\xff",
		},
		{"uint32", &onnxpb.TensorProto{DataType: code(Uint32), Uint64Data: []uint64{7}}, "\x07\x00\x00\x00"},
		{
			"uint64", &onnxpb.TensorProto{DataType: code(Uint64), Uint64Data: []uint64{7}},
			"\x07\x00\x00\x00\x00\x00\x00\x00",
		},
		{"no elements", &onnxpb.TensorProto{DataType: code(Float32), Dims: []int64{0, 5}}, ""},
		{
			"raw int4", &onnxpb.TensorProto{DataType: code(Int4), Dims: []int64{3}, RawData: []byte("\x21\x03")},
			"\x21\x03",
		},
		{
			"raw float6", &onnxpb.TensorProto{DataType: code(Float6E2M3), Dims: []int64{5}, RawData: []byte("1234")},
			"1234",
		},
	} {
		got, err := decodeTensor(t, c.p)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var b bytes.Buffer
		if _, err := got.Data.WriteTo(&b); err != nil || b.String() != c.raw || got.Data.Len() != int64(len(c.raw)) {
			t.Errorf("%s: got %d bytes %x (%v), want %x", c.name, got.Data.Len(), b.Bytes(), err, c.raw)
		}
	}
}

func TestTensorsAreRefused(t *testing.T) {
	f32 := proto.Int32(int32(Float32))
	for _, c := range []struct {
		name, want string
		p          *onnxpb.TensorProto
	}{
		{
			"short", `dimensions [3] of float32 need 12 bytes, got 8`,
			&onnxpb.TensorProto{DataType: f32, Dims: []int64{3}, RawData: make([]byte, 8)},
		},
		{
			"long", `dimensions [] of float32 need 4 bytes, got 8`,
			&onnxpb.TensorProto{DataType: f32, RawData: make([]byte, 8)},
		},
		{
			"absent", `dimensions [3] of float32 need 12 bytes, got 0`,
			&onnxpb.TensorProto{DataType: f32, Dims: []int64{3}},
		},
		{
			"short typed", `dimensions [3] need 3 values, float_data has 1`,
			&onnxpb.TensorProto{DataType: f32, Dims: []int64{3}, FloatData: []float32{1}},
		},
		{
			"wrong field", `float32 in int64_data; want float_data`,
			&onnxpb.TensorProto{DataType: f32, Int64Data: []int64{1}},
		},
		{
			"strings of numbers", `string in int64_data; want string_data`,
			&onnxpb.TensorProto{DataType: proto.Int32(int32(String)), Int64Data: []int64{1}},
		},
		{"twice", `stored twice`, &onnxpb.TensorProto{
			DataType: f32, FloatData: []float32{1},
			RawData: make([]byte, 4),
		}},
		{"two fields", `stored twice`, &onnxpb.TensorProto{
			DataType: f32, Dims: []int64{2}, FloatData: []float32{1},
			Int32Data: []int32{1},
		}},
		{"negative", `dimension -1 is negative`, &onnxpb.TensorProto{DataType: f32, Dims: []int64{-1}}},
		{
			"overflow", `dimensions multiply past 2^63`,
			&onnxpb.TensorProto{DataType: f32, Dims: []int64{1 << 32, 1 << 32}},
		},
		{
			"overflow in bytes", `dimensions multiply past 2^63`,
			&onnxpb.TensorProto{DataType: f32, Dims: []int64{1 << 62}},
		},
		{
			"huge", `need 4611686018427387904 bytes, got 4`,
			&onnxpb.TensorProto{DataType: f32, Dims: []int64{1 << 60}, RawData: make([]byte, 4)},
		},
		{"no type", `it has no data type`, &onnxpb.TensorProto{Dims: []int64{1}}},
		{
			"external", `a model read from a stream has no folder`,
			&onnxpb.TensorProto{DataType: f32, DataLocation: onnxpb.TensorProto_EXTERNAL.Enum()},
		},
		{
			"external strings", `external data of type string`,
			&onnxpb.TensorProto{
				DataType:     proto.Int32(int32(String)),
				DataLocation: onnxpb.TensorProto_EXTERNAL.Enum(),
			},
		},
	} {
		if _, err := decodeTensor(t, c.p); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want %q", c.name, err, c.want)
		}
	}
}

// Every element type goes through NewTensor, a file and back.
func TestNewTensor(t *testing.T) {
	ints := []int64{0, 1, 2, 100}
	for _, x := range []*Tensor{
		NewTensor("", []int64{4}, []int8{0, 1, 2, 100}), NewTensor("", []int64{4}, []uint8{0, 1, 2, 100}),
		NewTensor("", []int64{4}, []int16{0, 1, 2, 100}), NewTensor("", []int64{4}, []uint16{0, 1, 2, 100}),
		NewTensor("", []int64{4}, []int32{0, 1, 2, 100}), NewTensor("", []int64{4}, []uint32{0, 1, 2, 100}),
		NewTensor("", []int64{4}, []int64{0, 1, 2, 100}), NewTensor("", []int64{4}, []uint64{0, 1, 2, 100}),
	} {
		got, err := Ints(x)
		if err != nil || !slices.Equal(got, ints) {
			t.Errorf("%s: got %v, %v", x.Type, got, err)
		}
	}
	got, err := Ints(NewTensor("", []int64{2, 1}, []bool{true, false}))
	if err != nil || !slices.Equal(got, []int64{1, 0}) {
		t.Errorf("bool: got %v, %v", got, err)
	}
	negative, err := Ints(NewTensor("", []int64{3}, []int16{-1, math.MinInt16, math.MaxInt16}))
	if err != nil || !slices.Equal(negative, []int64{-1, math.MinInt16, math.MaxInt16}) {
		t.Errorf("int16: got %v, %v", negative, err)
	}
	floats := []float32{
		0, float32(math.Copysign(0, -1)), 1.5, math.MaxFloat32, math.SmallestNonzeroFloat32,
		float32(math.Inf(-1)),
	}
	back, err := Floats[float32](NewTensor("", []int64{6}, floats))
	if err != nil || !slices.EqualFunc(back, floats,
		func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
		t.Errorf("float32: got %v, %v", back, err)
	}
	back[2] = 7
	if floats[2] != 1.5 {
		t.Error("the result of Floats is not the caller's own")
	}
	narrow, err := Floats[float32](NewTensor("", nil, []float64{1 + 0x1p-24}))
	if err != nil || narrow[0] != 1 {
		t.Errorf("float64 to float32: got %v, %v; want a tie rounded to even", narrow, err)
	}
}

func TestFloat16(t *testing.T) {
	for _, c := range []struct {
		bits uint16
		want float64
	}{
		{0x0000, 0},
		{0x3c00, 1},
		{0xc000, -2},
		{0x3555, 0.333251953125},
		{0x7bff, 65504},
		{0x0001, 0x1p-24},
		{0x03ff, 1023 * 0x1p-24},
		{0x0400, 0x1p-14},
		{0x8001, -0x1p-24},
		{0x7c00, math.Inf(1)},
		{0xfc00, math.Inf(-1)},
	} {
		if got := float64(float16(c.bits)); got != c.want {
			t.Errorf("%#04x: got %v, want %v", c.bits, got, c.want)
		}
	}
	if !math.Signbit(float64(float16(0x8000))) {
		t.Error("negative zero lost its sign")
	}
	if got := float16(0x7e01); got == got {
		t.Errorf("got %v, want NaN", got)
	}
	brain := &Tensor{Type: BFloat16, Dims: []int64{2}, Data: rawData("\x80\x3f\x01\x00")}
	got, err := Floats[float64](brain)
	if err != nil || got[0] != 1 || got[1] != 0x1p-133 {
		t.Errorf("bfloat16: got %v, %v", got, err)
	}
}

func TestValuesAreRefused(t *testing.T) {
	floats := func(x *Tensor) error { _, err := Floats[float64](x); return err }
	ints := func(x *Tensor) error { _, err := Ints(x); return err }
	boom := errors.New("boom")
	for _, c := range []struct {
		want string
		get  func(*Tensor) error
		x    *Tensor
	}{
		{`tensor "a": want a floating type, got int64`, floats, NewTensor("a", nil, []int64{1})},
		{`tensor "a": want an integer type, got float32`, ints, NewTensor("a", nil, []float32{1})},
		{
			`tensor "a": dimensions [3] of float32 need 12 bytes, got 4`, floats,
			NewTensor("a", []int64{3}, []float32{1}),
		},
		{`element 18446744073709551615 does not fit an int64`, ints, NewTensor("a", nil, []uint64{math.MaxUint64})},
		{`it holds no data`, floats, &Tensor{Type: Float32}},
		{
			`generated 4 bytes of a tensor of 8`, floats,
			&Tensor{Type: Float64, Data: Generate(8, func(w io.Writer) error {
				_, err := w.Write(make([]byte, 4))
				return err
			})},
		},
		{
			`generated 1 bytes more than the tensor holds`, floats,
			&Tensor{Type: Float64, Data: Generate(8, func(w io.Writer) error {
				_, err := w.Write(make([]byte, 9))
				return err
			})},
		},
		{`boom`, floats, &Tensor{Type: Float64, Data: Generate(8, func(io.Writer) error { return boom })}},
	} {
		if err := c.get(c.x); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got error %v, want %q", err, c.want)
		}
	}
}

// A generator may write its elements in pieces of any length.
func TestPiecewiseData(t *testing.T) {
	want := make([]float64, 1000)
	for i := range want {
		want[i] = float64(i) / 7
	}
	raw := appendElements(nil, want)
	for _, step := range []int{1, 3, 8, 13, 1000} {
		x := &Tensor{Type: Float64, Dims: []int64{1000}, Data: Generate(8000, func(w io.Writer) error {
			for chunk := range slices.Chunk(raw, step) {
				if _, err := w.Write(chunk); err != nil {
					return err
				}
			}
			return nil
		})}
		got, err := Floats[float64](x)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("pieces of %d bytes: %v", step, err)
		}
	}
}
