package relax

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/restore"
	"efcn/finetune"
	"efcn/finetune/data"
	"efcn/internal/folderlock"
	"efcn/onnxio"
)

const (
	givenName     = "cnn"
	startName     = "start.onnx"
	modelName     = "model.onnx"
	projectedName = "projected.onnx"
)

func snapshotName(epoch int) string { return fmt.Sprintf("epoch-%d.onnx", epoch) }

// Study is a comparison of what a CNN becomes when it is embedded at different
// times of its training.
type Study struct {
	// CNN is trained and kept at the relax times; nil where Given is not.
	CNN *onnxio.Model
	// Given are CNNs of one architecture, by the number of epochs that each was
	// trained for.
	Given map[int]*onnxio.Model
	// Data is trained on, Test is measured on.
	Data, Test *data.Set
	Options    Options
	// Shard is the share of the runs that Run does; nil for all.
	Shard *Shard
	// About is kept in settings.json for those who read it.
	About map[string]string

	// Stepped is called, unless nil, after every step of a run.
	Stepped func(Progress)
	// Ended is called, unless nil, with the result of every run, of those that
	// were finished before as well.
	Ended func(r *Result)

	pace *pace // of the runs so far
}

// prepare validates a study, fills in its defaults, and refuses what would fail
// after hours of training. It returns the plan of the conversion to what trains all
// weights.
func (s *Study) prepare() (*convert.Plan, error) {
	if err := s.Options.Validate(); err != nil {
		return nil, err
	}
	if s.Shard != nil {
		if err := s.Shard.validate(); err != nil {
			return nil, err
		}
	}
	if (s.CNN == nil) == (s.Given == nil) {
		return nil, errors.New("want a CNN that is trained, or some that are given by epoch")
	}
	if s.Given != nil {
		if s.Options.RelaxEpochs != nil || s.Options.CNNEpochs != 0 || s.Options.Reinit {
			return nil, errors.New("the CNNs are given: they are not trained or initialised, and the relax times are theirs")
		}
		s.Options.RelaxEpochs = slices.Sorted(maps.Keys(s.Given))
		if err := s.sameArchitecture(); err != nil {
			return nil, err
		}
	}
	s.Options = s.Options.WithDefaults()
	plan, err := s.plan(s.origin(), s.Options.relaxed())
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(plan.Layers, func(l *convert.Layer) bool { return !l.Connected() }) {
		return nil, errors.New("nothing to embed: its linear layers are fully connected already; want a CNN with a " +
			"convolution or an average pooling")
	}
	if err := plan.CheckBudget(); err != nil {
		return nil, err
	}
	return plan, s.checkRuns()
}

