package onnxio

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	"efcn/onnxio/internal/onnxpb"
)

// The models of testdata, each with what its producer is known for.
func testModels(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob("../testdata/models/*/model.onnx")
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < 9 {
		t.Fatalf("testdata/models holds %d models, want at least 9", len(paths))
	}
	return paths
}

func TestRoundTripOfTestdata(t *testing.T) {
	for _, path := range testModels(t) {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			m, err := Read(path)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			n, err := WriteTo(&out, m)
			if err != nil {
				t.Fatal(err)
			}
			if n != int64(out.Len()) {
				t.Errorf("WriteTo returned %d, wrote %d bytes", n, out.Len())
			}
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want, got := parse(t, before), parse(t, out.Bytes())
			inline(t, want, filepath.Dir(path))
			same(t, want, got)
		})
	}
}

func parse(t testing.TB, b []byte) *onnxpb.ModelProto {
	t.Helper()
	p := new(onnxpb.ModelProto)
	if err := proto.Unmarshal(b, p); err != nil {
		t.Fatal(err)
	}
	return p
}

// inline moves the external data of the graph's initializers into raw_data, and
// fills in what a written file always has.
func inline(t testing.TB, p *onnxpb.ModelProto, dir string) {
	t.Helper()
	for _, o := range p.OpsetImport {
		o.Domain = proto.String(o.GetDomain())
	}
	for _, x := range p.Graph.Initializer {
		if x.GetDataLocation() != onnxpb.TensorProto_EXTERNAL {
			continue
		}
		var location string
		var offset, length int64
		for _, e := range x.ExternalData {
			switch e.GetKey() {
			case "location":
				location = e.GetValue()
			case "offset":
				offset, _ = parseSize(e.GetValue())
			case "length":
				length, _ = parseSize(e.GetValue())
			}
		}
		b, err := os.ReadFile(filepath.Join(dir, location))
		if err != nil {
			t.Fatal(err)
		}
		x.RawData = b[offset : offset+length]
		x.ExternalData, x.DataLocation = nil, nil
	}
}
