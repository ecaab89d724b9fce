#!/usr/bin/env python3
"""Check the archives of a release, and the lists of modules beside them.

check_release.py DIST COMMIT [PLATFORM] looks into every archive that goreleaser has made in the folder DIST
of the commit COMMIT, for six platforms or for one such as linux-amd64. Each has to hold the program, for the
system and processor that its name says, by the header of the program and by what Go wrote into it, from COMMIT
without changes; and as many manual pages as the others, completions for four shells, and the three files that
people look for. The list of modules of each platform has to have the versions of go.mod.

Needs Go.
"""

import json
import pathlib
import re
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SHELLS = ("bash", "zsh", "fish", "powershell")
PLATFORMS = [f"{system}-{processor}" for system in ("linux", "darwin", "windows") for processor in ("amd64", "arm64")]
OTHERS = {"LICENSE", "README.md", "CHANGELOG.md", *(f"completions/efcn.{shell}" for shell in SHELLS)}


def machine(program):
    """Return the system and processor of a program, by its header: ELF, Mach-O of 64 bits, or PE."""
    if program[:4] == b"\x7fELF":
        return "linux", {62: "amd64", 183: "arm64"}[struct.unpack_from("<H", program, 18)[0]]
    if program[:4] == b"\xcf\xfa\xed\xfe":
        return "darwin", {0x01000007: "amd64", 0x0100000C: "arm64"}[struct.unpack_from("<I", program, 4)[0]]
    at = struct.unpack_from("<I", program, 0x3C)[0]
    assert program[:2] == b"MZ" and program[at : at + 4] == b"PE\0\0", program[:4]
    return "windows", {0x8664: "amd64", 0xAA64: "arm64"}[struct.unpack_from("<H", program, at + 4)[0]]


def contents(archive):
    """Return the files of an archive by their paths in its one folder."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as z:
            files = {i.filename: z.read(i) for i in z.infolist() if not i.is_dir()}
    else:
        with tarfile.open(archive) as t:
            files = {m.name: t.extractfile(m).read() for m in t if m.isfile()}
            modes = {m.name: m.mode for m in t if m.isfile()}
            assert all(mode & 0o111 for name, mode in modes.items() if name.endswith("/efcn")), modes
    folders = {name.split("/")[0] for name in files}
    assert len(folders) == 1, folders
    return {name.split("/", 1)[1]: data for name, data in files.items()}


def built(program):
    """Return what Go wrote into a program, a key of its build for each value."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "program")
        path.write_bytes(program)
        text = subprocess.run(["go", "version", "-m", "-json", path], check=True, capture_output=True).stdout
    return {s["Key"]: s["Value"] for s in json.loads(text)["Settings"]}


def check_modules(path):
    """Check a list of modules against go.mod, and return how many it has."""
    wanted = dict(re.findall(r"^\t(\S+) (v\S+)", (ROOT / "go.mod").read_text(), re.M))
    components = {c["name"]: c["version"] for c in json.loads(path.read_text())["components"]}
    assert len(components) > 10, components
    for name, version in components.items():
        assert name == "std" or wanted[name] == version, (name, version)
    return len(components)


def main():
    """Check every platform."""
    dist, commit, platforms = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:] or PLATFORMS
    archives = sorted(p for p in dist.glob("efcn-*") if p.suffix in (".gz", ".zip"))
    assert len(archives) == len(platforms), archives
    pages = None
    for platform in platforms:
        system, processor = platform.split("-")
        (archive,) = [p for p in archives if f"-{platform}." in p.name]
        files = contents(archive)
        program = files.pop("efcn.exe" if system == "windows" else "efcn")
        assert machine(program) == (system, processor), f"{archive}: the program is for {machine(program)}"
        info = built(program)
        assert (info["GOOS"], info["GOARCH"], info["CGO_ENABLED"]) == (system, processor, "0"), info
        assert (info["vcs.revision"], info["vcs.modified"], info["-trimpath"]) == (commit, "false", "true"), info
        manual = {name for name in files if name.startswith("man/man1/")}
        pages = pages or manual
        assert manual == pages and "man/man1/efcn-convert.1" in manual, manual ^ pages
        assert files.keys() - manual == OTHERS, files.keys() - manual ^ OTHERS
        assert all(files.values()), "an empty file"
        (modules,) = dist.glob(f"efcn-*-{platform}.cdx.json")
        print(f"{archive.name}: {archive.stat().st_size / 1e6:.1f} MB, program {len(program) / 1e6:.1f} MB, "
              f"{len(manual)} manual pages, {check_modules(modules)} modules")  # fmt: skip


if __name__ == "__main__":
    main()
