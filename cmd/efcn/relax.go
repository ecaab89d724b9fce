package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn/convert/record"
	"efcn/finetune"
	"efcn/finetune/data"
	"efcn/finetune/relax"
	"efcn/finetune/report"
	"efcn/internal/kernel"
	"efcn/internal/version"
	"efcn/onnxio"
)

type relaxFlags struct {
	trainFlags
	output      string
	relaxEpochs []int     // Default 0, 1, 2, 5, 10, 20, 50.
	cnnEpochs   int       // Default 0: as many as the others.
	seeds       int       // Default 3.
	layout      oneOf     // Default dense.
	rank        layerRank // Default 32.
	init        oneOf     // Default: V is that of the conversion.
	initBatches int       // Default 10.
	refresh     int       // Default 0: never.
	with        []string  // Default none.
	reinit      bool      // Default false.
	cnnAt       givenCNNs // Default none.
	noFoldBN    bool
	maxBytes    byteSize // Default 2 GiB.
	maxMemory   byteSize // Default: what the machine has left.
	checkpoints bool     // --keep-checkpoints. Default false.
	shard       string   // Default: what a launcher says, otherwise all runs.
	device      deviceFlags
	dryRun      bool
	json        bool
}

func (f *relaxFlags) addFlags(flags *pflag.FlagSet) {
	defaults := relax.Options{}.WithDefaults()
	f.trainFlags.addFlags(flags, defaults.Train.Epochs)
	f.device.addFlags(flags)
	f.maxBytes = record.DefaultMaxBytes
	flags.StringVarP(&f.output, "output", "o", "", "folder of the study; one that holds the same study goes on")
	flags.IntSliceVar(&f.relaxEpochs, "relax-epochs", defaults.RelaxEpochs,
		"epochs of the CNN's training at which it is embedded")
	flags.IntVar(&f.cnnEpochs, "cnn-epochs", 0,
		"epochs of the CNN (default: --epochs, or the last of --relax-epochs where that is later)")
	flags.IntVar(&f.seeds, "seeds", defaults.Seeds, "repeat all with so many seeds, from --seed on")
	f.layout = choice(record.Dense, record.Dense, record.Factored)
	flags.Var(&f.layout, "layout", "form in which all weights of the eFCN are trained")
	flags.Var(&f.rank, "rank", "rank of --layout factored: of U and V in local(x) + U(V x); default 32")
	f.init = choice("", finetune.Inits()...)
	flags.Var(&f.init, "init", "choose V of --layout factored before the first step of a run")
	flags.IntVar(&f.initBatches, "init-batches", defaults.Train.InitBatches,
		"batches that gradient sums the gradient over")
	flags.IntVar(&f.refresh, "refresh", 0, "restart V of --layout factored after every so many epochs (0: never)")
	flags.StringSliceVar(&f.with, "with", nil,
		"more runs at every relax time: elcn, local, off-local, tied, factored-R of any rank R, factored-R:gradient, "+
			"factored-R:gradient:refresh-N, factored-R:orthonormal, several with commas")
	flags.BoolVar(&f.reinit, "reinit", false, "give the CNN new weights for every seed, as PyTorch initialises")
	flags.Var(&f.cnnAt, "cnn-at",
		"a CNN as it was after so many epochs, as EPOCH=FILE, or a folder of epoch-N.onnx; may be given again")
	flags.BoolVar(&f.noFoldBN, "no-fold-bn", false, "keep a BatchNormalization after a Conv or Gemm as Mul and Add")
	flags.Var(&f.maxBytes, "max-bytes", "refuse an eFCN with more bytes of weights")
	flags.Var(&f.maxMemory, "max-memory", "refuse runs that would take more memory (0: than the machine has left)")
	flags.BoolVar(&f.checkpoints, "keep-checkpoints", false,
		"keep the state of runs that are finished, so that more --epochs can be added without doing them again")
	flags.StringVar(&f.shard, "shard", "",
		"do the share I of N of the runs, as I/N; other processes do the others in the same folder")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the plan, the memory and an estimate of the time, and write nothing")
	addJSONFlag(flags, &f.json)
}

