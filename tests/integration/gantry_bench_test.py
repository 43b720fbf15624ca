#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""gantry-bench prints JSON lines with the documented keys; nothing is asserted about time."""
import json
import math
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from gantry_train_support import write_data

STEP_KEYS = {"impl", "model", "kernels", "minimal_filtering", "precision", "batch", "threads",
             "steps", "step_ms", "step_ms_p10", "step_ms_p90", "images_per_s", "gflop_per_step",
             "gflops", "peak_gflops", "fraction_of_peak", "planned_bytes", "measured_bytes",
             "peak_resident_bytes", "allocations_per_step", "vector_lanes", "compiler",
             "processor"}
LAYER_KEYS = {"network", "index", "layer", "pass", "us", "us_p10", "us_p90", "gflops",
              "fraction_of_peak"}


def call(*words):
    return subprocess.run([os.environ["GANTRY_BENCH"], *words], capture_output=True, text=True,
                          timeout=240)


class Runs(unittest.TestCase):
    def lines(self, *words):
        result = call(*words)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return [json.loads(line) for line in result.stdout.splitlines()]

    def assert_finite(self, line):
        for key, value in line.items():
            if isinstance(value, (int, float)):
                self.assertTrue(math.isfinite(value), key)


class Bench(Runs):
    def test_step(self):
        for kernels in ("own", "eigen"):
            line, = self.lines("step", "--model", "mlp28", "--batch", "4", "--steps", "2",
                               "--warmup", "1", "--kernels", kernels)
            self.assertEqual(set(line), STEP_KEYS)
            self.assert_finite(line)
            self.assertEqual((line["batch"], line["steps"], line["kernels"]), (4, 2, kernels))
            self.assertGreater(line["step_ms"], 0)
            self.assertEqual(line["planned_bytes"], line["measured_bytes"])

    def test_useful_work(self):
        """2 x the multiplications of the textbook step at batch 64, as counted by hand."""
        for model, gflop in (("mlp28", 0.845), ("dcgan28", 9.441), ("dcgan32", 24.64)):
            line, = self.lines("step", "--model", model, "--batch", "2", "--steps", "1",
                               "--warmup", "0")
            self.assertAlmostEqual(line["gflop_per_step"] * 32, gflop, delta=0.002 * gflop)

    def test_layers(self):
        lines = self.lines("layers", "--model", "dcgan28", "--batch", "2", "--steps", "1")
        for line in lines:
            self.assertLessEqual(LAYER_KEYS, set(line))
            self.assert_finite(line)
        passes = {(line["network"], line["layer"], line["pass"]) for line in lines}
        self.assertIn(("discriminator", "conv2d", "weight gradient"), passes)
        self.assertIn(("generator", "conv_transpose2d", "input gradient"), passes)
        self.assertIn(("discriminator", "adam", "update"), passes)

    def test_strategy(self):
        line, = self.lines("strategy", "--model", "mlp28", "--batch", "2", "--steps", "1",
                           "--workers", "2", "--threads", "2")
        self.assert_finite(line)
        self.assertEqual((line["strategy"], line["workers"]), ("md_gan", 2))
        self.assertGreater(line["throughput_of_flat"], 0)

    def test_refusals(self):
        for words, expected in ((["step", "--model", "none-such"], "mlp28, "),
                                (["step", "--device", "abacus"], "expected one of cpu"),
                                (["step", "--precision", "bf16"], "expected one of fp32"),
                                (["step", "--batch", "0"], "--batch"), ([], "subcommand")):
            result = call(*words)
            self.assertEqual((result.returncode, result.stdout), (2, ""))
            self.assertIn(expected, result.stderr)
            self.assertEqual(result.stderr.count("\n"), 1)


