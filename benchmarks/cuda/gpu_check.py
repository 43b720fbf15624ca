#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that a machine with a GPU can say about Gantry, in one command (scripts/gpu_check.sh):

1. probe: GPU, driver, nvcc, PyTorch
2. build with ninja: all kernel and backend tests, the training step per preset and arithmetic
3. tests on the GPU
4. gantry-train, configured with GANTRY_CUDA=ON: some iterations with --device cuda per preset and
   precision, and of md_gan, whose fp32 losses are those of --device cpu
5. compute-sanitizer (memcheck, racecheck, initcheck, synccheck) over the backend's ops
6. the training step beside PyTorch's (benchmarks/peer/torch_gan_step_gpu.py), by turns

No network is used. doctest's headers are looked for in --deps (default: $GANTRY_DEPS, then
/usr/include): the folder that has doctest/doctest.h. CMake looks for Eigen, zlib and CLI11 there,
too; without them phase 4 is left out and says so. Results are written after every phase and
every benchmark, as results.json and table.md in --out. --dry-run compiles and measures nothing: it
prints the commands and lets ninja check that every source is there (ninja -n).

Exit code: 0 all passed, 1 something failed, 2 a bad call, 77 no GPU or no nvcc.
"""
import argparse
import json
import math
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/kernels"))
from check_cubins import SKIPPED, find_nvcc  # noqa: E402

MATHS = ("fp32", "tf32", "bf16", "bf16x3")
# Most wanted first: what the time does not allow is left out and said so.
WORKLOADS = (("mlp28", 64), ("dcgan32", 64), ("dcgan64", 128), ("dcgan32", 128), ("mlp28", 512),
             ("dcgan64", 64), ("dcgan32", 1024), ("dcgan64", 1024))
PRECISIONS = ("fp32", "tf32", "bf16")
CLOSE = 1e-3  # of the first iteration's losses, in fp32 on both devices
SYSTEM = (Path("/usr/include"), Path("/usr/local/include"))
SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")


class session:
    """What all phases share: the clock, the results, and how commands are run."""

    def __init__(self, options):
        self.options, self.begin = options, time.monotonic()
        self.results = {"phases": {}, "benchmarks": []}
        self.failed = False

    def left(self) -> float:
        return self.options.limit - (time.monotonic() - self.begin)

    def run(self, command, timeout=None, **more):
        command = [str(part) for part in command]
        if self.options.dry_run:
            print("would run:", " ".join(command))
            return subprocess.CompletedProcess(command, 0, "", "")
        try:
            return subprocess.run(command, capture_output=True, text=True, check=False,
                                  timeout=max(1, min(timeout or 1e9, self.left())), **more)
        except subprocess.TimeoutExpired as e:
            return subprocess.CompletedProcess(command, 124, e.stdout or "", "ran out of time")

    def note(self, phase, value, failed=False):
        self.results["phases"][phase] = value
        self.failed = self.failed or failed
        print(f"{phase}: {value if isinstance(value, str) else json.dumps(value)}", flush=True)
        self.write()

    def write(self):
        if self.options.dry_run:
            return
        out = self.options.out
        out.mkdir(parents=True, exist_ok=True)
        self.results["seconds"] = round(time.monotonic() - self.begin, 1)
        (out / "results.json").write_text(json.dumps(self.results, indent=1), encoding="utf-8")
        (out / "table.md").write_text(table(self.results["benchmarks"]), encoding="utf-8")


def tests_of_kernels() -> list[Path]:
    return sorted(ROOT.glob("tests/kernels/*_test.cpp")) + sorted(
        ROOT.glob("tests/kernels/backend/*_test.cpp"))


def presets(workloads) -> list[str]:
    return list(dict.fromkeys(model for model, _ in workloads))


def ninja_file(nvcc, deps, build, workloads) -> str:
    flags = (f"-std=c++20 --expt-relaxed-constexpr -diag-suppress 177,445,554,3189 -arch=sm_90a "
             f"-I{ROOT}/include -I{ROOT}/kernels -I{ROOT}/tests "
             f"-DGANTRY_SOURCE_DIR='\"{ROOT}\"'")
    if deps not in SYSTEM:  # naming a folder that the compiler knows changes its order
        flags += f" -I{deps}"
    lines = [f"nvcc = {nvcc}", f"flags = {flags}", "",
             "rule object", "  command = $nvcc -x cu $flags -O2 -c $in -o $out",
             "rule program", "  command = $nvcc -arch=sm_90a $in -o $out -lpthread",
             "rule step", "  command = $nvcc $flags -O3 -DGANTRY_STEP_PRESET=$preset "
             "-DGANTRY_STEP_MATH=$math $in -o $out -lpthread", ""]
    objects = []
    for source in [*tests_of_kernels(), ROOT / "tests/support/main.cpp"]:
        objects.append(f"{build}/{source.stem}.o")
        lines.append(f"build {objects[-1]}: object {source}")
    lines.append(f"build {build}/kernel_tests: program {' '.join(objects)}")
    for preset in presets(workloads):
        for math in MATHS:
            source = f"{ROOT}/benchmarks/cuda/gan_step.cu"
            lines += [f"build {build}/step_{preset}_{math}: step {source}",
                      f"  preset = {preset}", f"  math = {math}"]
    return "\n".join(lines) + "\n"


def find_deps(given) -> Path | None:
    for folder in (given, os.environ.get("GANTRY_DEPS"), *SYSTEM):
        if folder and (Path(folder) / "doctest/doctest.h").exists():
            return Path(folder)
    return None


def probe(s, nvcc):
    smi = s.run(["nvidia-smi", "--query-gpu=name,driver_version,memory.total",
                 "--format=csv,noheader"])
    torch = s.run([s.options.python, "-c", "import torch; print(torch.__version__)"])
    version = s.run([nvcc, "--version"]).stdout.strip().splitlines()
    s.note("probe", {"gpu": smi.stdout.strip(), "nvcc": version[-1] if version else "",
                     "torch": torch.stdout.strip() or "not installed"})


def build_all(s, nvcc, deps, build):
    text = ninja_file(nvcc, deps, build, s.options.workloads)
    build.mkdir(parents=True, exist_ok=True)
    (build / "build.ninja").write_text(text, encoding="utf-8")
    begin = time.monotonic()
    # -k 0: what builds is used although something else does not.
    command = ["ninja", "-k", "0", "-f", str(build / "build.ninja")]
    if s.options.dry_run:
        done = subprocess.run([*command, "-n", "-v"], capture_output=True, text=True, check=False)
        print(done.stdout)
    else:
        done = s.run(command, timeout=300)
    s.note("build", f"{time.monotonic() - begin:.0f} s" if done.returncode == 0 else
           done.stdout[-3000:] + done.stderr[-1000:], done.returncode != 0)


def test_all(s, build):
    done = s.run([build / "kernel_tests"], timeout=120)
    tail = [x for x in done.stdout.splitlines() if "[doctest]" in x][-3:]
    s.note("tests", " ".join(tail) if done.returncode == 0 else done.stdout[-6000:] + done.stderr,
           done.returncode != 0)


def configure_program(deps, build, workloads) -> list:
    """The program alone, for this GPU, with the presets that are timed."""
    return ["cmake", "-S", ROOT, "-B", build / "program", "-G", "Ninja", "-DGANTRY_CUDA=ON",
            "-DGANTRY_BUILD_TESTS=OFF", "-DGANTRY_BUILD_BENCHMARKS=OFF",
            "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CUDA_ARCHITECTURES=90a",
            f"-DGANTRY_PRESETS={','.join(presets(workloads))}", f"-DCMAKE_PREFIX_PATH={deps}"]


def write_images(path: Path, side: int, channels: int, count: int = 256) -> None:
    """Noise as an .npz of [count][side][side][channels] bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = str({"descr": "|u1", "fortran_order": False,
                  "shape": (count, side, side, channels)}).encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    pixels = random.Random(1).randbytes(count * side * side * channels)
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("images.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) +
                        header + pixels)


