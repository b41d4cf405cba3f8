"""Unbiasedness: E C(v) = v, by bets that need no estimate of a variance."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from efcheck.arrays import Array
from efcheck.checks._clock import Clock
from efcheck.checks._compare import TOO_SLOW, error
from efcheck.checks._guarantees import MOST, TEST_SEED, search
from efcheck.checks._inputs import Input, comparable
from efcheck.checks._random import FIRST, GOAL, bounded, play, spread
from efcheck.checks._subject import Subject
from efcheck.checks.report import Result, failed, passed, skipped

_PILOT = 48  # draws of a first look; the second takes six times as many
_SELDOM = 1000.0


def unbiased(s: Subject) -> Result:
    """E C(v) = v, by bets along directions that a pilot sample chose.

    With a claimed omega, E <C(v) - v, u>^2 <= omega ||v||^2 for unit u is all that is assumed. Without, no test can do with
    nothing: ||C(v) - v|| is assumed to stay within 20 times the largest of a pilot sample and of ||v||; within 1000 ||v||, too,
    where nine draws in ten of that sample are the same. A draw beyond that ends the test. So without omega the chance of 1e-6
    does not hold for C that sends more than 1000 ||v|| less than once in 1000 draws (v/p with chance p = 1e-4): claim omega.
    """
    if not s.unbiased:
        return skipped("not claimed")
    if not s.random:
        return _exact(s)
    clock, cases = s.clock(1.6), 0
    if (_PILOT + FIRST) * min(map(s.prices.price, s.few)) > 2 * clock.seconds:
        return skipped(TOO_SLOW)
    for suspect in _suspects(s, clock.part(1 / 3)):
        found, n = _bet_on_bias(s, suspect, clock.part(0.6))
        cases += n
        if found is not None:
            return failed(found[0], found[1], number=found[2], bound=0.0, count=cases, seed=s.seed)
    return passed(count=cases, seed=s.seed)


def _exact(s: Subject) -> Result:
    """A compressor that draws nothing is unbiased only if it is the identity."""
    for d in s.dims:
        found = search(s, error, d, s.clock(0.3))
        if found.value > s.tolerance(d):
            body = f"out = {s.call()}\nassert np.allclose(out, v), out"
            detail = f"it draws nothing, and C(v) is not v at v = {found.at.code}"
            return failed(detail, s.snippet(found.at, body), number=found.value, bound=0.0, count=1)
    return passed("it draws nothing and sends v whole", count=len(s.dims))


_DIRECTIONS = ("v / np.linalg.norm(v)", "np.sign(v) / np.linalg.norm(np.sign(v))", "np.ones(v.size) / v.size**0.5")


@dataclass(frozen=True)
class Suspect:
    """A direction u (Python text) in which C(v) - v seems biased; need: the draws that would show it."""

    at: Input
    u: str
    variance: float  # of the bet: omega, with room
    omega: float | None
    radius: float  # without omega: ||C(v) - v|| <= radius ||v||
    need: float


def _suspects(s: Subject, clock: Clock) -> list[Suspect]:
    """For each input its most suspicious direction; the three that fewest draws would show, by a second look."""
    found: list[Suspect] = []
    inputs = [(d, i) for i in range(12) for d in s.prices.cheapest(s.few)]
    for d, i in inputs:
        if found and not clock.more():
            break
        omega = s.omega(d)
        pool = [comparable(d).typed(s.dtype), s.generic(d), *(s.inputs(d)[3 * s.seed % 5 :: 5] if omega is not None else [])]
        if i < len(pool):
            found.append(_suspect(s, pool[i], omega, _PILOT))
    found = sorted(found, key=lambda one: one.need)[:8]
    again = [
        _suspect(s, one.at, one.omega, 6 * _PILOT)
        for one in found
        if clock.left() + clock.seconds > 6 * _PILOT * s.prices.price(one.at.d)
    ]
    return sorted(again or found, key=lambda one: one.need)[:3]


def _suspect(s: Subject, one: Input, omega: float | None, draws: int) -> Suspect:
    rng, v = s.rng(5), one.value.astype(np.float64)
    rest = np.array([s(one.value, rng) - v for _ in range(draws)]) / np.linalg.norm(v)
    variance = float(np.square(rest).sum(axis=1).mean())
    variance = max(omega or 0.0, 1.5 * variance) + s.tolerance(v.size)  # a larger one than claimed is the failure of omega
    i = int(np.argmax(np.abs(rest.mean(axis=0))))
    best, code = 0.0, ""
    for text in (*_DIRECTIONS, f"np.eye(1, {v.size}, {i})[0]"):
        along = float((rest @ eval(text, {"np": np, "v": v})).mean())
        if abs(along) >= abs(best):
            best, code = along, text
    bias, radius = max(abs(best), 1e-12), _radius(rest)
    need = GOAL * (radius / bias if omega is None else 2 * variance / bias**2)
    return Suspect(one, f"{math.copysign(1.0, best)} * {code}", variance, omega, radius, need)


def _radius(rest: Array) -> float:
    """How far a draw is assumed to be from v, at most, in ||v||: seldom events are not seen in a pilot sample."""
    largest = 20 * max(1.0, float(np.linalg.norm(rest, axis=1).max()))
    commonest = Counter(row.tobytes() for row in rest).most_common(1)[0][1]
    return largest if len(rest) > _PILOT and commonest < 0.9 * len(rest) else max(largest, _SELDOM)


def _bet_on_bias(s: Subject, suspect: Suspect, clock: Clock) -> tuple[tuple[str, str, float] | None, int]:
    """The bias shown to be there, as (detail, snippet, size), or None; and the number of draws."""
    one, code = suspect.at, suspect.u
    rng, v = s.rng(TEST_SEED), one.value.astype(np.float64)
    norm, u = float(np.linalg.norm(v)), eval(code, {"np": np, "v": v})
    slack = math.sqrt(s.tolerance(v.size))  # a rounding that is always to one side
    wild = False

    def draw(n: int) -> Array:
        nonlocal wild
        rest = np.array([s(one.value, rng) - v for _ in range(n)]) / norm
        wild = wild or not float(np.linalg.norm(rest, axis=1).max()) <= suspect.radius
        return np.full(n, -suspect.radius) if wild and suspect.omega is None else np.asarray(rest @ u - slack)

    gain = bounded(1.01 * suspect.radius) if suspect.omega is None else spread(suspect.variance)
    bet = play(draw, gain, 0.0, MOST * (10 if suspect.omega is None else 1), clock)
    if not bet.won:
        return None, bet.n
    bias = bet.mean + slack
    detail = f"the mean of {bet.n} draws is off by {bias:.4g} ||v|| along u = {code}, v = {one.code}"
    lines = [f"rng = {s.generator(TEST_SEED)}"] if s.rng(0) is not None else []
    lines += [f"u = {code}", f"mean = sum({s.call(rng='rng')} for _ in range({bet.n})) / {bet.n}"]
    lines += ["bias = u @ (mean - v) / np.linalg.norm(v)", "print(bias)", f"assert bias < {bias * 0.99!r}"]
    return (detail, s.snippet(one, "\n".join(lines)), bias), bet.n
