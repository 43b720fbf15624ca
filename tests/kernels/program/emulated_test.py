#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""gantry-train --device cuda, whose kernels run under the emulator, beside --device cpu of the same
program: losses and checkpoints agree within roundings of numbers near 1, but for a few weights
whose gradients are roundings; the same run again, and on another number of devices, gives the same
bits; a run goes on from a checkpoint of the other device."""
import json
import struct
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "integration"))
from gantry_train_mpi_support import MISSING, MpiTest  # noqa: E402
from gantry_train_support import (LOG, SIDE, ProgramTest, checkpoint, figures,  # noqa: E402
                                  images, lines, manifest_hash, models, write_cifar10)

ITERATIONS = 2
CLOSE = 2e-5  # of losses and weights, fp32 on both devices
# Biases in front of a batch norm have gradients that are 0 but for roundings, and the first step of
# Adam looks at signs: two steps apart, 4e-4, and how many of a file's numbers may be.
ADAM, SIGNS = 4e-4, 0.02
CLOSE_BF16 = 2e-2  # factors of products have 8 bits
ONCE = {"iterations": 1}  # in one a worker has trained, sent, and trained with what came back
RUNS = {"standalone": {"strategy": "standalone"},
        "md_gan": {"strategy": "md_gan", "k": 2, "swap_every": 2},
        "federated_average": {"strategy": "federated_average", "local_updates": 1},
        "averaged_discriminator": {"strategy": "averaged_discriminator", "local_updates": 1},
        "layerwise_overlap": {"strategy": "layerwise_overlap", **ONCE},
        "label_parallel": {"strategy": "label_parallel", "critic_steps": 1, **ONCE},
        "output_aggregation": {"strategy": "output_aggregation", "k": 2, **ONCE},
        # Convolutions, batch norm, dropout, labels; residual blocks and a penalty.
        "acgan28": {"model": "acgan28", "strategy": "md_gan", "k": 1, "swap_every": "1it", **ONCE},
        "wgan_gp32_narrow": {"model": "wgan_gp32_narrow", "strategy": "standalone",
                             "critic_steps": 1, "data": "cifar10", **ONCE}}


def write_classes(folder: Path) -> Path:
    """Images of two classes."""
    folder.mkdir()
    for prefix in ("train", "t10k"):
        pixels, labels = images(40, 1)
        few = [i for i, label in enumerate(labels) if label < 2]
        side = len(pixels) // len(labels)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(
            struct.pack(">4I", 0x803, len(few), SIDE, SIDE) +
            b"".join(pixels[i * side:(i + 1) * side] for i in few))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(
            struct.pack(">2I", 0x801, len(few)) + bytes(labels[i] for i in few))
    return folder


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
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.colour = write_cifar10(cls.folder / "cifar10", (12, 12), 4)
        cls.classes = write_classes(cls.folder / "classes")

    def usual(self, device: str, run: str) -> Path:
        """A run that several tests look at."""
        outdir = self.folder / f"{run}-{device}"
        return outdir if outdir.exists() else self.run_on(device, outdir.name, run)

    def run_on(self, device: str, name: str, run: str, **more) -> Path:
        outdir = self.folder / name
        usual = {"model": "mlp28", "batch": 2, "iterations": ITERATIONS, "quiet": True,
                 "grid_every": 100, "tensorboard": "off"}
        if run == "label_parallel":  # a worker for each class
            usual["data_dir"] = self.classes
        if "data" in RUNS[run]:
            usual["data_dir"] = self.colour
        self.environment["SIMT_REPORT"] = str(outdir.with_suffix(".report"))
        self.train(device=device, outdir=outdir, **{**usual, **RUNS[run], **more})
        return outdir

    def assert_close(self, found: Path, expected: Path, close: float,
                     iteration: int = ITERATIONS, moved: float = 0) -> None:
        ours, theirs = lines(found / LOG), lines(expected / LOG)
        self.assertEqual(len(ours), len(theirs))
        for a, b in zip(ours, theirs):
            for key in ("loss_d", "loss_g"):
                self.assertLess(abs(a[key] - b[key]), close, f"{key} of {a} and {b}")
        a, b = (checkpoint(run, iteration) for run in (found, expected))
        names = sorted(p.name for p in b.glob("*.safetensors"))
        self.assertEqual(names, sorted(p.name for p in a.glob("*.safetensors")))
        self.assertTrue(any(n.startswith("generator") for n in names), names)
        for name in names:
            ours, theirs = tensors(a / name), tensors(b / name)
            self.assertEqual(ours.keys(), theirs.keys())
            apart = {key: [abs(x - y) if x == x and y == y else 1e9
                           for x, y in zip(ours[key], theirs[key])] for key in ours}
            for key, differences in apart.items():
                self.assertLess(max(differences, default=0), close + moved, f"{name}: {key}")
            far = sum(d >= close for differences in apart.values() for d in differences)
            self.assertLessEqual(far, SIGNS * sum(map(len, apart.values())), name)

    def test_runs_follow_the_cpu(self):
        for run, settings in RUNS.items():
            with self.subTest(run=run):
                if settings.get("model", "mlp28") not in models():
                    self.skipTest(f"this build has no {settings['model']}")
                self.assert_close(self.usual("cuda", run), self.usual("cpu", run), CLOSE,
                                  settings.get("iterations", ITERATIONS),
                                  ADAM if "model" in settings else 0)

    def test_same_bits(self):
        """Again, on any number of devices: ranks take turns, and who is where changes no bit."""
        usual = self.usual("cuda", "md_gan")
        self.addCleanup(self.environment.pop, "SIMT_DEVICES", None)
        for devices in (1, 3):
            self.environment["SIMT_DEVICES"] = str(devices)
            again = self.run_on("cuda", f"devices-{devices}", "md_gan")
            with self.subTest(devices=devices):
                self.assertEqual(manifest_hash(again, ITERATIONS), manifest_hash(usual, ITERATIONS))
                self.assertEqual(figures(lines(again / LOG)), figures(lines(usual / LOG)))
                kernels = lines(again.with_suffix(".report"))[0]
                self.assertEqual(len(kernels), devices)
                self.assertGreater(min(kernels), 0, kernels)

    def test_no_device(self):
        self.environment["SIMT_DEVICES"] = "0"
        self.addCleanup(self.environment.pop, "SIMT_DEVICES")
        result = self.run_program(device="cuda", model="mlp28", quiet=True,
                                  outdir=self.folder / "nowhere")
        self.assert_refused(result, 2, "a GPU with its driver", "--device cpu")

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
        others = set(models()) - {"mlp28", *(run.get("model", "mlp28") for run in RUNS.values())}
        for more, fragment in (*(({"model": m}, "GANTRY_CUDA_PRESETS") for m in sorted(others)[:1]),
                               ({"kernels": "vendor"}, "-DGANTRY_CUDA_LIBRARIES=ON"),
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
            report = self.folder / f"{way}.report"
            self.environment["SIMT_REPORT"] = str(report)
            job = self.start_job(3, **few, device_messages=way, quiet=False,
                                 outdir=self.folder / way)
            out, errors = self.end_of(job)
            self.assertEqual(job.returncode, 0, errors)
            self.assertRegex(out, f"messages between devices: MPI is handed .*{said}")
            # Local ranks 0 and 2 on one device, 1 on the other.
            kernels = [json.loads(line) for line in report.read_text().splitlines()]
            self.assertEqual(sorted([a > 0, b > 0] for a, b in kernels),
                             [[False, True], [True, False], [True, False]], kernels)
        ways = [self.folder / way for way in ("pointers", "staged")]
        self.assertEqual(*(manifest_hash(outdir, 1) for outdir in ways))
        sent = [[line["sent"] for line in lines(outdir / "phases-1.jsonl")] for outdir in ways]
        self.assertEqual(*sent)
        self.assertGreater(sent[0][0]["discriminator"], 0)


if __name__ == "__main__":
    unittest.main()