def train(s, program, model, *more) -> dict | None:
    """The first line of a run's log, None if the run failed."""
    side, channels = (28, 1) if model.endswith("28") else (64, 3)
    data, outdir = program / f"images{side}.npz", program / "run"
    if not s.options.dry_run:
        write_images(data, side, channels)
    done = s.run([program / "bin/gantry-train", "--model", model, "--data", data, "--data-cache",
                  program / "cache", "--iterations", 5, "--batch", 16, "--log-every", 1, "--seed",
                  1, "--quiet", "--overwrite", "--outdir", outdir, *more], timeout=60)
    if s.options.dry_run:
        return None
    if done.returncode:
        return {"error": done.stderr.strip()[-300:]}
    return json.loads((outdir / "stats.jsonl").read_text(encoding="utf-8").splitlines()[0])


def complaint_about(line: dict, expected: dict | None) -> str:
    """What is wrong with a run's first line; expected: the CPU's, None where sums differ."""
    if "error" in line:
        return line["error"]
    losses = [line["loss_d"], line["loss_g"]]
    if not all(math.isfinite(loss) for loss in losses):
        return f"the losses are {losses}"
    if expected and not all(abs(line[k] - expected[k]) < CLOSE for k in ("loss_d", "loss_g")):
        return f"the losses are {losses} and not {expected['loss_d']}, {expected['loss_g']}"
    return "passed"


def train_all(s, deps, build):
    program, found = build / "program", {}
    if s.run(configure_program(deps, build, s.options.workloads)).returncode:
        return s.note("gantry-train", "left out: CMake did not find what the program needs")
    done = s.run(["cmake", "--build", program, "--target", "gantry-train"], timeout=240)
    if done.returncode:
        return s.note("gantry-train", done.stdout[-3000:], True)
    for model in presets(s.options.workloads):
        for strategy in (["standalone"], ["md_gan", "--workers", 2]):
            own = ["--strategy", *strategy]
            expected = train(s, program, model, *own, "--device", "cpu")
            for precision in PRECISIONS if strategy == ["standalone"] else PRECISIONS[:1]:
                line = train(s, program, model, *own, "--device", "cuda", "--precision", precision)
                if line and expected:
                    found[f"{model} {strategy[0]} {precision}"] = complaint_about(
                        line, expected if precision == "fp32" else None)
    s.note("gantry-train", found, any(v != "passed" for v in found.values()))


