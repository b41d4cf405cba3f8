"""A run that `replay` made explicit, against the right side of a bound: every hypothesis on Fractions, again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import isqrt
from typing import Any

import sympy as sp

from efcheck import bounds
from efcheck.errors import argument_error
from efcheck.evidence._falsify_instance import exactly, show
from efcheck.evidence._falsify_rational import over, rational
from efcheck.evidence._falsify_target import Target, multiplier, target
from efcheck.evidence._replay_instance import Instance as Run
from efcheck.evidence._replay_instance import slopes_bounded
from efcheck.evidence.evidence import Evidence
from efcheck.evidence.replay import value_at

QUANTITIES = {"gradient": "gradient_norm", "gap": "suboptimality", "error": "error_norm"}  # of a target: of the run


@dataclass(frozen=True)
class Replayed:
    """A run of EF-SGD on given points, gradients, messages and values; `scale` multiplies the right side."""

    target: Target
    run: Run
    scale: Fraction = Fraction(1)

    @property
    def q(self) -> Fraction:
        """sqrt(1 - delta)."""
        left = 1 - Fraction(self.run.letters["delta"])
        return Fraction(isqrt(left.numerator), isqrt(left.denominator))

    def against(self, expression: Any) -> Replayed:
        """The same run against another right side."""
        return replace(self, target=replace(self.target, side=replace(self.target.side, expression=expression)))

    def right(self) -> Fraction:
        """scale times the right side, f0 being f(x_0) - inf f of the run, at most."""
        letters = self.run.letters | ({"f0": self.run.f[0]} if self.target.quantity == "gradient" else {})
        expression = (sp.Rational(self.scale) * self.target.side.expression).subs(bounds.k, 1 / bounds.delta)
        found = value_at(expression, letters)
        return Fraction(int(found.p), int(found.q))

    def left(self) -> Fraction:
        """The left side, whether or not the run is within the hypotheses."""
        return self.run.left()

    def broken(self) -> str | None:
        """The first hypothesis that does not hold."""
        letters = self.run.letters
        if self.target.step == "root" and letters["gamma"] ** 2 * (letters["T"] + 1) != 1:
            return "gamma is not 1/sqrt(T + 1)"
        if not self.target.compressed and letters["delta"] != 1:
            return "a message is compressed"
        return next(self.run.broken(), None)

    def violated(self) -> bool:
        """Whether the run is within all hypotheses and left > right."""
        return self.broken() is None and self.left() > self.right()

    def evidence(self, seconds: float = 0.0, data: Mapping[str, Any] | None = None) -> Evidence:
        """Kind witness: refuted if left > right within the hypotheses, else undecided."""
        begun = time.monotonic()
        name = f"{self.target.name} {self.target.form}" + (f" times {self.scale}" if self.scale != 1 else "")
        if why := self.broken():
            return Evidence("witness", "undecided", f"{name}: {why}")
        left, right = self.left(), self.right()
        if left <= right:
            return Evidence("witness", "undecided", f"{name}: left side {show(left)} <= {show(right)}, right side")
        detail = f"{name}: {self.words()}: {self.target.words()} = {show(left)} > {show(right)}, the right side"
        detail += f"; {self.caution()}" if self.caution() else ""
        found = {
            "ratio": over(left, right),
            "T": self.run.letters["T"],
            "unsaid": self.caution(),
            "instance": self.to_json(),
        }
        return Evidence("witness", "refuted", detail, found | dict(data or {}), seconds=seconds or time.monotonic() - begun)

    def words(self) -> str:
        """The run in one line."""
        told = ", ".join(f"{name} = {value}" for name, value in self.run.letters.items() if value is not None)
        turns = f", x_1 = x_{1 + self.run.period} and so on" if self.run.period else ""
        return f"a function and a compressor in dimension {self.run.d}, no noise{turns}, {told}"

    def caution(self) -> str:
        """Where the bound's assumption is about all x, and the run is only known to keep it where it asks for gradients."""
        if self.target.quantity != "gradient" or slopes_bounded(self.run):
            return ""
        return "||grad f(x_t)|| <= sigma holds at x_0, ..., x_T, and is not checked elsewhere"

    def to_json(self) -> dict[str, Any]:
        """Every number as a rational string."""
        return {
            "bound": self.target.name, "form": self.target.form, "scale": str(self.scale),
            "source": self.target.bound.source, "reading": self.target.reading,
            "left_side": self.target.words(), "right_side": str(self.target.side.expression),
            "left": exactly(self.left()), "right": exactly(self.right()), "run": self.run.to_json(),
        }  # fmt: skip


def read(data: Any) -> Replayed:
    """The instance of a JSON object; left and right side, and all that follows from the free numbers, are computed anew."""
    try:
        goal, run = target(data["bound"], data["form"]), Run.from_json(data["run"])
        found = Replayed(goal, run, multiplier(rational(data["scale"])))
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, ValueError) and type(error) is not ValueError:
            raise
        raise argument_error("instance", "be what efcheck falsify writes", f"{type(error).__name__}: {error}") from None
    _fitting(found)
    return found


def _fitting(found: Replayed) -> None:
    """The run is one of the bound's, and 1 - delta has a rational root."""
    goal, run = found.target, found.run
    if QUANTITIES.get(goal.quantity) != run.quantity or goal.first or goal.extra or goal.unbiased or goal.step == "best":
        raise argument_error("run", f"be one that {goal.name} is about", run.quantity)
    if run.method != "EFSGD":
        raise argument_error("method", "be EFSGD", run.method)
    if found.q**2 != 1 - run.letters["delta"]:
        raise argument_error("delta", "be 1 - q^2 with a rational q", str(run.letters["delta"]))
