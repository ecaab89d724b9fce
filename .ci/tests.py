#!/usr/bin/env python3
"""Read the output of go test -json: print failures and each package's closing line.

tests.py FILE exits with 1 if a test failed, if a test was skipped that .ci/skips.txt does not
name, or if a line there names no test that was skipped. A line that ends in "without FLAG" counts
on processors alone that do not have that flag in /proc/cpuinfo.
"""

import json
import pathlib
import sys


def main(path):
    """Print what matters of the test log at path, and return the exit code."""
    output, failed, skipped, passed = {}, [], set(), 0
    with open(path, encoding="utf-8") as log:
        for line in log:
            try:
                event = json.loads(line)
            except ValueError:
                print(line, end="")  # the go command's own complaint
                continue
            package, test = event.get("Package", event.get("ImportPath", "")), event.get("Test")
            key = (package, test)
            action = event["Action"]
            if action in ("output", "build-output"):
                output.setdefault(key, []).append(event["Output"])
            elif action in ("fail", "build-fail"):
                failed.append(key)
            elif action == "skip" and test:
                skipped.add(f"{package} {test}")
            elif action == "pass" and test:
                passed += 1
    for key in failed:
        print("".join(output.get(key, [])), end="")
    for (package, test), lines in output.items():
        if not test and (package, test) not in failed:
            closing = [l for l in lines if l.startswith(("ok", "?", "FAIL", "---"))]
            print("".join(closing), end="")

    allowed = set()
    processor = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    for line in (pathlib.Path(__file__).parent / "skips.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        entry, _, flag = line.split(" # ")[0].partition(" without ")
        if flag not in processor:
            allowed.add(entry)
    for entry in sorted(skipped - allowed):
        print(f"FAIL: {entry} was skipped and is not in .ci/skips.txt")
    for entry in sorted(allowed - skipped):
        print(f"FAIL: {entry} is in .ci/skips.txt and was not skipped")
    if not passed:
        print("FAIL: no test ran")
    tests = sum(1 for _, test in failed if test)
    print(f"{passed} passed, {tests} failed, {len(skipped)} skipped")
    return 1 if failed or skipped != allowed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
