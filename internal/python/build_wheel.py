#!/usr/bin/env python3
"""Build wheels that carry the program efcn and the package efcn beside this file.

build_wheel.py -o DIR [PLATFORM …]
    writes a wheel for each PLATFORM (see PLATFORMS; all without one) into DIR, and prints its path.

The same as a build backend: "pip wheel internal/python" and "pip install internal/python" make one for
the machine they run on. It needs Go and Python, no C compiler and no other package. Two builds of one
commit are the same bytes.
"""

import argparse
import base64
import csv
import hashlib
import io
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import time
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# By GOOS-GOARCH. The program needs glibc 2.17's loader on Linux, and what Go 1.26 needs elsewhere.
PLATFORMS = {
    "linux-amd64": "manylinux_2_17_x86_64",
    "linux-arm64": "manylinux_2_17_aarch64",
    "darwin-amd64": "macosx_12_0_x86_64",
    "darwin-arm64": "macosx_12_0_arm64",
    "windows-amd64": "win_amd64",
    "windows-arm64": "win_arm64",
}


def here():
    """Return the platform that this runs on, as PLATFORMS has it."""
    machine = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
    name = f"{platform.system().lower()}-{machine.get(platform.machine().lower(), platform.machine())}"
    if name not in PLATFORMS:
        sys.exit(f"there is no wheel for {name}; want one of {', '.join(PLATFORMS)}")
    return name


def build_program(target, path):
    """Build the program for target, and return its version as Python writes versions, and its time."""
    goos, goarch = target.split("-")
    env = {**os.environ, "CGO_ENABLED": "0", "GOOS": goos, "GOARCH": goarch}
    stamp = (ROOT / ".git").exists()  # version, commit and date are git's, whatever GOFLAGS says
    flags = ["-trimpath", f"-buildvcs={str(stamp).lower()}", "-ldflags=-s -w"]
    command = ["go", "build", *flags, "-o", path, "./cmd/efcn"]
    subprocess.run(command, cwd=ROOT, env=env, check=True)
    text = subprocess.run(["go", "version", "-m", "-json", path], check=True, capture_output=True).stdout
    info = json.loads(text)
    settings = {s["Key"]: s["Value"] for s in info["Settings"]}
    return python_version(info["Main"].get("Version", "")), settings.get("vcs.time")


def python_version(go):
    """Turn a version that Go recorded into one of PEP 440.

    >>> python_version("v1.2.3")
    '1.2.3'
    >>> python_version("v1.2.4-rc.1")
    '1.2.4rc1'
    >>> python_version("v0.0.0-20261127182100-7c10b68e9f01+dirty")
    '0.0.0.dev20261127182100+7c10b68e9f01.dirty'
    >>> python_version("v1.2.4-0.20261127182100-7c10b68e9f01")
    '1.2.4.dev20261127182100+7c10b68e9f01'
    >>> python_version("v1.2.4-rc.1.0.20261127182100-7c10b68e9f01")
    '1.2.4rc1.dev20261127182100+7c10b68e9f01'
    >>> python_version("(devel)")
    '0.0.0.dev0'
    """
    found = re.fullmatch(
        r"v(\d+\.\d+\.\d+)(?:-rc\.(\d+)(?=$|\+|\.0\.))?(?:[-.](?:0\.)?(\d{14})-([0-9a-f]{12}))?(\+dirty)?", go
    )
    if not found:
        if go in ("", "(devel)"):
            return "0.0.0.dev0"
        sys.exit(f"version {go}: want one such as v1.2.3 or v1.2.3-rc.1")
    release, candidate, stamp, commit, dirty = found.groups()
    local = [part for part in (commit, dirty and "dirty") if part]
    return (
        release
        + (f"rc{candidate}" if candidate else "")
        + (f".dev{stamp}" if stamp else "")
        + (f"+{'.'.join(local)}" if local else "")
    )


def metadata(project, version):
    """Return the file METADATA of what pyproject.toml says."""
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {project['name']}",
        f"Version: {version}",
        f"Summary: {project['description']}",
        f"Keywords: {','.join(project['keywords'])}",
        f"License-Expression: {project['license']}",
        "License-File: LICENSE",
        *(f"Classifier: {c}" for c in project["classifiers"]),
        f"Requires-Python: {project['requires-python']}",
    ]
    for extra, packages in project["optional-dependencies"].items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f'Requires-Dist: {p}; extra == "{extra}"' for p in packages]
    lines += ["Description-Content-Type: text/markdown", "", (HERE / project["readme"]).read_text(encoding="utf-8")]
    return "\n".join(lines).encode()


def read_project():
    """Read the table [project] of pyproject.toml."""
    import tomllib  # of Python 3.11: what builds is newer than what runs

    return tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]


class Wheel:
    """A wheel that is being written."""

    def __init__(self, path, when):
        self.path = path
        self.when = when  # the time that all files in it have
        self.zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
        self.record = []

    def add(self, name, data, mode=0o644):
        """Add a file."""
        info = zipfile.ZipInfo(name, self.when)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.create_system = 3  # Unix, wherever it is built
        info.external_attr = (0o100000 | mode) << 16
        self.zip.writestr(info, data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        self.record.append((name, f"sha256={digest}", len(data)))

    def close(self, name):
        """Add the list of all files, and end."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*self.record, (name, "", "")])
        self.add(name, text.getvalue().encode())
        self.zip.close()


def build(target, folder):
    """Write the wheel for target into folder, and return its path."""
    project = read_project()
    with tempfile.TemporaryDirectory() as work:
        program = pathlib.Path(work, "efcn.exe" if target.startswith("windows") else "efcn")
        version, stamp = build_program(target, program)
        when = time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ")[:6] if stamp else (1980, 1, 1, 0, 0, 0)
        tag = f"py3-none-{PLATFORMS[target]}"
        path = pathlib.Path(folder, f"efcn-{version}-{tag}.whl")
        wheel = Wheel(path, when)
        for file in sorted((HERE / "efcn").iterdir()):
            if file.suffix in (".py", ".typed"):
                wheel.add(f"efcn/{file.name}", file.read_bytes())
        wheel.add(f"efcn-{version}.data/scripts/{program.name}", program.read_bytes(), 0o755)
        info = f"efcn-{version}.dist-info"
        wheel.add(f"{info}/METADATA", metadata(project, version))
        wheel.add(
            f"{info}/WHEEL",
            f"Wheel-Version: 1.0\nGenerator: efcn\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(),
        )
        wheel.add(f"{info}/licenses/LICENSE", (ROOT / "LICENSE").read_bytes())
        wheel.close(f"{info}/RECORD")
    return path


# The build backend, of PEP 517.


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """Write the wheel for this machine, and return its name."""
    del config_settings, metadata_directory
    return build(here(), wheel_directory).name


def build_sdist(sdist_directory, config_settings=None):
    """Refuse: a wheel is built from a clone of the repository."""
    raise NotImplementedError("there is no source distribution: build the wheel in a clone of the repository")


def main():
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", required=True, type=pathlib.Path, metavar="DIR", help="folder for the wheels")
    parser.add_argument("platforms", nargs="*", metavar="PLATFORM", help=f"one of {', '.join(PLATFORMS)}")
    args = parser.parse_args()
    for target in args.platforms:
        if target not in PLATFORMS:
            parser.error(f"{target}: want one of {', '.join(PLATFORMS)}")
    args.output.mkdir(parents=True, exist_ok=True)
    for target in args.platforms or PLATFORMS:
        print(build(target, args.output))


if __name__ == "__main__":
    main()
