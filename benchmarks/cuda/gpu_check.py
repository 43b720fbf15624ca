#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that a machine with a GPU can say about Gantry, in one command (scripts/gpu_check.sh):

probe       GPU, driver, nvcc, PyTorch, and the GPU's ceilings (benchmarks/peer/ceilings.py)
build       ninja: all kernel and backend tests, the twins, training steps; gantry-train beside it
tests       every kernel in every arithmetic on odd shapes against double, trainings, twins
bits        ptx_test under the emulator and on the GPU: the same bits
train       some iterations of gantry-train --device cuda per preset and precision, and of md_gan
sanitizer   compute-sanitizer (memcheck, racecheck, initcheck, synccheck) over the backend's ops
nccl        three ranks on this device (tests/nccl/gpu_ranks.cpp), where NCCL is installed
benchmarks  steps of our kernels, the libraries' and PyTorch (benchmarks/peer/torch_gan_step_gpu.py:
            eager, AMP, compiled, whole step in one CUDA graph), A B B A

No network is used. doctest's headers are looked for in --deps (default: $GANTRY_DEPS, then
/usr/include): the folder that has doctest/doctest.h. CMake looks for Eigen, zlib and CLI11 there,
too; without them `train` is left out and says so; so are the libraries' kernels without cuBLASLt
and cuDNN 9 (GANTRY_CUBLAS, GANTRY_CUDNN: folders with include/ and lib/). results.json and table.md
in --out grow with every phase. What the time does not allow is named, for --phases and --workloads.

--dry-run compiles and measures nothing: it prints the commands, checks by ninja -n that every
source is there, and adds up the budget. --rehearse does what needs no GPU: the emulator's half of
`bits` by the host's compiler, one program by nvcc, PyTorch's set-ups and the ceilings on the CPU,
the table, with figures of ours that are made up and say so.

