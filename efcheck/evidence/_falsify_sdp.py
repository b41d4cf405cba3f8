"""A bound against the worst case over all functions and compressors, by semidefinite programming: scan, refine, shrink, replay.

A point is (T, q, h): the compressor keeps back at most q ||p||, q = sqrt(1 - delta); h is gamma L, or R/(gamma sigma (T + 1)).
Units gamma = sigma = 1; f(x_0) - inf f is left free, its term in the right side being taken from the left one. Gradients have
no noise. The programs grow fast with T, so that T stays small but for orbits: runs that go round after one step have few points
whatever T is. Where one of these exceeds the bound it is also short to write.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from importlib.metadata import version
from itertools import islice, product
from math import isqrt
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import sympy as sp

from efcheck import bounds
from efcheck.errors import argument_error
from efcheck.evidence._falsify_replayed import QUANTITIES, Replayed
from efcheck.evidence._falsify_target import Target
from efcheck.evidence._replay_instance import Instance as Run
from efcheck.evidence._shrink import total
from efcheck.evidence.evidence import Evidence
from efcheck.evidence.falsify import Progress
from efcheck.evidence.replay import price, replay, value_at
from efcheck.evidence.worst_case import LONGEST, program

SOLVER = "CLARABEL"
LAST = 16  # half a second a program
_PERIODS = (2, 3)  # of runs that go round
_TIMES = (1, 2, 4, 8, 12)
_SHARES = tuple(Fraction(n, 20) for n in (1, 2, 5, 10, 15, 18))
_SIZES = tuple(Fraction(n, 4) for n in (1, 2, 4, 6, 8, 12))
_ENDS = {"q": (Fraction(1, 1000), Fraction(999, 1000)), "h": (Fraction(1, 100), Fraction(100))}
_SIZE = {"gradient_norm": ", gamma L = ", "suboptimality": ", R/(gamma sigma (T + 1)) = ", "error_norm": ", h = "}
_ABOVE = 1e-6  # the digits that an answer has
_CLEAR = 1e-3  # preferred: a violation that shows on a calculator
_MOVES, _FIRST = 60, 0.3  # of a refinement: programs, and how far the first ones are
_TRIED = 3  # rounded points that are replayed


class Point(NamedTuple):
    """T, q and h; q is 0 where nothing is compressed, h is 1 where the bound has no such letter. period: as in `replay`."""

    T: int
    q: Fraction
    h: Fraction
    period: int = 0


Witness: TypeAlias = tuple[Replayed, float]  # and its left side by `simulate`


class Search:
    """One target; `scale` multiplies the right side, nothing new starts after `deadline`."""

    def __init__(self, target: Target, scale: Fraction, deadline: float, progress: Progress) -> None:
        self.target, self.scale, self.deadline, self.progress = target, scale, deadline, progress
        self.right = (sp.Rational(scale) * target.side.expression).subs(bounds.k, 1 / bounds.delta)
        self.quantity = QUANTITIES[target.quantity]
        self.known: dict[Point, float] = {}
        self.failed = 0

    @property
    def late(self) -> bool:
        return time.monotonic() > self.deadline

    @property
    def measured(self) -> str:
        """What the ratio is. Where f0 is free its term is taken from both sides: a ratio below 1 is then below left/right."""
        whole = "worst case over right side"
        return "(worst case - f0 term) over (right side - f0 term)" if self.quantity == "gradient_norm" else whole

    @property
    def told(self) -> str:
        """The scan in one line."""
        largest = max(self.known.values(), default=0.0)
        return f"{len(self.known)} programs over all functions and compressors, largest {self.measured} {largest:.6f}"

    def where(self, orbits: bool) -> str:
        """The largest ratio, of orbits or of all runs, and its place."""
        at = max((p for p in self.known if bool(p.period) == orbits), key=self.ratio, default=None)
        size = _SIZE[self.quantity]
        return f"{self.ratio(at):.6f}, at T = {at.T}, q = {float(at.q):.4g}{size}{float(at.h):.4g}" if at else "0"

    def letters(self, at: Point) -> dict[str, Any]:
        """The arguments of `replay`, exact."""
        found: dict[str, Any] = {"T": at.T, "delta": 1 - at.q**2, "gamma": Fraction(1)}
        if self.target.step == "root":
            found["gamma"] = Fraction(1, _root(at.T + 1))
        if self.quantity == "gradient_norm":
            found["L"] = at.h / found["gamma"]
        elif self.quantity == "suboptimality":
            found["R"] = at.h * (at.T + 1)
        return found | ({"period": at.period} if at.period else {})

    def ratio(self, at: Point) -> float:
        """An upper bound of what `measured` says: above 1 where the bound is exceeded; 0 where the answer does not count."""
        if at not in self.known:
            self.known[at] = self._ratio(at)
            self.progress(f"T = {at.T}, {len(self.known)} programs", len(self.known), len(self.known))
        return self.known[at]

    @property
    def top(self) -> Point | None:
        """The point of the largest ratio."""
        return max(self.known, key=self.ratio, default=None)

    @property
    def exceeded(self) -> bool:
        return self.top is not None and self.ratio(self.top) > 1 + _ABOVE

    def _ratio(self, at: Point) -> float:
        from efcheck.evidence import _worst_case_sdp as sdp

        exact = {"sigma": Fraction(1), "f0": None, **self.letters(at)}
        used = {name: value if value is None or name in ("T", "period") else float(value) for name, value in exact.items()}
        model, units = program(self.quantity, "EFSGD", SOLVER, used | {"price": price(self.right, exact)})
        right, found = float(value_at(self.right, exact | {"f0": Fraction(0)})), sdp.solve(model)
        if not found.counts:
            self.failed += 1
            return 0.0
        left = max(found.dual, 0.0) * units["value"]
        return left / right if right > 0 else (math.inf if left > _ABOVE else 0.0)

    def scan(self) -> None:
        """Orbits, then ever more steps, until a ratio is above 1."""
        orbits = _PERIODS if self.quantity == "gradient_norm" else ()
        longest = max(T for T in range(LONGEST + 1) if self.rational(T))
        for T, period in (*((longest, n) for n in orbits), *((T, 0) for T in self.times())):
            if not self.exceeded and (at := self.best(self.grid(T, period))) is not None:
                self.refined(at)
        plain = max((at for at in self.known if not at.period), key=self.ratio, default=None)
        if plain is not None and not self.exceeded and max(_TIMES) == plain.T:  # it grows with T
            self.refined(plain._replace(T=LAST))

    def rational(self, T: int) -> bool:
        """Whether gamma is rational."""
        return self.target.step != "root" or _root(T + 1) > 0

    def times(self) -> tuple[int, ...]:
        """The T of the grid; those whose gamma = 1/sqrt(T + 1) is rational."""
        return tuple(T for T in range(LAST) if self.rational(T)) if self.target.step == "root" else _TIMES

    def grid(self, T: int, period: int) -> list[Point]:
        """Round numbers."""
        shares = _SHARES if self.target.compressed else (Fraction(0),)
        sizes = (Fraction(1),) if self.quantity == "error_norm" else _SIZES
        return [Point(T, q, h, period) for q, h in product(shares, sizes)]

    def best(self, points: Iterable[Point]) -> Point | None:
        """The point of the largest ratio of those that are solved in time; None where there are none."""
        return max((at for at in points if not self.late), key=self.ratio, default=None)

    def refined(self, at: Point, least: float = math.inf) -> Point:
        """The best point that Nelder and Mead's method meets from here, at the same T; it ends where one is above `least`."""
        from scipy.optimize import minimize

        free = [name for name, moves in (("q", at.q > 0), ("h", self.quantity != "error_norm")) if moves]
        seen = [at]

        def loss(z: Any) -> float:
            moved: dict[str, Any] = {name: _number(name, c) for name, c in zip(free, z, strict=True)}
            seen.append(at._replace(**moved))
            return -self.ratio(seen[-1])

        def done(*_: Any) -> None:
            if self.late or max(map(self.ratio, seen)) > least:
                raise StopIteration

        if not self.late and self.ratio(at) <= least and free:
            start = np.array([_coordinate(name, getattr(at, name)) for name in free])
            simplex = np.vstack([start, start + _FIRST * np.eye(len(free))])
            options = {"maxfev": _MOVES, "initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-5}
            minimize(loss, start, method="Nelder-Mead", callback=done, options=options)
        return max((p for p in seen if p in self.known), key=self.ratio, default=at)

    def few(self, at: Point, first: int, works: Callable[[Point], bool], least: float = math.inf) -> Point | None:
        """The fewest steps from `first` to at.T at which it works: halved again and again, as if more were better."""
        found, times = None, [T for T in range(first, at.T + 1) if self.rational(T)]
        while times:
            half = len(times) // 2
            tried = self.refined((found or at)._replace(T=times[half]), least)
            if works(tried):
                found, times = tried, times[:half]
            else:
                times = times[half + 1 :]
        return found

    def rounded(self, at: Point, least: float) -> Iterator[Point]:
        """`at` in round numbers, the roundest first, where the ratio is still above `least`; then `at`."""
        options = sorted(product(_plain("q", at.q), _plain("h", at.h)), key=total)
        yield from (p for q, h in options if self.ratio(p := at._replace(q=q, h=h)) > least)
        yield at


def search(target: Target, scale: Fraction, minutes: float, progress: Progress) -> Evidence:
    """A replayed violation of `scale` times the right side, or the largest ratio of worst case to right side in the scan.

    Evidence: `refuted` of kind witness, data["instance"] for `recheck`; `supported` of kind sdp, where no ratio in the scan is
    above 1, at these points alone; `undecided` where one is but no run is found, an answer does not count, or time is up.
    """
    if why := reason(target):
        raise argument_error("bound", "be one with a semidefinite program", f"{target.name}: {why}")
    begun = time.monotonic()
    state = Search(target, scale, begun + 60 * minutes, progress)
    state.scan()
    found = _witness(state)
    seconds = time.monotonic() - begun
    return _none(state, seconds) if found is None else _told(state, *found, seconds)


def _witness(state: Search) -> Witness | None:
    """A replay of few steps; of an orbit, of more if only then ||grad f|| <= sigma is known to hold everywhere."""
    top = state.top
    if top is None or not state.exceeded:
        return None
    least, first = 1 + min(_CLEAR, (state.ratio(top) - 1) / 2), max(top.period, state.quantity == "error_norm")
    few = state.few(top, first, lambda at: state.ratio(at) > least, least) or top
    found = _replayed(state, dict.fromkeys((*islice(state.rounded(few, least), _TRIED), few, top)))
    if not top.period or _known(found):
        return found
    longer = state.few(top, few.T, lambda at: _known(_replayed(state, [at])))
    return found if longer is None else _replayed(state, state.rounded(longer, least))


def _replayed(state: Search, points: Iterable[Point]) -> Witness | None:
    """The first replay that leaves no hypothesis unsaid, else the one in the fewest dimensions."""
    found: list[Witness] = []
    for at in points:
        evidence = replay(state.quantity, above=state.right, **state.letters(at))
        if evidence.outcome == "refuted":
            run = Replayed(state.target, Run.from_json(evidence.data["instance"]), state.scale)
            found.append((run, evidence.data["simulated"]))
        if found and _known(found[-1]):
            return found[-1]
    return min(found, key=lambda some: some[0].run.d, default=None)


def _known(found: Witness | None) -> bool:
    """Whether every hypothesis is known to hold everywhere."""
    return found is not None and not found[0].caution()


def reason(target: Target) -> str:
    """Why no program is about the bound; empty where one is."""
    reasons = {
        "its left side is no worst case of `efcheck worst-case`": target.quantity not in QUANTITIES,
        "its mean or minimum is over other points": bool(target.first or target.extra),
        "the programs know no unbiased compressors": target.unbiased,
        "its step size depends on R, which is irrational then": target.step == "best",
    }
    return next((why for why, holds in reasons.items() if holds), "")


def _told(state: Search, instance: Replayed, simulated: float, seconds: float) -> Evidence:
    """The replayed run as an instance of the target; simulated: its left side by `simulate`."""
    scan: dict[str, Any] = {"largest_ratio": max(state.known.values()), "programs": len(state.known), "simulated": simulated}
    scan |= {"scan": state.told, "solver": SOLVER, "version": version(SOLVER.lower())}
    return instance.evidence(seconds, scan)


def _none(state: Search, seconds: float) -> Evidence:
    """What was solved, and the largest ratio: a bound of the left side at these points, and of nothing else."""
    top, steps = state.top, sorted({at.T for at in state.known if not at.period})
    largest = 0.0 if top is None else state.ratio(top)
    above = largest > 1 + _ABOVE
    outcome = "undecided" if above or state.late or state.failed else "supported"
    scan = f"in {len(state.known)} programs over all functions and compressors, T in {steps}, gradients without noise"
    what = "a violation that no run on rationals confirms" if above else "no violation"
    detail = f"{what} {scan}; {state.measured} at most {state.where(orbits=False)}"
    detail += f", of orbits at most {state.where(orbits=True)}" if any(at.period for at in state.known) else ""
    detail += f"; {state.failed} answers did not count" if state.failed else ""
    detail += ", stopped by the time limit" if state.late else ""
    data = {"ratio": largest, "T": steps, "programs": len(state.known), "failed": state.failed}
    data |= {"scan": state.told}
    data |= {"point": None if top is None else [str(c) for c in top], "solver": SOLVER, "version": version(SOLVER.lower())}
    return Evidence("sdp", outcome, f"{detail}. No proof for other T, nor between the points", data, seconds=seconds)


def _root(n: int) -> int:
    """sqrt(n) of a square, else 0."""
    return isqrt(n) if isqrt(n) ** 2 == n else 0


def _coordinate(name: str, c: Fraction) -> float:
    """log(q/(1 - q)), log(h): the coordinates in which points are moved."""
    return math.log(c / (1 - c) if name == "q" else c)


def _number(name: str, z: float) -> Fraction:
    """The inverse of `_coordinate`, to four digits, within the ends."""
    size, (low, high) = math.exp(min(z, 30.0)), _ENDS[name]
    return max(low, min(high, Fraction(f"{size / (1 + size) if name == 'q' else size:.4g}")))


def _plain(name: str, c: Fraction) -> set[Fraction]:
    """c to one, two, three, four digits, down and up, within the ends; 0 and 1, which stand for no letter, as they are."""
    low, high = _ENDS[name]
    units = [Fraction(10) ** (math.floor(math.log10(c)) + 1 - n) for n in (1, 2, 3, 4)] if c not in (0, 1) else [Fraction(1)]
    rounded = {way(c / unit) * unit for unit in units for way in (math.floor, math.ceil)}
    return {r for r in rounded if low <= r <= high} or {c}
