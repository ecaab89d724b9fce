package relax_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"efcn/convert/record"
	"efcn/convert/restore"
	"efcn/finetune"
	"efcn/finetune/relax"
	"efcn/onnxio"
)

// The tables say what the files are, and there is everything that the package
// documentation promises.
func TestStudy(t *testing.T) {
	s, dir := toyStudy(relax.ELCN, relax.Local, relax.OffLocal, relax.Tied, relax.Factored(2, "", 0)), t.TempDir()
	f := run(t, s, dir)
	// A seed has a CNN, three snapshots, an FCN, and six runs at three times.
	if len(f.Results) != 2*(1+3+1+18) || len(f.Missing) != 0 {
		t.Fatalf("%d results, %d missing", len(f.Results), len(f.Missing))
	}
	source, err := os.ReadFile("study.go")
	if err != nil {
		t.Fatal(err)
	}
	documentation, _, _ := strings.Cut(string(source), "\nfunc (s *Study) Run(")
	for _, name := range []string{"results.csv", "summary.csv", "epochs.csv", "layers.csv"} {
		header, rows := table(t, filepath.Join(dir, name))
		_, section, found := strings.Cut(documentation, "// "+name+":\n")
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
			if start, was := float(t, row["start_test_loss"]), float(t,
				before[at]["final_test_loss"]); math.Abs(start-was) > 1e-6*was {
				t.Errorf("%s starts with loss %v, the CNN had %v", row["run"], start, was)
			}
			p, err := onnxio.Read(filepath.Join(dir, row["run"], "projected.onnx"))
			if err != nil {
				t.Fatal(err)
			}
			if metrics, err := finetune.Evaluate(t.Context(), p, s.Test, 20); err != nil ||
				metrics.Top1 != float(t, row["projected_test_top1"]) {
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
	if len(points) != 2*20 {
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
	case "efcn", "off-local", "factored-2":
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
	var stored int64
	for _, w := range read(t, dir, row["run"], "start.onnx").Graph.Initializers {
		stored += w.Data.Len()
	}
	if row["weight_bytes"] != strconv.FormatInt(stored, 10) {
		t.Errorf("%s: %s bytes of weights, want %d", row["run"], row["weight_bytes"], stored)
	}
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

// A factored study trains all weights in factored form, of several ranks, beside no
// dense network.
func TestFactoredStudy(t *testing.T) {
	dir := t.TempDir()
	s := toyStudy(relax.ELCN, relax.Factored(1, "", 0), relax.Factored(1, finetune.InitGradient, 0),
		relax.Factored(1, finetune.InitGradient, 1),
		relax.Factored(1, finetune.InitOrthonormal, 0))
	s.Options.Layout, s.Options.Rank, s.Options.Seeds, s.Options.RelaxEpochs = record.Factored, 3, 1, []int{0, 2}
	f := run(t, s, dir)
	var runs []string
	for _, r := range f.Results {
		runs = append(runs, strings.TrimPrefix(r.Run, "seed-7/"))
	}
	want := strings.Fields("cnn cnn cnn factored-3-0 elcn-0 factored-1-0 factored-1-gradient-0 " +
		"factored-1-gradient-refresh-1-0 factored-1-orthonormal-0 " +
		"factored-3-2 elcn-2 factored-1-2 factored-1-gradient-2 factored-1-gradient-refresh-1-2 factored-1-orthonormal-2")
	if !slices.Equal(runs, want) {
		t.Errorf("runs %v", runs)
	}
	ranks := 0
	for _, r := range f.Results {
		if r.Kind.Rank() == 0 {
			continue
		}
		for _, file := range []string{"start.onnx", "model.onnx"} {
			rec, err := record.Read(read(t, dir, r.Run, file))
			if err != nil {
				t.Fatal(err)
			}
			l := rec.Layers[0]
			if ranks++; l.Layout != record.Factored || l.Rank != int64(r.Kind.Rank()) {
				t.Errorf("%s/%s: layout %s, rank %d", r.Run, file, l.Layout, l.Rank)
			}
		}
	}
	if ranks != 10*2 {
		t.Errorf("%d ranks were looked at", ranks)
	}
	// They start as one model, and differ in V.
	models := map[string]string{}
	for _, kind := range []string{"factored-1", "factored-1-gradient", "factored-1-gradient-refresh-1", "factored-1-orthonormal"} {
		if start := encoded(t, read(t, dir, "seed-7", kind+"-2", "start.onnx")); !bytes.Equal(start,
			encoded(t, read(t, dir, "seed-7", "factored-1-2", "start.onnx"))) {
			t.Errorf("%s starts as another model", kind)
		}
		end := string(encoded(t, read(t, dir, "seed-7", kind+"-2", "model.onnx")))
		if other, ok := models[end]; ok {
			t.Errorf("%s ends as %s does", kind, other)
		}
		models[end] = kind
	}
}

func TestKindRank(t *testing.T) {
	for kind, want := range map[relax.Kind]int{
		"factored-1": 1, "factored-32": 32, "factored-0": 0, "factored--1": 0, "factored-01": 0, "factored-": 0,
		"factored-x": 0, "factored": 0, "factored-8:gradient": 8, "factored-8:orthonormal": 8, "factored-8:": 0,
		"factored-8:refresh-5": 8, "factored-8:gradient:refresh-5": 8, "factored-8:refresh-0": 0,
		"factored-8:refresh-5:gradient": 0,
		"factored-8:x":                  0, "efcn:gradient": 0, "16": 0, relax.EFCN: 0,
	} {
		if got := kind.Rank(); got != want {
			t.Errorf("%s: rank %d, want %d", kind, got, want)
		}
	}
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
	want := strings.Fields("cnn cnn seed-7/fcn seed-7/efcn-0 seed-7/efcn-5 seed-8/fcn seed-8/efcn-0 seed-8/efcn-5")
	if !slices.Equal(runs, want) {
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
