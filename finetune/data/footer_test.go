package data

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

func TestCheckFooter(t *testing.T) {
	for name, c := range map[string]struct{ footer, want string }{
		"empty struct":   {"\x00", ""},
		"flags":          {"\x11\x12\x00", ""},
		"far field":      {"\x05\x80\x01\x07\x00", ""},
		"numbers":        {"\x13\xff\x14\x01\x15\x80\x01\x16\x03\x1712345678\x00", ""},
		"string":         {"\x18\x03abc\x00", ""},
		"list":           {"\x19\x25\x01\x02\x00", ""},
		"long list":      {"\x19\xf3\x10" + strings.Repeat("x", 16) + "\x00", ""},
		"list of flags":  {"\x19\x21\x01\x02\x00", ""},
		"set of structs": {"\x1a\x2c\x15\x01\x00\x00\x00", ""},
		"map":            {"\x1b\x01\x85\x01a\x07\x00", ""},
		"empty map":      {"\x1b\x00\x00", ""},
		"signed":         {"\x00and a signature", ""},
		"deep":           {strings.Repeat("\x1c", 64) + strings.Repeat("\x00", 65), ""},

		"deeper":          {strings.Repeat("\x1c", 65) + strings.Repeat("\x00", 66), "nested more than 64 deep"},
		"deep lists":      {"\x19" + strings.Repeat("\x19", 70), "nested more than 64 deep"},
		"nothing":         {"", "ends inside a value"},
		"no end":          {"\x15\x01", "ends inside a value"},
		"endless number":  {"\x15\xff\xff", "ends inside a value"},
		"huge list":       {"\x19\xfc\xff\xff\xff\xff\x07\x00", "promises 2147483647 items more and has 1 bytes"},
		"huge inner list": {"\x19\x19\xf5\xff\xff\xff\xff\x07\x00", "promises 2147483647 items more"},
		"huge set":        {"\x1a\xf3\x05\x00", "promises 5 items more and has 1 bytes"},
		"huge map":        {"\x1b\xff\xff\xff\xff\x07\x88\x00", "promises 2147483647 items more and has 1 bytes"},
		"huge string":     {"\x18\xff\xff\xff\xff\x07abc", "promises 2147483647 bytes more and has 3"},
		"short float":     {"\x171234", "promises 8 bytes more and has 4"},
		"other type":      {"\x1e\x00", "a value of type 14"},
		"other items":     {"\x19\x10\x00", "a value of type 0"},
	} {
		file := "PAR1" + c.footer
		file = string(binary.LittleEndian.AppendUint32([]byte(file), uint32(len(c.footer)))) + "PAR1"
		err := checkFooter(bytes.NewReader([]byte(file)), int64(len(file)))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
