#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Plants one violation at a time in a small clean tree; the lint must name it, and only it."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).parent
SPDX = "// SPDX-FileCopyrightText: The Gantry authors\n// SPDX-License-Identifier: Apache-2.0\n"
SCRIPT_SPDX = SPDX.replace("//", "#")
HEADER = SPDX + "#pragma once\n"

CLEAN = {
    "CMakeLists.txt": SCRIPT_SPDX,
    "include/gantry/base/math.hpp": HEADER + "#include <cstddef>\n",
    "include/gantry/tensor/view.hpp": HEADER + '#include "gantry/base/math.hpp"\n',
    "include/gantry/nn/linear.hpp": HEADER + '#include "gantry/tensor/view.hpp"\n',
    "include/gantry/loss/hinge.hpp": HEADER + "// #include \"gantry/nn/linear.hpp\"\n",
    "include/gantry/io/gzip.hpp": HEADER + "#include <zlib.h>\n",
    "include/gantry/comm/mpi.hpp": HEADER + "#include <mpi.h>\n",
    "include/gantry/metrics/frechet.hpp": HEADER + "#include <Eigen/Eigenvalues>\n",
    "include/gantry/train/trainer.hpp": HEADER + '#include "gantry/nn/linear.hpp"\n',
    "include/gantry/gantry.hpp": HEADER + '#include "gantry/train/trainer.hpp"\n',
    "include/gantry/backend/cuda/backend.cuh": HEADER
    + '#include <cuda_runtime.h>\n#include "gantry/kernels/conv2d/launch.cuh"\n',
    "kernels/gantry/kernels/common/warp.cuh": HEADER,
    "kernels/gantry/kernels/gemm/tile.cuh": HEADER,
    "kernels/gantry/kernels/conv2d/launch.cuh": HEADER
    + '#include "gantry/kernels/common/warp.cuh"\n#include "gantry/kernels/gemm/tile.cuh"\n',
    "tests/support/near.hpp": HEADER + '#include "gantry/gantry.hpp"\n',
    "tests/unit/base/math_test.cpp": SPDX
    + '#include <doctest/doctest.h>\n#include "support/near.hpp"\n',
    "examples/01_first.cpp": SPDX + '#include "gantry/gantry.hpp"\n',
}
FUNCTION = "inline int f({}) {{\n{}  return 0;\n}}\n"


def header(text: str) -> str:
    return HEADER + text


