#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""FID by iteration of a standalone GAN and of MD-GAN (k = 1 and k = log N, N = 4 and 10), as in the paper's experiments.

usage: benchmarks/fid_curves.py build/release/bin/gantry-train [--iterations 1500] [--out docs/results]

Writes md_gan_fid.md (table and commands) and md_gan_fid.svg. Every run sees batches of 10 per worker, equal learning rates, and the
same scores: 2,000 generated images against the test set, in the features of the program's own classifier.
"""
import argparse
import json
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


def run(program, common, flags):
    """-> (FID by iteration, feature hash, seconds of the whole run)."""
    with tempfile.TemporaryDirectory() as folder:
        command = [program, *shlex.split(common), *shlex.split(flags), "--quiet", "--outdir", folder]
        subprocess.run(command, check=True)
        lines = [json.loads(s) for s in (pathlib.Path(folder) / "metric-fid.jsonl").read_text().splitlines()]
        stats = (pathlib.Path(folder) / "stats.jsonl").read_text().splitlines()[-1]
    return {m["iteration"]: m["fid"] for m in lines}, lines[-1], json.loads(stats)["seconds"]


def svg(curves, width=760, height=420):
    """Curves with a logarithmic FID axis."""
    import math

    left, right, top, bottom = 60, 230, 20, 50
    xs = [i for _, c in curves for i in c]
    ys = [math.log10(v) for _, c in curves for v in c.values()]
    x_max, y_min, y_max = max(xs), min(ys) - 0.05, max(ys) + 0.05
    px = lambda i: left + (width - left - right) * i / x_max
    py = lambda v: top + (height - top - bottom) * (y_max - math.log10(v)) / (y_max - y_min)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
           f'<rect width="{width}" height="{height}" fill="white"/>']
    for tick in (10, 20, 30, 50, 100, 200, 300):
        if y_min <= math.log10(tick) <= y_max:
            y = py(tick)
            out.append(f'<line x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
                       f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick}</text>')
    for part in range(6):
        i = round(x_max * part / 5)
        out.append(f'<text x="{px(i):.1f}" y="{height - bottom + 20}" text-anchor="middle">{i}</text>')
    out.append(f'<text x="{(left + width - right) / 2}" y="{height - 10}" text-anchor="middle">iteration</text>'
               f'<text x="16" y="{height / 2}" transform="rotate(-90 16 {height / 2})" text-anchor="middle">FID</text>')
    for (name, curve), colour in zip(curves, COLOURS):
        points = " ".join(f"{px(i):.1f},{py(v):.1f}" for i, v in curve.items())
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    for row, ((name, _), colour) in enumerate(zip(curves, COLOURS)):
        y = top + 20 + 22 * row
        out.append(f'<line x1="{width - right + 15}" x2="{width - right + 40}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="3"/>'
                   f'<text x="{width - right + 48}" y="{y + 4}">{name}</text>')
    return "\n".join(out) + "\n</svg>\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--iterations", type=int, default=1500)
    parser.add_argument("--model", default="dcgan28")
    parser.add_argument("--out", default="docs/results")
    a = parser.parse_args()
    every = max(1, a.iterations // 10)
    common = (f"--data fashion-mnist --model {a.model} --iterations {a.iterations} --seed 1 "
              f"--grid-every {every} --metric-samples 2000")
    results = []
    for name, flags in RUNS:
        curve, last, seconds = run(a.program, common, flags)
        results.append((name, flags, curve, last, seconds))
        print(f"{name}: FID {min(curve.values()):.1f} at best, {list(curve.values())[-1]:.1f} at the end, {seconds:.0f} s", flush=True)
    last = results[0][3]
    iterations = sorted(results[0][2])
    lines = ["# FID of standalone training and of MD-GAN", "",
             f"Fashion-MNIST, {a.model}, non-saturating loss, Adam 2e-4 (0.5, 0.999), averaged generator (0.999), swap every epoch by "
             "derangement, i.i.d. shards. FID in the 64 features of the program's classifier "
             f"(`{last['feature_network']}`, SHA-256 `{last['feature_sha256'][:16]}`), {last['generated']:,} generated against "
             f"{last['reference']:,} test images.", "",
             "![FID by iteration](md_gan_fid.svg)", "",
             "| iteration | " + " | ".join(name for name, *_ in results) + " |",
             "| --: |" + " --: |" * len(results)]
    for i in iterations:
        lines.append(f"| {i} | " + " | ".join(f"{c[i]:.1f}" for _, _, c, _, _ in results) + " |")
    lines += ["", "An iteration of MD-GAN sees N x b real images, one of the standalone GAN b. `k = log N` is ceil(ln N): 2 for N = 4, 3 for "
              "N = 10.", "",
              "```sh", f"benchmarks/fid_curves.py build/release/bin/gantry-train --iterations {a.iterations} --model {a.model}", "```", "",
              "which runs, for each column:", "", "```sh"]
    lines += [f"gantry-train {common} {flags}" for _, flags, *_ in results]
    lines += ["```", ""]
    out = pathlib.Path(a.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "md_gan_fid.md").write_text("\n".join(lines))
    (out / "md_gan_fid.svg").write_text(svg([(name, curve) for name, _, curve, _, _ in results]))


if __name__ == "__main__":
    main()
