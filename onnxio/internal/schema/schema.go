// Package schema holds the table of ONNX operators, as make_schemas.py takes it
// from the onnx wheel.
package schema

import _ "embed" // for the table

//go:generate python3 make_schemas.py

// Table is the gzipped JSON that make_schemas.py describes.
//
//go:embed schemas.json.gz
var Table []byte
