"""delta and omega: the worst input is searched for; random compressors are judged by sequential bets."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from efcheck.arrays import Array
from efcheck.checks._clock import Clock
from efcheck.checks._compare import TOO_SLOW, error
from efcheck.checks._inputs import SCALES, Input, listed, worst
from efcheck.checks._random import FIRST, at_most, play
from efcheck.checks._subject import Subject
from efcheck.checks.report import Result, failed, passed, skipped

_LOOK = 24  # draws that rank an input
_FED_BACK = 60  # steps
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
    clock = s.clock(1.5)
    claims = {d: s.delta(d) for d in s.dims}
    for d, claim in claims.items():
        if claim is not None and claim > 1 and s.claims("delta"):
            code = s.snippet(None, f"assert c.delta({d}) <= 1, c.delta({d})")
            return failed(f"delta({d}) = {claim:g} is not in (0, 1]", code, number=claim, bound=1.0, count=1)
    if all(delta is None for delta in claims.values()):
        return _no_delta(s, clock)
    return _limits(s, error, {d: None if c is None else 1 - c for d, c in claims.items()}, clock, _tell_delta)


def omega(s: Subject) -> Result:
    """E||C(v)||^2 <= (1 + omega) ||v||^2."""
    claims = {d: s.omega(d) for d in s.dims}
    if all(value is None for value in claims.values()):
        return skipped("no omega claimed")
    return _limits(s, size, {d: None if c is None else 1 + c for d, c in claims.items()}, s.clock(0.8), _tell_omega)


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
    tried: list[tuple[Found, float]] = []
    before = s.prices.calls
    known = [(d, limit) for d, limit in limits.items() if limit is not None and (d in s.few or not s.random)]
    claimed = len(known)
    if s.random:
        can = _affordable(s, clock, [d for d, _ in known], _LOOK + 2 * FIRST)
        known = [(d, limit) for d, limit in known if d in can]
        if not known:
            return skipped(TOO_SLOW)
    for i, (d, limit) in enumerate(known):
        share = clock.part(1 / (len(known) - i))
        if s.random:
            found = _break(s, measure, d, limit, share)
        else:
            found = search(s, measure, d, share)
            found = replace(found, broken=found.value > limit + s.tolerance(d))
        tried.append((found, limit))
        if found.broken:
            broken.append((found, limit))
    if not broken:
        tightest = max(tried, key=lambda pair: pair[0].value / pair[1] if pair[1] > 0 else -1.0, default=None)
        about = (
            "no mean of draws exceeds it"
            + (f" at d = {', '.join(str(d) for d, _ in known)}: elsewhere {TOO_SLOW}" if len(known) < claimed else "")
            if s.random or tightest is None
            else f"tightest: {tell(*tightest)[0]} at d = {tightest[0].d}"
        )
        return passed(about, count=s.prices.calls - before, seed=s.seed)
    found, limit = broken[0]
    text, number, bound, code = tell(found, limit)
    dims = ", ".join(str(one.d) for one, _ in broken)
    about = f" (mean of {found.n} draws)" if found.n > 1 else ""
    detail = f"{text}{about} at v = {found.at.code}; fails at d = {dims}{s.precision_note(found.at.value)}"
    snippet = _limit_code(s, found, limit + (0.0 if s.random else s.tolerance(found.d)), code)
    return failed(detail, snippet, number=number, bound=bound, count=s.prices.calls - before, seed=s.seed)


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

    starts = [*s.inputs(d), *_fed_back(s, d, clock)]
    value, at = worst(score, starts, d, s.dtype, clock.more, 1500 if s.thorough else 300)
    plain = Input(at.code)
    others = [
        one.times(scale).typed(s.dtype) for scale in SCALES[s.dtype] for one in (plain, *starts[:6], *starts[-3:]) if scale != 1
    ]
    for one in others:
        if np.isfinite(one.value).all() and clock.more() and (new := score(one)) > value * (1 + 1e-6) + s.tolerance(d):
            value, at = new, one
    return Found(d, value, at)


def _fed_back(s: Subject, d: int, clock: Clock) -> list[Input]:
    """The worst of v, v - C(v), ..., up to 64 entries: what feedback gives back to C is hard on rotated and learned ones."""
    if not 2 <= d <= 64 or s.prices.pace(d) > 1:
        return []
    v, hardest, found = s.generic(d, 8).value, 0.0, list[Input]()
    for _ in range(_FED_BACK):
        out = s.on(listed(v, s.dtype))
        left = v - out
        if not clock.more() or not np.isfinite(left).all() or not left.any():
            break
        if (value := error(v, out)) > hardest:
            hardest, found = value, [listed(np.round(v, 6), s.dtype)]
        v = (left / np.abs(left).max()).astype(v.dtype)
    return [one for one in found if one.value.any()]


def _no_delta(s: Subject, clock: Clock) -> Result:
    """The largest delta that nothing found contradicts."""
    before = s.prices.calls
    dims, found = _affordable(s, clock, s.few, _LOOK) if s.random else s.few, []
    if not dims:
        return skipped(f"no delta claimed; {TOO_SLOW}")
    for i, d in enumerate(dims):
        share = clock.part(1 / (len(dims) - i))
        found.append(_rank(s, error, d, 1.0, share)[-1] if s.random else search(s, error, d, share))
    low = max(found, key=lambda one: one.value)
    about = "about " if s.random else ""
    if low.value >= 1 - s.tolerance(low.d):
        text = f"none above 0 would hold: ||C(v) - v||^2 = {low.value:.4g} ||v||^2 at v = {low.at.code}"
    else:
        text = "the largest not contradicted is " + about + ", ".join(f"{1 - one.value:.4g} (d = {one.d})" for one in found)
        text += f"; worst v = {low.at.code}"
    return Result("", "skipped", f"no delta claimed; {text}", number=1 - low.value, count=s.prices.calls - before)


# random: means of draws


def _affordable(s: Subject, clock: Clock, dims: Sequence[int], draws: int) -> Sequence[int]:
    """Where so many draws are within the clock, or for one d within twice the clock; the cheapest d first."""
    left, found = clock.left(), list[int]()
    for d in s.prices.cheapest(dims):
        cost = draws * s.prices.price(d)
        if cost > (left if found else 2 * left):
            break
        left -= cost
        found.append(d)
    return sorted(found)


def _rank(s: Subject, measure: Measure, d: int, limit: float, clock: Clock) -> list[Found]:
    """Inputs by what their first draws say: the clearest excess over the limit, and last the largest mean."""
    extra = [one.times(scale).typed(s.dtype) for scale in SCALES[s.dtype] if scale != 1 for one in map(Input, _plain(d))]

    def look(one: Input, seed: int = 3, draws: int = _LOOK) -> tuple[float, float]:
        rng = s.rng(seed)
        values = [_value(measure, one, s, rng) for _ in range(draws)]
        return float(np.mean(values)), float(np.std(values))

    def clearness(row: tuple[float, float, Input]) -> float:
        mean, deviation, _ = row
        return (mean - limit) / (deviation + 1e-6 * max(limit, 1.0)) if math.isfinite(mean) else math.inf

    table: list[tuple[float, float, Input]] = []
    for one in [*s.inputs(d), *extra]:
        if not clock.more() and table:
            break
        table.append((*look(one), one))
    mean, _, at = max(table, key=lambda row: row[0])
    if d <= 16 and math.isfinite(mean) and clock.more():
        mean, at = worst(lambda one: look(one)[0], [at], d, s.dtype, clock.part(1 / 3).more, 300 if s.thorough else 40)
    clear = sorted(table, key=clearness, reverse=True)[:4]
    if clock.more():  # a second look, since the clearest of many is clear by chance
        clear = sorted(((*look(one, 4, 4 * _LOOK), one) for _, _, one in clear), key=clearness, reverse=True)
    found = [Found(d, clear[0][0], clear[0][2], _LOOK), Found(d, mean, at, _LOOK)]
    return found if found[0].at.code != found[1].at.code else found[1:]


def _plain(d: int) -> list[str]:
    return [f"np.ones({d})", f"np.random.default_rng(0).standard_normal({d})"]


def _value(measure: Measure, one: Input, s: Subject, rng: object) -> float:
    value = measure(one.value, s(one.value, rng))
    return value if value == value else math.inf


def _break(s: Subject, measure: Measure, d: int, limit: float, clock: Clock) -> Found:
    """The input whose mean is shown to exceed the limit; else the one of the largest mean seen."""
    ranked = _rank(s, measure, d, limit, clock.part(1 / 3))
    if limit < 0:
        return replace(ranked[-1], broken=True)  # no square is negative
    bound = max(limit, 0.0) + s.tolerance(d)
    for one in ranked:
        rng = s.rng(TEST_SEED)
        draw = lambda n, one=one, rng=rng: np.array([_value(measure, one.at, s, rng) for _ in range(n)])  # noqa: E731
        bet = play(draw, at_most(bound), bound, MOST, clock.part(1 if one is ranked[-1] else 0.7))
        if bet.won:
            return Found(d, bet.mean, one.at, bet.n, broken=True)
    return ranked[-1]
