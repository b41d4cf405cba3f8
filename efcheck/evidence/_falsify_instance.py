"""One run of error feedback on Fractions, every hypothesis checked on the way, against the right side of a bound.

A state is (x, e, sum of the iterates) with its chance; a run without chance has one state at a time. Left sides:

    gradient    min_{first <= t <= T} E||grad f(x_t)||^2
    gap         E f((x_0 + ... + x_T)/(T + 1)) - f*
    error       E||e_T||^2
    distance    E||x_T - Pi x_T||^2, Pi onto the span of the gradients
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import isqrt
from typing import TYPE_CHECKING, Any

import sympy as sp

from efcheck.errors import EfcheckError, argument_error
from efcheck.evidence._falsify_parts import (
    NOISE,
    Compressor,
    Function,
    Vector,
    norm2,
    number,
    oracle,
    read_compressor,
    read_function,
    vector,
)  # fmt: skip
from efcheck.evidence._falsify_rational import nearest, over
from efcheck.evidence._falsify_target import Target, multiplier, rootless, target
from efcheck.evidence.evidence import Evidence

if TYPE_CHECKING:
    from efcheck.evidence._falsify_replayed import Replayed

STEPS = 20_000  # on Fractions


class BrokenHypothesis(EfcheckError):
    """The run breaks a hypothesis of the bound."""


@dataclass(frozen=True)
class Instance:
    """Everything that defines the run; `q` is sqrt(1 - delta), `scale` multiplies the right side."""

    target: Target
    T: int
    gamma: Fraction
    sigma: Fraction
    q: Fraction
    function: Function
    compressor: Compressor
    x0: Vector
    noise: str = "none"
    scale: Fraction = Fraction(1)

    @property
    def delta(self) -> Fraction:
        return 1 - self.q**2

    def letters(self) -> dict[str, Fraction]:
        """Each letter of the right side, and R2, q, root."""
        f = self.function
        known = {"T": Fraction(self.T), "t": Fraction(self.T), "gamma": self.gamma, "sigma": self.sigma, "q": self.q}
        known |= {"delta": self.delta}
        if f.L is not None:
            known["L"] = f.L
        if f.minimum is not None and f.minimiser is not None:
            known["f0"] = f.value(self.x0) - f.minimum
            known["R2"] = norm2(tuple(a - b for a, b in zip(self.x0, f.minimiser, strict=True)))
        if isqrt(self.T + 1) ** 2 == self.T + 1:
            known["root"] = Fraction(isqrt(self.T + 1))
        return known

    def evaluate(self, expression: Any) -> Fraction:
        """A rootless expression at the letters."""
        known = self.letters()
        missing = [s.name for s in expression.free_symbols if s.name not in known]
        if missing:
            raise BrokenHypothesis(f"the instance has no {missing[0]}")
        found = expression.subs({s: sp.Rational(known[s.name]) for s in expression.free_symbols})
        return Fraction(int(found.p), int(found.q))

    def right(self) -> Fraction:
        """scale times the right side, to the power that makes it rational."""
        return self._right

    def left(self) -> Fraction:
        """The left side, to the same power, or a value between it and the right side where it is the smaller one.

        BrokenHypothesis where the run is not within the hypotheses, or neither ends nor repeats within STEPS steps.
        """
        return self._left

    @cached_property
    def _right(self) -> Fraction:
        return self.scale**self.target.power * self.evaluate(self.target.right)

    @cached_property
    def _left(self) -> Fraction:
        self._check_step()
        if self.target.quantity == "gradient":
            return self._least(self._right)
        return (self._gap() if self.target.quantity == "gap" else self._error()) ** self.target.power

    def violated(self) -> bool:
        """Whether the run is within all hypotheses and left > right."""
        try:
            return self.left() > self.right()
        except BrokenHypothesis:
            return False

    def scaled(self, scale: Fraction) -> Instance:
        """The same run against scale times the right side."""
        return replace(self, scale=scale)

    def against(self, expression: Any) -> Instance:
        """The same run against another right side."""
        return replace(self, target=replace(self.target, side=replace(self.target.side, expression=expression)))

    def evidence(self, seconds: float = 0.0, data: Mapping[str, Any] | None = None) -> Evidence:
        """Kind witness: refuted if left > right within the hypotheses, else undecided: one run supports no bound."""
        begun = time.monotonic()
        name = f"{self.target.name} {self.target.form}" + (f" times {self.scale}" if self.scale != 1 else "")
        try:
            left, right = self.left(), self.right()
        except BrokenHypothesis as error:
            return Evidence("witness", "undecided", f"{name}: {error}")
        squared = " (both squared)" if self.target.power == 2 else ""
        detail = f"{name}: {self.words()}: {self.target.words()}{squared} = {show(left)} > {show(right)}, the right side"
        if left <= right:
            return Evidence("witness", "undecided", f"{name}: left side {show(left)} <= {show(right)}, right side")
        ratio = over(left, right) ** (1 / self.target.power)
        found = {"ratio": ratio, "T": self.T, "instance": self.to_json(), **(data or {})}
        return Evidence("witness", "refuted", detail, found, seconds=seconds or time.monotonic() - begun)

    def words(self) -> str:
        """The instance in one line."""
        noise = {"none": "no noise", "at zero": "g_0 = +-sigma", "everywhere": "g = +-sigma"}[self.noise]
        start = ", ".join(map(str, self.x0))
        return (
            f"{self.function.words()}, {noise}, {self.compressor.words()}, sigma = {self.sigma}, gamma = {self.gamma}, "
            f"delta = {self.delta}, x_0 = {start}, T = {self.T}"
        )

    # -- the run -------------------------------------------------------------------------------------------------------------

    def _check_step(self) -> None:
        if not (
            0 <= self.q < 1 and self.gamma > 0 and self.sigma >= 0 and max(self.target.first, -self.target.extra) <= self.T
        ):
            raise BrokenHypothesis("q, gamma, sigma or T is outside its range")
        if self.function.steepest2 > self.sigma**2:
            raise BrokenHypothesis("a slope is larger than sigma")
        steps = self.T + 1
        if self.target.step == "root" and self.gamma**2 * steps != 1:
            raise BrokenHypothesis("gamma is not 1/sqrt(T + 1)")
        if self.target.step == "best":
            least2 = self.evaluate(rootless(self.target.best.expression, 2))
            if self.gamma**2 * steps**2 * least2 != self.letters()["R2"] ** 2:
                raise BrokenHypothesis("gamma is not the best one")

    def _start(self) -> dict[Any, Fraction]:
        zero = tuple(Fraction(0) for _ in self.x0)
        return {(self.x0, zero, self.x0 if self.target.quantity == "gap" else ()): Fraction(1)}

    def _step(self, states: Mapping[Any, Fraction]) -> dict[Any, Fraction]:
        after: dict[Any, Fraction] = defaultdict(Fraction)
        for (x, e, total), chance in states.items():
            for g, w in self._gradients(x):
                p = tuple(self.gamma * a + b for a, b in zip(g, e, strict=True))
                for sent, v in self._messages(p):
                    new = tuple(a - b for a, b in zip(x, sent, strict=True))
                    left = tuple(a - b for a, b in zip(p, sent, strict=True))
                    after[new, left, tuple(a + b for a, b in zip(total, new, strict=False))] += chance * w * v
        return dict(after)

    def _gradients(self, x: Vector) -> Any:
        """Assumption C: the mean is the gradient, the second moment at most sigma^2."""
        slope = self.function.gradient(x)
        outcomes = oracle(self.noise, slope, self.sigma)
        mean = tuple(sum(w * g[i] for g, w in outcomes) for i in range(len(x)))
        if mean != slope or sum(w * norm2(g) for g, w in outcomes) > self.sigma**2 or any(w < 0 for _, w in outcomes):
            raise BrokenHypothesis("a gradient breaks Assumption C")
        return outcomes

    def _messages(self, p: Vector) -> Any:
        """Assumption A; where the bound is about an unbiased U = C/delta: E C(p) = delta p, E||C(p)||^2 <= delta ||p||^2."""
        outcomes = self.compressor.outcomes(p)
        lost = sum(w * norm2(tuple(a - b for a, b in zip(p, c, strict=True))) for c, w in outcomes)
        fair = sum(w for _, w in outcomes) == 1 and all(w >= 0 for _, w in outcomes)
        if not fair or lost > self.q**2 * norm2(p) or (not self.target.compressed and lost):
            raise BrokenHypothesis("a message breaks Assumption A")
        if self.target.unbiased:
            mean = tuple(sum(w * c[i] for c, w in outcomes) for i in range(len(p)))
            if mean != tuple(self.delta * a for a in p) or sum(w * norm2(c) for c, w in outcomes) > self.delta * norm2(p):
                raise BrokenHypothesis("C is not U/k for an unbiased U")
        return outcomes

    def _least(self, right: Fraction) -> Fraction:
        """Stops at a value <= right. With one or two states the run may repeat; the rest of it is then known."""
        states, least, seen = self._start(), None, set()
        for t in range(self.T + 1):
            if t >= self.target.first:
                mean = sum((w * norm2(self.function.gradient(x)) for (x, _, _), w in states.items()), Fraction(0))
                least = mean if least is None else min(least, mean)
                if least <= right:
                    break
                if len(states) <= 2:
                    key = frozenset(states.items())
                    if key in seen:
                        break
                    seen.add(key)
            if t == STEPS:
                raise BrokenHypothesis(f"the run neither ends nor repeats within {STEPS} steps")
            if t < self.T:
                states = self._step(states)
        assert least is not None
        return least

    def _check_length(self) -> None:
        if self.T > STEPS:
            raise BrokenHypothesis(f"the run has more than {STEPS} steps")

    def _gap(self) -> Fraction:
        states = self._start()
        self._check_length()
        for _ in range(self.T):
            states = self._step(states)
        f, over = self.function, self.T + 1 + self.target.extra
        assert f.minimum is not None
        return sum(
            (w * (f.value(tuple(c / over for c in total)) - f.minimum) for (_, _, total), w in states.items()), Fraction(0)
        )

    def _error(self) -> Fraction:
        """Without noise all gradients are the slope of a linear function: the span is its line, and x_0 must be on it."""
        states, slope = self._start(), self.function.gradient(self.x0)
        self._check_length()
        for _ in range(self.T):
            states = self._step(states)
        if self.target.quantity == "error":
            return sum((w * norm2(e) for (_, e, _), w in states.items()), Fraction(0))
        if self.noise != "none" or any(self.x0) or any(self.function.gradient(x) != slope for (x, _, _) in states):
            raise BrokenHypothesis("the gradients have noise, x_0 is not 0, or f is not linear")
        found = Fraction(0)
        for (x, _, _), w in states.items():
            inner = sum((a * b for a, b in zip(x, slope, strict=True)), Fraction(0))
            found += w * (norm2(x) - (inner**2 / norm2(slope) if any(slope) else 0))
        return found

    # -- as JSON -------------------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Every number as a rational string; left and right to the power `power`."""
        return {
            "bound": self.target.name, "form": self.target.form, "scale": str(self.scale),
            "source": self.target.bound.source, "reading": self.target.reading,
            "left_side": self.target.words(), "right_side": str(self.target.side.expression),
            "T": str(self.T), "gamma": str(self.gamma), "sigma": str(self.sigma), "delta": str(self.delta), "q": str(self.q),
            "x0": [str(c) for c in self.x0], "function": self.function.to_json(), "compressor": self.compressor.to_json(),
            "noise": self.noise, "letters": {name: str(value) for name, value in self.letters().items()},
            "power": str(self.target.power), "left": exactly(self.left()), "right": exactly(self.right()),
        }  # fmt: skip


