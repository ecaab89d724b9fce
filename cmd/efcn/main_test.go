package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"efcn/internal/arrays"
	"efcn/internal/engine"
	"efcn/onnxio"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"efcn": main})
}

// scripts is the number of scripts; one that is not found would not be missed.
const scripts = 47

// TestScripts runs the real command line. Beside testscript's own commands the
// scripts have those of scriptCommands; $MODELS and $IMAGES are the folders of
// testdata.
func TestScripts(t *testing.T) {
	if found, err := filepath.Glob("testdata/script/*.txtar"); err != nil || len(found) != scripts {
		t.Errorf("%d scripts (%v); want %d", len(found), err, scripts)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			images := filepath.Join(root, "testdata", "fashion-mnist")
			env.Setenv("ROOT", root)
			env.Setenv("EFCN_MPI", os.Getenv("EFCN_MPI"))
			env.Setenv("EFCN_CUDA", os.Getenv("EFCN_CUDA"))
			env.Setenv("OMPI_ALLOW_RUN_AS_ROOT", "1") // in a container
			env.Setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
			env.Setenv("MODELS", filepath.Join(root, "testdata", "models"))
			for name, files := range map[string][2]string{
				"TRAIN": {"train-images-10k-idx3-ubyte.gz", "train-labels-10k-idx1-ubyte.gz"},
				"TEST":  {"test-images-2k-idx3-ubyte.gz", "test-labels-2k-idx1-ubyte.gz"},
			} {
				env.Setenv(name,
					fmt.Sprintf("idx:%s,%s?normalize=0.2860/0.3530", filepath.Join(images, files[0]), filepath.Join(images, files[1])))
			}
			return nil
		},
		Cmds: scriptCommands,
		// mpi: EFCN_MPI names a library, whose launcher the command ranks starts. cuda: EFCN_CUDA
		// names a folder that has CUDA or a stand-in for it.
		Condition: func(name string) (bool, error) {
			variable, ok := map[string]string{"mpi": "EFCN_MPI", "cuda": "EFCN_CUDA"}[name]
			if !ok {
				return false, fmt.Errorf("no condition is called %q", name)
			}
			library := os.Getenv(variable)
			return library != "" && library != "off", nil
		},
	})
}

