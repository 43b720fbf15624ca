#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""gantry-train --device cuda, whose kernels run under the emulator, beside --device cpu of the same
program: losses and checkpoints agree within roundings of numbers near 1; the same run again gives
the same bits; a run goes on from a checkpoint of the other device."""
import json
import struct
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "integration"))
from gantry_train_mpi_support import MISSING, MpiTest  # noqa: E402
from gantry_train_support import (LOG, ProgramTest, checkpoint, figures, lines,  # noqa: E402
                                  manifest_hash)

ITERATIONS = 2
CLOSE = 2e-5  # of losses and weights, fp32 on both devices
CLOSE_BF16 = 2e-2  # factors of products have 8 bits
STRATEGIES = {"standalone": {"strategy": "standalone"},
              "md_gan": {"strategy": "md_gan", "k": 2, "swap_every": 2},
              "federated_average": {"strategy": "federated_average", "local_updates": 2}}


def tensors(path: Path) -> dict[str, tuple[float, ...]]:
    """The fp32 tensors of a safetensors file."""
    data = path.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    header, found = json.loads(data[8:8 + size]), {}
    for name, info in header.items():
        if info.get("dtype") == "F32":
            begin, end = info["data_offsets"]
            found[name] = struct.unpack_from(f"<{(end - begin) // 4}f", data, 8 + size + begin)
    return found


class Emulated(ProgramTest):
    def usual(self, device: str, strategy: str) -> Path:
        """A run that several tests look at."""
        outdir = self.folder / f"{strategy}-{device}"
        return outdir if outdir.exists() else self.run_on(device, outdir.name, strategy)

    def run_on(self, device: str, name: str, strategy: str, **more) -> Path:
        outdir = self.folder / name
        usual = {"model": "mlp28", "batch": 2, "iterations": ITERATIONS, "quiet": True,
                 "grid_every": 100, "tensorboard": "off"}
        self.train(device=device, outdir=outdir, **{**usual, **STRATEGIES[strategy], **more})
        return outdir

    def assert_close(self, found: Path, expected: Path, close: float) -> None:
        ours, theirs = lines(found / LOG), lines(expected / LOG)
        self.assertEqual(len(ours), len(theirs))
        for a, b in zip(ours, theirs):
            for key in ("loss_d", "loss_g"):
                self.assertLess(abs(a[key] - b[key]), close, f"{key} of {a} and {b}")
        names = sorted(p.name for p in checkpoint(expected, ITERATIONS).glob("*.safetensors"))
        self.assertEqual(names, sorted(p.name for p in
                                       checkpoint(found, ITERATIONS).glob("*.safetensors")))
        self.assertTrue(any(n.startswith("generator") for n in names), names)
        for name in names:
            a, b = (tensors(checkpoint(run, ITERATIONS) / name) for run in (found, expected))
            self.assertEqual(a.keys(), b.keys())
            for key in a:
                most = max((abs(x - y) if x == x and y == y else 1e9
                            for x, y in zip(a[key], b[key])), default=0)
                self.assertLess(most, close, f"{name}: {key}")

    def test_strategies_follow_the_cpu(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                self.assert_close(self.usual("cuda", strategy), self.usual("cpu", strategy), CLOSE)

    def test_same_bits(self):
        """Several workers, each with its stream, on one device."""
        a, b = self.usual("cuda", "md_gan"), self.run_on("cuda", "again", "md_gan")
        self.assertEqual(manifest_hash(a, ITERATIONS), manifest_hash(b, ITERATIONS))
        self.assertEqual(figures(lines(a / LOG)), figures(lines(b / LOG)))

    def test_checkpoints_change_devices(self):
        half = self.run_on("cuda", "half", "standalone", iterations=1)
        self.run_on("cpu", "half", "standalone", resume="latest")
        self.assert_close(half, self.usual("cpu", "standalone"), CLOSE)

    def test_bf16(self):
        exact = self.usual("cuda", "standalone")
        rounded = self.run_on("cuda", "rounded", "standalone", iterations=1, precision="bf16")
        a, b = lines(exact / LOG)[0], lines(rounded / LOG)[0]
        self.assertNotEqual(a["loss_d"], b["loss_d"])
        self.assertLess(abs(a["loss_d"] - b["loss_d"]), CLOSE_BF16)
        settings = json.loads((checkpoint(rounded, 1) / "config.json").read_text())
        self.assertEqual(settings["precision"], "bf16")

    def test_augmentation(self):
        """Both devices change the images alike, with a fixed and with an adapted probability."""
        for probability in ("0.7", "ada"):
            more = {"augment": "color,translation,cutout,flip", "augment_probability": probability}
            a, b = (self.run_on(device, f"augmented-{device}-{probability}", "standalone", **more)
                    for device in ("cuda", "cpu"))
            with self.subTest(probability=probability):
                self.assert_close(a, b, CLOSE)
        # An adapted probability begins at 0.
        plain, fixed = (lines(outdir / LOG)[0]["loss_d"] for outdir in
                        (self.usual("cuda", "standalone"), self.folder / "augmented-cuda-0.7"))
        self.assertNotEqual(fixed, plain)

    def test_samples(self):
        run = self.usual("cuda", "standalone")
        found = []
        for device in ("cpu", "cuda"):
            outdir = self.folder / f"samples-{device}"
            result = self.call("--sample", "4", "--from", str(run), "--device", device, "--npy",
                               "--outdir", str(outdir), "--quiet")
            self.assertEqual(result.returncode, 0, result.stderr)
            data = (outdir / "samples.npy").read_bytes()
            begin = 10 + struct.unpack_from("<H", data, 8)[0]
            found.append(struct.unpack_from(f"<{(len(data) - begin) // 4}f", data, begin))
        self.assertLess(max(abs(x - y) for x, y in zip(*found)), CLOSE)

    def test_auto_takes_the_device(self):
        result = self.run_program(device="auto", model="mlp28", outdir=self.folder / "auto",
                                  dry_run=True)
        self.assertEqual(json.loads(result.stdout)["device"], "cuda", result.stderr)

    def test_refusals(self):
        outdir = self.folder / "refused"
        for more, fragment in (({"strategy": "layerwise_overlap"}, "layerwise_overlap"),
                               ({"precision": "tf32", "strategy": "standalone"}, "fp32, bf16"),
                               ({"batch": 65536, "workers": 64}, "MiB of a device")):
            with self.subTest(more=more):
                result = self.run_program(**{"device": "cuda", "model": "mlp28", "outdir": outdir,
                                             "quiet": True, **more})
                self.assert_refused(result, 2, fragment)


@unittest.skipIf(MISSING, MISSING)
class EmulatedOverMpi(MpiTest):
    def test_both_ways_have_the_same_bits(self):
        """Pointers of the emulated device are the host's, so that any MPI can take them."""
        few = {"device": "cuda", "model": "mlp28", "batch": 2, "workers": 2, "k": 1,
               "iterations": 1, "save_every": 1, "swap_every": "1it", "metrics": "none",
               "tensorboard": "off", "grid_every": 100}
        for way, said in (("pointers", "pointers to their memory, as was asked for"),
                          ("staged", "as was asked for")):
            job = self.start_job(3, **few, device_messages=way, quiet=False,
                                 outdir=self.folder / way)
            out, errors = self.end_of(job)
            self.assertEqual(job.returncode, 0, errors)
            self.assertRegex(out, f"messages between devices: MPI is handed .*{said}")
        ways = [self.folder / way for way in ("pointers", "staged")]
        self.assertEqual(*(manifest_hash(outdir, 1) for outdir in ways))
        sent = [[line["sent"] for line in lines(outdir / "phases-1.jsonl")] for outdir in ways]
        self.assertEqual(*sent)
        self.assertGreater(sent[0][0]["discriminator"], 0)


if __name__ == "__main__":
    unittest.main()
