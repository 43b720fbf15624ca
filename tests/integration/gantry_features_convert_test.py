#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""examples/python/convert_inception.py: what it keeps, what it prints, what it refuses. All but one
test need torch."""
import hashlib
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from gantry_features_support import read_tensors, rows

SCRIPT = Path(__file__).parents[2] / "examples/python/convert_inception.py"
try:
    import torch
except ImportError:
    torch = None


def convert(*arguments: object, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-B", *flags, SCRIPT, *arguments], capture_output=True,
                          text=True, check=False)


class Convert(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        self.input, self.output = self.folder / "state.pth", self.folder / "weights.safetensors"

    def refuse(self, done: subprocess.CompletedProcess[str], code: int, part: str) -> None:
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertIn(part, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertEqual(list(self.folder.glob("weights*")), [])

    def test_without_torch(self) -> None:
        # -I -S: no modules but the interpreter's own.
        done = convert(self.input, self.output, flags=("-I", "-S"))
        self.refuse(done, 2, "install PyTorch and NumPy")

    @unittest.skipUnless(torch, "no torch in this Python")
    def test_tensors(self) -> None:
        state = {"fc.weight": torch.arange(1008 * 2, dtype=torch.float64).reshape(1008, 2),
                 "Mixed_7c.branch_pool.conv.weight": torch.rand(4, 3, 2, 2).permute(0, 1, 3, 2),
                 "Mixed_7c.branch_pool.bn.num_batches_tracked": torch.tensor(7),
                 "AuxLogits.fc.weight": torch.rand(2, 2)}
        torch.save(state, self.input)
        done = convert(self.input, self.output)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.startswith(
            hashlib.sha256(self.output.read_bytes()).hexdigest() + "  "))
        tensors = read_tensors(self.output)
        self.assertEqual(sorted(tensors), ["Mixed_7c.branch_pool.conv.weight", "fc.weight"])
        self.assertEqual(tensors["fc.weight"][:2], ("F32", [1008, 2]))
        self.assertEqual(list(rows(tensors["fc.weight"])[1007]), [2014.0, 2015.0])
        expected = state["Mixed_7c.branch_pool.conv.weight"].contiguous().numpy().tobytes()
        self.assertEqual(tensors["Mixed_7c.branch_pool.conv.weight"],
                         ("F32", [4, 3, 2, 2], expected))

    @unittest.skipUnless(torch, "no torch in this Python")
    def test_refusals(self) -> None:
        self.refuse(convert(self.input, self.output), 3, "cannot be read")
        self.input.write_bytes(b"no pickle at all")
        self.refuse(convert(self.input, self.output), 3, "state dict")
        pool = {"Mixed_7c.branch_pool.conv.weight": torch.rand(1, 1, 1, 1)}
        for content, part in (([1, 2], "something else"), ({"a": 1}, "something else"),
                              ({"fc.weight": torch.rand(1008, 2)}, "Mixed_7c"),
                              ({"fc.weight": torch.rand(10, 2), **pool}, "has 10")):
            torch.save(content, self.input)
            self.refuse(convert(self.input, self.output), 3, part)
        torch.save({"fc.weight": torch.rand(1000, 2), **pool}, self.input)
        self.refuse(convert(self.input, self.folder / "no" / "weights"), 3, "cannot be written")


if __name__ == "__main__":
    unittest.main()
