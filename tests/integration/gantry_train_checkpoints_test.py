#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of gantry-train: their files, kills at any time, disks that fail, which ones stay."""
import json
import random
import resource
import shutil
import signal
import subprocess
import time
import unittest
from pathlib import Path

from gantry_train_support import (LOG, PATIENCE, SCORES, ProgramTest, checkpoint, command, figures,
                                  lines, manifest_hash, names, read_safetensors, sha256)

SWAPS = {"workers": 3, "swap_every": "2it", "swap_moments": True, "k": 2}
KILLS = 6


def saved(outdir: Path) -> list[int]:
    """Iterations of the checkpoints of a run, each of which must be whole."""
    found = []
    for name in sorted(x for x in names(outdir) if x.startswith("network-snapshot-")):
        folder = outdir / name
        manifest = json.loads((folder / "MANIFEST.json").read_text())
        listed = manifest["sha256"]
        assert names(folder) == set(listed) | {"MANIFEST.json"}, name
        for file, digest in listed.items():
            assert sha256(folder / file) == digest, (name, file)
        found.append(json.loads((folder / "state.json").read_text())["iteration"])
        assert folder == checkpoint(outdir, found[-1]), name
    return found


class Layout(ProgramTest):
    def test_files_names_and_state(self):
        outdir = self.folder / "layout"
        self.train(outdir=outdir, iterations=3, **SWAPS)
        folder = checkpoint(outdir, 3)
        networks = ["generator", *(f"discriminator-{w}" for w in (1, 2, 3))]
        expected = {"MANIFEST.json", "config.json", "state.json", "generator_ema.safetensors"}
        for name in networks:
            expected |= {f"{name}.safetensors", f"{name}-optimizer.safetensors"}
        values = {x for x in names(folder) if x.startswith("values")}
        self.assertEqual(names(folder) - values, expected)
        state = json.loads((folder / "state.json").read_text())
        self.assertEqual(state, {"iteration": 3, "images": state["images"], "world_size": 4,
                                 "live_workers": [True] * 3})
        self.assertEqual(state["images"], lines(outdir / LOG)[-1]["images"])
        self.assertEqual(json.loads((folder / "MANIFEST.json").read_text())["format"], "gantry-1")
        for name in networks:
            tensors = read_safetensors(folder / f"{name}.safetensors")
            self.assertIn("0.weight", tensors)
            optimizer = read_safetensors(folder / f"{name}-optimizer.safetensors")
            self.assertEqual(set(optimizer), {"state", "average_buffers", "step"})
        self.assertEqual(read_safetensors(folder / "generator_ema.safetensors"),
                         read_safetensors(folder / "generator.safetensors"))


class Kills(ProgramTest):
    def test_killed_again_and_again_it_is_the_run_that_was_not(self):
        outdir, whole, rng = self.folder / "killed", self.folder / "whole", random.Random(1)
        given = {"workers": 2, "grid_every": 100000, "save_every": 3, "keep_checkpoints": 2}
        reached = 0
        for attempt in range(KILLS):
            program = self.start(**given, iterations=100000, outdir=outdir, quiet=True,
                                 **({"resume": "latest"} if reached else {}))
            self.addCleanup(program.communicate)
            self.addCleanup(program.kill)
            end = time.monotonic() + PATIENCE
            while not checkpoint(outdir, reached + 3).exists() and time.monotonic() < end:
                time.sleep(0.005)
            time.sleep(rng.random() * 0.05)
            program.kill()
            _, errors = program.communicate(timeout=PATIENCE)
            self.assertEqual(program.returncode, -signal.SIGKILL, errors)
            found = saved(outdir)
            self.assertGreater(found[-1], reached)
            self.assertLessEqual(len(found), 3)  # two, and one that was to go
            reached = found[-1]
        last = reached + 2
        self.train(**given, iterations=last, outdir=outdir, resume="latest")
        self.train(**given, iterations=last, outdir=whole)
        self.assertEqual(manifest_hash(outdir, last), manifest_hash(whole, last))
        self.assertEqual(figures(lines(outdir / LOG)), figures(lines(whole / LOG)))
        self.assertEqual([x for x in names(outdir) if x.startswith(".") or ".tmp-" in x], [])

    def test_killed_between_two_renames_it_has_its_checkpoint(self):
        outdir = self.folder / "aside"
        self.train(iterations=2, outdir=outdir)
        whole, aside = checkpoint(outdir, 2), outdir / ".network-snapshot-000002.partial.old"
        before = manifest_hash(outdir, 2)
        whole.rename(aside)
        self.assert_refused(self.call("--outdir", str(outdir), "--quiet"), 2, str(whole))
        self.assertEqual((saved(outdir), aside.exists()), ([2], False))
        for resume in ("latest", str(whole)):
            whole.rename(aside)
            self.train(iterations=4, outdir=outdir, resume=resume)
            self.assertEqual((saved(outdir), manifest_hash(outdir, 2)), ([2, 4], before))
            shutil.rmtree(checkpoint(outdir, 4))
        whole.rename(aside)
        self.train(iterations=3, outdir=outdir, overwrite=True)
        self.assertEqual((saved(outdir), aside.exists()), ([3], False))

    def test_full_disk_keeps_the_checkpoint_before(self):
        outdir = self.folder / "full"
        self.train(iterations=2, outdir=outdir)
        before, biggest = manifest_hash(outdir, 2), max(
            path.stat().st_size for path in checkpoint(outdir, 2).iterdir())
        words = command(self.settings(iterations=4, outdir=outdir, resume="latest", quiet=True))
        limit = biggest // 2
        result = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=PATIENCE,
            restore_signals=False,  # SIGXFSZ stays ignored, as on a disk that is full
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        self.assert_refused(result, 3, "cannot write", ".network-snapshot-000004.partial",
                            "File too large")
        self.assertEqual((saved(outdir), manifest_hash(outdir, 2)), ([2], before))
        self.assertEqual([x for x in names(outdir) if x.startswith(".") or ".tmp-" in x], [])
        self.train(iterations=4, outdir=outdir, resume="latest")
        self.assertEqual(saved(outdir), [2, 4])


