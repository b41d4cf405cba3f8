"""When a training log gives reason to worry. Each rule is stated in what it prints; a rule is no proof."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from efcheck.train.trace import Column, Trace

_ROWS = 8  # of a stretch, at least
_SKIP = 1 / 3  # of it: the memory fills up from 0 at first, as it should
_CHANCE = 0.01  # that Kendall's test takes independent rows for a trend
_GROWTH = 1.5  # of the fitted line over what is left of the stretch
_JUMP = 5.0  # times the median of the stretch
_NEAR = 3.0  # times 1/d
_SHARE = 0.5  # of the squared memory
_LEAST_D = 16  # below, 1/d is no small number


def all_warnings(trace: Trace) -> tuple[list[str], list[str]]:
    """The warnings, and what could not be looked at."""
    warnings, blind = [], []
    for rule in (run_stopped, memory_not_finite, memory_grows, delta_near_worst, one_layer_dominates):
        found, missing = rule(trace)
        warnings += found
        blind += missing
    return warnings, blind


def run_stopped(trace: Trace) -> tuple[list[str], list[str]]:
    """The run has diverged; what is logged is from before, or of the epoch in which it did."""
    words = trace.stopped
    return [f"the run {words if words.startswith('stopped') else f'diverged: {words}'}"] if words else [], []


def memory_not_finite(trace: Trace) -> tuple[list[str], list[str]]:
    """An ||e|| that is infinite or not a number, on which nothing below rests."""
    unit = "epoch" if trace.by_epoch else "step"
    return [] if trace.broken is None else [f"||e|| is not finite, first in the row of {unit} {trace.broken:g}"], []


def stretches(lr: Column | None, rows: int) -> list[slice]:
    """The maximal runs of rows with one learning rate; all rows where it is not logged."""
    if lr is None:
        return [slice(0, rows)]
    edges = [0, *(np.flatnonzero(~np.isclose(lr[1:], lr[:-1], rtol=1e-9, atol=0)) + 1), rows]
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]


def memory_grows(trace: Trace) -> tuple[list[str], list[str]]:
    """In each stretch with one learning rate: ||e|| is in units of x and follows the rate, so only there is it comparable.

    A trend: after the first third, Kendall's test against growth has p < 0.01 and the line fitted to log ||e|| grows by 1.5
    or more. A jump: the last row is above 5 times the median of the stretch.
    """
    e, step = trace.get("e_norm"), trace.columns.get("step")
    if e is None or not (e > 0).any():
        return [], ["whether the memory grows: no ||e|| above 0 is logged"]
    lr = trace.get("lr")
    at = step if step is not None and np.isfinite(step).all() else np.arange(trace.rows, dtype=float)
    warnings, short = [], 0
    for part in stretches(lr, trace.rows):
        fine = np.isfinite(e[part]) & (e[part] > 0)
        values, steps = e[part][fine], at[part][fine]
        if len(values) < _ROWS:
            short += len(values)
            continue
        where = f"from step {steps[0]:g} to {steps[-1]:g}" + (f", learning rate {lr[part][0]:g}" if lr is not None else "")
        warnings += _growth(values, steps, where)
    if lr is None:
        warnings = [f"{w} (the learning rate is not logged: a rate that grew would do the same)" for w in warnings]
    return warnings, [f"whether the memory grows in stretches of fewer than {_ROWS} rows: {short} rows"] if short else []


def _growth(values: Column, steps: Column, where: str) -> list[str]:
    from scipy.stats import kendalltau

    late, late_steps = values[int(len(values) * _SKIP) :], steps[int(len(values) * _SKIP) :]
    found = []
    if late.max() > late.min():
        chance = float(kendalltau(late_steps, late, alternative="greater").pvalue)
        slope = float(np.polyfit(late_steps - late_steps[0], np.log(late), 1)[0])
        growth = float(np.exp(min(slope * (late_steps[-1] - late_steps[0]), 700.0)))
        if chance < _CHANCE and growth >= _GROWTH:
            found.append(
                f"the memory grows {where}: after the first third ||e|| grows {growth:.2g}-fold (Kendall p = {chance:.1g})"
            )
    if not found and values[-1] > _JUMP * np.median(values):
        found.append(f"the memory jumps {where}: the last ||e|| is {values[-1] / np.median(values):.2g} times the median")
    return found


def delta_near_worst(trace: Trace) -> tuple[list[str], list[str]]:
    """A realised delta at or below 3/d: nearly a one-hot vector, the worst for a scaled sign (Lemma 8). One at or below 0
    is another thing: C(p) is no nearer to p than 0 is, as with an unscaled sign, and C is no delta-compressor."""
    if trace.get("delta") is None:
        return [], ["whether delta is near its worst: no delta is logged"]
    least = float(np.nanmin(trace.columns["delta"]))
    if least <= 0:
        return [f"no compressor in the paper's sense: delta = {least:.2g} <= 0, ||C(p) - p|| >= ||p||; no bound applies"], []
    sizes, warnings = trace.sizes, []
    places = [("the whole model", trace.columns["delta"], trace.d)]
    places += [(f"layer {name}", c["delta"], sizes.get(name)) for name, c in trace.layers.items()]
    for name, delta, d in places:
        finite = delta[np.isfinite(delta)]
        if d is not None and d >= _LEAST_D and len(finite) and finite.min() <= _NEAR / d:
            warnings.append(f"delta is near its worst in {name}: {finite.min():.2g} against 1/d = {1 / d:.2g}")
    blind = [] if trace.d else ["whether delta is near 1/d: the number of parameters d is not logged"]
    if trace.layers and not sizes:
        blind.append("whether delta is near 1/d in a layer: the layers' sizes are not logged")
    return warnings, blind


def shares(trace: Trace) -> dict[str, Column]:
    """Each layer's share of sum ||e_i||^2, (rows,), the largest last one first; NaN where there is no memory."""
    squares = {name: np.square(c["e_norm"]) for name, c in trace.layers.items() if np.isfinite(c["e_norm"]).any()}
    if not squares:
        return {}
    total = np.nansum(list(squares.values()), axis=0)
    found = {name: np.divide(v, total, out=np.full(len(v), np.nan), where=total > 0) for name, v in squares.items()}
    return dict(sorted(found.items(), key=lambda item: -float(np.nan_to_num(item[1][-1]))))


def one_layer_dominates(trace: Trace) -> tuple[list[str], list[str]]:
    """One of three or more layers has above half of the squared memory in the median of the last third of the rows,
    and, where the sizes are logged, above twice its share of the parameters."""
    found = shares(trace)
    if len(found) < 3:
        return [], ["whether a layer dominates the memory: no ||e|| of three or more layers is logged"]
    sizes, warnings = trace.sizes, []
    for name, share in found.items():
        last = share[-max(1, trace.rows // 3) :]
        if not np.isfinite(last).any() or np.nanmedian(last) <= _SHARE:
            continue
        part = sizes[name] / sum(sizes.values()) if sizes else None
        if part is None or np.nanmedian(last) > 2 * part:
            told = "its size is not logged" if part is None else f"{100 * part:.0f} % of the parameters"
            warnings.append(f"layer {name} dominates the memory: {100 * np.nanmedian(last):.0f} % of ||e||^2 ({told})")
    return warnings, []
