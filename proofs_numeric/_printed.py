"""Tables 1 to 4 as printed, in percent, and what can be said of numbers that were rounded before they were printed.

A printed number stands for every number within half a unit of its last decimal. A printed difference may be a difference that
was rounded, or one of two rounded numbers: it stands for every number within a whole unit, which holds for both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from efcheck.evidence import Evidence

SIZES = (128, 32, 8)
METHODS = ("SGDM", "SIGNSGD", "SIGNSGDM", "EF-SIGNSGD")  # SIGNSGD is the scaled one: the header of Table 3, Section 6.1
# one row a batch size, one column a method: the best mean test accuracy of SGDM, the difference to it of the others
TABLES = {
    "Table 1": """75.35  -2.21  -3.15 -0.92
                  76.22  -3.04  -3.57 -0.79
                  74.91 -36.35  -6.6  -0.64""",
    "Table 3": """75.35  -2.21  -3.15 -0.92
                  76.22  -3.04  -3.57 -0.79
                  74.91 -36.35  -6.6  -0.64""",
    "Table 4": """93.38  -1.31  -0.94 -0.68
                  93.42  -1.49  -1.54 -0.71
                  93.09 -20.22  -2.75 -0.27""",
}
RESNET, VGG = "Table 3", "Table 4"
# the best initial learning rates: Resnet18, VGG19
RATES = {
    "SGDM": ("1.0e-2", "1.0e-2"),
    "SIGNSGD": ("5.6e-2", "5.6e-2"),
    "SIGNSGDM": ("3.2e-4", "5.6e-5"),
    "EF-SIGNSGD": ("5.6e-2", "5.6e-2"),
}


@dataclass(frozen=True)
class Range:
    """Every number that a printed one may stand for: low <= x <= high."""

    low: Fraction
    high: Fraction

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.high + other.high)

    def __neg__(self) -> Range:
        return Range(-self.high, -self.low)

    def __sub__(self, other: Range) -> Range:
        return self + -other

    def times(self, factor: Fraction | int) -> Range:
        """The range of factor x, for factor >= 0."""
        return Range(factor * self.low, factor * self.high)

    def __str__(self) -> str:
        return f"{float(self.low):.5g} to {float(self.high):.5g}"


def exactly(number: Fraction | int | str) -> Range:
    return Range(Fraction(number), Fraction(number))


def around(word: str, units: Fraction) -> Range:
    """What the printed decimal stands for: within `units` units of its last decimal."""
    _, _, decimals = word.partition(".")
    error = units * Fraction(1, 10 ** len(decimals))
    return Range(Fraction(word) - error, Fraction(word) + error)


def word(table: str, size: int, method: str) -> str:
    """The entry as printed."""
    return TABLES[table].splitlines()[SIZES.index(size)].split()[METHODS.index(method)]


def gap(table: str, size: int, method: str) -> Range:
    """How far the method is below SGDM: minus the printed difference; for SGDM itself 0."""
    return exactly(0) if method == "SGDM" else -around(word(table, size, method), Fraction(1))


def accuracy(table: str, size: int, method: str) -> Range:
    """The best mean test accuracy of the method."""
    return around(word(table, size, "SGDM"), Fraction(1, 2)) - gap(table, size, method)


def shown(table: str, methods: Iterable[str] = METHODS[1:]) -> str:
    """The printed gaps in the order of the batch sizes 128, 32, 8."""
    return "; ".join(f"{m}: {', '.join(word(table, size, m).lstrip('-') for size in SIZES)}" for m in methods)


def less(pairs: Iterable[tuple[Range, Range]]) -> str:
    """left < right in all pairs: proved or, if one is false, refuted, at any rounding; undecided if rounding could tell."""
    pairs = list(pairs)
    if any(left.low >= right.high for left, right in pairs):
        return "refuted"
    return "proved" if pairs and all(left.high < right.low for left, right in pairs) else "undecided"


def compare(pairs: Iterable[tuple[Range, Range]], detail: str, covers: str = "") -> Evidence:
    """`less` as evidence."""
    pairs = list(pairs)
    data = {"pairs": [[str(left), str(right)] for left, right in pairs]}
    false = [f"{left} is not below {right}" for left, right in pairs if left.low >= right.high]
    how = "rounding decides" if less(pairs) == "undecided" else f"at any rounding, comparisons: {len(pairs)}"
    told = f"{detail}; {false[0]}" if false else f"{detail} ({how})"
    return Evidence("exact", less(pairs), told, data, covers)