class Exchange(Runs):
    OPERATIONS = ["send", "bw", "bibw", "exchange", "broadcast", "reduce", "all_reduce", "gather"]

    def check(self, lines, transport, ranks):
        self.assertEqual(list(dict.fromkeys(line["op"] for line in lines)), self.OPERATIONS)
        for line in lines:
            self.assert_finite(line)
            self.assertEqual((line["transport"], line["ranks"]), (transport, ranks))
            if "fit" in line:
                self.assertGreaterEqual(line["latency_us"], 0)
            else:
                self.assertLessEqual(line["us_p10"], line["us"])
                self.assertLessEqual(line["us"], line["us_p90"])
                ways = 2 if line["op"] == "bibw" else 1
                self.assertAlmostEqual(line["gb_per_s"], ways * line["bytes"] / line["us"] / 1e3, 6)
                self.assertEqual(line.get("window"), 64 if "bw" in line["op"] else None)
        sizes = [line["bytes"] for line in lines if line["op"] == "send" and "bytes" in line]
        self.assertEqual(sizes, [4, 16, 64, 256, 1024])

    def test_comm(self):
        lines = self.lines("comm", "--ranks", "3", "--most", "1024", "--seconds", "0.001")
        self.check(lines, "threads", 3)

    def over_mpi(self, ranks, *words):
        if not shutil.which("mpirun") or call("comm", "--transport", "mpi",
                                              "--ranks", "1").stderr.count("expected one of"):
            self.skipTest("this build has no MPI, or mpirun is missing")
        environment = os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1",
                                    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                                    "OMPI_MCA_rmaps_base_oversubscribe": "1"}
        return subprocess.run(["mpirun", "-n", str(ranks), os.environ["GANTRY_BENCH"], *words,
                               "--transport", "mpi"],
                              capture_output=True, text=True, timeout=240, env=environment)

    def test_comm_over_mpi(self):
        result = self.over_mpi(2, "comm", "--most", "1024", "--seconds", "0.001")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.check([json.loads(line) for line in result.stdout.splitlines()], "mpi", 2)

    def test_scaling_over_mpi(self):
        words = ("scaling", "--batch", "4", "--rounds", "2", "--modelled", "1000", "--gflops", "10")
        with tempfile.TemporaryDirectory() as folder:
            result = self.over_mpi(3, *words, "--measured", "1,2", "--out", folder)
            self.assertEqual(result.returncode, 0, result.stderr)
            page = (Path(folder) / "mlp28-mpi.md").read_text()
            refused = self.over_mpi(2, *words, "--measured", "1,2", "--out", folder)
        measured = [line for line in map(json.loads, result.stdout.splitlines())
                    if not line["modelled"]]
        # Two strategies, weak and strong; the idle rank's are not in the bytes, which were planned.
        self.assertEqual([line["workers"] for line in measured], [1, 2] * 4)
        self.assertEqual({line["network"] for line in measured}, {"mpi"})
        self.assertIn("| mpi, measured | 2 |", page)
        self.assertIn("at most 1 workers", refused.stderr)

    def test_scaling(self):
        with tempfile.TemporaryDirectory() as folder:
            links = Path(folder) / "links.jsonl"
            links.write_text('{"op":"send","bytes":4}\n{"op":"send","fit":"a line",'
                             '"latency_us":5.0,"bandwidth_gb_per_s":2.0}\n')
            lines = self.lines("scaling", "--batch", "4", "--measured", "1,2", "--rounds", "2",
                               "--modelled", "1,1000", "--gflops", "10",
                               "--memory-gb-per-s", "3", "--links", str(links), "--out", folder)
            page = (Path(folder) / "mlp28.md").read_text()
            for plot in ("mlp28.svg", "mlp28-strong.svg"):
                self.assertIn("<polyline", (Path(folder) / plot).read_text())
                self.assertIn(f"]({plot})", page)
        self.assertIn("--batch 4 --measured 1,2 --modelled 1,1000 --rounds 2 --gflops 10.0 "
                      "--memory-gb-per-s 3.0 --links links.jsonl\n", page)
        for line in lines:
            self.assert_finite(line)
            self.assertIn(f"| {line['workers']} |", page)
        md_gan = [line for line in lines if line["strategy"] == "md_gan"
                  and line["scaling"] == "weak" and line["network"].startswith("measured")]
        one, thousand = md_gan
        # 3 b d numbers of 4 bytes for each worker (methods: 2 b d down, b d up).
        self.assertEqual(one["bytes_per_round"], 3 * 4 * 784 * 4)
        self.assertEqual(thousand["bytes_per_round"], 1000 * one["bytes_per_round"])
        # The same work; the server's link is busier, and it adds up more of what comes up, a third.
        self.assertAlmostEqual((thousand["round_ms"] - one["round_ms"]) * 1e-3,
                               999 * one["bytes_per_round"] * (1 / 2e9 + 1 / 3e9), 6)

    def test_scaling_refusals(self):
        for words, expected in ((["--measured", "2,4"], "--measured"),
                                (["--links", "/nowhere/links"], "/nowhere/links")):
            result = call("scaling", *words)
            self.assertIn(result.returncode, (2, 3))
            self.assertIn(expected, result.stderr)
            self.assertEqual(result.stderr.count("\n"), 1)


