"""The program efcn, for notebooks: a CNN as its equivalent fully-connected network.

Start with convert and verify, on files or on models of package onnx:

    >>> import efcn
    >>> net = efcn.convert("cnn.onnx", layout="local")
    >>> efcn.verify("cnn.onnx", net).equal
    True
    >>> a = efcn.matrix(net, "/conv1/Conv")  # scipy.sparse, outputs × inputs

Everything is computed by the program, which comes with this package and is the command "efcn" beside
it: a function here is one of its commands, and returns what that prints with --json. An error of the
program is an Error, with its one line. Flags that a function has no argument for go into flags, as
"efcn COMMAND --help" has them: convert("cnn.onnx", flags=["--maxpool", "relu", "--fold=all"]).

numpy, onnx, scipy and pandas are imported where they are needed: pip install 'efcn[notebook]'.
"""

from ._models import convert, matrix, measure, verify
from ._program import Error, Warning, program, run
from ._results import Check, Deviation, LayerDeviation, Report
from ._study import Study, read_study

__all__ = [
    "Check",
    "Deviation",
    "Error",
    "LayerDeviation",
    "Report",
    "Study",
    "Warning",
    "convert",
    "matrix",
    "measure",
    "program",
    "read_study",
    "run",
    "verify",
]
