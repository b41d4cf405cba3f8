"""Checks of error feedback that need no more than iterates and memory: for methods and for optimizers alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from efcheck.arrays import Array
from efcheck.checks._ef_problem import PLAIN, SMALL, Context, Problem, problem, record, script
from efcheck.checks._ef_trace import (
    Reading,
    Trace,
    best_reading,
    first_failure,
    implied_memory,
    misfit,
    readings,
    sent,
    updates,
)
from efcheck.checks.report import Raised, Result, failed, passed, skipped

NO_MEMORY = "it shows no memory; pass memory="
LONG = 64  # steps of the one long run: what a count of steps switches on
CLOSE = 1e-6  # relative: a message may carry its scale in float32


def identity(
    context: Context,
    case: Problem,
    gammas: Any = None,
    settings: Mapping[str, Any] = PLAIN,
    rates: Any = None,
    unit: str = "any",
    told: str = "sum of what was sent + memory = sum of gamma g",
) -> Result:
    """The telescoping identity for all tensors, under any reading of momentum and decay."""
    traces = record(context, case, gammas, settings, rates)
    if any(trace.e is None for trace in traces):
        return skipped(NO_MEMORY)
    choices = readings(traces[0], unit=unit)
    reading, worst = best_reading(traces, choices)
    count = case.T * len(traces)
    if worst <= 1:
        return passed(f"{told}, {reading}", number=worst, bound=1.0, count=count, seed=context.seed)
    i = next(i for i, trace in enumerate(traces) if misfit(trace, reading) > 1)
    t, size, bound = first_failure(traces[i], reading)
    where = f" of tensor {i}, shape {case.x0[i].shape}," if len(traces) > 1 else ""
    text = f"{told} fails{where} at t = {t}: off by {size:.3g}, rounding allows {bound:.1g}"
    again = (
        ""
        if reading.unit == "g"
        else script(context, case, f"assert abs(both - total).max() <= {bound!r}", gammas, settings, t)
    )
    return failed(text, again, number=size, bound=bound, count=count, seed=context.seed)


def smallest(context: Context, run: Any) -> Result:
    """run(shape) on the base shape; where it fails, the smallest shape on which it fails too."""
    found: Result = run(context.base[0])
    if found.outcome != "failed":
        return found
    for shape in SMALL:
        if int(np.prod(shape)) < int(np.prod(context.base[0])):
            try:
                smaller: Result = run(shape)
            except Exception:
                continue  # what cannot act on so small a vector is no smaller example
            if smaller.outcome == "failed":
                return smaller
    return found


def memory(context: Context) -> Result:
    """There is a memory, or none is needed because everything is sent."""
    case = problem([context.base[0]], context.T, context.seed)
    (trace,) = record(context, case)
    if trace.e is None:
        if context.message is None:
            return skipped(NO_MEMORY)
        compared = _compare(context, case, only_first=False)
        if compared.outcome == "skipped":
            return skipped(f"{NO_MEMORY}; {compared.detail}")
        if compared.outcome == "passed":
            return passed("none is shown, and the run is that of Algorithm 2 with this compressor", count=1)
        return replace(compared, detail=f"none is found, nor does the run follow Algorithm 2: {compared.detail}")
    if not trace.e.any():
        found = identity(context, case, told="the memory is always 0, and sum of what was sent = sum of gamma g")
        return replace(found, detail=found.detail.replace(" fails", ": this fails", 1))
    if trace.e[0].any():
        return failed("the memory is not 0 before the first step", count=1)
    return passed(f"shown by {getattr(context.lab, 'memory', None) or 'the method'!r}, 0 at first", count=1)


def telescoping(context: Context) -> Result:
    """x_t - e_t = x_0 - sum gamma g over a few steps of constant gamma, and then over 64."""
    found = smallest(context, lambda shape: identity(context, problem([shape], context.T, context.seed)))
    if found.outcome == "passed":
        long = identity(context, problem([context.base[0]], LONG, context.seed))
        found = long if long.outcome == "failed" else replace(found, count=found.count + long.count)
    if found.outcome == "failed" and hasattr(context.lab, "memory"):
        return replace(found, detail=f"{found.detail}; pass memory= if it is kept otherwise{_other_names(context)}")
    return found


def _other_names(context: Context) -> str:
    """A hint where the groups have numbers under names that are not torch's: they may be momentum or decay."""
    names = [name for name in context.lab.numbers_named() if name not in (*PLAIN, "lr", "dampening", "eps")]
    given = context.lab.fixed or {}
    words = [word for word, name in (("beta=", "momentum"), ("decay=", "weight_decay")) if name not in given]
    if not names or not words:
        return ""
    return f", and {' or '.join(words)} if {' or '.join(map(repr, names))} is {'momentum or decay' if len(words) > 1 else 'it'}"