func (f *relaxFlags) validate(flags *pflag.FlagSet, args []string) error {
	if err := cmp.Or(f.trainFlags.validate(), f.device.validate()); err != nil {
		return err
	}
	given := len(f.cnnAt) > 0
	switch {
	case len(args) == 0 && !given:
		return usagef("CNN is missing (or --cnn-at EPOCH=FILE)")
	case len(args) > 1:
		return usagef("unexpected argument %q", args[1])
	case len(args) == 1 && given:
		return usagef("%s and --cnn-at: want a CNN that is trained or some that are given, not both", args[0])
	case f.test == "":
		return usagef("--test is missing")
	case f.output == "" && !f.dryRun:
		return usagef("-o DIR is missing (or --dry-run)")
	case f.initBatches < 1:
		return usagef("--init-batches %d; want a number from 1", f.initBatches)
	case flags.Changed("init-batches") && !f.choosesV():
		return usagef("--init-batches is for --init gradient, --refresh, and such kinds in --with")
	case f.shard != "" && f.dryRun:
		return usagef("--shard and --dry-run: the estimate is of the whole study")
	case f.seeds < 1:
		return usagef("--seeds %d; want a number from 1", f.seeds)
	}
	for _, name := range []string{"relax-epochs", "cnn-epochs", "reinit"} {
		if given && flags.Changed(name) {
			return usagef("--%s and --cnn-at: the CNNs are given, and are not trained", name)
		}
	}
	if !given && len(f.relaxEpochs) == 0 {
		return usagef("--relax-epochs is empty")
	}
	if f.shard != "" {
		if _, err := parseShard(f.shard); err != nil {
			return usagef("--shard %s: %v", f.shard, err)
		}
	}
	return validOptions(f.options())
}

// choosesV reports whether there is a run that chooses V by the gradient of batches.
func (f *relaxFlags) choosesV() bool {
	return f.init.value == string(finetune.InitGradient) || f.refresh > 0 ||
		slices.ContainsFunc(f.with, func(kind string) bool {
			return strings.Contains(kind, ":"+string(finetune.InitGradient)) || strings.Contains(kind, ":refresh-")
		})
}

// options are those of the flags.
func (f *relaxFlags) options() (relax.Options, error) {
	train, err := f.trainFlags.options()
	train.Init, train.InitBatches, train.Refresh = finetune.Init(f.init.value), f.initBatches, f.refresh
	o := relax.Options{
		Train: train, Seeds: f.seeds, CNNEpochs: f.cnnEpochs, Reinit: f.reinit, NoFoldBN: f.noFoldBN,
		MaxBytes: int64(f.maxBytes), MaxMemory: int64(f.maxMemory), KeepCheckpoints: f.checkpoints,
		Layout: record.Layout(f.layout.value),
		Rank:   int(f.rank),
	}
	if len(f.cnnAt) == 0 {
		o.RelaxEpochs = f.relaxEpochs
	}
	for _, name := range f.with {
		o.With = append(o.With, relax.Kind(name))
	}
	return o, err
}

