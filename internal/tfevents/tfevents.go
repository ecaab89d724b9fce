// Package tfevents writes scalars as TensorBoard reads them: an events file is
// [Start] followed by a [Summary] for every step.
//
// The format is that of TensorFlow: records (tensorflow/core/lib/io/record_writer.h)
// of a length in 8 bytes, its checksum, the content and its checksum, little-endian,
// where the content is an Event message (tensorflow/core/util/event.proto) with a
// Summary (tensorflow/core/framework/summary.proto) in the encoding of protocol
// buffers. A checksum is the CRC-32C, rotated and shifted by a constant.
package tfevents

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// Scalar is a value with the name that TensorBoard shows; what is in front of the
// first slash groups it.
type Scalar struct {
	Tag   string
	Value float64 // rounded to float32
}

// Fields of the messages, as a tag has them: number and wire type.
const (
	eventTime    = 1<<3 | 1 // double: seconds since 1970
	eventStep    = 2 << 3   // int64
	eventVersion = 3<<3 | 2 // string
	eventSummary = 5<<3 | 2 // message
	summaryValue = 1<<3 | 2 // message, repeated
	valueTag     = 1<<3 | 2 // string
	valueSimple  = 2<<3 | 5 // float
)

// Start returns the record that a file begins with.
func Start() []byte {
	return record(text(nil, eventVersion, "brain.Event:2"))
}

// Summary returns the record of values at a step, at a time in seconds since
// 1970.
func Summary(time float64, step int64, values []Scalar) []byte {
	var summary []byte
	for _, v := range values {
		value := text(nil, valueTag, v.Tag)
		value = binary.LittleEndian.AppendUint32(append(value, valueSimple), math.Float32bits(float32(v.Value)))
		summary = text(summary, summaryValue, string(value))
	}
	event := binary.LittleEndian.AppendUint64([]byte{eventTime}, math.Float64bits(time))
	event = binary.AppendUvarint(append(event, eventStep), uint64(step))
	return record(text(event, eventSummary, string(summary)))
}

// text appends a field that has a length.
func text(b []byte, tag byte, content string) []byte {
	b = binary.AppendUvarint(append(b, tag), uint64(len(content)))
	return append(b, content...)
}

func record(content []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(content)))
	b = binary.LittleEndian.AppendUint32(b, checksum(b))
	b = append(b, content...)
	return binary.LittleEndian.AppendUint32(b, checksum(content))
}

func checksum(b []byte) uint32 {
	c := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return (c>>15 | c<<17) + 0xa282ead8
}