def sanitize(s, build):
    tool = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not s.options.dry_run and not Path(tool).exists():
        return s.note("sanitizer", "not installed")
    found = {}
    for name in SANITIZERS:
        done = s.run([tool, "--tool", name, "--error-exitcode", "9", build / "kernel_tests",
                      "-tc=cuda: products,cuda: batch norm,cuda: numbers*,cuda: samples*"],
                     timeout=40)
        found[name] = "passed" if done.returncode == 0 else (done.stdout + done.stderr)[-1500:]
    s.note("sanitizer", found, any(v != "passed" for v in found.values()))


def last_json(text) -> list[dict]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def compare(s, build, model, batch):
    """Ours and theirs by turns (A B B A), each set-up a line with the rounds of both runs."""
    ours = [[build / f"step_{model}_{math}", batch, 1] for math in MATHS]
    theirs = [s.options.python, ROOT / "benchmarks/peer/torch_gan_step_gpu.py", "--model", model,
              "--batch", batch, "--seconds", 1]
    found = []
    for command in [*ours, theirs, theirs, *reversed(ours)]:
        done = s.run(command, timeout=120)
        lines = last_json(done.stdout)
        if done.returncode or (not lines and not s.options.dry_run):
            lines.append({"impl": Path(str(command[0])).name, "set_up": "-", "model": model,
                          "batch": batch, "error": (done.stderr or "no result")[-300:]})
            s.failed = s.failed or command is not theirs
        found += lines
    s.results["benchmarks"] += found
    s.write()


def benchmark(s, build):
    skipped = []
    for model, batch in s.options.workloads:
        if s.left() < 60 and not s.options.dry_run:
            skipped.append(f"{model} {batch}")
            continue
        compare(s, build, model, batch)
    s.note("benchmarks", "all" if not skipped else "no time was left for " + ", ".join(skipped))


def table(lines) -> str:
    """Medians per set-up, and the ratio of PyTorch's best to each of ours."""
    groups = {}
    for line in lines:
        key = (line["model"], line["batch"])
        groups.setdefault(key, {}).setdefault((line["impl"], line["set_up"]), []).append(line)
    rows = ["| model | batch | set-up | ms per step | p10 | p90 | best PyTorch / ours |",
            "| --- | --- | --- | --- | --- | --- | --- |"]
    for (model, batch), runs in groups.items():
        def median(of, key="ms_per_step"):
            values = [x[key] for x in of if key in x]
            return statistics.median(values) if values else None

        peers = [m for (impl, _), of in runs.items() if impl == "pytorch" and (m := median(of))]
        for (impl, set_up), of in runs.items():
            ms = median(of)
            if ms is None:
                error = of[-1]["error"][:80]
                rows.append(f"| {model} | {batch} | {impl} {set_up} | {error} | | | |")
                continue
            ratio = f"{min(peers) / ms:.2f}" if peers and impl == "gantry" else ""
            rows.append(f"| {model} | {batch} | {impl} {set_up} | {ms:.4f} | "
                        f"{median(of, 'ms_p10'):.4f} | {median(of, 'ms_p90'):.4f} | {ratio} |")
    return "\n".join(rows) + "\n"


def workload(text):
    model, _, batch = text.partition(":")
    return model, int(batch)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build/gpu-check/results")
    parser.add_argument("--deps", help="the folder that has doctest/doctest.h")
    parser.add_argument("--nvcc", default="")
    parser.add_argument("--python", default=sys.executable, help="a Python with torch")
    parser.add_argument("--limit", type=float, default=590, help="seconds in all")
    parser.add_argument("--workloads", type=lambda t: [workload(x) for x in t.split(",")],
                        default=list(WORKLOADS), help="model:batch,...")
    parser.add_argument("--dry-run", action="store_true")
    return parser.parse_args()


def main() -> int:
    s = session(arguments())
    nvcc, deps = find_nvcc(s.options.nvcc), find_deps(s.options.deps)
    build = ROOT / "build/gpu-check"
    if not deps:
        print("doctest/doctest.h was not found: give its folder by --deps or GANTRY_DEPS")
        return 2
    if not shutil.which("ninja"):
        print("ninja was not found: install it or put it on PATH")
        return 2
    if not nvcc or (not s.options.dry_run and not shutil.which("nvidia-smi")):
        print("skipped: a GPU with nvidia-smi and nvcc are needed, set CUDA_HOME or use --dry-run")
        return SKIPPED
    probe(s, nvcc)
    build_all(s, nvcc, deps, build)
    test_all(s, build)
    train_all(s, deps, build)
    sanitize(s, build)
    benchmark(s, build)
    if not s.options.dry_run:
        print((s.options.out / "table.md").read_text(encoding="utf-8"))
    print("FAILED" if s.failed else "passed")
    return 1 if s.failed else 0


if __name__ == "__main__":
    sys.exit(main())