def memory_is_used(context: Context) -> Result:
    """Two runs that differ in the memory alone: where the one moves after that, the other must move elsewhere."""
    case = problem([context.base[0]], 24, context.seed)
    signs = np.where(np.arange(case.x0[0].size) % 2, -1.0, 1.0)
    ends = []
    for disturbed in (False, True):
        run = context.lab.start(case.x0, [context.gamma], context.seed, PLAIN)
        moved = False
        for t, grads in enumerate(case.gs):
            before = run.x()[0]
            if t == 2 and run.e() is None:
                return skipped(NO_MEMORY)
            if t == 2 and disturbed and not run.disturb_memory([1000.0 * signs * (1 + np.arange(signs.size))]):
                return skipped("there is none, or it cannot be written to from outside")
            run.step(grads)
            moved |= t >= 2 and bool((run.x()[0] != before).any())
        ends.append((run.x()[0], moved))
    (x, moved), (other, _) = ends
    if (x != other).any():
        return passed("what follows depends on it", count=1, seed=context.seed)
    if not moved:
        return skipped("nothing was sent in 22 steps, so nothing could show")
    text = "adding 1000, -2000, 3000, ... to the memory changes nothing in the next 22 steps: it is kept and not read"
    return failed(text, count=1, seed=context.seed)