Exit code: 0 all passed, 1 something failed, 2 a bad call, 77 no GPU or no nvcc.
"""
import argparse
import json
import math
import os
import random
import shutil
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/kernels"), str(ROOT / "tests/nccl")]
import check_library  # noqa: E402
from check_cubins import SKIPPED, find_nvcc  # noqa: E402
from check_vendor import find_libraries  # noqa: E402
from gpu_build import SYSTEM, VENDOR_MATHS, maths_of, ninja_file  # noqa: E402
from gpu_table import summary, table  # noqa: E402

# Most wanted first: what the time does not allow is left out and said so.
WORKLOADS = (("mlp28", 64), ("dcgan32", 64), ("dcgan64", 128), ("wgan_gp32", 64), ("sngan32", 64),
             ("dcgan32", 128), ("mlp28", 128), ("dcgan64", 64), ("mlp28", 1024), ("dcgan32", 1024),
             ("dcgan64", 1024))
TRAINED = ("mlp28", "dcgan32", "wgan_gp32_narrow")  # presets of gantry-train here
COMPILED = 3                       # workloads that torch.compile is waited for
BUDGET = {"probe": 20, "build": 200, "tests": 80, "bits": 10, "train": 60, "sanitizer": 60,
          "nccl": 40}  # seconds at most; benchmarks have the rest
PRECISIONS = ("fp32", "tf32", "bf16")
CLOSE = 1e-3  # of the first iteration's losses, in fp32 on both devices
PHASES = (*BUDGET, "benchmarks")
SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")
SANITIZED = tuple("cuda: " + case for case in (
    "products", "batch norm", "numbers*", "samples*", "objectives*", "an auxiliary classifier*",
    "latents*", "batches of images*", "one pass over a pair*"))


class session:
    """What all phases share: the clock, the results, and how commands are run."""

    def __init__(self, options):
        self.options, self.begin = options, time.monotonic()
        self.results = {"phases": {}, "benchmarks": []}
        self.background = None
        self.failed = False

    def small(self) -> list[str]:
        return ["--rehearse"] if self.options.rehearse else []

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
            said = e.stdout.decode(errors="replace") if isinstance(e.stdout, bytes) else e.stdout
            return subprocess.CompletedProcess(command, 124, said or "", "ran out of time")
        except OSError as e:  # it was not built, or is not installed
            return subprocess.CompletedProcess(command, 127, "", str(e))

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
        self.results["summary"] = summary(self.results["benchmarks"])
        (out / "results.json").write_text(json.dumps(self.results, indent=1), encoding="utf-8")
        (out / "table.md").write_text(table(self.results["benchmarks"]), encoding="utf-8")


def find_deps(given) -> Path | None:
    for folder in (given, os.environ.get("GANTRY_DEPS"), *SYSTEM):
        if folder and (Path(folder) / "doctest/doctest.h").exists():
            return Path(folder)
    return None


def probe(s, nvcc):
    smi = s.run(["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.sm,power.draw",
                 "--format=csv,noheader"]) if shutil.which("nvidia-smi") else None
    torch = s.run([s.options.python, "-c", "import torch; print(torch.__version__)"])
    version = s.run([nvcc, "--version"]).stdout.strip().splitlines()
    ceilings = s.run([s.options.python, ROOT / "benchmarks/peer/ceilings.py", *s.small()],
                     timeout=BUDGET["probe"])
    _, _, missing = find_libraries(nvcc)
    s.note("probe", {"gpu": smi.stdout.strip() if smi else "none",
                     "nvcc": version[-1] if version else "",
                     "torch": torch.stdout.strip() or "not installed",
                     "ceilings": next(iter(last_json(ceilings.stdout)), "not measured"),
                     "libraries": f"without {', '.join(missing)}" if missing else "found"})


def build_all(s, nvcc, deps, build):
    text = ninja_file(nvcc, deps, build, s.options.workloads)
    build.mkdir(parents=True, exist_ok=True)
    (build / "build.ninja").write_text(text, encoding="utf-8")
    begin = time.monotonic()
    # -k 0: what builds is used although something else does not.
    command = ["ninja", "-k", "0", "-f", str(build / "build.ninja")]
    if s.options.dry_run or s.options.rehearse:
        done = subprocess.run([*command, "-n", "-v"], capture_output=True, text=True, check=False)
        print(done.stdout)
    if s.options.rehearse:
        done = s.run([*command, "-j1", build / "ptx_emulated", build / "ptx_test"])
    elif not s.options.dry_run:
        start_program(s, deps, build)
        done = s.run(command, timeout=BUDGET["build"])
    s.note("build", f"{time.monotonic() - begin:.0f} s" if done.returncode == 0 else
           done.stdout[-3000:] + done.stderr[-1000:], done.returncode != 0)


def start_program(s, deps, build):
    """gantry-train builds beside the rest, where CMake finds what it needs."""
    if "train" in s.options.phases and not s.run(configure_program(deps, build)).returncode:
        s.background = subprocess.Popen(
            ["cmake", "--build", str(build / "program"), "--target", "gantry-train"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_all(s, build):
    if s.options.rehearse:
        return s.note("tests", "need a GPU")
    done = s.run([build / "kernel_tests"], timeout=BUDGET["tests"])
    tail = [x for x in done.stdout.splitlines() if "[doctest]" in x or "without a plan" in x][-6:]
    s.note("tests", " ".join(tail) if done.returncode == 0 else done.stdout[-6000:] + done.stderr,
           done.returncode != 0)


def bits_of(s, program) -> dict[str, str]:
    """What a build of ptx_test gives, by name."""
    path = Path(f"{program}.bits")
    path.unlink(missing_ok=True)
    s.run([program], timeout=60, env={**os.environ, "GANTRY_BITS": str(path)})
    if not path.exists():
        return {}
    return dict(line.split() for line in path.read_text(encoding="utf-8").splitlines())


def compare_bits(s, build):
    emulated, device = bits_of(s, build / "ptx_emulated"), bits_of(s, build / "ptx_test")
    if s.options.dry_run:
        return None
    if s.options.rehearse:
        return s.note("bits", f"{len(emulated)} results of the emulator, {len(device)} of a GPU",
                      len(emulated) == 0)
    differ = sorted(k for k in emulated.keys() | device.keys()
                    if emulated.get(k) != device.get(k))
    return s.note("bits", f"differ: {', '.join(differ)}" if differ or not emulated else
                  f"{len(emulated)} results are equal", bool(differ) or not emulated)


def configure_program(deps, build) -> list:
    """The program alone, for this GPU."""
    names = ",".join(TRAINED)
    return ["cmake", "-S", ROOT, "-B", build / "program", "-G", "Ninja", "-DGANTRY_CUDA=ON",
            "-DGANTRY_BUILD_TESTS=OFF", "-DGANTRY_BUILD_BENCHMARKS=OFF",
            "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CUDA_ARCHITECTURES=90a",
            f"-DGANTRY_PRESETS={names}", f"-DGANTRY_CUDA_PRESETS={names}",
            f"-DCMAKE_PREFIX_PATH={deps}"]


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


def train_all(s, build):
    program, found = build / "program", {}
    if s.options.rehearse:
        return s.note("train", "needs a GPU")
    if not s.options.dry_run:
        if not s.background and not (program / "bin/gantry-train").exists():
            return s.note("train", "left out: CMake did not find what the program needs")
        said = s.background.communicate(timeout=max(1, s.left()))[0] if s.background else ""
        if s.background and s.background.returncode:
            return s.note("train", said[-3000:], True)
    for model in TRAINED:
        for strategy in (["standalone"], ["md_gan", "--workers", 2]):
            own = ["--strategy", *strategy]
            expected = train(s, program, model, *own, "--device", "cpu")
            for precision in PRECISIONS if strategy == ["standalone"] else PRECISIONS[:1]:
                line = train(s, program, model, *own, "--device", "cuda", "--precision", precision)
                if line and expected:
                    found[f"{model} {strategy[0]} {precision}"] = complaint_about(
                        line, expected if precision == "fp32" else None)
    s.note("train", found, any(v != "passed" for v in found.values()))


def sanitize(s, build):
    if s.options.rehearse:
        return s.note("sanitizer", "needs a GPU")
    tool = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not s.options.dry_run and not Path(tool).exists():
        return s.note("sanitizer", "not installed")
    found, failed, end = {}, False, time.monotonic() + BUDGET["sanitizer"]
    for i, name in enumerate(SANITIZERS):
        done = s.run([tool, "--tool", name, "--error-exitcode", "9", build / "kernel_tests",
                      "-tc=" + ",".join(SANITIZED)], (end - time.monotonic()) / (4 - i))
        late = done.returncode == 124 and done.stdout.count("=========") < 2  # only its heading
        found[name] = ("passed" if done.returncode == 0 else "no finding, but out of time" if late
                       else (done.stdout + done.stderr)[-1500:])
        failed = failed or done.returncode != 0 and not late
    s.note("sanitizer", found, failed)


def last_json(text) -> list[dict]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def ours(build, model, batch) -> list[list]:
    """Own and the libraries' kernels by turns, per arithmetic."""
    headers = find_libraries(find_nvcc(""))
    sets = {math: ("own", "vendor") if math in VENDOR_MATHS and not headers[2] else ("own",)
            for math in maths_of(model)}
    return [[build / f"step_{model}_{math}", batch, 0.4, kernels]
            for math in maths_of(model) for kernels in sets[math]]


