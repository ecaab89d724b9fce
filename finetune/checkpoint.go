package finetune

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"efcn/finetune/data"
	"efcn/internal/atomicfile"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// A checkpoint is one file: a line that says what it is, the length of a JSON
// header in 8 bytes, the header, the SHA-256 of all that, and for each array that
// the header lists its elements as little-endian floats and their SHA-256.
const (
	checkpointName  = "run.checkpoint"
	checkpointMagic = "efcn checkpoint 2\n"
)

// progress is where a run stands: what is left of it follows from this, the
// weights and the options. The order of the samples follows from the seed and
// the number of the epoch, so it holds the state of the random numbers too.
type progress struct {
	Epoch   int     `json:"epoch"`   // the one that is going on, from 1
	Samples int     `json:"samples"` // of it that were taken
	Steps   int     `json:"steps"`   // of the whole run
	Loss    float64 `json:"loss"`    // summed over the samples of the epoch
	Hits    int     `json:"hits"`
	Seconds float64 `json:"seconds"`
	Norms   *Norms  `json:"norms,omitempty"` // of the gradients of its last step, once that is taken
	// Subspace is the epoch before which V of factored layers was chosen; 0 for none.
	Subspace int `json:"subspace,omitempty"`
	// Cut is what that cut from the matrices of the layers, by their nodes; nil at the
	// first step.
	Cut map[string]float64 `json:"cut,omitempty"`
}

// identity is what a run has to have in common with the one that it resumes.
type identity struct {
	Model   string `json:"model"` // hashes
	Data    string `json:"data"`
	Options string `json:"options"` // as JSON
	Threads int    `json:"threads"` // results repeat at one number of threads only
}

type checkpointHeader struct {
	Identity identity          `json:"identity"`
	Progress progress          `json:"progress"`
	Arrays   []checkpointArray `json:"arrays"`
}

type checkpointArray struct {
	Name  string `json:"name"`
	Size  int    `json:"size"`
	State bool   `json:"state,omitempty"` // of the optimiser
}

// array is a part of what a checkpoint holds.
type array[T kernel.Float] struct {
	checkpointArray
	values []T
}

func identify(m *onnxio.Model, set *data.Set, o Options) (identity, error) {
	id := identity{Threads: kernel.Threads()}
	h := sha256.New()
	for _, n := range m.Graph.Nodes {
		fmt.Fprintf(h, "%q %q %q %q\n", n.Domain, n.OpType, n.Inputs, n.Outputs)
	}
	for _, t := range m.Graph.Initializers {
		fmt.Fprintf(h, "%q %v %v\n", t.Name, t.Type, t.Dims)
		if t.Data != nil {
			if _, err := t.Data.WriteTo(h); err != nil {
				return id, err
			}
		}
	}
	sparse := m.Graph.SparseConstants()
	for _, name := range slices.Sorted(maps.Keys(sparse)) {
		s := sparse[name]
		fmt.Fprintf(h, "%q %v\n", name, s.Dims)
		for _, t := range []*onnxio.Tensor{s.Values, s.Indices} {
			fmt.Fprintf(h, "%v %v\n", t.Type, t.Dims)
			if _, err := t.Data.WriteTo(h); err != nil {
				return id, err
			}
		}
	}
	id.Model = hex.EncodeToString(h.Sum(nil))
	id.Data = set.Hash()
	epochs := 0
	if o.Schedule.Kind == "cosine" { // elsewhere a run may be made longer
		epochs = o.Epochs
	}
	text, err := json.Marshal(struct {
		Batch     int
		Rate      float64
		Schedule  Schedule
		Optimizer Optimizer
		Clip      float64
		Train     string
		Reinit    bool `json:",omitempty"`
		Augment   data.Augment
		Seed      uint64
		Epochs    int  `json:",omitempty"`
		Init      Init `json:",omitempty"`
		Batches   int  `json:"InitBatches,omitempty"`
		Refresh   int  `json:",omitempty"`
	}{
		o.Batch, o.Rate, o.Schedule, o.Optimizer, o.Clip, o.Train, o.Reinit, o.Augment, o.Seed, epochs, o.Init,
		o.initBatches(), o.Refresh,
	})
	id.Options = string(text)
	return id, err
}

