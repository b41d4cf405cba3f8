"""Where an error can be planted in a file, and how the file reads with it.

A place is one node of an expression, a change the text that replaces it.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

# file pattern under efcheck/ -> the functions that are mathematics ("" is the module itself)
ENGINE = {
    "bounds.py": r"|error_sum",
    "evidence/exact.py": r"sign|scaled_sign|top_k|sgd|sign_sgd|ef_sgd",
    "methods.py": r"propose|direction|remember",
    "arrays.py": r"sign|signed",
    "span.py": r"update|distance",
    "_block.py": r"_step",
    "compressors/*.py": r"_kernel|compress_into|_delta|_omega|largest|kept|density|realised_delta",
    "problems/*.py": r"_?f|_?gradient|gradient_given|_?mean_gradient|_?project|_?line_search|value|derivative|curvature"
    r"|wilson_data|absolute_step",
}


@dataclass(frozen=True)
class Change:
    """One error: what is wrong with it, and the text that stands at the place instead.

    A gross one is planted only where the others leave a true statement, as inside the slack of a loose inequality.
    """

    kind: str
    new: str
    gross: bool = False


@dataclass(frozen=True)
class Place:
    """Where an error can be planted. `anchor` is the line of the statement in a function; 0 for the module's own ones."""

    file: str
    function: str
    line: int
    anchor: int
    start: int  # bytes
    end: int
    old: str
    changes: tuple[Change, ...]
    taints: tuple[str, ...] = ()  # names that change with it: of the function, or assigned by the module's statement
    in_check: bool = False  # in a function that returns evidence, not in a helper

    @property
    def key(self) -> str:
        return f"{self.file}:{self.function}:{self.line}:{self.start}:{self.end}"


class Source:
    """A file that errors can be planted in."""

    def __init__(self, path: Path, name: str, functions: str | None = None) -> None:
        self.path, self.name = path, name
        self.text = path.read_text(encoding="utf-8")
        self.bytes = self.text.encode()
        self.tree = ast.parse(self.text, str(path))
        self._starts = [0]
        for line in self.bytes.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._wanted = None if functions is None else re.compile(functions)
        from efcheck.mutation.finder import Finder

        self.places = tuple(Finder(self).find())

    def wants(self, function: str) -> bool:
        return self._wanted is None or bool(self._wanted.fullmatch(function.rpartition(".")[2]))

    @property
    def is_engine(self) -> bool:
        return self._wanted is not None

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self._starts[node.lineno - 1] + node.col_offset, self._starts[node.end_lineno - 1] + node.end_col_offset

    def mutated(self, place: Place, change: Change) -> str:
        """The text of the file with this error."""
        return (self.bytes[: place.start] + change.new.encode() + self.bytes[place.end :]).decode()

    def diff(self, place: Place, change: Change) -> str:
        """The change, with what surrounds it on its line."""
        head = self._starts[place.line - 1]
        tail = next((s for s in self._starts if s >= place.end), len(self.bytes))
        before, after = self.bytes[head : place.start].decode(), self.bytes[place.end : tail].decode()
        old = " ".join(f"{before}[{place.old} -> {change.new}]{after}".split())
        return old


def engine_sources(package: Path) -> list[Source]:
    found = []
    for pattern, functions in ENGINE.items():
        for path in sorted(package.glob(pattern)):
            found.append(Source(path, path.relative_to(package.parent).as_posix(), functions))
    return found
