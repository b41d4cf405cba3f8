"""The stages of `search`: fill, optimise, confirm, shrink, and say what was done."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from efcheck.arrays import Array, Generator
from efcheck.errors import argument_error
from efcheck.evidence import _optimise, _precise
from efcheck.evidence._box import Box, decimal, parse
from efcheck.evidence._shrink import Point, shown, shrink
from efcheck.evidence.evidence import Evidence

_MARGIN = 1e-9  # of the scale of gap: a violation that only floats show counts below this
_ROUNDING = 64 * 2.0**-52  # of the scale of gap: below 0 by less is what rounding does
_CHUNK = 1 << 16
_NEIGHBOURS = 32
_LOWEST, _OTHERS = 12, 500  # points below 0 that are judged: the lowest, then others evenly along their order


@dataclass
class Record:
    """Every point of the search and gap there; counts what confirming and shrinking takes on top."""

    gap: Callable[[Any], Any]
    box: Box
    points: list[Array] = field(default_factory=list)
    values: list[Array] = field(default_factory=list)
    scale: float = 0.0
    extra: int = 0
    floats_only: str = ""  # why gap does not take mpmath numbers

    def at(self, x: Array) -> Array:
        values = self._evaluate(x)
        self.points.append(x)
        self.values.append(values)
        return values

    def unit(self, u: Array) -> Array:
        return self.at(self.box.points(u))

    def aside(self, x: Array) -> Array:
        self.extra += len(x)
        return self._evaluate(x)

    def merge(self) -> tuple[Array, Array]:
        self.points, self.values = [np.concatenate(self.points)], [np.concatenate(self.values)]
        return self.points[0], self.values[0]

    def _evaluate(self, x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.concatenate([self._chunk(x[i : i + _CHUNK]) for i in range(0, len(x), _CHUNK)])

    def _chunk(self, x: Array) -> Array:
        expected = f"return {len(x)} numbers for {len(x)} rows"
        answer = self.gap(x.copy())
        try:
            values = np.asarray(answer)
            real = values if values.dtype.kind in "biuf" else np.vectorize(float, otypes=[np.float64])(values)
        except (TypeError, ValueError) as error:
            raise argument_error("gap", expected, f"{type(error).__name__}: {error}") from error
        if real.shape != (len(x),):
            raise argument_error("gap", expected, f"shape {real.shape}", "It takes X of shape (n, d) and works row by row.")
        return real.astype(np.float64)

    def judge(self, points: Sequence[Point]) -> list[tuple[str, float]]:
        """Each point "below" (confirmed), "not below", or "unknown", with gap there."""
        self.extra += len(points)
        if not self.floats_only:
            try:
                return _precise.judge(self.gap, points)
            except _precise.NotTaken as error:
                self.floats_only = str(error)
        return [self._by_margin(np.array([[float(q) for q in p]])) for p in points]

    def _by_margin(self, x: Array) -> tuple[str, float]:
        """The verdict of floats: a violation counts far below the scale of gap and of its rounding next to x."""
        rng = np.random.default_rng(0)
        near = self.box.legal(x * (1 + 1e-13 * rng.uniform(-1, 1, (_NEIGHBOURS, x.shape[1]))))
        value, *others = self.aside(np.concatenate([x, near])).tolist()
        spread = max(others) - min(others)
        if not math.isfinite(spread) or not math.isfinite(value):
            return "unknown", value
        if value < -max(_MARGIN * self.scale, 100 * spread, _ROUNDING):
            return "below", value
        return ("unknown" if value < -_ROUNDING * self.scale else "not below"), value


@dataclass(frozen=True)
class Finding:
    """What the negative values of a search are worth: a confirmed point, or points that nobody could confirm."""

    point: Point | None = None
    value: float = math.nan
    unknown: Point | None = None


def decide(gap: Callable[[Any], Any], box: Any, budget: int, seed: int) -> Evidence:
    """`search` on checked numbers."""
    start = time.perf_counter()
    rng = np.random.default_rng(seed)
    record = Record(gap, parse(box))
    even, adversarial = budget // 2 + budget % 2, budget // 8
    filled = record.at(record.box.even(even, rng))
    record.at(record.box.adversarial(adversarial, rng))
    record.scale = float(np.max(np.abs(filled[np.isfinite(filled)]), initial=0.0))
    finding = _confirm(record)
    if finding.point is None and np.isfinite(record.merge()[1]).any():
        _optimise_from(record, budget - even - adversarial, rng)
        finding = _confirm(record)
    outcome, detail, data = _report(record, finding, rng)
    data = {**data, "evaluations": len(record.merge()[1]), "extra_evaluations": record.extra, "budget": budget, "seed": seed}
    return Evidence("search", outcome, detail, data, seconds=time.perf_counter() - start)


def _optimise_from(record: Record, budget: int, rng: Generator) -> None:
    """Half of the budget to differential evolution, half to Nelder-Mead from many starts."""
    x, values = record.merge()
    ranked = np.where(np.isfinite(values), values, np.inf)
    d = len(record.box.axes)
    unit = record.box.unit(x)
    chosen = _optimise.starts(unit, ranked, min(len(values), max(12, 8 * d)))
    mixed = np.concatenate([chosen, rng.integers(0, len(values), len(chosen))])
    _optimise.differential_evolution(record.unit, unit[mixed], values[mixed], budget // 2, rng)
    left = budget - budget // 2
    each = max(left // (4 * d + 3), 40 * (d + 1))
    x, values = record.merge()
    ranked = np.where(np.isfinite(values), values, np.inf)
    unit = record.box.unit(x)
    order = _optimise.starts(unit, ranked, len(values) if len(values) < 200 else 200)
    best = order[np.argmin(ranked[order])]
    for index, size in [(best, 1e-3), (best, 0.05), *((i, 0.05) for i in order)]:
        used = _optimise.nelder_mead(record.unit, unit[index], size, min(each, left))
        left -= used
        if not used:
            return


def _confirm(record: Record) -> Finding:
    """Judge the lowest values, then others below 0."""
    x, values = record.merge()
    below = np.flatnonzero(np.isfinite(values) & (values < 0))
    below = below[np.argsort(values[below], kind="stable")]
    others = below[_LOWEST:]
    spread = others[np.unique(np.linspace(0, len(others) - 1, min(len(others), _OTHERS)).astype(int))]
    unknown = None
    for some in (below[:_LOWEST], spread):
        points = [_exact(record.box, x[i]) for i in some]
        judged = record.judge(points) if points else []
        for point, (word, value) in zip(points, judged, strict=True):
            if word == "below":
                return Finding(point, value)
            unknown = point if unknown is None and word == "unknown" else unknown
    return Finding(unknown=unknown)


def _exact(box: Box, row: Array) -> Point:
    """The floats as shortest decimals, inside the box."""
    return tuple(min(max(decimal(v), a.low), a.high) for a, v in zip(box.axes, row.tolist(), strict=True))


def _report(record: Record, finding: Finding, rng: Generator) -> tuple[str, str, dict[str, Any]]:
    x, values = record.merge()
    finite = np.isfinite(values)
    undefined = int(np.sum(~finite))
    data: dict[str, Any] = {"not_finite": undefined, "scale": record.scale}
    tail = f"; gap is not finite at {undefined} of them" if undefined else ""
    done = f"{len(values)} points of the box"
    if not finite.any():
        return "undecided", f"gap is not finite at any of {done}", data
    lowest = int(np.argmin(np.where(finite, values, np.inf)))
    data |= {"smallest": float(values[lowest]), "smallest_at": dict(zip(_names(record), x[lowest].tolist(), strict=True))}
    if finding.point is not None:
        return _refuted(record, finding, rng, data)
    if finding.unknown is not None:
        at = _where(record, finding.unknown)
        why = f"gap takes no mpmath numbers ({record.floats_only})" if record.floats_only else "80 digits do not decide it"
        return "undecided", f"gap looks negative at {at}, but {why}, so it is not confirmed; {done} tried{tail}", data
    if rounded := int(np.sum(values[finite] < 0)):
        why = f"less than {_ROUNDING:.0e} of its scale" if record.floats_only else "at 50 digits it is not, where tried"
        tail += f"; in floats it is below 0 at {rounded}: {why}, counted as rounding"
    at = _where(record, tuple(Fraction(f"{v:.6g}") for v in x[lowest].tolist()))
    return "supported", f"gap >= 0 at {done}; smallest {values[lowest]:.3g} near {at}{tail}", data


def _refuted(record: Record, found: Finding, rng: Generator, data: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    assert found.point is not None

    def first(points: Sequence[Point], floors: Sequence[float]) -> int | None:
        judged = zip(record.judge(points), floors, strict=True)
        return next((i for i, ((word, v), floor) in enumerate(judged) if word == "below" and v <= floor), None)

    point = shrink(found.point, found.value, record.box, record.aside, first, rng)
    value = record.judge([point])[0][1]
    how, by = "confirmed at 50 digits", "50 digits"
    if record.floats_only:
        how, by = f"in floats alone, far below -1e-9 times the scale of gap, {record.scale:.3g}", "margin"
    detail = f"gap = {value:.6g} at {_where(record, point)} ({how})"
    if (before := _where(record, found.point, 6)) != _where(record, point, 6):
        detail += f"; shrunk to round numbers from {before}, where gap = {found.value:.6g}"
    data["witness"] = dict(zip(_names(record), map(shown, point), strict=True))
    data["found"] = dict(zip(_names(record), map(float, found.point), strict=True))
    return "refuted", detail, data | {"gap": value, "confirmed": by}


def _names(record: Record) -> list[str]:
    return [a.name for a in record.box.axes]


def _where(record: Record, point: Point, digits: int = 0) -> str:
    values = [f"{float(q):.{digits}g}" if digits else shown(q) for q in point]
    return ", ".join(f"{n} = {v}" for n, v in zip(_names(record), values, strict=True))