// differs returns what keeps a run from resuming that of a checkpoint.
func (id identity) differs(saved identity) error {
	switch {
	case id.Model != saved.Model:
		return errors.New("it is of another model")
	case id.Data != saved.Data:
		return errors.New("it is of a run on other data")
	case id.Options != saved.Options:
		return fmt.Errorf("it is of a run with other options: %s; this one has %s", saved.Options, id.Options)
	case id.Threads != saved.Threads:
		return fmt.Errorf("it is of a run on %d threads, this one has %d; results repeat at one number only", saved.Threads,
			id.Threads)
	}
	return nil
}

// arrays lists everything that training changes.
func (t *trainee[T]) arrays(states int) []array[T] {
	var all []array[T]
	for _, p := range t.params {
		if p.frozen {
			continue
		}
		all = append(all, array[T]{checkpointArray{p.name, len(p.values), false}, p.values})
		p.grow(states)
		for _, s := range p.state {
			all = append(all, array[T]{checkpointArray{p.name, len(s), true}, s})
		}
	}
	for _, s := range t.stats {
		all = append(all, array[T]{checkpointArray{s.name, len(s.values), false}, s.values})
	}
	return all
}

// saveCheckpoint writes the state of a run into a folder. Until it is whole the
// checkpoint that was there stays.
func saveCheckpoint[T kernel.Float](dir string, id identity, at progress, arrays []array[T]) error {
	err := atomicfile.Write(filepath.Join(dir, checkpointName), func(w io.Writer) error {
		return writeCheckpoint(w, id, at, arrays)
	})
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

func writeCheckpoint[T kernel.Float](w io.Writer, id identity, at progress, arrays []array[T]) error {
	header := checkpointHeader{Identity: id, Progress: at}
	for _, a := range arrays {
		header.Arrays = append(header.Arrays, a.checkpointArray)
	}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	h := sha256.New()
	buffered := bufio.NewWriterSize(w, 1<<20)
	out := io.MultiWriter(buffered, h)
	seal := func() error {
		_, err := buffered.Write(h.Sum(nil))
		h.Reset()
		return err
	}
	head := binary.LittleEndian.AppendUint64([]byte(checkpointMagic), uint64(len(text)))
	if _, err := out.Write(append(head, text...)); err != nil {
		return err
	}
	if err := seal(); err != nil {
		return err
	}
	for _, a := range arrays {
		if err := writeFloats(out, dtypeSize[T](), a.values); err != nil {
			return err
		}
		if err := seal(); err != nil {
			return err
		}
	}
	return buffered.Flush()
}

// clearTemporary removes what a process that was killed left half-written in the
// folder of a run.
func clearTemporary(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		for _, form := range []string{
			checkpointName + ".*.tmp", metricsName + ".*.tmp", eventsName + ".*.tmp", aboutName + ".*.tmp",
			".step-*.onnx.*.tmp",
		} {
			if ok, err := filepath.Match(form, f.Name()); err != nil || !ok {
				continue
			}
			if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func hasCheckpoint(dir string) (bool, error) {
	_, err := os.Stat(filepath.Join(dir, checkpointName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// loadCheckpoint reads the state of the run into arrays. Where it returns
// an error their content is undefined.
func loadCheckpoint[T kernel.Float](dir string, id identity, arrays []array[T]) (progress, error) {
	path := filepath.Join(dir, checkpointName)
	at, err := readCheckpoint(path, id, arrays)
	if err != nil {
		return at, fmt.Errorf("%s: %w", path, err)
	}
	return at, nil
}

func readCheckpoint[T kernel.Float](path string, id identity, arrays []array[T]) (progress, error) {
	f, err := os.Open(path)
	if err != nil {
		return progress{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return progress{}, err
	}
	in := &sealedReader{r: bufio.NewReaderSize(f, 1<<20), h: sha256.New()}
	head := make([]byte, len(checkpointMagic)+8)
	if _, err := io.ReadFull(in, head); err != nil || !bytes.HasPrefix(head, []byte(checkpointMagic)) {
		return progress{}, fmt.Errorf("it does not begin with %q, as a checkpoint of this version does", checkpointMagic)
	}
	size := binary.LittleEndian.Uint64(head[len(checkpointMagic):])
	if size > uint64(info.Size()) {
		in.at = info.Size()
		return progress{}, in.broken("header", 0, io.ErrUnexpectedEOF)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(in, text); err != nil {
		return progress{}, in.broken("header", 0, err)
	}
	if err := in.unseal("header", 0); err != nil {
		return progress{}, err
	}
	var header checkpointHeader
	if err := json.Unmarshal(text, &header); err != nil {
		return progress{}, err
	}
	if err := id.differs(header.Identity); err != nil {
		return progress{}, err
	}
	if len(header.Arrays) != len(arrays) {
		return progress{}, fmt.Errorf("it holds %d arrays, this run has %d", len(header.Arrays), len(arrays))
	}
	for i, a := range arrays {
		if header.Arrays[i] != a.checkpointArray {
			return progress{}, fmt.Errorf("it holds %+v where this run has %+v", header.Arrays[i], a.checkpointArray)
		}
		start := in.at
		if err := readFloats(in, a.values); err != nil {
			return progress{}, in.broken(a.what(), start, err)
		}
		if err := in.unseal(a.what(), start); err != nil {
			return progress{}, err
		}
	}
	if in.at != info.Size() {
		return progress{}, fmt.Errorf("the checkpoint is broken: it goes on past byte %d", in.at)
	}
	return header.Progress, nil
}

// what names an array in errors.
func (a checkpointArray) what() string {
	if a.State {
		return fmt.Sprintf("the optimiser's state for %q", a.Name)
	}
	return fmt.Sprintf("%q", a.Name)
}

// sealedReader reads parts of a file that are followed by their SHA-256.
type sealedReader struct {
	r  *bufio.Reader
	h  hash.Hash
	at int64 // bytes read
}

func (r *sealedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.at += int64(n)
	r.h.Write(p[:n]) // a hash takes everything
	return n, err
}

// unseal compares what was read since byte start with the hash that follows.
func (r *sealedReader) unseal(what string, start int64) error {
	want := r.h.Sum(nil)
	end := r.at
	have := make([]byte, sha256.Size)
	if _, err := io.ReadFull(r, have); err != nil {
		return r.broken(what, start, err)
	}
	r.h.Reset()
	if !bytes.Equal(have, want) {
		return fmt.Errorf("the checkpoint is broken: %s, bytes %d to %d, is not what its SHA-256 is of; start anew in "+
			"another folder", what, start, end-1)
	}
	return nil
}

// broken returns the error for what began at byte start and can't be read to its end.
func (r *sealedReader) broken(what string, start int64, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the checkpoint is broken: it ends at byte %d, within %s, which begins at %d; start anew in "+
			"another folder", r.at, what, start)
	}
	return err
}

// floatBlock is how many floats are encoded at a time.
const floatBlock = 1 << 13

// writeFloats writes values as floats of so many bytes, 4 or 8.
func writeFloats[T kernel.Float](w io.Writer, size int, values []T) error {
	buf := make([]byte, 0, size*min(floatBlock, len(values)))
	for len(values) > 0 {
		n := min(floatBlock, len(values))
		buf = appendFloats(buf[:0], size, values[:n])
		if _, err := w.Write(buf); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}

func appendFloats[T kernel.Float](buf []byte, size int, values []T) []byte {
	for _, v := range values {
		if size == 4 {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(float32(v)))
		} else {
			buf = binary.LittleEndian.AppendUint64(buf, math.Float64bits(float64(v)))
		}
	}
	return buf
}

func readFloats[T kernel.Float](r io.Reader, values []T) error {
	size := dtypeSize[T]()
	buf := make([]byte, size*floatBlock)
	for len(values) > 0 {
		n := min(floatBlock, len(values))
		if _, err := io.ReadFull(r, buf[:size*n]); err != nil {
			return err
		}
		for i := range n {
			if size == 4 {
				values[i] = T(math.Float32frombits(binary.LittleEndian.Uint32(buf[4*i:])))
			} else {
				values[i] = T(math.Float64frombits(binary.LittleEndian.Uint64(buf[8*i:])))
			}
		}
		values = values[n:]
	}
	return nil
}

func dtypeSize[T kernel.Float]() int {
	if any(T(0)) == any(float32(0)) {
		return 4
	}
	return 8
}
