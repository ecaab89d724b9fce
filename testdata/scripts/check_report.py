#!/usr/bin/env python3
"""Open a page of efcn report in a browser and check what it shows.

check_report.py PAGE CHROMIUM [--sections ID ...] [--images N] [--pictures DIR]

At the widths of a desktop and of a phone, on a light and on a dark page: every picture and figure
is drawn, nothing is wider than the window (wide tables scroll by themselves, and their first
column stays), text stands out from what is behind it, the words of a figure are within it, large
enough and not on each other, a PNG of a figure is made, the sections are there and none is empty,
and no request leaves the page. Exits with 1 where something is not so. --pictures keeps a picture
of each for those who want to look.
"""

import argparse
import functools
import html
import http.server
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading

SCHEMES = {"light": 1, "dark": 0}  # of Chromium's setting preferredColorScheme
CONTRAST = 4.5  # of text: WCAG 2, level AA
SMALLEST = 9  # pixels of a word in a figure

# Runs in a page beside the report, which it loads into a frame of the given width.
PROBE = """<!DOCTYPE html><title>probe</title><body style="margin:0">
<iframe id="frame" style="width:%dpx;height:40000px;border:0" src="/report.html"></iframe>
<script>
document.getElementById("frame").onload = async function () {
  const w = this.contentWindow, d = this.contentDocument, root = d.documentElement;
  const style = e => w.getComputedStyle(e);
  const numbers = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const luminance = rgb => rgb.slice(0, 3).map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = e => {
    if (e.closest("svg")) return numbers(style(e.closest("svg").querySelector("rect")).fill);
    for (; e; e = e.parentElement) {
      const c = numbers(style(e).backgroundColor);
      if (c.length === 3) return c;
    }
    return [255, 255, 255];
  };
  const contrast = e => {
    const a = luminance(numbers(e.closest("svg") ? style(e).fill : style(e).color)), b = luminance(behind(e));
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  for (const fold of d.querySelectorAll("details")) fold.open = true;
  const faint = new Set();
  for (const e of d.querySelectorAll("body *")) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!own || e.tagName === "SCRIPT" || e.tagName === "title" || !e.getBoundingClientRect().width) continue;
    if (contrast(e) < %g) faint.add(`${e.textContent.trim().slice(0, 40)}: ${contrast(e).toFixed(1)}`);
  }
  const words = [];
  for (const svg of d.querySelectorAll("svg")) {
    const frame = svg.getBoundingClientRect(), texts = [...svg.querySelectorAll("text")];
    const boxes = texts.map(t => t.getBoundingClientRect());
    texts.forEach((t, i) => {
      const a = boxes[i], size = parseFloat(style(t).fontSize) * frame.width / svg.viewBox.baseVal.width;
      const say = what => words.push(`${svg.getAttribute("aria-label")}: ${JSON.stringify(t.textContent)} ${what}`);
      if (size < %g) say(`has ${size.toFixed(1)} pixels`);
      if (a.left < frame.left - 1 || a.right > frame.right + 1 || a.bottom > frame.bottom + 1) say("is not within the figure");
      for (let j = 0; j < i; j++) {
        const b = boxes[j];
        if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
            Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 0.3 * a.height) say(`is on ${texts[j].textContent}`);
      }
    });
  }
  const loose = [];
  for (const box of d.querySelectorAll(".scroll")) {
    const cell = box.querySelector("tbody tr > *");
    box.scrollLeft = 60;
    if (box.scrollLeft && Math.abs(cell.getBoundingClientRect().left - box.getBoundingClientRect().left) > 1)
      loose.push(cell.textContent);
    box.scrollLeft = 0;
  }
  const links = [...d.querySelectorAll("figure")].map(f => [...f.querySelectorAll("a[download]:not([hidden])")]);
  const png = d.querySelector("a.png");
  if (png) {
    d.addEventListener("click", e => png.href.startsWith("data:") && e.preventDefault()); // no download
    png.click();
    for (let i = 0; i < 200 && !png.href.startsWith("data:image/png"); i++) await new Promise(r => setTimeout(r, 25));
  }
  const result = {
    width: root.clientWidth,
    needs: root.scrollWidth,
    title: d.title,
    ground: luminance(behind(d.body)),
    images: d.images.length + d.querySelectorAll("svg").length,
    missing: [...d.images].filter(i => !i.complete || i.naturalWidth === 0 || i.getBoundingClientRect().width === 0).map(i => i.alt),
    undrawn: [...d.querySelectorAll("svg")].filter(s => s.getBoundingClientRect().height < 100).map(s => s.getAttribute("aria-label")),
    patches: [...d.querySelectorAll("svg")].filter(s => Math.abs(luminance(behind(s)) - luminance(behind(d.body))) > 0.02).length,
    unnamed: [...d.images].filter(i => !i.alt).length + [...d.querySelectorAll("svg:not([aria-label])")].length,
    sections: Object.fromEntries([...d.querySelectorAll("section")].map(s => [s.id, s.innerText.trim().length])),
    dead: [...d.querySelectorAll("nav a")].filter(a => !d.getElementById(a.getAttribute("href").slice(1))).map(a => a.innerText),
    requests: w.performance.getEntriesByType("resource").map(r => r.name).filter(n => !n.startsWith("data:")),
    faint: [...faint], words, loose,
    files: links.filter(l => l.map(a => a.innerText).join() !== "SVG,PNG,CSV").length,
    png: !png || png.href.startsWith("data:image/png"),
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


def browse(chromium, folder, scheme, *arguments):
    """Run the browser and return what it prints."""
    return subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
         f"--user-data-dir={folder / 'profile'}", f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}", *arguments],
        capture_output=True, text=True, timeout=120, check=True).stdout


def probe(chromium, page, width, scheme, pictures):
    """Return what the page looks like in a window of that width, on a page of that scheme."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "report.html").write_bytes(page.read_bytes())
        (folder / "probe.html").write_text(PROBE % (width, CONTRAST, SMALLEST), encoding="utf-8")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/probe.html"
        try:
            shown = browse(chromium, folder, scheme, "--virtual-time-budget=20000", "--dump-dom", address)
            if pictures:
                pictures.mkdir(parents=True, exist_ok=True)
                browse(chromium, folder, scheme, f"--window-size={max(width, 500)},3000",
                       f"--screenshot={folder / 'page.png'}", address)
                shutil.copy(folder / "page.png", pictures / f"{page.stem}-{width}-{scheme}.png")
        finally:
            server.shutdown()
            server.server_close()
    found = re.search(r'<pre id="result">(.*?)</pre>', shown, re.DOTALL)
    if not found:
        sys.exit(f"FAIL: {page}: the browser did not load it")
    return json.loads(html.unescape(found.group(1)))


