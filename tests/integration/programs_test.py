#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""What all programs have in common: where settings come from, words that nobody knows, and the exit
codes of inputs and outputs that are refused.

The environment variable GANTRY_TRAIN names gantry-train; the others are beside it. One that is not
there is skipped.
"""
import json
import re
import struct
import subprocess
import unittest
from pathlib import Path

from gantry_data_support import png, write_pngs
from gantry_train_support import MODEL, PATIENCE, PROGRAM, ProgramTest, snapshot

USAGE, REFUSED = 2, 3
TRAIN, DATA, GENERATE, LATENT, METRICS, ONNX, FEATURES, BENCH = ALL = tuple(
    f"gantry-{name}" for name in ("train", "data", "generate", "latent", "metrics", "onnx",
                                  "features", "bench"))
# A command first, where a program has commands.
COMMANDS = {DATA: ("inspect", "pack", "partition"),
            BENCH: ("step", "layers", "strategy", "peak", "strategies", "comm", "scaling")}

# Program, words, fragments of the sentence. {none} is nothing, {file} a text, {below} in a file.
INPUTS = (
    (TRAIN, "--data-dir {none} --outdir {out}", "{none}"),
    (TRAIN, "--resume {none} --data-dir {data} --outdir {out}", "{none}"),
    (TRAIN, "--sample 4 --from {none} --outdir {out}", "{none}"),
    (TRAIN, "--sample 4 --init-generator {none} --outdir {out}", "{none}"),
    (TRAIN, "--sample 4 --init-generator {file} --outdir {out}", "{file}"),
    (TRAIN, "--init-generator {none} --data-dir {data} --outdir {out}", "{none}"),
    (TRAIN, "--partition file:{none} --data-dir {data} --outdir {out}", "{none}"),
    (TRAIN, "--data {file} --outdir {out}", "{file}"),
    (DATA, "inspect {none}", "{none}"),
    (DATA, "inspect {file}", "{file}"),
    (DATA, "inspect fashion-mnist --data-dir {none}", "{none}"),
    (DATA, "pack {none} --out {out}/x", "{none}"),
    (DATA, "partition {none}", "{none}"),
    (DATA, "partition {data} --outdir {out} --partition file:{none}", "{none}"),
    (GENERATE, "--from {none} --out {out}", "{none}"),
    (GENERATE, "--from {file} --out {out}", "{file}"),
    (LATENT, "--from {none} -a 1:2 -b 2:3 --outdir {out}", "{none}"),
    (METRICS, "--run {none} --data fashion-mnist --data-dir {data}", "{none}"),
    (METRICS, "--images {none} --data fashion-mnist --data-dir {data}", "{none}"),
    (METRICS, "--images {file} --data fashion-mnist --data-dir {data}", "{file}"),
    (METRICS, "--run {run} --data fashion-mnist --data-dir {none}", "{none}"),
    (METRICS, "--images {small} --data {small} --features resnet20:{none}", "{none}"),
    (METRICS, "--images {small} --data {small} --features resnet20:{file}", "{file}"),
    (ONNX, "{none} {out}", "{none}"),
    (ONNX, "{file} {out}", "{file}"),
    (FEATURES, "inception:{file} {none} {out}/x", "{none}"),
    (FEATURES, "inception:{none} {tensors} {out}/x", "{none}"),
    (FEATURES, "resnet20:{file} {tensors} {out}/x", "{file}"),
    (BENCH, "scaling --links {none} --measured 1 --rounds 2 --batch 2", "{none}"),
    (BENCH, "strategies --experiment a --length 0.001 --data-dir {none} --out {out}", "{none}"),
)
OUTPUTS = (
    (TRAIN, "--data-dir {data} --outdir {below}", "--outdir"),
    (TRAIN, "--data {pets} --data-cache {below} --strategy standalone --outdir {out}",
     "--data-cache"),
    (TRAIN, "--sample 4 --from {run} --outdir {below}", "--outdir"),
    (DATA, "inspect {pets} --outdir {below}", "--outdir"),
    (DATA, "pack {pets} --out {below}", "{below}"),
    (DATA, "partition {pets} --outdir {below}", "--outdir"),
    (GENERATE, "--from {run} --count 1 --out {below}", "--out"),
    (LATENT, "--from {run} -a 1:2 -b 2:3 --outdir {below}", "--outdir"),
    (METRICS, "--run {run} --data fashion-mnist --data-dir {data} --json {below}/x", "--json"),
    (METRICS, "--run {run} --data fashion-mnist --data-dir {data} --cache {below}", "--cache"),
    (ONNX, "{run} {below}", "{below}"),
    (BENCH, "scaling --measured 1 --rounds 2 --batch 2 --out {below}", "--out"),
    (BENCH, "strategies --experiment a --length 0.001 --data-dir {data} --out {below}", "--out"),
)
WRONG = (
    (TRAIN, "--batch 0", "--batch"), (TRAIN, "stray", "stray"),
    (DATA, "", "subcommand"), (DATA, "pack {pets}", "--out"),
    (DATA, "inspect {pets} --threads -1", "--threads"),
    (DATA, "inspect mnist", "--data-dir"), (DATA, "inspect {pets} --data-dir {data}", "--data-dir"),
    (GENERATE, "", "--from"), (GENERATE, "--from {run} --count 0", "--count"),
    (LATENT, "--from {run} -a 1:2", "--b"), (LATENT, "--from {run} -a 1:2 -b 2:x", "--b"),
    (METRICS, "--run {run}", "--data"),
    (METRICS, "--run {run} --data mnist --transport mail", "--transport"),
    (ONNX, "", "--from"), (ONNX, "{run}", "--out"), (ONNX, "{run} x y", "y"),
    (FEATURES, "", "--network"), (FEATURES, "vgg16:{file} {tensors} {out}/x", "vgg16"),
    (FEATURES, "resnet20:{file} {tensors} {out}/x --threads -1", "--threads"),
    (BENCH, "", "subcommand"), (BENCH, "step --batch 0", "--batch"),
)
# Program, words before, a flag and three of its values; one that ends early whatever it says.
LAYERS = (
    (TRAIN, "--dry-run", "--batch", (5, 7, 9), ""),
    (DATA, "partition {pets} --outdir {out}", "--workers", (3, 4, 5), ""),
    (GENERATE, "--from {run} --write grid --out {out}", "--count", (2, 3, 4), ""),
    (LATENT, "--from {run} -a 1:2 -b 2:3 --outdir {out}", "--steps", (3, 4, 5), ""),
    (METRICS, "--images {pets} --data {pets} --features resnet20:{none}", "--seed", (3, 4, 5), ""),
    (ONNX, "--from {run}", "--out", ("{out}/a", "{out}/b", "{out}/c"), ""),
    (FEATURES, "resnet20:{none} {tensors} {out}/x", "--threads", (3, 4, 5), "FEATURES_"),
    (BENCH, "step --model " + MODEL + " --steps 1 --warmup 0", "--batch", (2, 3, 4), "BENCH_"),
)


def tensor(name: str, shape: tuple[int, ...], data: bytes) -> bytes:
    """A safetensors file of one tensor of bytes."""
    header = json.dumps({name: {"dtype": "U8", "shape": shape, "data_offsets": [0, len(data)]}})
    return struct.pack("<Q", len(header)) + header.encode() + data


class Programs(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.file = cls.folder / "text.txt"
        cls.file.write_text("neither a folder nor an image\n")
        cls.run_folder = cls.folder / "run"
        result = cls.run_program(iterations=1, outdir=cls.run_folder)
        assert result.returncode == 0, result.stderr
        cls.pets = write_pngs(cls.folder / "pets", {"cats": 6, "dogs": 5})
        cls.small = cls.folder / "small"
        cls.small.mkdir()
        for i in range(8):
            (cls.small / f"{i}.png").write_bytes(png(32, 32, bytes([i]) * (3 * 32 * 32)))
        cls.out = cls.folder / "out"
        cls.out.mkdir()
        cls.places = {"none": cls.folder / "none", "file": cls.file, "below": cls.file / "below",
                      "data": cls.data, "run": cls.run_folder, "pets": cls.pets,
                      "small": cls.small, "out": cls.out, "tensors": cls.folder / "tensors"}
        cls.places["tensors"].write_bytes(tensor("images", (2, 8, 8, 3), bytes(2 * 8 * 8 * 3)))

    def start_program(self, program: str, words: str | list, **variables):
        """Runs a program that is there; its words may have places in braces."""
        path = Path(PROGRAM).with_name(program)
        if not path.is_file():
            self.skipTest(f"{program} is not built")
        split = words.split() if isinstance(words, str) else words
        return subprocess.run([path, *(str(w).format(**self.places) for w in split)],
                              env={**self.environment, **variables}, capture_output=True,
                              text=True, timeout=PATIENCE, cwd=self.folder)

    def check_refusals(self, table, code: int) -> None:
        decoders = "without a decoder" not in self.start_program(
            DATA, "inspect {pets} --outdir {out}").stderr
        for program, words, fragment in table:
            if ("{pets}" in words or "{small}" in words) and not decoders:
                continue
            quiet = "" if program == BENCH or words == "" else " --quiet"
            with self.subTest(f"{program} {words}"):
                before = snapshot(self.run_folder)
                result = self.start_program(program, words + quiet)
                self.assert_refused(result, code, fragment.format(**self.places), program=program)
                self.assertEqual(snapshot(self.run_folder), before)

    def test_inputs_that_are_not_there(self):
        self.check_refusals(INPUTS, REFUSED)

    def test_outputs_that_cannot_be_written(self):
        self.check_refusals(OUTPUTS, REFUSED)
        self.assertEqual(self.file.read_text(), "neither a folder nor an image\n")

    def test_wrong_usage(self):
        self.check_refusals(WRONG, USAGE)

    def test_words_that_nobody_knows(self):
        for program in ALL:
            for command in COMMANDS.get(program, ("",)):
                shown = self.start_program(program, f"{command} --help")
                self.assertEqual((shown.returncode, shown.stderr), (0, ""))
                flags = set(re.findall(r"(?m)^ +(?:-\w,)?(--[a-z-]{4,})", shown.stdout))
                self.assertIn("--config", flags)
                for flag in sorted(flags)[::6]:
                    typo = flag[:3] + flag[4:]
                    if typo in flags:
                        continue
                    with self.subTest(f"{program} {command} {typo}"):
                        result = self.start_program(program, f"{command} {typo} 3")
                        self.assert_refused(result, USAGE, f"{typo} is not known; did you mean --",
                                            program=program)
                result = self.start_program(program, f"{command} --xyzzyquux=3")
                self.assert_refused(result, USAGE, "--xyzzyquux is not known",
                                    f"{program} --help", program=program)
            for command in COMMANDS.get(program, ()):
                self.assert_refused(self.start_program(program, command[:2] + command[3:]), USAGE,
                                    "is not known; did you mean ", program=program)
            version = self.start_program(program, "--version")
            self.assertRegex(version.stdout, rf"^{program} \d+\.\d+\.\d+\n$")

    def test_the_nearer_place_wins(self):
        settings = self.folder / "settings.toml"
        for program, words, flag, values, prefix in LAYERS:
            far, nearer, nearest = (str(v).format(**self.places) for v in values)
            variable = "GANTRY_" + prefix + flag[2:].upper().replace("-", "_")
            quoted = far if far.isdigit() else json.dumps(far)
            settings.write_text(f"{flag[2:]} = {quoted}\n")
            for given, environment, value, source in (
                    ("", {}, far, str(settings)),
                    ("", {variable: nearer}, nearer, variable),
                    (f" {flag} {nearest}", {variable: nearer}, nearest, None)):
                with self.subTest(program=program, source=source):
                    result = self.start_program(program, f"{words} --config {settings}{given}",
                                                **environment)
                    found = self.said(result, flag[2:])
                    if source is None:  # some programs do not repeat the command line
                        self.assertIn(found, ((), (value, "the command line")))
                    else:
                        self.assertEqual(found, (value, source), result.stderr)
            settings.write_text("confg = 1\n")
            result = self.start_program(program, f"{words} --config {settings}")
            self.assert_refused(result, USAGE, str(settings), '"confg"', program=program)
            missing = self.start_program(program, f"{words} --config {self.folder}/no.toml")
            self.assert_refused(missing, REFUSED, "--config", "no.toml", program=program)

    @staticmethod
    def said(result, name: str) -> tuple[str, ...]:
        """What a run says about a setting: value and source."""
        if result.stdout.startswith("{\n"):  # --dry-run
            plan = json.loads(result.stdout)
            return (str(plan[name]), plan["sources"][name])
        found = re.search(rf'(?m)^setting: {name} = "?(.*?)"? \((.*)\)$',
                          result.stdout + result.stderr)
        return found.groups() if found else ()

    def test_variables_of_others_do_not_change_what_is_measured(self):
        step = "step --model " + MODEL + " --steps 1 --warmup 0"
        plain = self.start_program(BENCH, step + " --batch 2")
        given = self.start_program(BENCH, step + " --batch 2", GANTRY_BATCH="7",
                                   GANTRY_THREADS="3", GANTRY_CONFIG="/nowhere")
        self.assertEqual((given.returncode, given.stderr), (0, ""))
        for key in ("batch", "threads"):
            self.assertEqual(json.loads(given.stdout)[key], json.loads(plain.stdout)[key])
        here = self.start_program(BENCH, step, GANTRY_BENCH_BATCH="3")
        self.assertEqual(json.loads(here.stdout)["batch"], 3)
        self.assertEqual(here.stderr, "setting: batch = 3 (GANTRY_BENCH_BATCH)\n")

    def test_numbers_are_as_short_as_they_can_be(self):
        for program, words, fragment in (
                (GENERATE, "--from {run} --truncation 0", "from 0.05 to 100,"),
                (TRAIN, "--ema 1", "from 0 to 0.999999,")):
            self.assert_refused(self.start_program(program, words), USAGE, fragment,
                                program=program)

    def test_published_names_are_the_same(self):
        listed = {}
        for program, words in ((TRAIN, ""), (DATA, "inspect"), (METRICS, "")):
            text = self.start_program(program, f"{words} --help").stdout
            text = re.sub(r"\s+", "", text)
            listed[program] = re.search(r"fashion-mnist,[a-z0-9,]*?cifar100", text)[0]
        self.assertEqual(len(set(listed.values())), 1, listed)

    def test_a_published_set_by_its_name(self):
        text = self.start_program(DATA, "inspect fashion-mnist --data-dir {data} --outdir {out}")
        self.assertIn("the training files of MNIST or Fashion-MNIST", text.stdout, text.stderr)

    def test_images_of_several_sizes_name_the_program_that_helps(self):
        mixed = self.folder / "mixed"
        mixed.mkdir()
        for i, side in enumerate((8, 9)):
            (mixed / f"{i}.png").write_bytes(png(side, side, bytes(3 * side * side)))
        result = self.start_program(METRICS, ["--images", mixed, "--data", "fashion-mnist",
                                              "--data-dir", self.data, "--quiet"])
        if "decoder" not in result.stderr:
            self.assert_refused(result, REFUSED, "1.png", "gantry-data pack", program=METRICS)


if __name__ == "__main__":
    unittest.main()