def rehearsed(command) -> str:
    """What a step program would print."""
    name = Path(str(command[0])).name.split("_")
    rounds = [round(1 + random.Random(i).random() / 10, 5) for i in range(15)]
    return json.dumps({"impl": "gantry", "set_up": f"{name[-1]} {command[3]}, rehearsed",
                       "model": "_".join(name[1:-1]), "batch": command[1], "rounds_ms": rounds})


def compare(s, build, model, batch, with_compile):
    """A B B A: ours, theirs, theirs, ours; each run of a set-up is a line with its rounds.
    torch.compile runs once: its seconds would cost another workload."""
    peer = [s.options.python, ROOT / "benchmarks/peer/torch_gan_step_gpu.py", "--model", model,
            "--batch", 2 if s.options.rehearse else batch, "--seconds", 0.4, *s.small()]
    first, second = "eager,amp,graph,graph32", "amp,graph,graph32"
    if with_compile:
        first = "eager,amp,compiled,graph,graph32"
    own, found = ours(build, model, batch), []
    for command in [*own, [*peer, "--set-ups", first], [*peer, "--set-ups", second],
                    *reversed(own)]:
        mine = command in own
        if mine and s.options.rehearse:
            found.append(json.loads(rehearsed(command)))
            continue
        done = s.run(command, timeout=120)
        lines = last_json(done.stdout)
        if done.returncode or (not lines and not s.options.dry_run):
            name = Path(str(command[0])).name
            lines.append({"impl": "gantry" if mine else "pytorch",
                          "set_up": f"{name} {command[3]}" if mine else "-", "model": model,
                          "batch": batch, "error": (done.stderr or "no result")[-300:]})
            s.failed = s.failed or mine
        found += [line | {"batch": batch} for line in lines]
    s.results["benchmarks"] += found
    s.write()


def benchmark(s, build):
    skipped = []
    for i, (model, batch) in enumerate(s.options.workloads):
        if s.left() < 40 and not s.options.dry_run:
            skipped.append(f"{model} {batch}")
            continue
        compare(s, build, model, batch, i < COMPILED and s.left() > 120)
    s.note("benchmarks", "all" if not skipped else "no time was left for " + ", ".join(skipped))


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
    parser.add_argument("--phases", type=lambda t: t.split(","), default=list(PHASES),
                        help="some of " + ",".join(PHASES))
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--rehearse", action="store_true", help="what needs no GPU")
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
    without_gpu = s.options.dry_run or s.options.rehearse
    if not nvcc or (not without_gpu and not shutil.which("nvidia-smi")):
        print("skipped: a GPU with nvidia-smi and nvcc are needed, set CUDA_HOME or use --dry-run")
        return SKIPPED
    steps = {"probe": lambda: probe(s, nvcc), "build": lambda: build_all(s, nvcc, deps, build),
             "tests": lambda: test_all(s, build), "bits": lambda: compare_bits(s, build),
             "train": lambda: train_all(s, build), "sanitizer": lambda: sanitize(s, build),
             "nccl": lambda: s.note("nccl", *check_library.on_gpu(s, nvcc, deps, build, 40)),
             "benchmarks": lambda: benchmark(s, build)}
    unknown = [p for p in s.options.phases if p not in steps]
    if unknown:
        print(f"--phases was expected to name some of {', '.join(PHASES)}, found {unknown[0]}")
        return 2
    for phase, step in steps.items():
        if phase in s.options.phases:
            step()
    if s.options.dry_run:
        planned = sum(BUDGET.values())
        print(f"budget: {planned} s at most before the benchmarks, which have "
              f"{s.options.limit - planned:.0f} s of {s.options.limit:.0f} s or more")
    else:
        print((s.options.out / "table.md").read_text(encoding="utf-8"))
    print("FAILED" if s.failed else "passed")
    return 1 if s.failed else 0


if __name__ == "__main__":
    sys.exit(main())