def show(c: Fraction) -> str:
    """3/4 = 0.75, or the decimals alone where the fraction is long."""
    if c.denominator == 1:
        return str(c)
    about = f"{nearest(c):.6g}" if abs(c) < 10**300 else "a number beyond 10^300"
    return f"{c} = {about}" if c.denominator < 10**12 and abs(c) < 10**300 else about


def exactly(c: Fraction) -> str:
    """The fraction as text, or its decimals where it has more digits than Python writes."""
    short = max(c.numerator.bit_length(), c.denominator.bit_length()) < 10_000
    return str(c) if short else f"about {nearest(c)!r}"


def read(data: Any) -> Instance | Replayed:
    """The instance of a JSON object; its left and right sides are not read but computed anew."""
    if isinstance(data, dict) and "run" in data:
        from efcheck.evidence import _falsify_replayed

        return _falsify_replayed.read(data)
    try:
        T = number(data["T"])
        if T.denominator != 1 or T < 0 or data["noise"] not in NOISE:
            raise argument_error("instance", f"have whole T >= 0 and noise among {', '.join(NOISE)}", f"{T}, {data['noise']}")
        goal = target(data["bound"], data["form"])
        parts = read_function(data["function"]), read_compressor(data["compressor"]), vector(data["x0"]), data["noise"]
        if number(data["delta"]) != 1 - number(data["q"]) ** 2:
            raise argument_error("delta", "be 1 - q^2", data["delta"])
        scale = multiplier(number(data["scale"]))
        found = Instance(goal, int(T), number(data["gamma"]), number(data["sigma"]), number(data["q"]), *parts, scale)
    except (KeyError, TypeError, AttributeError) as error:
        raise argument_error("instance", "be what efcheck falsify writes", f"{type(error).__name__}: {error}") from None
    _fitting(found)
    return found


def _fitting(found: Instance) -> None:
    """The parts fit together: one dimension, noise with a size, a least value where the left side needs it."""
    d, f = len(found.x0), found.function
    if {f.d, found.compressor.d, d if found.noise == "none" else 1} - {None, d}:
        raise argument_error("x0", "have the dimension of function, compressor and noise", f"{d} numbers")
    if found.noise != "none" and found.sigma <= 0:
        raise argument_error("sigma", "be > 0 where there is noise", str(found.sigma))
    if found.target.quantity == "gap" and f.minimum is None:
        raise argument_error("function", f"have a least value for {found.target.name}", f.to_json()["kind"])
