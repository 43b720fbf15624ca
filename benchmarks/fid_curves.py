#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""FID by iteration of a standalone GAN and of MD-GAN (k = 1 and k = log N, N = 4 and 10).

usage: benchmarks/fid_curves.py build/release/bin/gantry-train [--iterations 1500] [--out DIR]

Writes md_gan_fid.md (table and commands) and md_gan_fid.svg. Every run sees batches of 10 per
worker, equal learning rates, and the same scores: 2,000 generated images against the test set, in
the features of the program's own classifier.
"""
import argparse
import json
import math
import pathlib
import shlex
import subprocess
import tempfile

RUNS = [
    ("standalone, b = 10", "--strategy standalone --batch 10"),
    ("standalone, b = 100", "--strategy standalone --batch 100"),
    ("MD-GAN, N = 4, k = 1", "--strategy md_gan --workers 4 --k 1 --batch 10"),
    ("MD-GAN, N = 4, k = log N", "--strategy md_gan --workers 4 --k log --batch 10"),
    ("MD-GAN, N = 10, k = 1", "--strategy md_gan --workers 10 --k 1 --batch 10"),
    ("MD-GAN, N = 10, k = log N", "--strategy md_gan --workers 10 --k log --batch 10"),
]
COLOURS = ["#8c8c8c", "#333333", "#f28e2b", "#d1495b", "#4e9fd1", "#1b4f8a"]
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 420, 60, 230, 20, 50


def run(program, common, flags):
    """-> FID by iteration, the last line of metric-fid.jsonl."""
    with tempfile.TemporaryDirectory() as folder:
        command = [program, *shlex.split(common), *shlex.split(flags)]
        subprocess.run([*command, "--quiet", "--outdir", folder], check=True)
        text = (pathlib.Path(folder) / "metric-fid.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    return {line["iteration"]: line["fid"] for line in lines}, lines[-1]


def line(x1, y1, x2, y2, style):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {style}/>'


def text(x, y, content, style=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{content}</text>'


def svg(curves):
    """Curves with a logarithmic FID axis."""
    last = max(i for _, curve in curves for i in curve)
    logs = [math.log10(v) for _, curve in curves for v in curve.values()]
    low, high = min(logs) - 0.05, max(logs) + 0.05

    def px(iteration):
        return LEFT + (WIDTH - LEFT - RIGHT) * iteration / last

    def py(fid):
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - math.log10(fid)) / (high - low)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
           'font-family="sans-serif" font-size="13">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for tick in (10, 20, 30, 50, 100, 200, 300):
        if low <= math.log10(tick) <= high:
            out.append(line(LEFT, py(tick), WIDTH - RIGHT, py(tick), 'stroke="#ddd"'))
            out.append(text(LEFT - 8, py(tick) + 4, tick, 'text-anchor="end"'))
    for part in range(6):
        tick = round(last * part / 5)
        out.append(text(px(tick), HEIGHT - BOTTOM + 20, tick, 'text-anchor="middle"'))
    middle = (LEFT + WIDTH - RIGHT) / 2
    out.append(text(middle, HEIGHT - 10, "iteration", 'text-anchor="middle"'))
    out.append(text(16, HEIGHT / 2, "FID", f'transform="rotate(-90 16 {HEIGHT / 2})"'))
    for row, ((name, curve), colour) in enumerate(zip(curves, COLOURS)):
        points = " ".join(f"{px(i):.1f},{py(v):.1f}" for i, v in curve.items())
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x, y = WIDTH - RIGHT + 15, TOP + 20 + 22 * row
        out.append(line(x, y, x + 25, y, f'stroke="{colour}" stroke-width="3"'))
        out.append(text(x + 33, y + 4, name))
    return "\n".join(out) + "\n</svg>\n"


def page(results, options, common):
    """The Markdown page with the table and the commands."""
    last = results[0][3]
    lines = ["# FID of standalone training and of MD-GAN", "",
             f"Fashion-MNIST, {options.model}, non-saturating loss, Adam 2e-4 (0.5, 0.999),",
             "averaged generator (0.999), swap every epoch by derangement, i.i.d. shards.",
             "FID in the 64 features of the program's classifier",
             f"(`{last['feature_network']}`, SHA-256",
             f"`{last['feature_sha256'][:16]}`), {last['generated']:,} generated against",
             f"{last['reference']:,} test images; one run per column, seed 1.", "",
             "![FID by iteration](md_gan_fid.svg)", "",
             "| iteration | " + " | ".join(name for name, *_ in results) + " |",
             "| --: |" + " --: |" * len(results)]
    for i in sorted(results[0][2]):
        lines.append(f"| {i} | " + " | ".join(f"{r[2][i]:.1f}" for r in results) + " |")
    lines += ["", "An iteration of MD-GAN sees N x b real images, one of the standalone GAN b.",
              "`k = log N` is ceil(ln N): 2 for N = 4, 3 for N = 10. Made by", "", "```sh",
              f"benchmarks/fid_curves.py build/release/bin/gantry-train --iterations "
              f"{options.iterations} --model {options.model}",
              "```", "", "which runs, for each column:", "", "```sh"]
    lines += [f"gantry-train {common} {flags}" for _, flags, *_ in results]
    return "\n".join(lines + ["```", ""])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--iterations", type=int, default=1500)
    parser.add_argument("--model", default="dcgan28")
    parser.add_argument("--out", default="docs/results", type=pathlib.Path)
    options = parser.parse_args()
    common = (f"--data fashion-mnist --model {options.model} --iterations {options.iterations} "
              f"--seed 1 --grid-every {max(1, options.iterations // 10)} --metric-samples 2000")
    results = []
    for name, flags in RUNS:
        curve, last = run(options.program, common, flags)
        results.append((name, flags, curve, last))
        print(f"{name}: FID {curve[max(curve)]:.1f} at the end", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "md_gan_fid.md").write_text(page(results, options, common))
    (options.out / "md_gan_fid.svg").write_text(svg([(r[0], r[2]) for r in results]))


if __name__ == "__main__":
    main()