// checkRuns refuses what would fail when a run of some kind is made.
func (s *Study) checkRuns() error {
	if s.CNN != nil {
		m, err := s.start("", Run{Kind: CNN, Seed: s.Options.Train.Seed})
		if err == nil {
			o := s.Options.Train
			o.Init, o.Refresh = "", 0
			err = finetune.Check(m, s.Data, s.Test, o)
		}
		if err != nil {
			return err
		}
	}
	kinds := append([]Kind{s.Options.relaxed()}, s.Options.With...)
	for _, k := range kinds {
		plan, err := s.plan(s.origin(), k)
		if err == nil {
			err = s.checkMemory(k, plan)
		}
		if err != nil {
			return err
		}
	}
	if s.Options.relaxed() == EFCN {
		if _, err := s.start("", Run{Kind: FCN, Seed: s.Options.Train.Seed}); err != nil {
			return fmt.Errorf("%s: %w", FCN, err)
		}
	}
	for _, k := range kinds {
		o := s.Options.Train
		o.Checkpoint = string(k) // a run has one, which takes memory; it is not looked at here
		o.Train, o.Init, o.Refresh = k.train(), k.Init(), k.Refresh()
		m, err := s.embed(s.origin(), k)
		if err == nil {
			err = finetune.Check(m, s.Data, s.Test, o)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
	}
	return nil
}

// origin is a CNN of the study's architecture.
func (s *Study) origin() *onnxio.Model {
	if s.CNN != nil {
		return s.CNN
	}
	return s.Given[s.Options.RelaxEpochs[0]]
}

// sameArchitecture refuses CNNs of which not all have the layers of the first.
func (s *Study) sameArchitecture() error {
	shape := func(epoch int) (text string, err error) {
		plan, err := s.plan(s.Given[epoch], EFCN)
		if err != nil {
			return "", fmt.Errorf("the CNN of epoch %d: %w", epoch, err)
		}
		for _, l := range plan.Layers {
			text += fmt.Sprintf("%s %q %d×%d, %d\n", l.Op, l.Node, l.Rows, l.Cols, l.NonZeros)
		}
		return text, nil
	}
	first := s.Options.RelaxEpochs[0]
	if first < 0 {
		return fmt.Errorf("the CNN of epoch %d: want a number from 0", first)
	}
	want, err := shape(first)
	if err != nil {
		return err
	}
	for _, epoch := range s.Options.RelaxEpochs[1:] {
		have, err := shape(epoch)
		if err != nil {
			return err
		}
		if have != want {
			return fmt.Errorf("the CNN of epoch %d has other layers than that of epoch %d; want one architecture", epoch, first)
		}
	}
	return nil
}

// plan is that of the conversion to the form that a run of that kind trains.
func (s *Study) plan(cnn *onnxio.Model, k Kind) (*convert.Plan, error) {
	return convert.NewPlan(cnn, convert.Options{
		Layout: k.layout(), Rank: k.Rank(), NoFoldBN: s.Options.NoFoldBN, MaxBytes: s.Options.MaxBytes,
	})
}

// embed returns the eFCN of a CNN in the form that a run of that kind trains.
func (s *Study) embed(cnn *onnxio.Model, k Kind) (*onnxio.Model, error) {
	plan, err := s.plan(cnn, k)
	if err != nil {
		return nil, err
	}
	if err := plan.CheckBudget(); err != nil {
		return nil, err
	}
	return plan.Model()
}

// Run does what of the study is not done yet in its folder dir, which is made
// if it is missing, and returns the results of all. A folder with another study,
// with other files, or that another process is at work in, is refused, but that of a
// Shard with other shards. Seeds and With may grow, and so may RelaxEpochs and the epochs:
// for a relax time that the CNN was not kept at it is trained again from its start, and
// where a run is to have more epochs it goes on at its checkpoint, if that was kept, or is
// made again from its start. Either ends with the bits that it would have had at once.
//
// # The folder
//
//	settings.json           what the study is: Settings
//	results.csv             a row for every run, and for every CNN that was embedded
//	summary.csv             mean and standard deviation of those over the seeds
//	epochs.csv              a row for every run and epoch, from 0, which is the start
//	layers.csv              the same for every embedded layer
//	report.html             all of it on a page (written by the command: package report)
//	plots/                  its curves, each as SVG and as PNG (written by the command: package report)
//	seed-S/cnn/             the run of the CNN
//	seed-S/fcn/             the run of the fully-connected network
//	seed-S/efcn-T/          the run of the eFCN relaxed at epoch T
//	seed-S/factored-R-T/    the same in factored form of rank R
//	seed-S/KIND-T/          a run that Options.With added: elcn-T, local-T, off-local-T, tied-T,
//	                        factored-R-T, factored-R-gradient-T, …
//	cnn/                    the CNNs, where they were given
//
// The folder of a run holds
//
//	start.onnx              the model that it begins with
//	model.onnx              the model that it ended with
//	projected.onnx          the CNN nearest to that; of an eFCN
//	epoch-T.onnx            the model after T epochs; of a CNN, at the relax times
//	metrics.jsonl           a line of finetune.EpochMetrics for every epoch
//	events.out.tfevents.efcn
//	                        the same for TensorBoard
//	run.json                what came of it: Result; written last, so a run that has it is finished
//	run.checkpoint          the state of a run that is not finished
//
// A run that is finished is never done again; one that is not goes on at its
// checkpoint and ends with the bits that it would have ended with. What is
// written is written whole or not at all. A run whose loss stops being finite is
// finished, with Result.Failed saying where, and has no model.onnx; the others
// go on.
//
// # The tables
//
// They are comma-separated with a header. A field is empty where there is nothing
// to say. Accuracies and shares are between 0 and 1, losses are mean
// cross-entropies in nats, norms are Euclidean. What is called best is chosen
// by the accuracy on the test set, and therefore no estimate of how well a model
// generalises; final is not chosen.
//
// results.csv:
//
//	run                     folder of the run
//	file                    the model that final_test_loss and final_test_top1 are of
//	kind                    cnn, fcn, efcn, elcn, local, off-local, tied; factored-R, with :gradient, :orthonormal
//	                        and :refresh-N for how V is chosen; snapshot: the CNN at a relax time
//	seed                    empty where the CNNs were given and the row is of one of them
//	relax_epoch             epochs that the CNN had been trained for; empty for cnn and fcn
//	weight_bytes            of all weights that the run began with; empty in a snapshot
//	epochs                  epochs of this run
//	start_test_loss, start_test_top1
//	                        before its first epoch: of the CNN that was embedded, or of new weights
//	final_train_loss, final_train_top1
//	                        of its last epoch, measured as it went on
//	final_test_loss, final_test_top1
//	                        after its last epoch
//	best_test_top1, best_epoch
//	                        the greatest after any epoch from 1, and the first that has it
//	distance                d = ‖W − P(W)‖/‖W‖, the deviation from the CNN subspace: record.Deviation
//	off_local               s = ‖W_off‖/‖W‖, the share outside the support
//	travelled               ‖W − W₀‖/‖W₀‖ over the embedded matrices, W₀ being what the run began with
//	entries, support        of the embedded matrices: their size, and how much of it is support
//	nonzero, nonzero_local  entries that are not zero, and those of them in the support
//	projected_test_loss, projected_test_top1
//	                        of projected.onnx
//	seconds                 of training, without measurements
//	failed                  why the run has no result
//
// summary.csv:
//
//	kind, relax_epoch       as above
//	runs                    how many seeds ended with a result
//	X_mean, X_sd            mean and standard deviation (of a sample: n − 1) over them, X being
//	                        start_test_top1, final_test_top1, best_test_top1, final_train_loss,
//	                        distance, off_local, travelled, projected_test_top1; sd is empty for one run
//
// epochs.csv:
//
//	run, kind, seed, relax_epoch
//	epoch                   of the run; 0 is the start
//	time                    relax_epoch + epoch: epochs since the CNN began
//	rate                    the learning rate of the last step
//	train_loss, train_top1, test_loss, test_top1, test_top5
//	distance, off_local, travelled, nonzero, nonzero_local
//	gradient_local, gradient_off_local
//	                        norms of the loss's gradient inside and outside the support of the
//	                        embedded matrices, trained or not, at the last step of the epoch and
//	                        before clipping; of factored ones that of the local weights is inside
//	seconds
//
// layers.csv:
//
//	run, kind, seed, relax_epoch, epoch, time
//	layer, op               name and operator in the CNN
//	norm, distance, off_local, bias_distance, travelled, nonzero, nonzero_local
//	gradient_local, gradient_off_local
func (s *Study) Run(ctx context.Context, dir string) (folder *Folder, err error) {
	own := *s
	s = &own // whose defaults are filled in
	if _, err := s.prepare(); err != nil {
		return nil, err
	}
	settings, err := s.settings()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	if s.Shard != nil {
		return s.runShard(ctx, dir, settings)
	}
	release, err := folderlock.Lock(dir)
	switch {
	case err == nil:
		defer func() { err = errors.Join(err, release()) }()
	case !errors.Is(err, errors.ErrUnsupported): // of that the runs tell
		return nil, err
	}
	if err := settings.adopt(dir, s.Options.Train.Notice); err != nil {
		return nil, err
	}
	if err := s.measureGiven(ctx, dir, settings); err != nil {
		return nil, err
	}
	s.pace = s.newPace(settings.Runs())
	for _, r := range s.pace.runs {
		result, err := s.finished(dir, settings, r)
		if err == nil && result == nil {
			if result, err = s.do(ctx, dir, settings, r); err == nil {
				err = writeTables(dir)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Path(), err)
		}
		s.ended(result)
	}
	// Those of the last call may have ended between a result and its tables.
	if err := writeTables(dir); err != nil {
		return nil, err
	}
	return Read(dir)
}

func (s *Study) ended(r *Result) {
	s.pace.ended(r)
	if s.Ended != nil {
		s.Ended(r)
	}
}

// measureGiven copies the CNNs that were given into the study's folder, and
// measures them.
func (s *Study) measureGiven(ctx context.Context, dir string, settings *Settings) error {
	if s.Given == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(dir, givenName), 0o777); err != nil {
		return err
	}
	for _, epoch := range s.Options.RelaxEpochs {
		file := givenName + "/" + snapshotName(epoch)
		report := filepath.Join(dir, givenName, fmt.Sprintf("epoch-%d.json", epoch))
		if found, err := readGiven(dir, settings, epoch); err != nil {
			return err
		} else if found != nil {
			continue
		}
		if err := writeModel(ctx, filepath.Join(dir, filepath.FromSlash(file)), s.Given[epoch]); err != nil {
			return err
		}
		test, err := s.evaluate(ctx, s.Given[epoch], s.Test)
		if err != nil {
			return fmt.Errorf("the CNN of epoch %d: %w", epoch, err)
		}
		r := &Result{
			Run: givenName, File: file, Kind: Snapshot, RelaxEpoch: &epoch, Epochs: epoch,
			Final: State{Test: &test}, Settings: settings.ofRun(),
		}
		if err := writeJSON(report, r); err != nil {
			return err
		}
	}
	return nil
}