func newRelax(e *env) *cobra.Command {
	var f relaxFlags
	cmd := &cobra.Command{
		Use:   "relax CNN --data SPEC --test SPEC -o DIR",
		Short: "Train a CNN, embed it at several times, and train on as eFCN",
		Long: `relax runs the protocol of the eFCN paper (arXiv 1906.06766). For every seed it
trains the CNN, keeps it at each of --relax-epochs, embeds it there with dense
matrices, and trains all weights of the eFCN for --epochs more; beside them it
trains the standard fully-connected network, which is the eFCN with new weights,
initialised as PyTorch does. --epochs is the length of every run: an eFCN gets
as many after the embedding as the CNN has in all. --cnn-epochs trains the CNN
longer, for a comparison with the epochs before and after together.

--layout factored trains every matrix as its local form and a product of rank --rank
beside it, local(x) + U(V x), with U zero at first (efcn convert --layout factored):
for nets whose dense matrices are too large. The runs are called factored-R by the
rank; there is no fully-connected network beside them, which is dense. V is drawn as by
efcn convert or, with --init and --refresh, as by efcn finetune with these flags; the
runs are then called factored-R:gradient, factored-R:gradient:refresh-N or the like,
their folders factored-R-gradient-T.

--with adds runs at every relax time:
  elcn        the locally connected network: the support alone, in local form
  local       the same in dense form
  off-local   the weights outside the support alone
  tied        the CNN subspace, in dense form
  factored-R  all weights in factored form of rank R, also as factored-R:gradient,
              factored-R:orthonormal, with :refresh-N behind it; may be given with
              several ranks and each V

A BatchNormalization trains as such in the CNN. When that is embedded it is a scale and
a shift by its running statistics, multiplied into the matrix before it: d, s and the
nearest CNN are then of kernel x scale. With --no-fold-bn it is a Mul and an Add behind
the matrix, of a scale and a shift for every output, which train too.

The CNN begins with the weights of the file or, with --reinit, with new ones for
every seed. With --cnn-at it is not trained: the files are embedded as they are.

DIR gets all models, metrics.jsonl for every run, settings.json, the tables
results.csv, summary.csv, epochs.csv and layers.csv, of which "go doc
efcn/finetune/relax.Study.Run" describes each column, the curves in plots as SVG and PNG, and
report.html, which shows it all and the proof that every embedding equals its CNN.
One run is in memory at a time. With plain SGD that takes about 1.4 times the
weights of the eFCN in its layout, and the images; a momentum takes the weights twice more, adam
three times, --with local, off-local and tied once. --dry-run takes as much. A study
whose weights and batch alone take more than --max-memory is refused before it begins.

The command can be stopped at any moment and be given again: runs that are
finished are not repeated, the one that is not goes on and ends with the same
bits. Another setting is refused; --seeds, --with, --relax-epochs and --epochs may grow.
For a relax time that it was not kept at a CNN is trained again from its start, which
gives the same bits; so is every run where --epochs grows, unless --keep-checkpoints was
given before, which takes the disk of its weights and the optimiser's state. --epochs
stay what they are with --lr-schedule cosine.

Several processes, on one machine or on several with a common file system, can do
a study together: each gets the same command and DIR, and its share of the runs by
--shard I/N, or, without the flag, by what a Slurm job array, srun or mpirun tells
it. Any of them can be stopped and started again; report shows what is finished.

` + deviceHelp + `
The distances of an eFCN from the CNN are measured on the processor; --dry-run names the
device and times a few steps on it.

` + dataHelp,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, e, args) },
	}
	f.addFlags(cmd.Flags())
	return cmd
}

// givenCNNs is a flag, given once a file or folder, that names CNNs by the epoch
// of their training.
type givenCNNs map[int]string

var epochFile = regexp.MustCompile(`^epoch-([0-9]+)\.onnx$`)

func (g *givenCNNs) Set(s string) error {
	if *g == nil {
		*g = givenCNNs{}
	}
	number, file, ok := strings.Cut(s, "=")
	if epoch, err := strconv.Atoi(number); ok && err == nil && epoch >= 0 {
		return g.add(epoch, file)
	}
	files, err := os.ReadDir(s)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("want EPOCH=FILE, or a folder of epoch-N.onnx")
	}
	if err != nil {
		return reason(err)
	}
	found := false
	for _, f := range files {
		m := epochFile.FindStringSubmatch(f.Name())
		if m == nil {
			continue
		}
		epoch, err := strconv.Atoi(m[1])
		if err != nil {
			return err
		}
		if err := g.add(epoch, filepath.Join(s, f.Name())); err != nil {
			return err
		}
		found = true
	}
	if !found {
		return fmt.Errorf("the folder has no files called epoch-N.onnx")
	}
	return nil
}

func (g *givenCNNs) add(epoch int, file string) error {
	if other, ok := (*g)[epoch]; ok {
		return fmt.Errorf("epoch %d is given twice: %s and %s", epoch, other, file)
	}
	(*g)[epoch] = file
	return nil
}

func (g *givenCNNs) String() string { return "" }
func (g *givenCNNs) Type() string   { return "EPOCH=FILE|DIR" }

func (f *relaxFlags) run(cmd *cobra.Command, e *env, args []string) error {
	if err := f.validate(cmd.Flags(), args); err != nil {
		return err
	}
	ctx := cmd.Context()
	device, release, err := f.device.open(ctx, e)
	if err != nil {
		return err
	}
	defer release()
	study, where, err := f.study(ctx, e, args)
	if err != nil {
		return err
	}
	study.Options.Train.Device = device
	if err := study.Options.Validate(); err != nil {
		return inFile(where, err)
	}
	defer collectOften()()
	study.Options.Train.Collect = collectNow
	noticed := map[string]bool{} // what every run would notice again
	study.Options.Train.Notice = func(text string) {
		if !noticed[text] {
			e.notef("efcn relax: %s", text)
		}
		noticed[text] = true
	}
	if f.dryRun {
		return f.estimate(ctx, e, study, where)
	}
	if err := f.share(e, study); err != nil {
		return err
	}
	folder, err := f.train(ctx, e, study)
	if err != nil {
		return inFile(where, err)
	}
	for _, r := range folder.Unnoted {
		e.notef("efcn relax: %s does not say with which settings it was made; it is taken to be of this study", r.Path())
	}
	// Of several processes the last to end, which misses nothing, writes the page.
	if len(folder.Missing) == 0 {
		if err := e.writeReport(ctx, f.output); err != nil {
			return err
		}
	}
	summary := relax.Summarise(folder.Results)
	if f.json {
		return printJSON(e.out, studied{f.output, folder.Settings, folder.Results, summary})
	}
	printSummary(e.out, summary, f.seeds)
	if n := len(folder.Missing); n > 0 {
		fmt.Fprintf(e.out, "\n%d runs of other processes are not finished, and not in this table; "+
			"efcn report %s shows what is\n", n, f.output)
	}
	fmt.Fprintf(e.aside(f.output), "\nwrote %s\n", f.output)
	return nil
}

