package report

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/csv"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"efcn/finetune"
	"efcn/finetune/data"
	"efcn/finetune/relax"
	"efcn/onnxio"
)

const testdata = "../../testdata/"

func images(t *testing.T, split string, n int) *data.Set {
	t.Helper()
	s, err := data.Open(t.Context(), fmt.Sprintf("idx:%[1]sfashion-mnist/%[2]s-images-%[3]s-idx3-ubyte.gz,"+
		"%[1]sfashion-mnist/%[2]s-labels-%[3]s-idx1-ubyte.gz?normalize=0.286/0.353&limit=%[4]d",
		testdata, split, map[string]string{"train": "10k", "test": "2k"}[split], n))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// made is a small study, run once.
var made struct {
	once sync.Once
	dir  string
}

func TestMain(m *testing.M) {
	code := m.Run()
	if made.dir != "" {
		_ = os.RemoveAll(made.dir) // in the folder for temporary files
	}
	os.Exit(code)
}

// newStudy returns a copy of the study's folder.
func newStudy(t *testing.T) string {
	t.Helper()
	made.once.Do(func() {
		cnn, err := onnxio.Read(testdata + "models/plain-torchscript/model.onnx")
		if err != nil {
			t.Fatal(err)
		}
		if made.dir, err = os.MkdirTemp("", "efcn-report-"); err != nil {
			t.Fatal(err)
		}
		s := &relax.Study{
			CNN: cnn, Data: images(t, "train", 200), Test: images(t, "test",
				100), About: map[string]string{"cnn": "plain <&> CNN"},
			Options: relax.Options{
				Train: finetune.Options{Epochs: 2, Batch: 50, Rate: 0.02}, RelaxEpochs: []int{0, 2},
				Seeds: 2, With: []relax.Kind{relax.ELCN}, Reinit: true,
			},
		}
		if _, err := s.Run(context.Background(), made.dir); err != nil {
			t.Fatal(err)
		}
	})
	dir := filepath.Join(t.TempDir(), "study")
	if err := os.CopyFS(dir, os.DirFS(made.dir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, dir string, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(context.Background(), &b, dir, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestStudyPage(t *testing.T) {
	dir := newStudy(t)
	page := write(t, dir, Options{Samples: 4})

	// Nothing is fetched: every source is in the page, and every link too.
	sources := regexp.MustCompile(`\s(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page, -1)
	pictures := map[string]int{}
	for _, m := range sources {
		source := html.UnescapeString(m[1])
		kind, content, ok := strings.Cut(source, ";base64,")
		switch {
		case source == "#": // of a PNG, which the page draws
		case strings.HasPrefix(source, "#"):
			if !strings.Contains(page, `<section id="`+source[1:]+`">`) {
				t.Errorf("a link to %s, which is nowhere", source)
			}
		case ok:
			pictures[kind]++
			if _, err := base64.StdEncoding.DecodeString(content); err != nil {
				t.Errorf("a picture: %v", err)
			}
		default:
			t.Errorf("the page needs %.60q", source)
		}
	}
	// Two layers, four units, four models.
	if pictures["data:image/png"] != 32 {
		t.Errorf("pictures %v", pictures)
	}
	// Of the eFCN and of the eLCN: accuracy 2 and 1, training 4 each, d each and s of the eFCN alone,
	// as that of the eLCN is 0, gradients 3 and the distance alone; and d at the end. Each has an SVG
	// and a CSV.
	drawn := strings.Count(page, "<svg ")
	if drawn != 19 || pictures["data:image/svg+xml"] != drawn || pictures["data:text/csv;charset=utf-8"] != drawn {
		t.Errorf("%d figures, files %v", drawn, pictures)
	}
	if !strings.Contains(page, "Of the eLCN the off-local share s over training is 0 after every epoch.") {
		t.Error("what is not drawn is not said")
	}
	for _, want := range []string{
		"accuracy", "deviation", "training", "gradients", "weights", "plan", "certificate",
		"settings",
	} {
		if !strings.Contains(page, `<section id="`+want+`">`) {
			t.Errorf("no section %q", want)
		}
	}
	if strings.Contains(page, "plain <&> CNN") || !strings.Contains(page, "plain &lt;&amp;&gt; CNN") {
		t.Error("a name is not escaped")
	}
	if text := regexp.MustCompile(`base64,[^"]*`).ReplaceAllString(page, ""); strings.Contains(text, "ZgotmplZ") ||
		strings.Contains(text, "NaN") {
		t.Error("something is missing on the page")
	}

	// The same curves are drawn into files.
	if err := WritePlots(dir); err != nil {
		t.Fatal(err)
	}
	for _, ending := range []string{"svg", "png"} {
		files, err := filepath.Glob(filepath.Join(dir, "plots", "*."+ending))
		if err != nil || len(files) != drawn {
			t.Errorf("plots %q (%v); want %d", files, err, drawn)
		}
	}

	// The accuracies are those of the study's own table.
	f, err := os.Open(filepath.Join(dir, "summary.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	mean, sd := slices.Index(rows[0], "final_test_top1_mean"), slices.Index(rows[0], "final_test_top1_sd")
	for _, row := range rows[1:] {
		if row[0] == "snapshot" {
			continue
		}
		m, errM := strconv.ParseFloat(row[mean], 64)
		s, errS := strconv.ParseFloat(row[sd], 64)
		if want := fmt.Sprintf(">%.2f ± %.2f<", 100*m, 100*s); errM != nil || errS != nil || !strings.Contains(page, want) {
			t.Errorf("%q: the page does not say %q", row, want)
		} else {
			found++
		}
	}
	if found != 6 { // CNN, FCN, two eFCNs and two eLCNs
		t.Errorf("%d accuracies", found)
	}
	if n := strings.Count(page, "<td>equal</td>"); n != 8 || !strings.Contains(page, "Every one of the 8 embeddings") {
		t.Errorf("%d embeddings are equal; want 8", n)
	}
}

// One weight of an embedded CNN that is another by one unit in its last place
// is no embedding any more.
func TestCertificateIsRefused(t *testing.T) {
	dir := newStudy(t)
	path := filepath.Join(dir, "seed-0", "efcn-2", "start.onnx")
	m, err := onnxio.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, init := range m.Graph.Initializers {
		if init.Type != onnxio.Float32 || len(init.Dims) != 2 {
			continue
		}
		w, err := onnxio.Floats[float32](init)
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(w, func(v float32) bool { return v != 0 })
		w[at] *= 1 + 1.0/(1<<23)
		m.Graph.Initializers[i] = onnxio.NewTensor(init.Name, init.Dims, w)
		break
	}
	if _, err := onnxio.Write(path, m, onnxio.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	page := write(t, dir, Options{Samples: 4})
	if !strings.Contains(page, "NOT EQUAL: ") || !strings.Contains(page, "1 of the 8 embeddings do not compute") {
		t.Error("the page calls it equal")
	}
	if page := write(t, dir, Options{NoCheck: true}); strings.Contains(page, "EQUAL") ||
		!strings.Contains(page, "not verified for this page") {
		t.Error("without the check the page says something of it")
	}
}

// An embedding whose CNN is gone is not called equal.
func TestCertificateOfWhatIsMissing(t *testing.T) {
	dir := newStudy(t)
	if err := os.Remove(filepath.Join(dir, "seed-0", "cnn", "epoch-2.onnx")); err != nil {
		t.Fatal(err)
	}
	// The eFCN and the eLCN of that seed and relax time.
	page := write(t, dir, Options{Samples: 2})
	if strings.Contains(page, "Every one of the") || !strings.Contains(page, "2 of the 8 embeddings were not verified") ||
		strings.Count(page, "<td>equal</td>") != 6 {
		t.Error("the page claims what was not verified")
	}
}

// A study that is not finished has a page of what there is.
func TestUnfinishedStudy(t *testing.T) {
	dir := newStudy(t)
	for _, run := range []string{
		"seed-0/efcn-2", "seed-1/fcn", "seed-1/efcn-0", "seed-1/efcn-2", "seed-1/elcn-0",
		"seed-1/elcn-2",
	} {
		if err := os.RemoveAll(filepath.Join(dir, run)); err != nil {
			t.Fatal(err)
		}
	}
	if page := write(t, dir, Options{Samples: 2}); !strings.Contains(page, "6 of 12 runs finished") {
		t.Error("the page does not say that runs are missing")
	}
}

// trainedRun trains an eFCN in a folder, and returns that.
func trainedRun(t *testing.T, about map[string]string, epochs int) string {
	t.Helper()
	efcn, err := onnxio.Read(newStudy(t) + "/seed-0/efcn-0/start.onnx")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "run")
	o := finetune.Options{
		Epochs: epochs, Batch: 50, Rate: 0.01, Checkpoint: dir, Snapshots: finetune.Snapshots{Every: 6}, About: about,
		Before: func(finetune.Metrics) {},
	}
	if _, err := finetune.Train(t.Context(), efcn, images(t, "train", 200), images(t, "test", 100), o, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRunPage(t *testing.T) {
	dir := trainedRun(t, map[string]string{
		"model": "nets/small.onnx", "data": "idx:a,b?limit=200", "command": "efcn finetune <&> -o", "program": "efcn v1",
	}, 3)
	page := write(t, dir, Options{})
	about, err := finetune.ReadAbout(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"<title>Training of small.onnx</title>", "After 3 epochs, 12 steps, ", `<section id="deviation">`,
		`<section id="gradients">`, `<section id="weights">`, `<section id="plan">`, "after step 12",
		"<dd>nets/small.onnx</dd>", "<dd>idx:a,<wbr>b?<wbr>limit=200</dd>",
		"<dd>efcn finetune &lt;<wbr>&amp;&gt; <span class=\"option\">-o</span></dd>", "<dd>efcn v1</dd>",
		"sgd, learning rate 0.01, batch 50; 3 epochs; trained: all; seed 0", fmt.Sprint(about.Begun.Year()),
		// What was measured before the first step: in the sentence, on the axis, in the table.
		fmt.Sprintf("before, %.2f %% were", 100**about.TestTop1),
		fmt.Sprintf("<title>test, epoch 0: %g", 100**about.TestTop1),
		`<tr><td class="right">0</td><td class="right">` + percent(*about.TestTop1) + "</td>",
		"<title>all, epoch 0: 0</title>", "<title>epoch 0: 0</title>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// The page of a run without about.json, as older versions and programs leave it.
func TestRunPageWithoutAbout(t *testing.T) {
	dir := trainedRun(t, nil, 1)
	page := write(t, dir, Options{})
	for _, want := range []string{"<title>Training run ", "After 1 epoch, 4 steps, ", `<section id="plan">`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page, "epoch 0:") || strings.Contains(page, `<section id="settings">`) {
		t.Error("the page says what is not known")
	}
}

// Tables of efcn interpolate and of efcn measure --spectrum in the folder are drawn.
func TestAddedTables(t *testing.T) {
	dir := trainedRun(t, nil, 1)
	for name, text := range map[string]string{
		"between.csv":  "t,train_loss,train_top1,test_loss,test_top1\n0,1,0.5,1.5,0.4\n0.5,3,0.25,3,0.2\n1,0.5,0.75,1,0.6\n",
		"spectrum.csv": "node,op,layout,rank,singular_value,energy\n/c1,Conv,dense,1,2,0.8\n/c1,Conv,dense,2,1,1\n",
		"other.csv":    "t,of,somebody\n1,2,3\n",
		"broken.csv":   "a,\"b",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	page := write(t, dir, Options{})
	for _, want := range []string{
		`<section id="paths">`, "between.csv: the barrier of the train loss, how far it rises above its greater end, is 2.00",
		"the barrier of the test loss, how far it rises above its greater end, is 1.50", "<title>test, t 0.5000: 20</title>",
		`<section id="spectra">`, "<title>/c1, number of the value 2: 1</title>",
		"<title>/c1, first so many values 1: 80</title>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page, "somebody") {
		t.Error("the page shows somebody else's table")
	}
	if err := os.WriteFile(filepath.Join(dir, "between.csv"), []byte("t,train_loss\n0,x\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := Write(t.Context(), &bytes.Buffer{}, dir, Options{}); err == nil ||
		!strings.Contains(err.Error(), `between.csv: line 2: "x" is no number`) {
		t.Errorf("a broken table: %v", err)
	}
}

func TestRefuses(t *testing.T) {
	empty := t.TempDir()
	file := filepath.Join(empty, "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		empty: "neither settings.json nor metrics.jsonl", file: "not a folder",
		filepath.Join(empty, "none"): "no such file",
	} {
		if err := Write(context.Background(), &bytes.Buffer{}, dir, Options{}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", dir, err, want)
		}
	}
}

func TestReadRows(t *testing.T) {
	const cols = 5000 // more than tensors are written at a time
	v := make([]float32, 7*cols)
	for i := range v {
		v[i] = float32(i)
	}
	rows, err := readRows(onnxio.NewTensor("w", []int64{7, cols}, v), cols, []int{0, 3, 4, 6})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range []int{0, 3, 4, 6} {
		if !slices.Equal(rows[i], v[r*cols:(r+1)*cols]) {
			t.Errorf("row %d is not that of the matrix", r)
		}
	}
	if _, err := readRows(onnxio.NewTensor("w", []int64{7, cols}, v), cols, []int{7}); err == nil {
		t.Error("a row beyond the end: no error")
	}
}