def learning_rate(context: Context) -> Result:
    """gamma falls to an eighth while the memory is full; then it rises eightfold, and is 0 at first and at last."""
    case = problem([context.base[0]], context.T, context.seed)
    gammas = [context.gamma * (1 if t < context.T // 2 else 0.125) for t in range(context.T)]

    def run(shape: tuple[int, ...]) -> Result:
        small = problem([shape], context.T, context.seed)
        units = ("x", "rescaled") if context.unit == "x" else ("g",)
        results = [identity(context, small, gammas, unit=unit, told=_unit_told(unit)) for unit in units]
        return next((result for result in results if result.outcome != "failed"), results[0])

    found = smallest(context, run)
    if found.outcome != "failed":
        return _rises(context, case) or found if found.outcome == "passed" else found
    other = "g" if context.unit == "x" else "x"
    if identity(context, case, gammas, unit=other).outcome == "passed":
        names = {"x": "of x (gamma is inside it)", "g": "of the gradient"}
        text = f"the memory has the unit {names[other]}: when gamma fell to an eighth, so did what was still to be sent"
        if other == "x":
            text = f"the memory has the unit {names[other]}, declared was that {names['g']}"
        return replace(found, detail=text)
    return found


def _rises(context: Context, case: Problem) -> Result | None:
    """A failure, if the identity that holds while gamma falls does not where gamma rises, or is 0."""
    rising = [context.gamma * (0.125 if t < context.T // 2 else 1) for t in range(context.T)]
    warm = [context.gamma * factor for factor in (0, 0, 0.5, *[1] * (context.T - 4), 0)]
    for told, gammas in (("gamma rises eightfold", rising), ("gamma is 0 at first and at last", warm)):
        zero = 0 in gammas
        if zero and (context.unit == "g" or context.lab.value("weight_decay") != 0):
            continue  # a memory of gradients says nothing there, and a fixed decay need not follow gamma
        units = ("x", "rescaled") if context.unit == "x" else ("g",)
        try:
            results = [identity(context, case, gammas, unit=unit, told=f"{told}: {_unit_told(unit)}") for unit in units]
        except Raised as raised:
            if zero and not isinstance(raised.error, ArithmeticError):
                continue  # it refuses a rate of 0
            raise
        if all(result.outcome == "failed" for result in results):
            return results[0]
    return None


def _unit_told(unit: str) -> str:
    return (
        "sum of what was sent / gamma + memory = sum of g" if unit == "g" else "sum of what was sent + memory = sum of gamma g"
    )


def payload(context: Context, traces: list[Trace], reading: Reading) -> tuple[Array, Array]:
    """(p_t, Delta_t) for all t, tensors side by side, in the unit in which the compressor is applied."""
    ps, deltas = [], []
    for trace in traces:
        gamma = trace.gamma[:, None] if reading.unit == "x" else 1.0
        e = implied_memory(trace, reading) if trace.e is None else trace.e
        ps.append(gamma * updates(trace, reading) + e[:-1])
        deltas.append(sent(trace, reading) / (1.0 if reading.unit == "x" else trace.gamma[:, None]))
    return np.concatenate(ps, axis=1), np.concatenate(deltas, axis=1)


def _compare(context: Context, case: Problem, only_first: bool) -> Result:
    """Delta_t against C(p_t) at the memory that the run has at time t, under any reading that its numbers leave open."""
    if context.message is None:
        return skipped("no compressor is known; pass compressor=")
    traces = record(context, case)
    choices = readings(traces[0])
    if all(trace.e is not None for trace in traces):
        choices = [best_reading(traces, choices)[0]]
    parts = [traces] if context.whole else [[trace] for trace in traces]
    found = []
    for reading in choices:
        results = [_sends(context, case, part, reading, 1 if only_first else case.T) for part in parts]
        found.append(next((result for result in results if result.outcome == "failed"), results[0]))
    return next((result for result in found if result.outcome != "failed"), found[0])


def _sends(context: Context, case: Problem, traces: list[Trace], reading: Reading, steps: int) -> Result:
    message = context.message
    assert message is not None
    ps, deltas = payload(context, traces, reading)
    if message.random(ps[0]):
        return skipped("the compressor draws random numbers: a step cannot be compared with another draw")
    for t, (p, delta) in enumerate(zip(ps[:steps], deltas[:steps], strict=True)):
        expected = message(p)
        off = float(np.abs(expected - delta).max(initial=0))
        bound = CLOSE * max(float(np.abs(v).max(initial=0)) for v in (expected, p))
        if not off <= bound:
            text = f"step {t} sends {_short(delta)} where C(p) is {_short(expected)}{_ratio(delta, expected, context.gamma)}"
            claim = f"C_of_p = {expected.tolist()}\nprint('C(p):', C_of_p)\n"
            claim += f"assert max(abs(a - b) for a, b in zip(last.tolist(), C_of_p)) <= {bound!r}"
            again = script(context, case, claim, T=t + 1)
            return failed(text, again, number=off, bound=bound, count=t + 1, seed=context.seed)
    return passed("Delta = C(p)", count=steps, seed=context.seed)


def first_step(context: Context) -> Result:
    """Delta_0 = C(gamma g_0): the scale of the first step, before the memory says anything."""
    return smallest(context, lambda shape: _compare(context, problem([shape], 2, context.seed), only_first=True))


def compression(context: Context) -> Result:
    """Delta_t = C(gamma g_t + e_t) at every step, the memory being what the run has then; and for each of two tensors."""
    if context.whole:
        return _compare(context, problem(context.pair, context.T, context.seed), only_first=False)
    found = smallest(context, lambda shape: _compare(context, problem([shape], context.T, context.seed), only_first=False))
    if found.outcome != "passed":
        return found
    both = _compare(context, problem(context.base * 2, context.T, context.seed), only_first=False)
    if both.outcome != "failed":
        return both
    hint = "pass granularity='model' if it acts on all tensors as one vector"
    return replace(both, detail=f"alone C acts as declared, but one of two tensors, {both.detail}; {hint}")


def zero_coordinates(context: Context) -> Result:
    """Coordinates whose gradient is always zero, +0.0 and -0.0: what is sent there is what C sends, and it is remembered."""
    case = problem([context.base[0]], context.T, context.seed)
    for grads in case.gs:
        flat = grads[0].reshape(-1)
        flat[: max(1, flat.size // 2)] = 0.0
        flat[0] = -0.0
    found = identity(context, case, told="with zeros in g, sum of what was sent + memory = sum of gamma g")
    if found.outcome == "failed":
        return found
    compared = _compare(context, case, only_first=False)
    if compared.outcome == "failed":
        return replace(compared, detail=f"with zeros in g (see sign(0)): {compared.detail}")
    return compared if found.outcome == "skipped" else found


def zero_gradient(context: Context) -> Result:
    """g = 0 in every coordinate, from the start: nothing moves and nothing becomes NaN.

    Where a weight decay cannot be switched off, it rests at x = 0 alone, and so x_0 = 0 there.
    """
    case = problem([context.base[0]], 2, context.seed)
    case = Problem(case.x0, [[np.zeros_like(g) for g in grads] for grads in case.gs])
    (trace,) = record(context, case)
    moved, at = float(np.abs(trace.x - trace.x[0]).max()), ""
    if trace.decay != 0 and np.isfinite(moved):
        case, at = replace(case, x0=[np.zeros_like(x) for x in case.x0]), f" from 0, weight decay being {trace.decay:g}"
        (trace,) = record(context, case)
        moved = float(np.abs(trace.x).max())
    if moved != 0:  # NaN too
        text = f"without any gradient and memory x moves by {moved:.3g}{at}"
        return failed(
            text, script(context, case, "assert abs(last).max() == 0"), number=moved, bound=0.0, count=2, seed=context.seed
        )
    return passed(f"x rests{at}", count=2, seed=context.seed)


def several_tensors(context: Context) -> Result:
    """Scalars, vectors, matrices, 4-d and empty tensors in one run; the matrices are not contiguous."""
    case = problem(context.shapes, context.T, context.seed)
    case = Problem([np.asfortranarray(x) if x.ndim == 2 else x for x in case.x0], case.gs)
    found = identity(context, case)
    if found.outcome != "passed" or context.whole:
        return found
    return replace(found, detail=f"{len(context.shapes)} shapes: {found.detail}")


def _short(v: Array) -> str:
    return "[" + ", ".join(f"{x:.4g}" for x in v[:4]) + (", ..." if v.size > 4 else "") + "]"


def _ratio(delta: Array, expected: Array, gamma: float) -> str:
    """Names the factor when one number is wrong everywhere."""
    where = expected != 0
    if not where.any() or (delta[~where] != 0).any():
        return ""
    factors = delta[where] / expected[where]
    if np.ptp(factors) > 1e-6 * np.abs(factors).max() or not np.abs(factors).max() > 0:
        return ""
    known = {gamma: "gamma", 1 / gamma: "1/gamma"}
    name = next((f" = {text}" for value, text in known.items() if abs(factors[0] / value - 1) < 1e-5), "")
    return f": a factor of {factors[0]:.6g}{name}"