// studied is what relax and merge print as JSON.
type studied struct {
	Folder   string           `json:"folder"`
	Settings *relax.Settings  `json:"settings"`
	Results  []*relax.Result  `json:"results"`
	Summary  []*relax.Summary `json:"summary"`
}

// writeReport writes the page and the plots of the study in a folder.
func (e *env) writeReport(ctx context.Context, dir string) error {
	page, err := e.report(ctx, dir, report.Options{})
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, "report.html"), page); err != nil {
		return err
	}
	return report.WritePlots(dir)
}

// share gives the study the share of the runs that the flag or a launcher says.
func (f *relaxFlags) share(e *env, study *relax.Study) (err error) {
	if f.shard != "" {
		study.Shard, err = parseShard(f.shard)
		return err
	}
	var launcher string
	if study.Shard, launcher, err = launchedShard(); study.Shard != nil {
		e.notef("efcn relax: this is process %d of %d of %s: it does that share of the runs (--shard 1/1: all)",
			study.Shard.Index+1, study.Shard.Count, launcher)
	}
	return err
}

// estimate prints what a study would take.
func (f *relaxFlags) estimate(ctx context.Context, e *env, study *relax.Study, where string) error {
	estimate, err := study.Estimate(ctx)
	if err != nil {
		return inFile(where, err)
	}
	if f.json {
		return printJSON(e.out, estimate)
	}
	printPlan(e.out, where, estimate.Plan)
	if d := study.Options.Train.Device; d != nil {
		fmt.Fprintf(e.out, "device: %s\n", d)
	}
	printEstimate(e.out, estimate)
	return nil
}

// train makes the runs of a study that its folder lacks, with a progress bar and, but
// for JSON, a line on each that ends.
func (f *relaxFlags) train(ctx context.Context, e *env, study *relax.Study) (*relax.Folder, error) {
	e.logf("matrix products by %s on %d threads", kernel.BLAS(), kernel.Threads())
	bar := e.progress("relax")
	defer bar.clear()
	study.Stepped = func(p relax.Progress) { bar.show(stageOf(p)) }
	ended := 0
	e.kept = func() string {
		return fmt.Sprintf("; %s keeps the %s that ended and the one that was going on; go on with: %s", f.output,
			counted(ended, "run"), commandLine(e.args))
	}
	study.Ended = func(r *relax.Result) {
		ended++
		bar.clear()
		if !f.json {
			fmt.Fprintln(e.aside(f.output), describe(r))
		}
	}
	return study.Run(ctx, f.output)
}

// stageOf is what is shown of a study's progress.
func stageOf(p relax.Progress) stage {
	left := ""
	if p.Left > 0 {
		left = formatLeft(p.Left.Seconds())
		if p.Open {
			left = "more than " + left
		}
	}
	return stage{
		title:  fmt.Sprintf("run %d of %d, %s", p.Number, p.Runs, p.Run.Path()),
		detail: "loss " + formatLoss(p.Loss), done: float64(p.Samples), of: float64(p.Of), left: left,
	}
}

