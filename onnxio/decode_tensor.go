package onnxio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"efcn/onnxio/internal/onnxpb"
)

// tensor decodes p. A tensor that can't be decoded is noted in d and returned
// without data.
func (d *decoder) tensor(p *onnxpb.TensorProto) *Tensor {
	var raw Data = rawData(nil)
	if p.RawData != nil { // an index: see carve
		i, _ := binary.Uvarint(p.RawData)
		raw = d.raw[i]
	}
	t := &Tensor{
		Name:     take(&p.Name),
		Type:     DataType(p.GetDataType()),
		Dims:     p.Dims,
		Doc:      take(&p.DocString),
		Metadata: props(p.MetadataProps),
	}
	data, err := d.data(p, raw)
	if err != nil {
		d.bad(fmt.Errorf("tensor %q: %w", t.Name, err))
	}
	switch {
	case data != nil:
		t.Data = data
		clearData(p)
	case p.RawData != nil: // of a type that is carried as it is
		var b bytes.Buffer
		if _, err := raw.WriteTo(&b); err != nil {
			d.bad(fmt.Errorf("tensor %q: %w", t.Name, err))
		}
		p.RawData = b.Bytes()
	}
	p.DataType, p.Dims, p.MetadataProps = nil, nil, nil
	t.rest = keep(p)
	return t
}

// clearData removes every field of p that holds elements or says where they are.
func clearData(p *onnxpb.TensorProto) {
	p.RawData = nil
	p.FloatData, p.Int32Data, p.Int64Data, p.DoubleData, p.Uint64Data, p.StringData = nil, nil, nil, nil, nil, nil
	p.ExternalData, p.DataLocation = nil, nil
}

// data returns the content of p, whose raw data is raw, nil for a tensor that is carried as it is:
// strings, types that this package does not know, and sub-byte types in
// int32_data.
func (d *decoder) data(p *onnxpb.TensorProto, raw Data) (Data, error) {
	t := DataType(p.GetDataType())
	want, sized, err := byteSize(t, p.Dims)
	if err != nil {
		return nil, fmt.Errorf("dimensions %v: %w", p.Dims, err)
	}
	field, count, sources := typedField(p)
	external := p.GetDataLocation() == onnxpb.TensorProto_EXTERNAL
	if external {
		sources++
	}
	if raw.Len() > 0 {
		sources++
	}
	switch {
	case sources > 1:
		return nil, errors.New("the elements are stored twice; want one of raw data, typed data and external data")
	case t == String && field != "" && field != "string_data":
		return nil, fmt.Errorf("string in %s; want string_data", field)
	case !sized && external:
		return nil, fmt.Errorf("external data of type %s, which has no fixed size", t)
	case !sized:
		return nil, nil
	case external:
		return d.folder.region(p.ExternalData, want)
	case count > 0:
		return typedData(p, t, field, count, want)
	case raw.Len() != want:
		return nil, fmt.Errorf("dimensions %v of %s need %d bytes, got %d", p.Dims, t, want, raw.Len())
	default:
		return raw, nil
	}
}

// typedField returns which typed field of p is in use, how many values it has,
// and how many fields are in use.
func typedField(p *onnxpb.TensorProto) (field string, count, used int) {
	for _, f := range []struct {
		name string
		n    int
	}{
		{"float_data", len(p.FloatData)},
		{"int32_data", len(p.Int32Data)},
		{"int64_data", len(p.Int64Data)},
		{"double_data", len(p.DoubleData)},
		{"uint64_data", len(p.Uint64Data)},
		{"string_data", len(p.StringData)},
	} {
		if f.n > 0 {
			field, count, used = f.name, f.n, used+1
		}
	}
	return field, count, used
}

// typedData turns the values of a typed field into raw data.
func typedData(p *onnxpb.TensorProto, t DataType, field string, count int, want int64) (Data, error) {
	home := "int32_data"
	parts := 1 // values an element takes
	switch t {
	case Float32:
		home = "float_data"
	case Complex64:
		home, parts = "float_data", 2
	case Float64:
		home = "double_data"
	case Complex128:
		home, parts = "double_data", 2
	case Int64:
		home = "int64_data"
	case Uint32, Uint64:
		home = "uint64_data"
	}
	if field != home {
		return nil, fmt.Errorf("%s in %s; want %s", t, field, home)
	}
	if t.Size() == 0 {
		return nil, nil
	}
	if elements := want / t.Size(); int64(count) != elements*int64(parts) {
		return nil, fmt.Errorf("dimensions %v need %d values, %s has %d", p.Dims, elements*int64(parts), field, count)
	}
	le := binary.LittleEndian
	b := make([]byte, 0, want)
	switch home {
	case "float_data":
		for _, v := range p.FloatData {
			b = le.AppendUint32(b, math.Float32bits(v))
		}
	case "double_data":
		for _, v := range p.DoubleData {
			b = le.AppendUint64(b, math.Float64bits(v))
		}
	case "int64_data":
		for _, v := range p.Int64Data {
			b = le.AppendUint64(b, uint64(v))
		}
	case "uint64_data":
		for _, v := range p.Uint64Data {
			b = appendLow(b, v, t.Size())
		}
	case "int32_data":
		for _, v := range p.Int32Data {
			b = appendLow(b, uint64(v), t.Size())
		}
	}
	return rawData(b), nil
}

// appendLow appends the size low bytes of v.
func appendLow(b []byte, v uint64, size int64) []byte {
	for range size {
		b = append(b, byte(v))
		v >>= 8
	}
	return b
}
