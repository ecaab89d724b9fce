package onnxio

import "testing"

func TestCheckAcceptsTestdata(t *testing.T) {
	for _, path := range testModels(t) {
		m, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Check(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}