// study reads what the flags name; where is the file that errors are about.
func (f *relaxFlags) study(ctx context.Context, e *env, args []string) (s *relax.Study, where string, err error) {
	o, err := f.options()
	if err != nil {
		return nil, "", err
	}
	s = &relax.Study{Options: o, About: map[string]string{
		"program": "efcn " + version.String(), "command": commandLine(e.args), "data": f.dataSpec(), "test": f.testSpec(),
	}}
	if len(f.cnnAt) > 0 {
		s.Given = map[int]*onnxio.Model{}
		for _, epoch := range slices.Sorted(maps.Keys(f.cnnAt)) {
			where = f.cnnAt[epoch]
			s.About[fmt.Sprintf("cnn of epoch %d", epoch)] = where
			if s.Given[epoch], err = e.readModel(where); err != nil {
				return nil, "", err
			}
		}
	} else {
		where = args[0]
		s.About["cnn"] = where
		if s.CNN, err = e.readModel(where); err != nil {
			return nil, "", err
		}
	}
	if s.Data, s.Test, err = data.OpenBoth(ctx, f.dataSpec(), f.testSpec()); err == nil {
		e.noteSkipped("relax", f.data, s.Data)
		e.noteSkipped("relax", f.test, s.Test)
	}
	return s, where, err
}

// describe returns a line on what came of a run.
func describe(r *relax.Result) string {
	text := r.Run + ": "
	if r.Failed != "" {
		return text + "failed: " + r.Failed
	}
	text += fmt.Sprintf("test %.2f %% before, %.2f %% after %d epochs", 100*r.Start.Test.Top1, 100*r.Final.Test.Top1,
		r.Epochs)
	text += fmt.Sprintf(" (best %.2f %% after %d)", 100**r.BestTop1, *r.BestEpoch)
	if d := r.Final.Deviation; d != nil {
		text += fmt.Sprintf(", d %.3f, s %.3f", d.Distance, d.OffLocal)
	}
	return text + fmt.Sprintf(", %s", formatSeconds(r.Seconds))
}

// printSummary prints what the seeds came to together.
func printSummary(w io.Writer, all []*relax.Summary, seeds int) {
	var rows [][]string
	for _, s := range all {
		epoch := ""
		if s.RelaxEpoch != nil {
			epoch = strconv.Itoa(*s.RelaxEpoch)
		}
		runs := strconv.Itoa(s.Runs)
		if s.Failed > 0 {
			runs += fmt.Sprintf(" (%d failed)", s.Failed)
		}
		rows = append(rows, []string{
			string(s.Kind), epoch, runs,
			formatMean(s.StartTop1, 100, 2), formatMean(s.FinalTop1, 100, 2),
			formatMean(s.BestTop1, 100, 2), formatMean(s.ProjectedTop1, 100, 2),
			formatMean(s.Distance, 1, 3), formatMean(s.OffLocal, 1, 3),
		})
	}
	what := "one seed"
	if seeds > 1 {
		what = fmt.Sprintf("mean and standard deviation over %d seeds", seeds)
	}
	fmt.Fprintf(w,
		"\naccuracy on the test images in %%, %s; best is the greatest after any epoch, chosen on these images\n\n", what)
	printTable(w, []string{"kind", ">relaxed at", ">runs", ">start", ">final", ">best", ">projected", ">d", ">s"}, rows)
}

// formatMean writes a mean with its standard deviation, in units of 1/scale.
func formatMean(m *relax.Mean, scale float64, digits int) string {
	if m == nil {
		return ""
	}
	text := strconv.FormatFloat(scale*m.Mean, 'f', digits, 64)
	if m.SD != nil {
		text += " ± " + strconv.FormatFloat(scale**m.SD, 'f', digits, 64)
	}
	return text
}

// printEstimate prints what a study would take.
func printEstimate(w io.Writer, e *relax.Estimate) {
	var rows [][]string
	runs := 0
	for _, c := range e.Costs {
		runs += c.Runs
		rows = append(rows, []string{
			string(c.Kind), formatBytes(c.WeightBytes), strconv.Itoa(c.Runs), strconv.Itoa(c.Epochs), formatSeconds(c.Step),
			formatSeconds(c.Epoch), formatSeconds(c.Seconds),
		})
	}
	fmt.Fprint(w, "\nat the speed of a few steps measured now:\n\n")
	printTable(w, []string{"kind", ">weights", ">runs", ">epochs", ">a step", ">an epoch, measured", ">all"}, rows)
	fmt.Fprintf(w, "\n%d runs: about %s\n", runs, formatSeconds(e.Seconds))
	fmt.Fprintf(w, "memory: %s, the most that this process had so far\n", formatBytes(e.PeakBytes))
	fmt.Fprintf(w, "folder: about %s, and %s for the checkpoint of the run that is going on\n", formatBytes(e.DiskBytes),
		formatBytes(e.RunBytes))
}
