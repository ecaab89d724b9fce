#!/usr/bin/env python3
"""Open a page of efcn report in a browser and check what it shows.

check_report.py PAGE CHROMIUM [--sections ID ...]

At the widths of a desktop and of a phone: every picture is drawn, nothing is wider than the
window (wide tables scroll by themselves), the sections are there and none is empty, and no
request leaves the page. Exits with 1 where something is not so.
"""

import argparse
import functools
import html
import http.server
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

# Runs in a page beside the report, which it loads into a frame of the given width.
PROBE = """<!DOCTYPE html><title>probe</title><body>
<iframe id="frame" style="width:%dpx;height:40000px;border:0" src="/report.html"></iframe>
<script>
document.getElementById("frame").onload = function () {
  const d = this.contentDocument, root = d.documentElement;
  const result = {
    width: root.clientWidth,
    needs: root.scrollWidth,
    title: d.title,
    images: [...d.images].length,
    missing: [...d.images].filter(i => !i.complete || i.naturalWidth === 0 || i.getBoundingClientRect().width === 0).map(i => i.alt),
    unnamed: [...d.images].filter(i => !i.alt).length,
    sections: Object.fromEntries([...d.querySelectorAll("section")].map(s => [s.id, s.innerText.trim().length])),
    dead: [...d.querySelectorAll("nav a")].filter(a => !d.getElementById(a.getAttribute("href").slice(1))).map(a => a.innerText),
    requests: this.contentWindow.performance.getEntriesByType("resource").map(r => r.name).filter(n => !n.startsWith("data:")),
  };
  const out = document.createElement("pre");
  out.id = "result";
  out.textContent = JSON.stringify(result);
  document.body.append(out);
};
</script>
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server of files that logs nothing."""

    def log_message(self, *args):
        """Say nothing."""


def probe(chromium, page, width):
    """Return what the page looks like in a window of that width."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "report.html").write_bytes(page.read_bytes())
        (folder / "probe.html").write_text(PROBE % width, encoding="utf-8")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            run = subprocess.run(
                [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update", "--disable-sync",
                 f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000", "--dump-dom",
                 f"http://127.0.0.1:{server.server_port}/probe.html"],
                capture_output=True, text=True, timeout=120, check=True)
        finally:
            server.shutdown()
            server.server_close()
    found = re.search(r'<pre id="result">(.*?)</pre>', run.stdout, re.DOTALL)
    if not found:
        sys.exit(f"FAIL: {page}: the browser did not load it")
    return json.loads(html.unescape(found.group(1)))


def main():
    """Check the page and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=pathlib.Path)
    parser.add_argument("chromium")
    parser.add_argument("--sections", nargs="*", default=[], help="that must be there")
    parser.add_argument("--images", type=int, default=1, help="that must be there at least")
    a = parser.parse_args()
    failed = 0

    def want(ok, text):
        nonlocal failed
        if not ok:
            failed += 1
            print(f"FAIL: {a.page}: {text}")

    for width in 1280, 390:
        r = probe(a.chromium, a.page, width)
        want(r["width"] == width, f"a window of {r['width']} pixels; asked for {width}")
        want(r["needs"] <= width, f"{r['needs']} pixels wide in a window of {width}")
        want(not r["missing"], f"pictures that are not drawn: {r['missing']}")
        want(r["images"] >= a.images, f"{r['images']} pictures; want {a.images}")
        want(r["unnamed"] == 0, f"{r['unnamed']} pictures without a text")
        want(not r["dead"], f"links to nowhere: {r['dead']}")
        want(not r["requests"], f"it fetches {r['requests']}")
        for section in a.sections:
            want(section in r["sections"], f"no section {section!r}")
        for section, size in r["sections"].items():
            want(size > 40, f"section {section!r} is empty")
        print(f"{a.page.name} at {width} pixels: {r['title']!r}, {len(r['sections'])} sections, {r['images']} pictures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