// do does one run, or what is left of it. The error is a *folderlock.InUseError where
// another process does it.
func (s *Study) do(ctx context.Context, dir string, settings *Settings, r Run) (result *Result, err error) {
	path := filepath.Join(dir, filepath.FromSlash(r.Path()))
	release, err := claim(path)
	switch {
	case err == nil:
		defer func() { err = errors.Join(err, release()) }()
		// Another process may have ended it since it was looked for.
		if result, err := s.finished(dir, settings, r); err != nil || result != nil {
			return result, err
		}
		if err := removeHalf(path, halfResult, halfModels); err != nil {
			return nil, err
		}
	case !errors.Is(err, errors.ErrUnsupported) || s.Shard != nil:
		return nil, err
	}
	result = &Result{Run: r.Path(), Kind: r.Kind, Seed: &r.Seed, RelaxEpoch: r.relaxEpoch(), Settings: settings.ofRun()}
	start, err := s.start(dir, r)
	if errors.Is(err, errNoCNN) {
		result.Failed = err.Error()
		return result, writeJSON(filepath.Join(path, runName), result)
	}
	if err != nil {
		return nil, err
	}
	if err := writeModel(ctx, filepath.Join(path, startName), start); err != nil {
		return nil, err
	}
	result.WeightBytes = weightBytes(start)
	if r.Kind == CNN && s.Options.RelaxEpochs[0] == 0 {
		if err := writeModel(ctx, filepath.Join(path, snapshotName(0)), start); err != nil {
			return nil, err
		}
	}
	if result.Start, err = s.measure(ctx, start); err != nil {
		return nil, err
	}
	if err := s.train(ctx, path, r, start, result); err != nil {
		return nil, err
	}
	if err := writeJSON(filepath.Join(path, runName), result); err != nil {
		return nil, err
	}
	_, err = s.finished(dir, settings, r)
	return result, err
}