var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	// exits CODE COMMAND ARGS...: the command ends with that exit code. If that
	// is 2, it has said why on one line of stderr that begins with its name, and
	// has neither made nor changed a file.
	"exits": func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < 2 {
			ts.Fatalf("usage: exits CODE COMMAND ARGS...")
		}
		before := listFiles(ts)
		err := ts.Exec(args[1], args[2:]...)
		code := exitCode(ts, err)
		if strconv.Itoa(code) != args[0] {
			ts.Fatalf("exit code %d, want %s", code, args[0])
		}
		if code != exitBad {
			return
		}
		if text := ts.ReadFile("stderr"); strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "efcn") {
			ts.Fatalf("want one line that begins with efcn on stderr, got %q", text)
		}
		if after := listFiles(ts); !slices.Equal(before, after) {
			ts.Fatalf("files before %v, after %v", before, after)
		}
	},
	// ranks CODE N COMMAND ARGS...: the command ends with that exit code where the
	// launcher of the MPI that EFCN_MPI names starts N of it.
	"ranks": func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < 3 {
			ts.Fatalf("usage: ranks CODE N COMMAND ARGS...")
		}
		launcher := []string{"-n", args[1]}
		library := ts.Getenv("EFCN_MPI")
		if strings.Contains(filepath.Base(library), "libmpi.so.40") {
			launcher = append(launcher, "--oversubscribe", "--bind-to", "none")
		}
		err := ts.Exec(filepath.Join(filepath.Dir(library), "..", "bin", "mpirun"), append(launcher, args[2:]...)...)
		if code := exitCode(ts, err); strconv.Itoa(code) != args[0] {
			ts.Fatalf("exit code %d, want %s", code, args[0])
		}
	},
	// await FILE: what runs in the background makes that file within a minute.
	"await": func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 1 {
			ts.Fatalf("usage: await FILE")
		}
		for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
				return
			}
			if time.Now().After(end) {
				ts.Fatalf("%s is not there after a minute", args[0])
			}
		}
	},
	// truncate FILE N: keeps the first N bytes.
	"truncate": func(ts *testscript.TestScript, _ bool, args []string) {
		n, err := strconv.ParseInt(args[1], 10, 64)
		ts.Check(err)
		ts.Check(os.Truncate(ts.MkAbs(args[0]), n))
	},
	// random FILE N: writes N random bytes.
	"random": func(ts *testscript.TestScript, _ bool, args []string) {
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		b := make([]byte, n)
		_, err = rand.NewChaCha8([32]byte{1}).Read(b)
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
	},
	// nudge IN OUT NAME: copies a model with the first element of the initializer
	// NAME changed by one unit in the last place.
	"nudge": func(ts *testscript.TestScript, _ bool, args []string) {
		m, err := onnxio.Read(ts.MkAbs(args[0]))
		ts.Check(err)
		i := slices.IndexFunc(m.Graph.Initializers, func(t *onnxio.Tensor) bool { return t.Name == args[2] })
		if i < 0 {
			ts.Fatalf("no initializer %q", args[2])
		}
		old := m.Graph.Initializers[i]
		values, err := onnxio.Floats[float32](old)
		ts.Check(err)
		values[0] = math.Nextafter32(values[0], 1)
		m.Graph.Initializers[i] = onnxio.NewTensor(old.Name, old.Dims, values)
		_, err = onnxio.Write(ts.MkAbs(args[1]), m, onnxio.WriteOptions{})
		ts.Check(err)
	},
	// set IN OUT NAME VALUE: copies a model with the first element of a constant changed, in the
	// type that it has.
	"set": func(ts *testscript.TestScript, _ bool, args []string) {
		m, err := onnxio.Read(ts.MkAbs(args[0]))
		ts.Check(err)
		value, err := strconv.ParseFloat(args[3], 64)
		ts.Check(err)
		i := slices.IndexFunc(m.Graph.Initializers, func(t *onnxio.Tensor) bool { return t.Name == args[2] })
		if i < 0 {
			ts.Fatalf("no initializer %q", args[2])
		}
		v, err := engine.FromONNX[float64](m.Graph.Initializers[i])
		ts.Check(err)
		v.F[0] = value
		m.Graph.Initializers[i] = engine.ToONNX(args[2], v)
		_, err = onnxio.Write(ts.MkAbs(args[1]), m, onnxio.WriteOptions{})
		ts.Check(err)
	},
	// forget IN OUT: copies a model without its metadata.
	"forget": func(ts *testscript.TestScript, _ bool, args []string) {
		m, err := onnxio.Read(ts.MkAbs(args[0]))
		ts.Check(err)
		m.Metadata = nil
		_, err = onnxio.Write(ts.MkAbs(args[1]), m, onnxio.WriteOptions{})
		ts.Check(err)
	},
	// halve IN OUT: copies a model with its output rounded to float16.
	"halve": func(ts *testscript.TestScript, _ bool, args []string) {
		m, err := onnxio.Read(ts.MkAbs(args[0]))
		ts.Check(err)
		out := m.Graph.Outputs[0]
		for _, n := range m.Graph.Nodes {
			for i, name := range n.Outputs {
				if name == out.Name {
					n.Outputs[i] = "wide"
				}
			}
		}
		m.Graph.Nodes = append(m.Graph.Nodes, &onnxio.Node{
			Name: "halve", OpType: "Cast", Inputs: []string{"wide"}, Outputs: []string{out.Name},
			Attributes: []*onnxio.Attribute{onnxio.IntAttr("to", int64(onnxio.Float16))},
		})
		out.Type.Elem = onnxio.Float16
		_, err = onnxio.Write(ts.MkAbs(args[1]), m, onnxio.WriteOptions{})
		ts.Check(err)
	},
	// unlink IN OUT NODE: copies a model with the first input of the node renamed
	// to something that does not exist.
	"unlink": func(ts *testscript.TestScript, _ bool, args []string) {
		m, err := onnxio.Read(ts.MkAbs(args[0]))
		ts.Check(err)
		for _, n := range m.Graph.Nodes {
			if n.Name == args[2] {
				n.Inputs[0] = "nowhere"
			}
		}
		_, err = onnxio.Write(ts.MkAbs(args[1]), m, onnxio.WriteOptions{})
		ts.Check(err)
	},
	// protos DIR PREFIX FILE.npz: writes the arrays as ONNX test data.
	"protos": func(ts *testscript.TestScript, _ bool, args []string) {
		all, err := arrays.ReadNPZ(ts.MkAbs(args[2]))
		ts.Check(err)
		ts.Check(os.MkdirAll(ts.MkAbs(args[0]), 0o777))
		for i, a := range all {
			name := filepath.Join(ts.MkAbs(args[0]), fmt.Sprintf("%s_%d.pb", args[1], i))
			ts.Check(os.WriteFile(name, tensorProto(ts, a), 0o600))
		}
	},
}

// exitCode is that of a program that ended with err.
func exitCode(ts *testscript.TestScript, err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	ts.Check(err)
	return 0
}

// tensorProto encodes a float32 array as a TensorProto by hand: field 1 the
// dimensions, 2 the data type, 9 the raw data.
func tensorProto(ts *testscript.TestScript, a *onnxio.Tensor) []byte {
	values, err := onnxio.Floats[float32](a)
	ts.Check(err)
	var b []byte
	for _, d := range a.Dims {
		b = binary.AppendUvarint(append(b, 1<<3), uint64(d))
	}
	b = append(b, 2<<3, 1)
	b = binary.AppendUvarint(append(b, 9<<3|2), uint64(4*len(values)))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// listFiles describes every file of a script's folder: name, size, time.
func listFiles(ts *testscript.TestScript) []string {
	var all []string
	root := ts.Getenv("WORK")
	ts.Check(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		// A folder's own time changes when a temporary file comes and goes.
		if !d.IsDir() {
			all = append(all, fmt.Sprintf("%s %d %v", path, info.Size(), info.ModTime()))
		}
		return nil
	}))
	return all
}
