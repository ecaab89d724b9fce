package tfevents

import (
	"encoding/hex"
	"slices"
	"testing"
)

// The records are those that TensorBoard 2.21's own writer makes of the messages
//
//	Event(file_version="brain.Event:2")
//	Event(wall_time=1700000000.25, step=300, summary=Summary(value=[
//	    Summary.Value(tag="loss/train", simple_value=0.1), Summary.Value(tag="x", simple_value=-2.5e30)]))
//
// (tensorboard.summary.writer.record_writer.RecordWriter).
func TestRecords(t *testing.T) {
	got := slices.Concat(Start(), Summary(1700000000.25, 300, []Scalar{{"loss/train", 0.1}, {"x", -2.5e30}}))
	want := "0f000000000000006d532b091a0d627261696e2e4576656e743a32fc985129" +
		"2b00000000000000861bc34b0900001040fc54d94110ac022a1d0a110a0a6c6f73732f747261696e15cdcccc3d" +
		"0a080a0178157c6ffcf1cdd33058"
	if hex.EncodeToString(got) != want {
		t.Errorf("got  %x\nwant %s", got, want)
	}
}