// train trains the model that a run begins with, and completes its result.
func (s *Study) train(ctx context.Context, path string, r Run, start *onnxio.Model, result *Result) error {
	model, err := finetune.Train(ctx, start, s.Data, s.Test, s.options(path, r), s.snapshots(ctx, path, r))
	if err != nil && !errors.Is(err, finetune.ErrNotFinite) {
		return err
	}
	if err != nil {
		result.Failed = err.Error()
	} else if err := s.finish(ctx, path, r, model, result); err != nil {
		return err
	}
	lines, err := Metrics(path)
	if err != nil {
		return err
	}
	result.conclude(lines)
	if result.Final.Test != nil {
		result.Final.Test.N = s.Test.N()
	}
	return nil
}

// snapshots keeps the model of a CNN's run at the relax times. One that was kept before,
// which other runs may begin with, has to come out the same.
func (s *Study) snapshots(ctx context.Context, path string, r Run) func(finetune.Epoch) error {
	return func(e finetune.Epoch) error {
		if r.Kind != CNN || !slices.Contains(s.Options.RelaxEpochs, e.Epoch) {
			return nil
		}
		m, err := e.Model()
		if err != nil {
			return err
		}
		file := filepath.Join(path, snapshotName(e.Epoch))
		if err := sameAsKept(file, m); err != nil {
			return err
		}
		return writeModel(ctx, file, m)
	}
}

