package finetune

import (
	"bufio"
	"bytes"
	"context"
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

	"efcn/convert/cut"
	"efcn/finetune/data"
	"efcn/internal/atomicfile"
	"efcn/internal/kernel"
	"efcn/internal/mpi"
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
	Ranks   int    `json:"ranks,omitempty"`
	Groups  int    `json:"groups,omitempty"` // of ranks
	Device  string `json:"device,omitempty"` // "" is the processor
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
	values []T // of this rank
	// gathered is the whole array where each rank has a slice of it, else nil.
	gathered *gathered[T]
}

// slice is what of the array this rank has.
func (a array[T]) slice() cut.Slice {
	if a.gathered == nil {
		return cut.Slice{Outer: 1, Axis: a.Size, Inner: 1, Lo: 0, Hi: a.Size}
	}
	return a.gathered.part[a.Name]
}

// identify identifies a run, by at most most bytes of each tensor of its model.
func identify(m *onnxio.Model, set *data.Set, o Options, w *mpi.World, most int64) (identity, error) {
	id := identity{Threads: kernel.Threads()}
	if o.Device != nil {
		id.Device = o.Device.Kind()
	}
	if w != nil && w.Size() > 1 {
		id.Ranks = w.Size()
	}
	if o.Groups > 1 {
		id.Groups = o.Groups
	}
	h := sha256.New()
	write := func(d onnxio.Data) error {
		_, err := onnxio.Section(d, 0, min(most, d.Len())).WriteTo(h)
		return err
	}
	for _, n := range m.Graph.Nodes {
		fmt.Fprintf(h, "%q %q %q %q\n", n.Domain, n.OpType, n.Inputs, n.Outputs)
	}
	for _, t := range m.Graph.Initializers {
		fmt.Fprintf(h, "%q %v %v\n", t.Name, t.Type, t.Dims)
		if t.Data != nil {
			if err := write(t.Data); err != nil {
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
			if err := write(t.Data); err != nil {
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
	case id.Threads != saved.Threads && id.Device == "" && saved.Device == "" && id.isDividedAs(saved):
		return fmt.Errorf("it is of a run on %d threads, this one has %d; results repeat at one number only", saved.Threads,
			id.Threads)
	}
	return nil
}

// isDividedAs reports whether as many ranks have the same part in both runs.
func (id identity) isDividedAs(other identity) bool {
	return id.Ranks == other.Ranks && id.Groups == other.Groups
}

// ranks says how many ranks a run has.
func (id identity) ranks() string {
	if id.Ranks <= 1 {
		return "1 rank"
	}
	text := fmt.Sprintf("%d ranks", id.Ranks)
	if id.Groups > 0 {
		text += fmt.Sprintf(" in %d groups", id.Groups)
	}
	return text
}

// arrays lists everything that training changes.
func (t *trainee[T]) arrays(states int) []array[T] {
	var all []array[T]
	add := func(name string, list int, values []T) {
		whole := t.gather.array(source{name, list}, dtypeSize[T]())
		n := len(values)
		if whole != nil {
			n = whole.elements()
		}
		all = append(all, array[T]{checkpointArray{name, n, list > 0}, values, whole})
	}
	for _, p := range t.params {
		if p.frozen {
			continue
		}
		add(p.name, 0, p.values)
		p.grow(states)
		for i, s := range p.state {
			add(p.name, 1+i, s)
		}
	}
	for _, s := range t.stats {
		add(s.name, 0, s.values)
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
		if a.gathered != nil {
			_, err = a.gathered.WriteTo(out)
		} else {
			err = writeFloats(out, dtypeSize[T](), a.values)
		}
		if err != nil {
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
			heldName + ".*.tmp", "." + bestName + ".*.tmp",
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

// loadCheckpoint reads the state of the run into arrays, on all ranks of w, each of which
// opens the file; w is nil for a run of one. It returns what the run was when it was saved.
// Where it returns an error the content of the arrays is undefined.
func loadCheckpoint[T kernel.Float](ctx context.Context, w *mpi.World, dir string, id identity, arrays []array[T]) (
	progress, identity, error,
) {
	path := filepath.Join(dir, checkpointName)
	header, err := readCheckpoint(ctx, w, path, id, arrays)
	if err != nil {
		return progress{}, identity{}, fmt.Errorf("%s: %w", path, err)
	}
	return header.Progress, header.Identity, nil
}

func readCheckpoint[T kernel.Float](ctx context.Context, w *mpi.World, path string, id identity, arrays []array[T]) (
	*checkpointHeader, error,
) {
	in, header, err := openCheckpoint(path)
	if err == nil {
		defer in.f.Close()
		err = fits(header, id, arrays)
	}
	if err = sameOnAll(ctx, w, err, "checkpoint", header); err != nil {
		return nil, err
	}
	return header, agree(ctx, w, readArrays(in, w, arrays))
}

// openCheckpoint opens a checkpoint and reads its header.
func openCheckpoint(path string) (in *sealedReader, header *checkpointHeader, err error) {
	header = &checkpointHeader{}
	f, err := os.Open(path)
	if err != nil {
		return nil, header, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, header, err
	}
	in = &sealedReader{f: f, size: info.Size(), r: bufio.NewReaderSize(f, 1<<20), h: sha256.New(), sealed: true}
	head := make([]byte, len(checkpointMagic)+8)
	if _, err := io.ReadFull(in, head); err != nil || !bytes.HasPrefix(head, []byte(checkpointMagic)) {
		return in, header, fmt.Errorf("it does not begin with %q, as a checkpoint of this version does", checkpointMagic)
	}
	size := binary.LittleEndian.Uint64(head[len(checkpointMagic):])
	if size > uint64(info.Size()) {
		in.at = info.Size()
		return in, header, in.broken("header", 0, io.ErrUnexpectedEOF)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(in, text); err != nil {
		return in, header, in.broken("header", 0, err)
	}
	if err := in.unseal("header", 0); err != nil {
		return in, header, err
	}
	return in, header, json.Unmarshal(text, header)
}

// fits returns an error unless a checkpoint is of the run that id identifies and has its
// arrays.
func fits[T kernel.Float](header *checkpointHeader, id identity, arrays []array[T]) error {
	if err := id.differs(header.Identity); err != nil {
		return err
	}
	if len(header.Arrays) != len(arrays) {
		return fmt.Errorf("it holds %d arrays, this run has %d", len(header.Arrays), len(arrays))
	}
	for i, a := range arrays {
		if header.Arrays[i] != a.checkpointArray {
			return fmt.Errorf("it holds %+v where this run has %+v", header.Arrays[i], a.checkpointArray)
		}
	}
	return nil
}

// readArrays reads what this rank has of the arrays, which begin here. The SHA-256 of each
// is checked by one rank, which reads all of it; the others read their ranges.
func readArrays[T kernel.Float](in *sealedReader, w *mpi.World, arrays []array[T]) error {
	sizes := make([]int64, len(arrays))
	for i, a := range arrays {
		sizes[i] = int64(dtypeSize[T]()) * int64(a.Size)
	}
	rank, checks := 0, make([]int, len(arrays))
	if w != nil {
		rank, checks = w.Rank(), mpi.Shares(sizes, w.Size())
	}
	for i, a := range arrays {
		start := in.at
		if in.size-start < sizes[i]+sha256.Size {
			in.at = in.size
			return in.broken(a.what(), start, io.ErrUnexpectedEOF)
		}
		in.sealed = checks[i] == rank
		err := readSlice(in, a.slice(), a.values)
		switch {
		case err != nil:
			return in.broken(a.what(), start, err)
		case in.sealed:
			err = in.unseal(a.what(), start)
		default:
			err = in.skip(sha256.Size)
		}
		if err != nil {
			return err
		}
	}
	if in.at != in.size {
		return fmt.Errorf("the checkpoint is broken: it goes on past byte %d", in.at)
	}
	return nil
}

// readSlice reads a slice of an array that begins here, and passes over the rest of it.
func readSlice[T kernel.Float](in *sealedReader, s cut.Slice, values []T) error {
	size := int64(dtypeSize[T]() * s.Inner)
	n := (s.Hi - s.Lo) * s.Inner
	for o := range s.Outer {
		if err := in.skip(size * int64(s.Lo)); err != nil {
			return err
		}
		if err := readFloats(in, values[o*n:(o+1)*n]); err != nil {
			return err
		}
		if err := in.skip(size * int64(s.Axis-s.Hi)); err != nil {
			return err
		}
	}
	return nil
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
	f      *os.File
	size   int64 // of the file
	r      *bufio.Reader
	at     int64 // where the file is read
	h      hash.Hash
	sealed bool // the hash is of what is read and passed over
}

func (r *sealedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.at += int64(n)
	if r.sealed {
		r.h.Write(p[:n]) // a hash takes everything
	}
	return n, err
}

// skip passes over n bytes, which are read where they are near or sealed.
func (r *sealedReader) skip(n int64) error {
	switch {
	case n == 0:
		return nil
	case r.sealed:
		_, err := io.CopyN(io.Discard, r, n)
		return err
	case n <= int64(r.r.Size()):
		skipped, err := r.r.Discard(int(n))
		r.at += int64(skipped)
		return err
	}
	r.at += n
	r.r.Reset(io.NewSectionReader(r.f, r.at, max(0, r.size-r.at)))
	return nil
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
	buf := make([]byte, size*min(floatBlock, len(values)))
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
