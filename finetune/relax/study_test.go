package relax_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/restore"
	"efcn/finetune"
	"efcn/finetune/data"
	"efcn/finetune/relax"
	"efcn/internal/folderlock"
	"efcn/onnxio"
)

// toySet has images with a bright square, whose class is the quarter that it
// lies in.
func toySet(n int, seed uint64) *data.Set {
	rng := rand.New(rand.NewPCG(seed, 3))
	s := &data.Set{X: make([]float32, n*36), Shape: []int{1, 6, 6}, Labels: make([]int, n), Classes: 4}
	for i := range n {
		s.Labels[i] = rng.IntN(4)
		image := s.X[i*36 : (i+1)*36]
		for k := range image {
			image[k] = float32(0.4 * rng.NormFloat64())
		}
		y, x := 3*(s.Labels[i]/2)+rng.IntN(2), 3*(s.Labels[i]%2)+rng.IntN(2)
		for _, at := range []int{6*y + x, 6*y + x + 1, 6*y + x + 6, 6*y + x + 7} {
			image[at]++
		}
	}
	return s
}

// toyCNN is conv 3×3 of 2 channels, ReLU, MaxPool 2, and a linear layer.
func toyCNN(seed uint64) *onnxio.Model {
	rng := rand.New(rand.NewPCG(seed, 5))
	noise := func(name string, dims ...int64) *onnxio.Tensor {
		n := int64(1)
		for _, d := range dims {
			n *= d
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(0.3 * rng.NormFloat64())
		}
		return onnxio.NewTensor(name, dims, v)
	}
	value := func(name string, dims ...int64) *onnxio.ValueInfo {
		v := &onnxio.ValueInfo{Name: name, Type: onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: onnxio.Shape{onnxio.Symbol("N")}}}
		for _, d := range dims {
			v.Type.Shape = append(v.Type.Shape, onnxio.Fixed(d))
		}
		return v
	}
	node := func(op, inputs, output string, attributes ...*onnxio.Attribute) *onnxio.Node {
		return &onnxio.Node{Name: op + "_" + output, OpType: op, Inputs: strings.Fields(inputs), Outputs: []string{output}, Attributes: attributes}
	}
	return &onnxio.Model{
		IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}}, ProducerName: "toy",
		Graph: &onnxio.Graph{
			Name: "toy", Inputs: []*onnxio.ValueInfo{value("x", 1, 6, 6)}, Outputs: []*onnxio.ValueInfo{value("y", 4)},
			Initializers: []*onnxio.Tensor{noise("k", 2, 1, 3, 3), noise("kb", 2), noise("w", 4, 8), noise("wb", 4)},
			Nodes: []*onnxio.Node{
				node("Conv", "x k kb", "c"),
				node("Relu", "c", "r"),
				node("MaxPool", "r", "p", onnxio.IntsAttr("kernel_shape", 2, 2), onnxio.IntsAttr("strides", 2, 2)),
				node("Flatten", "p", "f"),
				node("Gemm", "f w wb", "y", onnxio.IntAttr("transB", 1)),
			},
		},
	}
}

// toyStudy has two seeds, three relax times, and the kinds of runs that it is given.
func toyStudy(with ...relax.Kind) *relax.Study {
	return &relax.Study{
		CNN: toyCNN(1), Data: toySet(60, 1), Test: toySet(40, 2),
		Options: relax.Options{
			Train: finetune.Options{Epochs: 2, Batch: 20, Rate: 0.1, Seed: 7}, RelaxEpochs: []int{0, 1, 3}, Seeds: 2, With: with, Reinit: true,
		},
	}
}

