"""What is compared: a right side of `efcheck.bounds` and the left side that belongs to it.

Numbers under a root: q = sqrt(1 - delta) is a rational of the instance; R enters as R^2; where T + 1 stands under a root it is
a square, except in the gap without a step size, where both sides are squared.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy as sp

from efcheck import bounds
from efcheck.bounds import Bound, Side
from efcheck.errors import argument_error
from efcheck.evidence._falsify_rational import rational

q, root = sp.Symbol("q", nonnegative=True), sp.Symbol("root", positive=True)  # sqrt(1 - delta), sqrt(T + 1)
R2 = sp.Symbol("R2", nonnegative=True)
QUANTITIES = {
    r"\min_{0 \le t \le T} \mathbb{E}\|\nabla f(x_t)\|^2": "gradient", r"\mathbb{E} f(\bar x_T) - f^*": "gap",
    r"\mathbb{E}\|e_t\|^2": "error", r"\|x_t - \Pi x_t\|^2": "distance",
}  # fmt: skip
FORMS = ("printed", "repaired", "sharp")
SCALES = Fraction(1, 10**100), Fraction(10**100)  # products of two still fit into floats


@dataclass(frozen=True)
class Reading:
    """A reading of a bound that has more than one: its left side; `form` is the right side of what it calls printed."""

    bound: str
    text: str
    form: str = "printed"
    first: int = 0
    extra: int = 0


READINGS = {
    "theorem-2-index": Reading(
        "theorem-2", "the minimum over t = 1, ..., T; as printed with the repaired right side", "repaired", first=1
    ),
    "theorem-3-average": Reading("theorem-3", "the sum over T + 1 points divided by T", extra=-1),
    "remark-5": Reading("remark-5", "for every C with delta = 1/k, as its derivation from Remark 4 has it"),
    "remark-5-unbiased": Reading("remark-5", "for C = U/k alone, U unbiased with E||U(p)||^2 <= k ||p||^2"),
}
NAMES = tuple(dict.fromkeys((*bounds.BOUNDS, *READINGS)))


@dataclass(frozen=True)
class Target:
    """A right side with the left side that belongs to it: the minimum from t = `first` on, the sum over T + 1 + `extra`."""

    name: str
    form: str
    bound: Bound
    side: Side
    first: int = 0
    extra: int = 0
    reading: str = ""

    @property
    def quantity(self) -> str:
        return QUANTITIES[self.side.left]

    @property
    def step(self) -> str:
        """free; "root": gamma = 1/sqrt(T+1); "best": gamma is the least point of Theorem III's right side."""
        if "gamma" in self.side.letters:
            return "free"
        return "root" if self.quantity == "gradient" else "best"

    @property
    def unbiased(self) -> bool:
        """Whether it is about C = U/k with an unbiased U."""
        return self.name == "remark-5-unbiased"

    @property
    def compressed(self) -> bool:
        """Whether the bound is about compressed steps."""
        return "delta" in self.side.letters or self.bound.name == "remark-5"

    @property
    def power(self) -> int:
        """Both sides are compared to this power."""
        return 2 if self.step == "best" else 1

    @property
    def best(self) -> Side:
        """Of the bounds with the best step: the right side whose least value over gamma it is."""
        return self.side if self.form == "sharp" else self.bound.repaired

    @property
    def right(self) -> Any:
        """The right side to `power`, without roots: in q, R2, root."""
        return rootless(self.side.expression, self.power)

    def words(self) -> str:
        """The left side as text."""
        low, over = self.first, "T" if self.extra else "(T+1)"
        return {
            "gradient": f"min_{{{low} <= t <= T}} E||grad f(x_t)||^2",
            "gap": f"E f((x_0 + ... + x_T)/{over}) - f*",
            "error": "E||e_t||^2",
            "distance": "||x_t - Pi x_t||^2",
        }[self.quantity]


def target(name: str, form: str = "printed") -> Target:
    """The bound of that name; ArgumentError where there is none, or not in that form."""
    if name not in NAMES:
        raise argument_error("bound", f"be one of {', '.join(NAMES)}", name)
    reading = READINGS.get(name) or Reading(name, "")
    bound = bounds.named(reading.bound)
    known = [f for f, _ in bound.forms]
    if form not in known:
        raise argument_error("form", f"be one of {', '.join(known)} for {name}", form)
    side = getattr(bound, reading.form if form == "printed" else form)
    return Target(name, form, bound, side, reading.first, reading.extra, reading.text)


def multiplier(scale: Any) -> Fraction:
    """What multiplies the right side, as a rational; a float is the decimal that it prints."""
    try:
        found = rational(scale)
    except ValueError:
        found = Fraction(0)
    if not SCALES[0] <= found <= SCALES[1]:
        raise argument_error("scale", "be a rational number > 0, in [1e-100, 1e100]", scale)
    return found


@lru_cache(maxsize=64)
def rootless(expression: Any, power: int) -> Any:
    """expression^power in q = sqrt(1 - delta), R2 = R^2 and, for power 1, root = sqrt(T + 1)."""
    found = (expression**power).subs(bounds.k, 1 / bounds.delta).subs(bounds.R, sp.sqrt(R2))
    found = found.subs(bounds.delta, 1 - q**2)
    roots = [a for a in found.atoms(sp.Pow) if a.base == bounds.T + 1 and a.exp.is_Rational and a.exp.q == 2]
    return found.subs({a: root ** (2 * a.exp) for a in roots})
