package onnxio

import (
	"errors"
	"io"
)

// Section returns bytes off to off+n of d, which are within d. Of a file only they are
// read; of a slice they are a part of it, where off and n are whole elements; what a
// function generates is generated up to their end, and dropped before off.
func Section(d Data, off, n int64) Data { return Strided(d, off, n, n, 1) }

// Strided returns count runs of run bytes of d: the first begins at off, each other one
// step bytes after the one before. All are within d, and step is at least run.
func Strided(d Data, off, run, step, count int64) Data {
	switch {
	case run*count == 0:
		return rawData(nil)
	case run == step || count == 1:
		return section(d, off, run*count)
	}
	return strided{d, off, run, step, count}
}

// sectioned is Data that knows a part of itself; nil where it doesn't know that one.
type sectioned interface{ section(off, n int64) Data }

func section(d Data, off, n int64) Data {
	if part := ownSection(d, off, n); part != nil {
		return part
	}
	return strided{d, off, n, n, 1}
}

// ownSection returns bytes off to off+n as d knows them, nil where it doesn't.
func ownSection(d Data, off, n int64) Data {
	if off == 0 && n == d.Len() {
		return d
	}
	if s, ok := d.(sectioned); ok {
		return s.section(off, n)
	}
	return nil
}

func (d rawData) section(off, n int64) Data { return d[off : off+n] }

func (d sliceData[T]) section(off, n int64) Data {
	size := typeOf[T]().Size()
	if off%size != 0 || n%size != 0 {
		return nil
	}
	return d[off/size : (off+n)/size : (off+n)/size]
}

func (r region) section(off, n int64) Data {
	r.offset, r.length = r.offset+off, n
	return r
}

func (d inFile) section(off, n int64) Data {
	d.offset, d.length = d.offset+off, n
	return d
}

// GenerateRows returns content of rows of that many bytes each, as [Generate] does, where
// write can make rows from to until without those before: a section that ends where rows
// end is then made alone.
func GenerateRows(rows, bytes int64, write func(w io.Writer, from, until int64) error) Data {
	return generatedRows{bytes, 0, rows, write}
}

type generatedRows struct {
	bytes, from, until int64
	write              func(w io.Writer, from, until int64) error
}

func (d generatedRows) Len() int64 { return d.bytes * (d.until - d.from) }

func (d generatedRows) WriteTo(w io.Writer) (int64, error) {
	return Generate(d.Len(), func(w io.Writer) error { return d.write(w, d.from, d.until) }).WriteTo(w)
}

func (d generatedRows) section(off, n int64) Data {
	if off%d.bytes != 0 || n%d.bytes != 0 {
		return nil
	}
	d.from += off / d.bytes
	d.until = d.from + n/d.bytes
	return d
}

// strided is runs of bytes of other content.
type strided struct {
	from                  Data
	off, run, step, count int64
}

func (d strided) Len() int64 { return d.run * d.count }

// longRun is from how many bytes on a run is asked for by itself. Shorter ones are read
// together with what lies between them: one pass over a file takes less than many reads.
const longRun = 1 << 18

func (d strided) WriteTo(w io.Writer) (int64, error) {
	if d.run >= longRun && ownSection(d.from, d.off, d.run) != nil {
		written := int64(0)
		for k := range d.count {
			n, err := section(d.from, d.off+k*d.step, d.run).WriteTo(w)
			written += n
			if err != nil {
				return written, err
			}
		}
		return written, nil
	}
	p, from := &runWriter{strided: d, w: w}, d.from
	if part := ownSection(from, d.off, (d.count-1)*d.step+d.run); part != nil {
		from, p.off = part, 0
	}
	_, err := from.WriteTo(p)
	switch {
	case p.err != nil && !errors.Is(p.err, errStopped):
		err = p.err
	case p.written == d.Len():
		err = nil
	case err == nil:
		err = io.ErrUnexpectedEOF
	}
	return p.written, err
}

// runWriter takes all of a content and passes the runs on.
type runWriter struct {
	strided
	w       io.Writer
	at      int64 // how much has come
	written int64
	err     error
}

// Write fails with errStopped behind the last run, so that no more is made.
func (p *runWriter) Write(b []byte) (int, error) {
	taken := 0
	for taken < len(b) {
		if p.written == p.Len() {
			p.err = errStopped
			return taken, p.err
		}
		k := p.written / p.run // of the run that is under way or comes next
		next := p.off + k*p.step + p.written%p.run
		if skip := next - p.at; skip > 0 {
			n := int(min(skip, int64(len(b)-taken)))
			taken, p.at = taken+n, p.at+int64(n)
			continue
		}
		n := int(min(p.run-p.written%p.run, int64(len(b)-taken)))
		n, err := p.w.Write(b[taken : taken+n])
		taken, p.at, p.written = taken+n, p.at+int64(n), p.written+int64(n)
		if err != nil {
			p.err = err
			return taken, err
		}
	}
	return taken, nil
}