class Strategies(Runs):
    """Experiments on a few images: what they leave; the figures mean nothing."""

    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="gantry-bench-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.data = write_data(cls.folder / "data")

    def run_experiment(self, key, *more):
        result = call("strategies", "--experiment", key, "--length", "0.004", "--out",
                      str(self.folder), "--data-dir", str(self.data), *more)
        self.assertEqual(result.returncode, 0, result.stderr)
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        kept = (self.folder / f"{key}.jsonl").read_text().splitlines()
        self.assertEqual([json.loads(line) for line in kept], lines)
        page = (self.folder / f"{key}.md").read_text()
        for line in lines:
            self.assertIn(f"| {line['run']} |", page)
        return lines, page

    def test_modelled_time(self):
        lines, page = self.run_experiment("b", "--seeds", "0,1")
        self.assertEqual(len(lines), 2 * 4)
        self.assertIn("modelled", page)
        for line in lines:
            self.assertGreater(line["modelled_seconds"], 0)
            self.assertGreater(line["points"][-1]["fid"], 0)
        # Equal work: seconds are those of the model and no clock's, so seeds agree.
        by_run = {}
        for line in lines:
            by_run.setdefault(line["run"], set()).add(line["modelled_seconds"])
        self.assertTrue(all(len(seconds) == 1 for seconds in by_run.values()), by_run)
        serial, parallel = (max(by_run[f"Ren, {name}, 5 and 5 steps"])
                            for name in ("serial", "parallel"))
        self.assertLess(parallel, serial)
        self.assertIn("<polyline", (self.folder / "b.svg").read_text())

    def test_bytes_are_those_on_the_wire(self):
        lines, page = self.run_experiment("e", "--seeds", "0")
        moved = {line["run"]: line["bytes"] for line in lines}
        self.assertGreater(moved["exact"], moved["bf16"])
        self.assertGreater(moved["bf16"], moved["int8, error feedback"])
        noisy = [line for line in lines if line["run"].startswith("clip")]
        for line in noisy:
            self.assertEqual(line["bytes"], moved["exact"])
        for line in noisy:
            spent = [point["epsilon"] for point in line["points"]]
            self.assertEqual(spent, sorted(set(spent)))
            self.assertEqual(spent[-1], line["epsilon"])
        self.assertTrue(all(point["epsilon"] is None for point in lines[0]["points"]))
        self.assertIn("![FID against epsilon](e-epsilon.svg)", page)
        picture = (self.folder / "e-epsilon.svg").read_text()
        self.assertEqual(picture.count("<circle"), len(noisy))
        for name in (line["run"] for line in noisy):
            self.assertIn(f">{name}<", picture)
        # Less noise, less privacy.
        spent = [line["epsilon"] for line in noisy]
        self.assertEqual(spent, sorted(spent, reverse=True))
        self.assertIn(f"| {spent[-1]:.1f} |", page)  # one below 100

    def check_memory(self, line):
        for node in ("server", "worker"):
            planned, measured = line[f"{node}_arenas"], line[f"{node}_arenas_measured"]
            self.assertEqual(sum(measured.values()), line[f"{node}_bytes_measured"])
            self.assertGreater(measured["activations"], 0)
            self.assertEqual(measured["messages"], 0)
            for part, held in measured.items():
                self.assertLessEqual(held, planned[part], (line["run"], node, part))

    def test_memory_of_the_server(self):
        lines, page = self.run_experiment("a-memory", "--seeds", "0")
        for line in lines:
            self.check_memory(line)
        memory = {line["run"]: line["server_bytes_measured"] for line in lines}
        # Workers share the batches: as long as k stays, so does the server's memory.
        self.assertEqual(memory["k = 1, 2 workers"], memory["k = 1, 8 workers"])
        self.assertEqual(memory["k = 1, 8 workers"], memory["k = 1, 16 workers"])
        self.assertGreater(memory["k = log, 16 workers"], memory["k = log, 2 workers"])
        self.assertIn("measured of planned", page)

    def test_stragglers(self):
        lines, page = self.run_experiment("b-stragglers", "--seeds", "0")
        by_run = {line["run"]: line for line in lines}
        for line in lines:
            self.check_memory(line)
            slow = by_run.get(line["run"] + ", 2 stragglers")
            if slow is None:
                continue
            self.assertEqual((line["faults"]["stragglers"], slow["faults"]["stragglers"]), (0, 0.2))
            # Slow workers change the clock and nothing else.
            self.assertEqual(line["points"][-1], slow["points"][-1])
            self.assertGreater(slow["modelled_seconds"], line["modelled_seconds"])
        self.assertIn("| modelled seconds to FID ", page)
        self.assertIn("20 % of the workers take 10 times as long", page)

    def test_faults_of_any_modelled_experiment(self):
        seconds = []
        for more in ((), ("--stragglers", "0.1"),
                     ("--stragglers", "0.1", "--straggler-slowdown", "20")):
            lines, _ = self.run_experiment("d-scaling", "--seeds", "0", *more)
            seconds.append(lines[-1]["modelled_seconds"])
        self.assertEqual(sorted(set(seconds)), seconds)
        drop = ("b", "--seeds", "1", "--drop-out", "0.1")
        lines, page = self.run_experiment(*drop)
        live = [line["live_workers"] for line in lines]
        self.assertTrue(all(0 < workers <= 5 for workers in live), live)
        self.assertLess(min(live), 5)
        self.assertIn("--drop-out 0.1\n", page)
        again, _ = self.run_experiment(*drop)
        self.assertEqual([line["live_workers"] for line in again], live)

    def test_refused_faults(self):
        for words, expected in ((("e", "--stragglers", "0.5"), "choose one of b, "),
                                (("b", "--drop-out", "1"), "leaves none in FedGAN"),
                                (("b", "--stragglers", "2"), "--stragglers")):
            result = call("strategies", "--out", str(self.folder / "none"), "--data-dir",
                          str(self.data), "--experiment", *words)
            self.assertEqual(result.returncode, 2)
            self.assertIn(expected, result.stderr)
            self.assertEqual(result.stderr.count("\n"), 1)

    def test_wrong_workers(self):
        lines, _ = self.run_experiment("e-wrong", "--seeds", "0")
        self.assertEqual(len(lines), 12)

    def test_pairs_per_label_at_equal_compute(self):
        lines, _ = self.run_experiment("d", "--seeds", "0")
        work = [line["iterations"] * (line["server_flops_per_round"] + workers *
                                      line["worker_flops_per_round"])
                for line, workers in zip(lines, (10, 10, 10, 0))]
        rounds = [line["iterations"] for line in lines]
        for run, spent, count in zip(lines, work, rounds):
            self.assertAlmostEqual(spent / work[0], 1, delta=0.5 / (count - 0.5), msg=run["run"])
        for line in lines:
            arenas = line["server_arenas"]
            self.assertEqual(sum(arenas.values()), line["server_bytes_planned"])
            self.assertGreater(line["points"][-1]["fid"], 0)

    def test_pairs_per_label_start_and_scale(self):
        lines, _ = self.run_experiment("d-start", "--seeds", "0")
        self.assertEqual(len(lines), 2 * 5)
        lines, _ = self.run_experiment("d-scaling", "--seeds", "0")
        # Nothing but orders and losses is on the wire, so that ten workers take as long as one.
        seconds = [line["modelled_seconds"] for line in lines]
        self.assertLess(max(seconds), 1.01 * min(seconds))
        self.assertEqual({line["bytes"] for line in lines}, {0})

    def test_equal_work_over_slow_links(self):
        lines, page = self.run_experiment("c", "--seeds", "0")
        memory = {line["run"]: line["server_bytes_planned"] for line in lines}
        self.assertLess(memory["layer-wise, as ready"], 0.85 * memory["layer-wise, blocking"])
        self.assertIn("of the first line", page)
        lines, _ = self.run_experiment("c-tasks", "--seeds", "0")
        self.assertTrue(all(line["round_seconds"] > 0 for line in lines))

    def test_unknown(self):
        result = call("strategies", "--experiment", "z")
        self.assertEqual(result.returncode, 2)
        self.assertIn("expected one of a, ", result.stderr)


if __name__ == "__main__":
    unittest.main()
