# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""The recipes of packaging/ against the tree: versions, options, dependencies, syntax.

recipes_test.py SOURCE_FOLDER. Package managers themselves are not run: they need their registries.
"""
import ast
import json
import re
import sys
import unittest
from pathlib import Path

ROOT = Path(sys.argv.pop(1))
CONAN = (ROOT / "packaging/conan/conanfile.py").read_text()
SPACK = (ROOT / "packaging/spack/packages/gantry/package.py").read_text()
PORT = (ROOT / "packaging/vcpkg/gantry/portfile.cmake").read_text()
VCPKG = json.loads((ROOT / "packaging/vcpkg/gantry/vcpkg.json").read_text())
OPTIONS = (ROOT / "cmake/GantryOptions.cmake").read_text()


class Recipes(unittest.TestCase):
    def test_versions_are_the_projects(self) -> None:
        project = (ROOT / "CMakeLists.txt").read_text()
        version = re.search(r"VERSION (\d+\.\d+\.\d+)", project).group(1)
        self.assertEqual(VCPKG["version-semver"], version)
        self.assertEqual(re.search(r'version = "(.*)"', CONAN).group(1), version)
        self.assertEqual(re.search(r'version\("(.*)"\)', SPACK).group(1), version)

    def test_python_parses(self) -> None:
        for text in (CONAN, SPACK):
            ast.parse(text)

    def test_options_exist(self) -> None:
        parts = re.search(r'parts = \((.*)\)', SPACK).group(1)
        used = {f"GANTRY_BUILD_{part}" for part in re.findall(r'"(\w+)"', parts)}
        used |= set(re.findall(r"-D(GANTRY_\w+)=", PORT))
        self.assertEqual(len(used), 3)
        for option in used:
            self.assertIn(f"option({option} ", OPTIONS)

    def test_dependencies_are_those_of_the_package(self) -> None:
        config = (ROOT / "cmake/GantryConfig.cmake.in").read_text()
        found = {name.lower() for name in re.findall(r"find_dependency\((\w+)", config)}
        self.assertEqual(found, {"threads", "eigen3", "zlib"})
        named = {d for d in VCPKG["dependencies"] if isinstance(d, str)}
        self.assertEqual(named, {"eigen3", "zlib"})
        required = re.findall(r'self\.requires\("(\w+)/', CONAN)
        self.assertEqual(sorted(required), ["eigen", "zlib"])
        always = re.findall(r'depends_on\("([\w-]+)[@:.\d]*"\)', SPACK)
        self.assertEqual(sorted(always), ["eigen", "zlib-api"])

    def test_what_conan_takes_is_there(self) -> None:
        for part in re.search(r"for part in \((.*)\):", CONAN).group(1).split(","):
            self.assertTrue((ROOT / part.strip().strip('"').removesuffix("/*")).exists(), part)


if __name__ == "__main__":
    unittest.main()