func run(t *testing.T, s *relax.Study, dir string) *relax.Folder {
	t.Helper()
	f, err := s.Run(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// table reads a table: its header, and its rows by the names of the columns.
func table(t *testing.T, path string) (header []string, rows []map[string]string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, name := range records[0] {
			row[name] = record[i]
		}
		rows = append(rows, row)
	}
	return records[0], rows
}

func float(t *testing.T, text string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The tables say what the files are, and there is everything that the package
// documentation promises.
func TestStudy(t *testing.T) {
	s, dir := toyStudy(relax.Extras()...), t.TempDir()
	f := run(t, s, dir)
	// A seed has a CNN, three snapshots, an FCN, and five runs at three times.
	if len(f.Results) != 2*(1+3+1+15) || len(f.Missing) != 0 {
		t.Fatalf("%d results, %d missing", len(f.Results), len(f.Missing))
	}
	documentation, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"results.csv", "summary.csv", "epochs.csv", "layers.csv"} {
		header, rows := table(t, filepath.Join(dir, name))
		_, section, found := strings.Cut(string(documentation), "// "+name+":\n")
		if section, _, _ = strings.Cut(section, ".csv:\n"); !found || len(rows) == 0 {
			t.Errorf("%s: documented %v, %d rows", name, found, len(rows))
		}
		for _, column := range header {
			base := strings.TrimSuffix(strings.TrimSuffix(column, "_mean"), "_sd")
			if !regexp.MustCompile(`\b` + base + `\b`).MatchString(section) {
				t.Errorf("%s: column %s is not documented", name, column)
			}
		}
	}

	_, rows := table(t, filepath.Join(dir, "results.csv"))
	before := map[string]map[string]string{} // snapshots by seed and epoch
	for _, row := range rows {
		m, err := onnxio.Read(filepath.Join(dir, row["file"]))
		if err != nil {
			t.Fatal(err)
		}
		metrics, err := finetune.Evaluate(t.Context(), m, s.Test, 20)
		if err != nil {
			t.Fatal(err)
		}
		if metrics.Top1 != float(t, row["final_test_top1"]) || metrics.Loss != float(t, row["final_test_loss"]) {
			t.Errorf("%s: %+v, the table has %v", row["file"], metrics, row)
		}
		at := row["seed"] + "@" + row["relax_epoch"]
		switch row["kind"] {
		case "snapshot":
			before[at] = row
		case "cnn", "fcn":
		default:
			// It begins as the CNN that was embedded, up to rounding, and ends so
			// that projecting it gives what the table says.
			if start, was := float(t, row["start_test_loss"]), float(t, before[at]["final_test_loss"]); math.Abs(start-was) > 1e-6*was {
				t.Errorf("%s starts with loss %v, the CNN had %v", row["run"], start, was)
			}
			p, err := onnxio.Read(filepath.Join(dir, row["run"], "projected.onnx"))
			if err != nil {
				t.Fatal(err)
			}
			if metrics, err := finetune.Evaluate(t.Context(), p, s.Test, 20); err != nil || metrics.Top1 != float(t, row["projected_test_top1"]) {
				t.Errorf("%s: the projection has %+v (%v), the table %s", row["run"], metrics, err, row["projected_test_top1"])
			}
		}
		checkKind(t, dir, row)
		for _, name := range []string{"start.onnx", "metrics.jsonl", "run.json"} {
			if _, err := os.Stat(filepath.Join(dir, row["run"], name)); err != nil {
				t.Error(err)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, row["run"], "run.checkpoint")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the checkpoint is still there (%v)", row["run"], err)
		}
	}

	_, rows = table(t, filepath.Join(dir, "epochs.csv"))
	points := map[string]int{}
	for _, row := range rows {
		began := 0.0
		if row["relax_epoch"] != "" {
			began = float(t, row["relax_epoch"])
		}
		if epoch := float(t, row["epoch"]); epoch != float64(points[row["run"]]) || float(t, row["time"]) != began+epoch {
			t.Errorf("row %d of %s: %v", points[row["run"]], row["run"], row)
		}
		points[row["run"]]++
	}
	for name, n := range points {
		want := 3 // the start and two epochs
		if strings.HasSuffix(name, "cnn") {
			want = 4 // up to the last relax time
		}
		if n != want {
			t.Errorf("%s: %d rows, want %d", name, n, want)
		}
	}
	if len(points) != 2*17 {
		t.Errorf("epochs of %d runs", len(points))
	}
}

// checkKind looks at what a run of its kind may have moved.
func checkKind(t *testing.T, dir string, row map[string]string) {
	t.Helper()
	d, s := row["distance"], row["off_local"]
	switch row["kind"] {
	case "cnn", "snapshot":
		if d != "" {
			t.Errorf("%s: a CNN has the deviation %s", row["run"], d)
		}
		return
	case "fcn":
		if float(t, d) < 0.5 {
			t.Errorf("%s: d %s of a network whose weights are all new", row["run"], d)
		}
	case "efcn", "off-local":
		if float(t, s) == 0 {
			t.Errorf("%s: nothing moved outside the support", row["run"])
		}
	case "elcn", "local":
		if float(t, s) != 0 || float(t, d) == 0 {
			t.Errorf("%s: d %s, s %s", row["run"], d, s)
		}
	case "tied":
		if float(t, d) != 0 {
			t.Errorf("%s: d %s", row["run"], d)
		}
	}
	// 2×4×4 outputs see 9 of 36 inputs each; the linear layer is no embedded one.
	if row["entries"] != "1152" || row["support"] != "288" {
		t.Errorf("%s: %s entries, %s of them support", row["run"], row["entries"], row["support"])
	}
	if row["kind"] != "off-local" {
		return
	}
	// What training off-local weights alone leaves of the CNN is the CNN.
	start, end := read(t, dir, row["run"], "start.onnx"), read(t, dir, row["run"], "projected.onnx")
	projected, _, err := restore.Project(t.Context(), start)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(encoded(t, projected), encoded(t, end)) {
		t.Errorf("%s: the nearest CNN is not the one that was embedded", row["run"])
	}
}

func read(t *testing.T, elements ...string) *onnxio.Model {
	t.Helper()
	m, err := onnxio.Read(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func encoded(t *testing.T, m *onnxio.Model) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := onnxio.WriteTo(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// contents returns the files of a study, but for what depends on the clock, the
// memory and the folder: metrics and results as text without those, and by their
// names.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	clock := regexp.MustCompile(`"(seconds|time|peak_bytes)": ?[0-9.e+-]+`)
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasPrefix(d.Name(), "events.") {
			b = nil // the metrics once more
		}
		name, err := filepath.Rel(dir, path)
		switch filepath.Ext(path) {
		case ".json", ".jsonl":
			b = clock.ReplaceAll(b, nil)
		case ".csv":
			header, rows := table(t, path)
			b = nil
			for _, row := range rows {
				for _, column := range header {
					if column != "seconds" {
						b = append(b, row[column]+","...)
					}
				}
				b = append(b, '\n')
			}
		}
		all[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for name, text := range want {
		if have, ok := got[name]; !ok || have != text {
			t.Errorf("%s: %s is there: %v, or differs", what, name, ok)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d files, want %d", what, len(got), len(want))
	}
}

// A study that is stopped again and again ends with the files of one that was
// not, and what was finished is not done again.
func TestStudyResumes(t *testing.T) {
	small := func() *relax.Study {
		s := toyStudy(relax.ELCN)
		s.Options.Seeds, s.Options.RelaxEpochs = 1, []int{0, 2}
		return s
	}
	whole := t.TempDir()
	steps := 0
	s := small()
	s.Stepped = func(relax.Run, int, int) { steps++ }
	run(t, s, whole)
	want := contents(t, whole)
	if steps != 6*3*2 {
		t.Fatalf("%d steps; want those of 6 runs of 2 epochs of 3", steps)
	}
	for _, every := range []int{2, 7} {
		dir := filepath.Join(t.TempDir(), "study")
		taken, stops := 0, 0
		for {
			ctx, cancel := context.WithCancel(t.Context())
			s := small()
			n := 0
			s.Stepped = func(relax.Run, int, int) {
				taken++
				if n++; n == every {
					cancel()
				}
			}
			_, err := s.Run(ctx, dir)
			cancel()
			if err == nil {
				break
			}
			if stops++; !errors.Is(err, context.Canceled) || stops > steps {
				t.Fatal(err)
			}
		}
		if taken != steps || stops == 0 {
			t.Errorf("stopped every %d steps: %d steps and %d stops", every, taken, stops)
		}
		same(t, "resumed", contents(t, dir), want)
	}
	s = small()
	s.Stepped = func(r relax.Run, _, _ int) { t.Errorf("%s is done again", r.Path()) }
	run(t, s, whole)
	same(t, "done again", contents(t, whole), want)
}

// More seeds and more kinds of runs are added to what is there.
// A folder that another process is at work in is refused before anything in it
// changes.
func TestStudyIsLocked(t *testing.T) {
	dir, s := t.TempDir(), toyStudy()
	release, err := folderlock.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Run(t.Context(), dir)
	var held *folderlock.InUseError
	if !errors.As(err, &held) || held.Dir != dir {
		t.Errorf("a folder in use: %v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("it left %v (%v)", files, err)
	}
	// What a process leaves behind that is killed is no file of another kind.
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, folderlock.Name), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	run(t, s, dir)
	if _, err := os.Stat(filepath.Join(dir, folderlock.Name)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", folderlock.Name, err)
	}
}

func TestStudyGrows(t *testing.T) {
	whole, grown := t.TempDir(), t.TempDir()
	run(t, toyStudy(relax.Tied), whole)
	s := toyStudy()
	s.Options.Seeds = 1
	run(t, s, grown)
	s = toyStudy(relax.Tied)
	s.Stepped = func(r relax.Run, _, _ int) {
		if r.Seed == 7 && (r.Kind == relax.CNN || r.Kind == relax.FCN || r.Kind == relax.EFCN) {
			t.Errorf("%s is done again", r.Path())
		}
	}
	run(t, s, grown)
	same(t, "grown", contents(t, grown), contents(t, whole))
}

func TestStudyOfGivenCNNs(t *testing.T) {
	dir := t.TempDir()
	s := toyStudy()
	s.CNN, s.Given = nil, map[int]*onnxio.Model{5: toyCNN(2), 0: toyCNN(1)}
	s.Options.RelaxEpochs, s.Options.Reinit = nil, false
	f := run(t, s, dir)
	var runs []string
	for _, r := range f.Results {
		runs = append(runs, r.Run)
	}
	if want := strings.Fields("cnn cnn seed-7/fcn seed-7/efcn-0 seed-7/efcn-5 seed-8/fcn seed-8/efcn-0 seed-8/efcn-5"); !slices.Equal(runs, want) {
		t.Errorf("%v", runs)
	}
	if !bytes.Equal(encoded(t, read(t, dir, "cnn", "epoch-5.onnx")), encoded(t, toyCNN(2))) {
		t.Error("the CNN of epoch 5 is another one")
	}
	same(t, "given again", contents(t, dir), func() map[string]string { run(t, s, dir); return contents(t, dir) }())
	for _, r := range f.Results[:2] {
		metrics, err := finetune.Evaluate(t.Context(), read(t, dir, r.File), s.Test, 20)
		if err != nil || metrics != *r.Final.Test {
			t.Errorf("%s: %+v (%v), want %+v", r.File, *r.Final.Test, err, metrics)
		}
	}
}

// A run that diverges is a result; what depends on it says so.
func TestStudyDiverges(t *testing.T) {
	dir := t.TempDir()
	s := toyStudy()
	s.Options.Train.Rate, s.Options.Seeds, s.Options.Reinit = 1e20, 1, false
	f := run(t, s, dir)
	again := run(t, s, dir)
	for _, f := range []*relax.Folder{f, again} {
		for _, r := range f.Results {
			if r.Kind == relax.Snapshot {
				continue
			}
			want := "the loss is not finite"
			if r.RelaxEpoch != nil && *r.RelaxEpoch > 0 {
				want = "there is no CNN to embed"
			}
			if !strings.Contains(r.Failed, want) || r.File != "" {
				t.Errorf("%s: %q, file %q; want %q", r.Run, r.Failed, r.File, want)
			}
		}
		if len(f.Results) != 6 { // with the snapshot of epoch 0
			t.Errorf("%d results", len(f.Results))
		}
	}
	for _, g := range relax.Summarise(f.Results) {
		if g.Kind != relax.Snapshot && (g.Runs != 0 || g.Failed != 1 || g.FinalTop1 != nil) {
			t.Errorf("%+v", g)
		}
	}
}

func TestStudyRefuses(t *testing.T) {
	fully := toyCNN(1)
	fully.Graph.Nodes = fully.Graph.Nodes[3:]
	fully.Graph.Nodes[0].Inputs = []string{"x"}
	fully.Graph.Initializers = fully.Graph.Initializers[2:]
	fully.Graph.Initializers[0] = onnxio.NewTensor("w", []int64{4, 36}, make([]float32, 144))
	wide := toyCNN(1)
	wide.Graph.Nodes[0].Attributes = []*onnxio.Attribute{onnxio.IntsAttr("pads", 1, 1, 1, 1), onnxio.IntsAttr("dilations", 2, 2)}
	for _, c := range []struct {
		name   string
		change func(s *relax.Study)
		want   string
	}{
		{"nothing to embed", func(s *relax.Study) { s.CNN = fully }, "nothing to embed"},
		{"budget", func(s *relax.Study) { s.Options.MaxBytes = 4000 }, "more than the 4000 allowed"},
		{"no CNN", func(s *relax.Study) { s.CNN = nil }, "want a CNN"},
		{"both", func(s *relax.Study) { s.Given = map[int]*onnxio.Model{0: toyCNN(1)} }, "want a CNN"},
		{"order", func(s *relax.Study) { s.Options.RelaxEpochs = []int{1, 1} }, "1 after 1; want them ascending"},
		{"negative", func(s *relax.Study) { s.Options.RelaxEpochs = []int{-1} }, "-1 is negative"},
		{"none", func(s *relax.Study) { s.Options.RelaxEpochs = []int{} }, "relax epochs: none"},
		{"short", func(s *relax.Study) { s.Options.CNNEpochs = 2 }, "trained for 2 epochs; want those of the last relax time"},
		{"kind", func(s *relax.Study) { s.Options.With = []relax.Kind{"fcn"} }, `with "fcn": want some of`},
		{"twice", func(s *relax.Study) { s.Options.With = []relax.Kind{"tied", "tied"} }, `with "tied" is given twice`},
		{"folder of a run", func(s *relax.Study) { s.Options.Train.Checkpoint = "x" }, "the study's business"},
		{"optimiser", func(s *relax.Study) { s.Options.Train.Optimizer.Lambda = 1 }, "beta-lasso"},
		{"data", func(s *relax.Study) { s.Test.Shape, s.Test.X = []int{1, 5, 5}, s.Test.X[:40*25] }, "the model takes [1 6 6]"},
		{"given and trained", func(s *relax.Study) { s.CNN, s.Given = nil, map[int]*onnxio.Model{0: toyCNN(1)} }, "the CNNs are given"},
		{"before the first", func(s *relax.Study) {
			s.CNN, s.Given, s.Options.RelaxEpochs, s.Options.Reinit = nil, map[int]*onnxio.Model{-1: toyCNN(1)}, nil, false
		}, "the CNN of epoch -1: want a number from 0"},
		{"architectures", func(s *relax.Study) {
			s.CNN, s.Given, s.Options.RelaxEpochs, s.Options.Reinit = nil, map[int]*onnxio.Model{0: toyCNN(1), 3: wide}, nil, false
		}, "the CNN of epoch 3"},
		{"an eFCN", func(s *relax.Study) {
			plan, err := convert.NewPlan(toyCNN(1), convert.Options{})
			if err == nil {
				s.CNN, err = plan.Model()
			}
			if err != nil {
				t.Fatal(err)
			}
		}, "it is an eFCN already"},
	} {
		dir := filepath.Join(t.TempDir(), "study")
		s := toyStudy()
		c.change(s)
		if _, err := s.Run(t.Context(), dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the folder is there (%v)", c.name, err)
		}
	}
}

// A run that was made with other settings and copied into the folder of a study is
// refused, by Run and by Read; one that does not say with which is taken, and named.
func TestStudyRefusesRunsOfAnother(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	run(t, toyStudy(), dir)
	s := toyStudy()
	s.Options.Train.Rate = 0.2
	run(t, s, other)
	f, err := relax.Read(dir)
	if err != nil || len(f.Unnoted) != 0 {
		t.Fatalf("%v, %v", err, f)
	}
	refused := func(what, want string) {
		t.Helper()
		_, runErr := toyStudy().Run(t.Context(), dir)
		_, readErr := relax.Read(dir)
		for _, err := range []error{runErr, readErr} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", what, err, want)
			}
		}
	}
	first, second := relax.Run{Kind: relax.CNN, Seed: 7, Relax: -1}, relax.Run{Kind: relax.CNN, Seed: 8, Relax: -1}
	file := func(dir string, r relax.Run) string {
		return filepath.Join(dir, filepath.FromSlash(r.Path()), "run.json")
	}
	own, err := os.ReadFile(file(dir, second))
	if err != nil {
		t.Fatal(err)
	}
	replace := func(from string) {
		t.Helper()
		b, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(file(dir, second), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	replace(file(other, second))
	refused("another learning rate", "it was made for a study with lr 0.2, this study has 0.1; remove what is there")
	refused("another learning rate, with its folder", filepath.Dir(file(dir, second))+": it was made")
	replace(file(dir, first))
	refused("another seed", `it holds the run "`+first.Path()+`" of a study`)

	var result relax.Result
	if err := json.Unmarshal(own, &result); err != nil {
		t.Fatal(err)
	}
	result.Settings = nil
	old, err := json.Marshal(result)
	if err == nil {
		err = os.WriteFile(file(dir, second), old, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if f, err := relax.Read(dir); err != nil || len(f.Unnoted) != 1 || f.Unnoted[0] != second {
		t.Errorf("%v, %v", err, f.Unnoted)
	}
}

// A folder keeps to the study that it was begun with.
func TestStudyRefusesAnother(t *testing.T) {
	dir := t.TempDir()
	run(t, toyStudy(relax.Tied), dir)
	want := contents(t, dir)
	for _, c := range []struct {
		change func(s *relax.Study)
		want   string
	}{
		{func(s *relax.Study) { s.CNN = toyCNN(3) }, "another CNN"},
		{func(s *relax.Study) { s.Data = toySet(60, 9) }, "other samples (data)"},
		{func(s *relax.Study) { s.Test = toySet(40, 9) }, "other samples (test)"},
		{func(s *relax.Study) { s.Options.Train.Rate = 0.2 }, "lr 0.1, this one has 0.2"},
		{func(s *relax.Study) { s.Options.Train.Epochs = 3 }, "epochs 2, this one has 3"},
		{func(s *relax.Study) { s.Options.Train.Batch = 30 }, "batch 20, this one has 30"},
		{func(s *relax.Study) { s.Options.Train.Seed = 8 }, "seed 7, this one has 8"},
		{func(s *relax.Study) { s.Options.Train.Optimizer.Momentum = 0.9 }, "optimizer {"},
		{func(s *relax.Study) { s.Options.Train.Schedule.Kind = "cosine" }, "lr_schedule {"},
		{func(s *relax.Study) { s.Options.Train.Clip = 1 }, "clip 0, this one has 1"},
		{func(s *relax.Study) { s.Options.RelaxEpochs = []int{0, 3} }, "relax_epochs [0,1,3], this one has [0,3]"},
		{func(s *relax.Study) { s.Options.CNNEpochs = 4 }, "cnn_epochs 3, this one has 4"},
		{func(s *relax.Study) { s.Options.Reinit = false }, "reinit true, this one has false"},
		{func(s *relax.Study) { s.Options.NoFoldBN = true }, "no_fold_bn false, this one has true"},
		{func(s *relax.Study) { s.Options.Seeds = 1 }, "a study of 2 seeds, this one has 1"},
		{func(s *relax.Study) { s.Options.With = nil }, "a study with tied, this one is without"},
	} {
		s := toyStudy(relax.Tied)
		c.change(s)
		if _, err := s.Run(t.Context(), dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	same(t, "refused", contents(t, dir), want)

	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := toyStudy().Run(t.Context(), other); err == nil || !strings.Contains(err.Error(), "is no study's folder") {
		t.Error(err)
	}
}

func TestEstimate(t *testing.T) {
	s := toyStudy(relax.Tied)
	e, err := s.Estimate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[relax.Kind][2]int{}
	var seconds float64
	for _, c := range e.Costs {
		got[c.Kind] = [2]int{c.Runs, c.Epochs}
		seconds += c.Seconds
		if !(c.Step > 0) || math.Abs(c.Seconds-float64(c.Runs*c.Epochs)*c.Epoch) > 1e-9*c.Seconds {
			t.Errorf("%+v", c)
		}
	}
	for kind, want := range map[relax.Kind][2]int{relax.CNN: {2, 3}, relax.FCN: {2, 2}, relax.EFCN: {6, 2}, relax.Tied: {6, 2}} {
		if got[kind] != want {
			t.Errorf("%s: %v runs and epochs, want %v", kind, got[kind], want)
		}
	}
	if len(got) != 4 || math.Abs(e.Seconds-seconds) > 1e-9*seconds || e.PeakBytes <= 0 {
		t.Errorf("%+v", e)
	}
	// The estimate of the folder is that of the models in it.
	dir := t.TempDir()
	run(t, s, dir)
	var models int64
	for name, text := range contents(t, dir) {
		if strings.HasSuffix(name, ".onnx") && filepath.Base(name) != "projected.onnx" {
			models += int64(len(text))
		}
	}
	// The graph comes on top of the weights, a kilobyte or two for each of the
	// 72 models.
	if e.DiskBytes > models || e.DiskBytes < models-72*4096 {
		t.Errorf("an estimate of %d bytes, the models have %d", e.DiskBytes, models)
	}
}

func TestSummarise(t *testing.T) {
	five, epoch := 5, func(top1 float64, failed string) *relax.Result {
		five := 5
		r := &relax.Result{Kind: relax.EFCN, RelaxEpoch: &five, Failed: failed, BestTop1: &top1}
		r.Final.Test = &finetune.Metrics{Top1: top1}
		return r
	}
	lone := &relax.Result{Kind: relax.FCN}
	lone.Final.Test = &finetune.Metrics{Top1: 0.25}
	all := relax.Summarise([]*relax.Result{epoch(0.5, ""), lone, epoch(0.75, ""), epoch(1, ""), epoch(0.1, "diverged")})
	if len(all) != 2 || all[0].Runs != 3 || all[0].Failed != 1 || *all[0].RelaxEpoch != five || all[0].FinalTop1.Mean != 0.75 || *all[0].FinalTop1.SD != 0.25 || all[0].Distance != nil {
		t.Errorf("%+v", all[0])
	}
	if all[1].Runs != 1 || all[1].FinalTop1.Mean != 0.25 || all[1].FinalTop1.SD != nil || all[1].RelaxEpoch != nil {
		t.Errorf("%+v", all[1])
	}
}
