package onnxio

import (
	"bytes"
	"unicode/utf8"
)

// sniffed is how much of a file otherFormat looks at.
const sniffed = 512

// otherFormat recognises what people take for an ONNX model by mistake from how
// it begins, and returns what it is, "" for what may be a model.
func otherFormat(b []byte) string {
	switch {
	case len(b) == 0:
		return "the file is empty"
	case bytes.HasPrefix(b, []byte("version https://git-lfs")):
		return "a Git LFS pointer; fetch the file itself with git lfs pull"
	case bytes.HasPrefix(b, []byte("PK\x03\x04")):
		return "a ZIP archive, such as a PyTorch checkpoint; export it to ONNX first"
	case bytes.HasPrefix(b, []byte("\x1f\x8b")):
		return "gzip-compressed; unpack it first"
	case bytes.HasPrefix(b, []byte("\x89HDF")):
		return "an HDF5 file, such as a Keras model; export it to ONNX first"
	case len(b) > 8 && string(b[4:8]) == "TFL3":
		return "a TensorFlow Lite model; export it to ONNX first"
	case isText(b):
		return "a text file"
	default:
		return ""
	}
}

// isText reports whether b begins like text. A ModelProto does not: tags and
// lengths are control characters, all but a few of them.
func isText(b []byte) bool {
	head := b[:min(len(b), sniffed)]
	for _, c := range head {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f {
			return false
		}
	}
	for range utf8.UTFMax { // the cut may be inside a character
		if utf8.Valid(head) {
			return true
		}
		head = head[:max(len(head)-1, 0)]
	}
	return false
}