# lint: [(what, planted file, its content, what the lint must say)]
PLANTED = {
    "check_layers": [
        ("upwards", "include/gantry/base/up.hpp", header('#include "gantry/tensor/view.hpp"\n'),
         "base may not include gantry/tensor/view.hpp"),
        ("sideways", "include/gantry/loss/side.hpp", header('#include "gantry/nn/linear.hpp"\n'),
         "loss may not include gantry/nn/linear.hpp"),
        ("between backends", "include/gantry/backend/cpu/b.hpp",
         header('#include "gantry/backend/reference/r.hpp"\n'), "backend/cpu may not include"),
        ("models and train", "include/gantry/models/m.hpp",
         header('#include "gantry/train/trainer.hpp"\n'), "models may not include"),
        ("the umbrella", "include/gantry/train/all.hpp", header('#include "gantry/gantry.hpp"\n'),
         "train may not include gantry/gantry.hpp"),
        ("unknown room", "include/gantry/attic/box.hpp", HEADER, "lies in no room"),
        ("loose header", "include/gantry/box.hpp", HEADER, "lies in no room"),
        ("kernels from nn", "include/gantry/nn/k.hpp",
         header('#include "gantry/kernels/conv2d/launch.cuh"\n'), "nn may not include"),
        ("kernel insides", "include/gantry/backend/cuda/k.cuh",
         header('#include "gantry/kernels/gemm/tile.cuh"\n'), "backend/cuda may not include"),
        ("between kernels", "kernels/gantry/kernels/norm/tile.cuh",
         header('#include "gantry/kernels/gemm/tile.cuh"\n'), "kernels/norm may not include"),
        ("concepts in a kernel", "kernels/gantry/kernels/norm/k.cuh",
         header('#include "gantry/concepts/layer.hpp"\n'), "kernels/norm may not include"),
        ("another's detail", "include/gantry/nn/d.hpp", header("using x = tensor::detail::y;\n"),
         "tensor::detail belongs to another room"),
        ("MPI", "tests/distributed/m.cpp", SPDX + "#include <mpi.h>\n", "<mpi.h> may be included"),
        ("NCCL", "include/gantry/dist/n.hpp", header("#include <nccl.h>\n"), "<nccl.h> may be"),
        ("CUDA", "include/gantry/nn/c.hpp", header("#include <cuda_fp16.h>\n"), "fp16.h> may be"),
        ("Eigen", "include/gantry/nn/e.hpp", header("#include <Eigen/Dense>\n"), "Dense> may be"),
        ("zlib", "include/gantry/nn/z.hpp", header("#include <zlib.h>\n"), "<zlib.h> may be"),
        ("others", "include/gantry/nn/o.hpp", header("#include <boost/any.hpp>\n"), "no standard"),
        ("cycle", "include/gantry/base/a.hpp", header('#include "gantry/base/a.hpp"\n'), "cycle"),
        ("no version", "include/gantry/nn/v.hpp", header("namespace gantry::nn {\n}\n"),
         "leaves out the version"),
    ],
    "check_includes": [
        ("climbing", "include/gantry/nn/a.hpp", header('#include "../base/math.hpp"\n'), "climbs"),
        ("no pragma", "include/gantry/nn/b.hpp", SPDX + "#include <cstddef>\n", "#pragma once"),
        ("late pragma", "tests/support/b.hpp", SPDX + "#include <cstddef>\n#pragma once\n",
         "#pragma once"),
        ("angle brackets", "tests/unit/base/a.cpp", SPDX + "#include <gantry/base/math.hpp>\n",
         "our own header"),
        ("quotes", "include/gantry/nn/c.hpp", header('#include "math.hpp"\n'), "not under gantry/"),
        ("missing", "include/gantry/nn/d.hpp", header('#include "gantry/base/no.hpp"\n'),
         '"gantry/base/no.hpp" does not exist'),
        ("missing in tests", "tests/unit/base/b.cpp", SPDX + '#include "support/no.hpp"\n',
         '"support/no.hpp" does not exist'),
        ("missing in examples", "examples/02_a.cpp", SPDX + "#include <gantry/no.hpp>\n",
         '"gantry/no.hpp" does not exist'),
        ("source file", "tests/unit/base/c.cpp", SPDX + '#include "math_test.cpp"\n',
         "source file"),
        ("twice", "include/gantry/nn/e.hpp", header("#include <span>\n#include <span>\n"), "twice"),
        ("standard library", "include/gantry/nn/f.hpp", header("using v = std::vector<int>;\n"),
         "std::vector needs #include <vector>"),
        ("Eigen", "include/gantry/nn/g.hpp", header("using m = Eigen::MatrixXf;\n"),
         "Eigen:: needs"),
        ("nvcc", "include/gantry/backend/cuda/f.hpp",
         header('#include "gantry/kernels/common/warp.cuh"\n'), "needs nvcc"),
    ],
    "check_sizes": [
        ("long header", "include/gantry/nn/a.hpp", header("int x;\n" * 598), "601 lines"),
        ("long test", "tests/unit/nn/a_test.cpp", SPDX + "int x;\n" * 399, "401 lines"),
        ("long example", "examples/02_long.cpp", SPDX + "int x;\n" * 199, "201 lines"),
        ("long lists", "CMakeLists.txt", SCRIPT_SPDX + "#\n" * 149, "151 lines"),
        ("no SPDX", "include/gantry/nn/b.hpp", "#pragma once\n", "two SPDX lines"),
        ("no SPDX in a script", "scripts/a.sh", "#!/bin/sh\necho a\n", "two SPDX lines"),
        ("wide", "include/gantry/nn/c.hpp", header("// " + "x" * 98 + "\n"), "101 columns"),
        ("tab", "tests/lint/a.py", SCRIPT_SPDX + "if 1:\n\tpass\n", "a tab"),
        ("trailing blank", "cmake/a.cmake", SCRIPT_SPDX + "set(a) \n", "blanks at the end"),
        ("no newline", "include/gantry/nn/d.hpp", header("int x;"), "one newline"),
        ("no text", "include/gantry/nn/e.hpp", header("static_assert(true);\n"), "static_assert"),
        ("no sentence", "include/gantry/nn/f.hpp", header('static_assert(a<b, c>, "no");\n'),
         "static_assert without"),
        ("macros", "include/gantry/nn/g.hpp", header("#define GANTRY_A 1\n# define GANTRY_B 2\n"),
         "2 #define"),
        ("macro without prefix", "include/gantry/nn/h.hpp", header("#define MY_GANTRY_A 1\n"),
         "MY_GANTRY_A of a header"),
    ],
    "check_functions": [
        ("long", "include/gantry/nn/a.hpp", header(FUNCTION.format("", "\n" * 58)),
         "f has 61 lines"),
        ("long constructor", "include/gantry/nn/b.hpp",
         header("struct s {\n  s(int x) : a_{x}, b_(x) {\n" + "\n" * 59 + "  }\n};\n"),
         "s has 61 lines"),
        ("long kernel", "kernels/gantry/kernels/norm/k.cuh",
         header(FUNCTION.format("", "\n" * 118)), "f has 121 lines"),
        ("parameters", "include/gantry/nn/c.hpp",
         header(FUNCTION.format("int a, m<b, c> d, e, int(f)(g, h), i j = {1, 2}, k, l", "")),
         "f takes 7 parameters"),
    ],
}
# Accepted although it looks wrong: (lint, file, content).
ACCEPTED = [
    ("check_layers", "include/gantry/nn/a.hpp", header('inline auto s = "#include <mpi.h>";\n')),
    ("check_layers", "include/gantry/nn/b.hpp", header("/*\n#include <mpi.h>\n*/\n")),
    ("check_includes", "include/gantry/nn/h.hpp",
     HEADER + "#include <string>\nstd::string_view s; // std::vector\nstd::vector_of_mine v;\n"),
    ("check_includes", "examples/02_a.cpp", SPDX + "#include <gantry/gantry.hpp>\n"),
    ("check_includes", "tests/unit/nn/a.cpp", SPDX + 'auto s = R"(\n#include "../no.hpp"\n)";\n'),
    ("check_sizes", "include/gantry/nn/a.hpp",
     header('static_assert(f(1, 2) == \'"\', "the batch "\n              "must be even");\n')),
    ("check_sizes", "include/gantry/nn/b.hpp", header("// https://" + "x" * 120 + "\n")),
    ("check_sizes", "include/gantry/nn/c.hpp", header("// static_assert(true);\n")),
    ("check_functions", "include/gantry/nn/a.hpp",
     header(FUNCTION.format("int a, int b, int c, int d, int e, std::map<int, int> f", "\n" * 57))),
    ("check_functions", "include/gantry/nn/b.hpp",
     header("struct s {\n" + "int x;\n" * 90 + "};\n")),
]


def run(lint: str, tree: dict[str, str]) -> tuple[int, str]:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in tree.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        result = subprocess.run([sys.executable, str(HERE / f"{lint}.py"), folder],
                                capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


class Lints(unittest.TestCase):
    def test_clean_tree_passes(self):
        for lint in PLANTED:
            with self.subTest(lint):
                status, output = run(lint, CLEAN)
                self.assertEqual(status, 0, output)

    def test_each_violation_is_named(self):
        for lint, cases in PLANTED.items():
            for what, name, content, sentence in cases:
                with self.subTest(f"{lint}: {what}"):
                    status, output = run(lint, {**CLEAN, name: content})
                    self.assertEqual(status, 1, output)
                    self.assertIn(sentence, output)
                    self.assertIn(", 1 complaints", output)

    def test_look_alikes_pass(self):
        for lint, name, content in ACCEPTED:
            with self.subTest(f"{lint}: {name}"):
                status, output = run(lint, {**CLEAN, name: content})
                self.assertEqual(status, 0, output)


if __name__ == "__main__":
    unittest.main()
