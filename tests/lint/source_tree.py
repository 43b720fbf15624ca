# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""What the lints share: which files there are, and C++ text without its comments and literals."""
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

FOLDERS = ("include", "kernels", "tests", "examples", "benchmarks", "cmake", "scripts", ".ci")
CPP = (".hpp", ".cpp", ".cuh", ".cu")
SCRIPTS = (".py", ".sh", ".cmake", ".in")

_TOKEN = re.compile(
    r"""(?P<comment>//(?:[^\\\n]|\\.|\\\n)*|/\*.*?\*/)
      | R"(?P<mark>[^()\\\s]{0,16})\((?P<raw>.*?)\)(?P=mark)"
      | "(?P<string>(?:[^"\\\n]|\\.)*)"
      | (?<![0-9a-fA-F])'(?P<char>(?:[^'\\\n]|\\.)+)'""",
    re.DOTALL | re.VERBOSE,
)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?P<sign>[<"])(?P<name>[^>"\n]+)[>"]')


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _mask(match: re.Match) -> str:
    if match["comment"] is not None:
        return _blank(match.group())
    text = match.group()
    quote = text[-1]
    start = text.index(quote) + 1
    return text[:start] + re.sub(r"[^\n]", "_", text[start:-1]) + quote


@dataclass(frozen=True)
class Include:
    line: int
    name: str
    quoted: bool


@dataclass(frozen=True)
class Source:
    """One file; `path` is relative to the root and uses '/'."""

    path: str
    text: str

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]

    @property
    def is_cpp(self) -> bool:
        return self.path.removesuffix(".in").endswith(CPP)

    @property
    def is_header(self) -> bool:
        return self.path.endswith((".hpp", ".cuh"))

    @cached_property
    def lines(self) -> list[str]:
        return self.text.split("\n")[:-1] if self.text.endswith("\n") else self.text.split("\n")

    @cached_property
    def code(self) -> str:
        """The text with comments blank and literals masked; lines and columns stay."""
        return _TOKEN.sub(_mask, self.text)

    @cached_property
    def includes(self) -> list[Include]:
        found = []
        for number, (line, code) in enumerate(zip(self.lines, self.code.split("\n")), 1):
            match = _INCLUDE.match(line)
            if match and code.lstrip().startswith("#"):
                found.append(Include(number, match["name"].strip(), match["sign"] == '"'))
        return found

    def line_of(self, offset: int) -> int:
        return self.text.count("\n", 0, offset) + 1


def read_tree(root: Path) -> list[Source]:
    """All C++ files, scripts and CMake files below root, in a fixed order."""
    paths = [path for name in FOLDERS for path in sorted((root / name).rglob("*"))]
    paths += sorted(root.glob("CMakeLists.txt"))
    sources = []
    for path in paths:
        name = path.relative_to(root).as_posix()
        wanted = path.suffix in CPP + SCRIPTS or path.name in ("CMakeLists.txt", "run")
        if path.is_file() and wanted and "__pycache__" not in name:
            sources.append(Source(name, path.read_bytes().decode("utf-8", "replace")))
    return sources


def run_lint(name: str, check) -> int:
    """Runs `check(sources) -> (complaints, summary)` on the root given as the only argument."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2]).resolve()
    sources = read_tree(root)
    complaints, summary = check(sources)
    for complaint in complaints:
        print(complaint)
    print(f"{name}: {len(sources)} files, {summary}, {len(complaints)} complaints")
    return 1 if complaints else 0
