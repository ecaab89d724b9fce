"""The program: where it is, and how it is run."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import sysconfig
import warnings
from collections.abc import Sequence
from typing import Any

DONE, NO, INTERRUPTED = 0, 1, 130  # what the program exits with; 2 for bad usage or input


class Error(Exception):
    """The program refused or failed: str() is its one line, without the name of the command."""

    def __init__(self, message: str, command: Sequence[str], code: int) -> None:
        super().__init__(message)
        self.command = list(command)  # as it was run
        self.code = code  # its exit code: 2 for bad usage or bad input


class Warning(UserWarning):
    """The program warned, and did what it was asked to."""


def program() -> pathlib.Path:
    """Return the program that was installed with this package."""
    name = "efcn.exe" if sys.platform == "win32" else "efcn"
    package = pathlib.Path(__file__).resolve().parent
    folders = [
        pathlib.Path(sysconfig.get_path("scripts")),
        pathlib.Path(sysconfig.get_path("scripts", f"{os.name}_user")),  # pip install --user
        package.parent / ("Scripts" if sys.platform == "win32" else "bin"),  # pip install --target
    ]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"the program {name} is not in any of {', '.join(map(str, folders))}: install efcn again")


def run(command: str, *args: str | os.PathLike[str], answer: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a command of the program, and return what it printed.

    Exit code 1, by which verify and check say no, is an Error too unless answer is true.
    """
    line = [str(program()), command, *(os.fspath(arg) for arg in args)]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace")
    prefix = f"efcn {command}: "
    said = [text[len(prefix) :] for text in done.stderr.splitlines() if text.startswith(prefix)]
    if done.returncode == INTERRUPTED:
        raise KeyboardInterrupt
    if done.returncode != DONE and not (answer and done.returncode == NO):
        message = said[-1] if said else done.stderr.strip() or f"efcn {command} ended with code {done.returncode}"
        raise Error(message, line, done.returncode)
    for text in said:
        if text.startswith("warning: "):
            warnings.warn(text[len("warning: ") :], Warning, stacklevel=3)
    return done


def flag(name: str, value: Any) -> list[str]:
    """Return a flag with its value; none for None."""
    return [] if value is None else [f"--{name}={value}"]
