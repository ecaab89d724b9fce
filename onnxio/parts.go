package onnxio

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// partBytes is how much of a file is read at once: what is read is then still in a core's
// cache when it is looked at, and the calls take little of the time.
const partBytes = 256 << 10

// Parts calls visit with all of the content of d in parts of whole units of that many bytes, 1
// or more, and says where in d each begins; the last is shorter where unit does not divide d.Len.
// Several goroutines, threads at most, call visit at a time where the content lies in a file: each
// reads a part of its own. Parts are begun in ascending order, and end in any. A part is valid
// during the call, and must not be modified. An error of visit ends it, as does content of any
// other length than d.Len; no part is begun after that. Of several errors the one of the first
// part is returned.
func Parts(d Data, unit, threads int, visit func(at int64, part []byte) error) error {
	unit = max(1, unit)
	size := max(1, partBytes/unit) * unit
	if f, ok := d.(filed); ok && d.Len() > 0 {
		return fileParts(f, int64(size), threads, visit)
	}
	at := int64(0)
	for part, err := range Blocks(d, size) {
		if err == nil {
			err = visit(at, part)
		}
		if err != nil {
			return err
		}
		at += int64(len(part))
	}
	return nil
}

// filed is content that lies in a file.
type filed interface {
	Data
	// open opens the file, which has not changed, and returns where in it the content begins.
	open() (f *os.File, offset int64, err error)
	wrap(err error) error // with the name of the file
}

func fileParts(d filed, size int64, threads int, visit func(at int64, part []byte) error) error {
	f, offset, err := d.open()
	if err != nil {
		return err
	}
	defer f.Close()
	parts := (d.Len() + size - 1) / size
	var (
		next    atomic.Int64
		stopped atomic.Bool
		wg      sync.WaitGroup
		failed  sync.Mutex
		first   = d.Len() // where the part begins that found is of: the first that failed
		found   error
	)
	for range max(1, min(int64(threads), parts)) {
		wg.Go(func() {
			buf := make([]byte, min(size, d.Len()))
			for !stopped.Load() {
				at := (next.Add(1) - 1) * size
				if at >= d.Len() {
					return
				}
				part := buf[:min(size, d.Len()-at)]
				n, err := f.ReadAt(part, offset+at)
				switch {
				case n == len(part):
					err = visit(at, part)
				case errors.Is(err, io.EOF):
					err = d.wrap(fmt.Errorf("got %d of %d bytes", at+int64(n), d.Len()))
				default:
					err = d.wrap(plain(err))
				}
				if err != nil {
					failed.Lock()
					if at < first {
						first, found = at, err
					}
					failed.Unlock()
					stopped.Store(true)
				}
			}
		})
	}
	wg.Wait()
	return found
}
