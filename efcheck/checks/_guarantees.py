"""delta and omega: the worst input is searched for; random compressors are judged by sequential bets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from efcheck.arrays import Array
from efcheck.checks._compare import error
from efcheck.checks._inputs import SCALES, Input, worst
from efcheck.checks._random import Clock, at_most, play
from efcheck.checks._subject import Subject
from efcheck.checks.report import Result, failed, passed, skipped

_LOOK = 24  # draws that rank an input
MOST = 20_000  # draws of one test
TEST_SEED = 7

Measure = Callable[[Array, Array], float]


def size(v: Array, out: Array) -> float:
    """||C(v)||^2 / ||v||^2."""
    return error(v, v + out)


@dataclass(frozen=True)
class Found:
    """The largest value of a measure in R^d, the mean of n draws at this input; broken: it exceeds its limit."""

    d: int
    value: float
    at: Input
    n: int = 1
    broken: bool = False


def contraction(s: Subject) -> Result:
    """||C(v) - v||^2 <= (1 - delta) ||v||^2, in expectation where C is random; or the largest delta found to hold."""
    clock = s.clock(1.8)
    claims = {d: s.delta(d) for d in s.dims}
    if all(delta is None for delta in claims.values()):
        return _no_delta(s, clock)
    return _limits(s, error, {d: None if c is None else 1 - c for d, c in claims.items()}, clock, _tell_delta)


def omega(s: Subject) -> Result:
    """E||C(v)||^2 <= (1 + omega) ||v||^2."""
    claims = {d: s.omega(d) for d in s.dims}
    if all(value is None for value in claims.values()):
        return skipped("no omega claimed")
    return _limits(s, size, {d: None if c is None else 1 + c for d, c in claims.items()}, s.clock(1.0), _tell_omega)


Tell = Callable[[Found, float], tuple[str, float, float, str]]


def _tell_delta(found: Found, limit: float) -> tuple[str, float, float, str]:
    text = f"delta = {1 - found.value:.6g}, claimed {1 - limit:.6g}"
    return text, 1 - found.value, 1 - limit, "np.square(out / top - v / top).sum() / np.square(v / top).sum()"


def _tell_omega(found: Found, limit: float) -> tuple[str, float, float, str]:
    text = f"||C(v)||^2/||v||^2 = {found.value:.6g}, claimed 1 + omega = {limit:.6g}"
    return text, found.value, limit, "np.square(out / top).sum() / np.square(v / top).sum()"


def _limits(s: Subject, measure: Measure, limits: dict[int, float | None], clock: Clock, tell: Tell) -> Result:
    """The measure is within its limit in every d; else the first d where it is not, at the worst input there."""
    broken: list[tuple[Found, float]] = []
    tightest: tuple[Found, float] | None = None
    cases = 0
    known = [(d, limit) for d, limit in limits.items() if limit is not None and (d in s.asked or not s.random)]
    for i, (d, limit) in enumerate(known):
        share = Clock(clock.left() / (len(known) - i))
        if s.random:
            found = _break(s, measure, d, limit, share)
        else:
            found = search(s, measure, d, share)
            found = replace(found, broken=found.value > limit + s.tolerance(d))
        cases += found.n
        if tightest is None or tightest[1] <= 0 or found.value * tightest[1] > tightest[0].value * limit > 0:
            tightest = (found, limit)
        if found.broken:
            broken.append((found, limit))
    if not broken:
        about = (
            "no mean of draws exceeds it"
            if s.random or tightest is None
            else f"tightest: {tell(*tightest)[0]} at d = {tightest[0].d}"
        )
        return passed(about, count=cases, seed=s.seed)
    found, limit = broken[0]
    text, number, bound, code = tell(found, limit)
    dims = ", ".join(str(one.d) for one, _ in broken)
    about = f" (mean of {found.n} draws)" if found.n > 1 else ""
    detail = f"{text}{about} at v = {found.at.code}; fails at d = {dims}{s.precision_note(found.at.value)}"
    snippet = _limit_code(s, found, limit + (0.0 if s.random else s.tolerance(found.d)), code)
    return failed(detail, snippet, number=number, bound=bound, count=cases, seed=s.seed)


def _limit_code(s: Subject, found: Found, limit: float, code: str) -> str:
    lines = ["top = np.abs(v).max()"]
    if found.n > 1:
        lines += [f"rng = {s.generator(TEST_SEED)}"] if s.rng(0) is not None else []
        lines += [f"outs = ({s.call(rng='rng')} for _ in range({found.n}))", f"value = np.mean([{code} for out in outs])"]
    else:
        lines += [f"out = {s.call()}", f"value = {code}"]
    lines += [f"print(value, {limit!r})", f"assert value <= {limit!r}"]
    return s.snippet(found.at, "\n".join(lines))


# deterministic: one call an input


def search(s: Subject, measure: Measure, d: int, clock: Clock) -> Found:
    def score(one: Input) -> float:
        out = s.on(one)
        return measure(one.value, out) if np.isfinite(out).all() else -math.inf

    starts = s.inputs(d)
    value, at = worst(score, starts, d, s.dtype, clock.more, 1500 if s.thorough else 300)
    plain = Input(at.code)
    others = [
        one.times(scale).typed(s.dtype) for scale in SCALES[s.dtype] for one in (plain, *starts[:6], *starts[-3:]) if scale != 1
    ]
    for one in others:
        if np.isfinite(one.value).all() and clock.more() and (new := score(one)) > value * (1 + 1e-6) + s.tolerance(d):
            value, at = new, one
    return Found(d, value, at)


def _no_delta(s: Subject, clock: Clock) -> Result:
    """The largest delta that nothing found contradicts."""
    dims, found = [d for d in s.dims if d in s.asked], []
    for i, d in enumerate(dims):
        share = Clock(clock.left() / (len(dims) - i))
        found.append(_rank(s, error, d, 1.0, share)[0] if s.random else search(s, error, d, share))
    if not found:
        return skipped("accepts no d to test")
    low = max(found, key=lambda one: one.value)
    about = "about " if s.random else ""
    if low.value >= 1 - s.tolerance(low.d):
        text = f"none above 0 would hold: ||C(v) - v||^2 = {low.value:.4g} ||v||^2 at v = {low.at.code}"
    else:
        text = "the largest not contradicted is " + about + ", ".join(f"{1 - one.value:.4g} (d = {one.d})" for one in found)
        text += f"; worst v = {low.at.code}"
    return Result("", "skipped", f"no delta claimed; {text}", number=1 - low.value, count=sum(one.n for one in found))


# random: means of draws


def _rank(s: Subject, measure: Measure, d: int, limit: float, clock: Clock) -> list[Found]:
    """Inputs by what their first draws say: the largest mean, and the clearest excess over the limit."""
    table: list[tuple[float, float, Input]] = []
    extra = [one.times(scale).typed(s.dtype) for scale in SCALES[s.dtype] if scale != 1 for one in map(Input, _plain(d))]

    def look(one: Input) -> tuple[float, float]:
        rng = s.rng(3)
        draws = [_value(measure, one, s, rng) for _ in range(_LOOK)]
        return float(np.mean(draws)), float(np.std(draws))

    for one in [*s.inputs(d), *extra]:
        if not clock.more() and table:
            break
        table.append((*look(one), one))
    mean, _, at = max(table, key=lambda row: row[0])
    if d <= 16 and math.isfinite(mean) and clock.more():
        mean, at = worst(lambda one: look(one)[0], [at], d, s.dtype, Clock(clock.left() / 3).more, 300 if s.thorough else 40)
    slack = 1e-6 * max(limit, 1.0)
    clear = max(table, key=lambda row: (row[0] - limit) / (row[1] + slack) if math.isfinite(row[0]) else math.inf)
    found = [Found(d, mean, at, _LOOK), Found(d, clear[0], clear[2], _LOOK)]
    return found if found[0].at.code != found[1].at.code else found[:1]


def _plain(d: int) -> list[str]:
    return [f"np.ones({d})", f"np.random.default_rng(0).standard_normal({d})"]


def _value(measure: Measure, one: Input, s: Subject, rng: object) -> float:
    value = measure(one.value, s(one.value, rng))
    return value if value == value else math.inf


def _break(s: Subject, measure: Measure, d: int, limit: float, clock: Clock) -> Found:
    """The input whose mean is shown to exceed the limit; else the one of the largest mean seen."""
    ranked = _rank(s, measure, d, limit, Clock(clock.left() / 3))
    if limit < 0:
        return replace(ranked[0], broken=True)  # no square is negative
    bound = max(limit, 0.0) + s.tolerance(d)
    for i, one in enumerate(ranked):
        rng = s.rng(TEST_SEED)
        draw = lambda n, one=one, rng=rng: np.array([_value(measure, one.at, s, rng) for _ in range(n)])  # noqa: E731
        bet = play(draw, at_most(bound), bound, MOST, Clock(clock.left() / (len(ranked) - i)))
        if bet.won:
            return Found(d, bet.mean, one.at, bet.n, broken=True)
    return ranked[0]