def main():
    """Check the page and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=pathlib.Path)
    parser.add_argument("chromium")
    parser.add_argument("--sections", nargs="*", default=[], help="that must be there")
    parser.add_argument("--images", type=int, default=1, help="pictures and figures that must be there at least")
    parser.add_argument("--pictures", type=pathlib.Path, metavar="DIR", help="keep pictures of the page there")
    a = parser.parse_args()
    failed = 0

    def want(ok, text):
        nonlocal failed
        if not ok:
            failed += 1
            print(f"FAIL: {a.page}: {text}")

    for width, scheme in [(w, s) for w in (1280, 390) for s in SCHEMES]:
        r = probe(a.chromium, a.page, width, scheme, a.pictures)
        at = f"at {width} pixels, {scheme}"
        want(r["width"] == width, f"a window of {r['width']} pixels; asked for {width}")
        want(r["needs"] <= width, f"{at}: it is {r['needs']} pixels wide")
        want((r["ground"] < 0.1) == (scheme == "dark"), f"{at}: the page's ground has luminance {r['ground']:.2f}")
        want(r["patches"] == 0, f"{at}: {r['patches']} figures on another ground than the page's")
        want(not r["missing"] and not r["undrawn"], f"{at}: not drawn: {r['missing'] + r['undrawn']}")
        want(r["images"] >= a.images, f"{r['images']} pictures and figures; want {a.images}")
        want(r["unnamed"] == 0, f"{r['unnamed']} pictures without a text")
        want(not r["faint"], f"{at}: text that does not stand out (contrast): {r['faint']}")
        want(not r["words"], f"{at}: words in figures: {r['words']}")
        want(not r["loose"], f"{at}: first columns that scroll away: {r['loose']}")
        want(r["files"] == 0, f"{at}: {r['files']} figures without links to SVG, PNG and CSV")
        want(r["png"], f"{at}: no PNG is made")
        want(not r["dead"], f"links to nowhere: {r['dead']}")
        want(not r["requests"], f"it fetches {r['requests']}")
        for section in a.sections:
            want(section in r["sections"], f"no section {section!r}")
        for section, size in r["sections"].items():
            want(size > 40, f"section {section!r} is empty")
        print(f"{a.page.name} {at}: {r['title']!r}, {len(r['sections'])} sections, {r['images']} pictures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