func weightBytes(m *onnxio.Model) int64 {
	var size int64
	for _, t := range m.Graph.Initializers {
		if t.Data != nil {
			size += t.Data.Len()
		}
	}
	return size
}

// checkpointName is the file of package finetune that a finished run needs no
// more, as large as its model or larger.
const checkpointName = "run.checkpoint"

// options are those of package finetune for a run.
func (s *Study) options(path string, r Run) finetune.Options {
	o := s.Options.Train
	o.Train, o.Init, o.Refresh = r.Kind.train(), r.Kind.Init(), r.Kind.Refresh()
	o.Seed, o.Checkpoint, o.Resume = r.Seed, path, true
	if r.Kind == CNN {
		o.Epochs = s.Options.CNNEpochs
	}
	if s.Stepped != nil && path != "" {
		s.pace.begin(r)
		o.Stepped = func(at finetune.Step) { s.Stepped(s.pace.at(at, s.Data.N(), o.Epochs)) }
	}
	return o
}

// errNoCNN: the CNN to embed does not exist.
var errNoCNN = errors.New("there is no CNN to embed: its training ended before")

// start returns the model that a run begins with.
func (s *Study) start(dir string, r Run) (*onnxio.Model, error) {
	switch r.Kind {
	case CNN:
		if s.Options.Reinit {
			return finetune.Reinit(s.CNN, r.Seed)
		}
		return s.CNN, nil
	case FCN:
		m, err := s.embed(s.origin(), FCN)
		if err != nil {
			return nil, err
		}
		return finetune.Reinit(m, r.Seed)
	}
	if s.Given != nil {
		return s.embed(s.Given[r.Relax], r.Kind)
	}
	cnn, err := onnxio.Read(filepath.Join(dir, filepath.FromSlash(r.cnn().Path()), snapshotName(r.Relax)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoCNN
	}
	if err != nil {
		return nil, err
	}
	return s.embed(cnn, r.Kind)
}

// evaluate measures a model on the test data.
func (s *Study) evaluate(ctx context.Context, m *onnxio.Model, test *data.Set) (finetune.Metrics, error) {
	if collect := s.Options.Train.Collect; collect != nil {
		collect() // the weights of what was done before
	}
	batch := s.Options.Train.Batch
	if d := s.Options.Train.Device; d != nil {
		return finetune.EvaluateIn(ctx, finetune.OnDevice(d, nil, batch), m, test, batch)
	}
	return finetune.Evaluate(ctx, m, test, batch)
}

// measure returns what there is to say of a model that is not trained yet.
func (s *Study) measure(ctx context.Context, m *onnxio.Model) (State, error) {
	test, err := s.evaluate(ctx, m, s.Test)
	if err != nil {
		return State{}, err
	}
	state := State{Test: &test}
	if rec, err := record.Read(m); err != nil || rec == nil {
		return state, err
	}
	if state.Deviation, err = record.Measure(ctx, m, nil); err != nil {
		return state, err
	}
	state.Travelled = new(float64)
	return state, nil
}

// finish writes what a run ended with.
func (s *Study) finish(ctx context.Context, path string, r Run, model *onnxio.Model, result *Result) error {
	result.File = r.Path() + "/" + modelName
	if err := writeModel(ctx, filepath.Join(path, modelName), model); err != nil {
		return err
	}
	if r.Kind == CNN || r.Kind == FCN {
		return nil
	}
	projected, _, err := restore.Project(ctx, model)
	if err != nil {
		return err
	}
	if err := writeModel(ctx, filepath.Join(path, projectedName), projected); err != nil {
		return err
	}
	test, err := s.evaluate(ctx, projected, s.Test)
	if err != nil {
		return err
	}
	result.Projected = &test
	return nil
}

func writeModel(ctx context.Context, path string, m *onnxio.Model) error {
	_, err := onnxio.WriteContext(ctx, path, m, onnxio.WriteOptions{})
	return err
}
