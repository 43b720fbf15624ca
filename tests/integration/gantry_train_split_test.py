#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""gantry-train: who gets which samples, and the strategies for which that matters most."""
import math
import unittest

from gantry_train_support import SIDE, TRAIN, ProgramTest, checkpoint, figures, lines, names


class Split(ProgramTest):
    def report(self, outdir) -> str:
        return (outdir / "report.html").read_text()

    def test_partitions_are_drawn_in_the_report(self):
        for text, divergence in (("iid", None), ("dirichlet:0.1", None), ("classes:5", math.log(2)),
                                 ("label", math.log(2)), ("power:1,min=20", None)):
            with self.subTest(text):
                outdir = self.folder / "run"
                self.train(partition=text, outdir=outdir, iterations=1)
                page = self.report(outdir)
                self.assertIn(f"Labels of each worker ({text})", page)
                self.assertIn("<title>worker 1, label ", page)
                if divergence is not None:
                    self.assertIn(f"{divergence:.3f} nats", page)

    def test_partition_from_a_file(self):
        path = self.folder / "split.txt"
        path.write_text("# odd samples to the second worker\n"
                        + "".join(f"{i % 2}\n" for i in range(TRAIN)))
        outdir = self.folder / "file"
        self.train(partition=f"file:{path}", outdir=outdir, iterations=1)
        self.assertIn(f"{math.log(2):.3f} nats", self.report(outdir))
        path.write_text("0\n" * TRAIN)
        self.assert_refused(self.run_program(partition=f"file:{path}", outdir=outdir), 2,
                            "worker 1 got none")
        path.write_text("0\n1\n")
        self.assert_refused(self.run_program(partition=f"file:{path}", outdir=outdir), 3,
                            str(path), f"each of {TRAIN} samples", "found 2")

    def test_partition_decides_the_result_and_a_resume_keeps_it(self):
        a, b = self.folder / "a", self.folder / "b"
        self.train(partition="dirichlet:0.1", outdir=a, save_every=2)
        self.train(partition="iid", outdir=b)
        self.assertNotEqual(figures(lines(a / "stats.jsonl")), figures(lines(b / "stats.jsonl")))
        self.assert_refused(self.run_program(outdir=a, resume="latest", iterations=6), 3,
                            'partition = "iid"', 'made with "dirichlet:0.1"')

    def test_refusals(self):
        for text in ("", "even", "dirichlet", "dirichlet:0", "iid,min=0"):
            self.assert_refused(self.call("--partition", text), 2, "--partition")
        self.assert_refused(self.call("--partition", "iid", "--strategy", "standalone"), 2,
                            "--partition", "standalone")
        self.assert_refused(self.run_program(partition="classes:2", workers=2), 2,
                            "2 for each of 2 workers")

    def test_label_parallel(self):
        outdir = self.folder / "pairs"
        self.train(strategy="label_parallel", workers=[], outdir=outdir, seed=3)
        log = lines(outdir / "stats.jsonl")
        self.assertEqual({line["workers"] for line in log}, {10})
        self.assertEqual({line["bytes_down"] + line["bytes_up"] + line["bytes_swap"]
                          for line in log}, {0})
        files = names(checkpoint(outdir, 4))
        self.assertTrue({f"generator-{n}_ema.safetensors" for n in range(1, 11)} <= files)
        self.assertNotIn("generator_ema.safetensors", files)
        drawn = self.folder / "drawn"
        result = self.call("--sample", "64", "--from", str(outdir), "--seed", "3", "--outdir",
                           str(drawn))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual((drawn / "samples.png").read_bytes(),
                         (outdir / "fakes000004.png").read_bytes())

    def test_output_aggregation(self):
        for rule in ("mean", "odds", "max", "softmax"):
            with self.subTest(rule):
                outdir = self.folder / rule
                self.train(strategy="output_aggregation", output_rule=rule, outdir=outdir,
                           partition="dirichlet:0.3", save_every=2)
                numbers = 2 * 4 * 4  # workers, batch, bytes
                for line in lines(outdir / "stats.jsonl"):
                    self.assertEqual(line["bytes_down"], numbers * (SIDE * SIDE + 1))
                    self.assertEqual(line["bytes_up"], numbers * (SIDE * SIDE + 1))
        self.train(strategy="output_aggregation", output_rule="softmax", partition="dirichlet:0.3",
                   outdir=self.folder / "again", save_every=2,
                   resume=checkpoint(self.folder / "softmax", 2))
        losses = [[(line["loss_d"], line["loss_g"]) for line in lines(outdir / "stats.jsonl")]
                  for outdir in (self.folder / "softmax", self.folder / "again")]
        self.assertEqual(losses[1], losses[0][2:])
        self.assert_refused(self.call("--strategy", "output_aggregation", "--output-beta",
                                      "1"), 2, "--output-beta", "softmax")
        self.assert_refused(self.call("--output-rule", "max"), 2, "--output-rule",
                            "output_aggregation")


if __name__ == "__main__":
    unittest.main()