class Retention(ProgramTest):
    def test_last_ones_stay(self):
        outdir = self.folder / "last"
        self.train(outdir=outdir, iterations=7, save_every=1, keep_checkpoints=2)
        self.assertEqual(saved(outdir), [6, 7])
        self.train(outdir=outdir, iterations=9, save_every=1, keep_checkpoints=3, resume="latest")
        self.assertEqual(saved(outdir), [7, 8, 9])
        plain = self.folder / "plain"
        self.train(outdir=plain, iterations=9)
        self.assertEqual(manifest_hash(outdir, 9), manifest_hash(plain, 9))

    def test_the_best_stays(self):
        outdir = self.folder / "best"
        given = {"metrics": "fid", "metric_samples": 16, "metric_every": 1000, "save_every": 1,
                 "keep_checkpoints": 1, "keep_best": True, "outdir": outdir}
        result = self.train(**given, iterations=6)
        scores = {x["iteration"]: x["fid"] for x in lines(outdir / SCORES) if x["iteration"] > 0}
        self.assertEqual(list(scores), [1, 2, 3, 4, 5, 6])
        best = min(scores, key=lambda i: (scores[i], i))
        self.assertEqual(saved(outdir), sorted({best, 6}))
        for iteration in saved(outdir):
            state = json.loads((checkpoint(outdir, iteration) / "state.json").read_text())
            self.assertEqual(state["score"], scores[iteration])
        self.assertEqual(state["best"], {"iteration": best, "score": scores[best]})
        self.assertIn(f"best checkpoint {checkpoint(outdir, best)}, FID {scores[best]:.2f}",
                      result.stdout)
        whole = self.folder / "best-whole"
        self.train(**given, iterations=8, resume="latest")
        self.train(**{**given, "outdir": whole}, iterations=8)
        self.assertEqual(saved(outdir), saved(whole))
        self.assertEqual(manifest_hash(outdir, 8), manifest_hash(whole, 8))

    def test_refusals(self):
        for words, fragments in (
                (("--keep-best", "--save-every", "2", "--metrics", "none"), ("--metrics fid",)),
                (("--keep-best",), ("--save-every",)),
                (("--keep-checkpoints", "2"), ("--save-every",)),
                (("--keep-checkpoints", "-1"), ("--keep-checkpoints",))):
            self.assert_refused(self.call(*words, "--quiet"), 2, words[0], *fragments)


class Damage(ProgramTest):
    """A checkpoint that is not what was written is refused, whatever is wrong with it."""

    def test_each_file(self):
        outdir = self.folder / "whole"
        self.train(iterations=2, outdir=outdir)
        for name in sorted(names(checkpoint(outdir, 2))):
            with self.subTest(name):
                copy = self.folder / "copy"
                shutil.copytree(outdir, copy)
                self.addCleanup(shutil.rmtree, copy, True)
                path = checkpoint(copy, 2) / name
                data = bytearray(path.read_bytes())
                data[len(data) // 2] ^= 1
                path.write_bytes(data)
                result = self.run_program(iterations=3, outdir=copy, resume="latest", quiet=True)
                self.assert_refused(result, 3, str(checkpoint(copy, 2)))
                shutil.rmtree(copy)


if __name__ == "__main__":
    unittest.main()
