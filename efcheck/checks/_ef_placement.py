"""Where momentum and weight decay act: of the compressor, and at all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from efcheck.checks._ef_checks import CLOSE, NO_MEMORY, payload
from efcheck.checks._ef_problem import PLAIN, Context, Problem, problem, record
from efcheck.checks._ef_trace import Trace, best_reading, first_failure, misfit, readings
from efcheck.checks.report import Result, failed, passed, skipped

_BETA = 0.5  # momentum of the runs that test it


def momentum(context: Context) -> Result:
    """Momentum acts where it is declared to act; where nothing is declared and it is 0, it may act in any way but must act."""
    unasked = context.momentum == "any" and context.lab.has("momentum") and context.lab.value("momentum") == 0
    if not unasked:
        return _placed(context, "momentum", _BETA, context.momentum, "the compressor")
    try:
        found = _placed(context, "momentum", _BETA, "any", "the compressor")
        if found.outcome != "failed":
            return found
        case = problem([context.base[0]], context.T, context.seed)
        (with_it,), (without,) = (record(context, case, settings={**PLAIN, "momentum": beta}) for beta in (_BETA, 0.0))
    except Exception as error:
        return skipped(f"with momentum = {_BETA} {type(error).__name__}: {error}; declare momentum= to have it judged")
    if (with_it.x == without.x).all():
        return failed(f"momentum = {_BETA}: ignored, the iterates are those without", count=case.T, seed=context.seed)
    return skipped(f"{found.detail}; declare momentum= to have it judged")


def weight_decay(context: Context) -> Result:
    """Weight decay acts where it is declared to act, and does act."""
    found = _placed(context, "weight_decay", 0.25, context.decay, "")
    return _with_momentum(context, 0.25) or found if found.outcome == "passed" else found


def _with_momentum(context: Context, value: float) -> Result | None:
    """A failure, if the run with momentum and decay is one without decay.

    No more is asked: where both act, the decay may be part of what momentum averages, or be added to it.
    """
    if not (context.lab.has("momentum") or context.lab.value("momentum")):
        return None
    both = {"momentum": context.lab.value("momentum") or _BETA, "weight_decay": context.lab.value("weight_decay") or value}
    case = problem([context.base[0]], context.T, context.seed)
    try:
        (trace,) = record(context, case, settings=both)
    except Exception:
        return None  # it was made without momentum
    if trace.e is None or trace.beta == 0 or trace.decay == 0:
        return None
    fits = [reading.decay for reading in readings(trace) if misfit(trace, reading) <= 1]
    if not fits or any(fits):
        return None
    text = f"weight_decay = {both['weight_decay']:g}: ignored where momentum = {both['momentum']:g}"
    return failed(text, count=case.T, seed=context.seed)


def _placed(context: Context, name: str, value: float, declared: str | None, where: str) -> Result:
    given, settable = context.lab.value(name), context.lab.has(name)
    if given == 0 and not settable:
        return skipped(f"it has no {name}")
    settings = {**PLAIN, name: given or value}
    case = problem([context.base[0]], context.T, context.seed)
    if declared is None and given == 0:
        return skipped(f"declared to have no {name}")
    traces = record(context, case, settings=settings)
    if traces[0].e is None:
        if context.message is None:
            return skipped(NO_MEMORY)
        return _placed_unseen(context, case, traces, name, declared)
    fits = [r for r in readings(traces[0]) if misfit(traces[0], r) <= 1]
    found, worst = best_reading(traces, fits or readings(traces[0]))
    wanted = "before or after" if name == "momentum" else "coupled or decoupled"
    size = f"{name} = {given or value:g}"
    if worst > 1:
        t, off, bound = first_failure(traces[0], found)
        text = f"with {size} no placement fits, {wanted}: off by {off:.3g} at t = {t}"
        return failed(text, number=off, bound=bound, count=1, seed=context.seed)
    words = [r.momentum if name == "momentum" else r.decay for r in fits]
    if name == "weight_decay" and "coupled" in words and "decoupled" in words:
        words = _decay_words(context, case, settings)
    word = words[0]
    if (word is None and None in words) or (declared != "any" and declared not in words):
        text = f"{size}: {word or 'ignored'}" + (f" {where}" if word and where else "")
        text += f"; declared is {declared}" if declared != "any" else f"; it must act, {wanted}"
        return failed(text, count=1, seed=context.seed)
    word = word if declared == "any" else declared
    return passed(f"{size}: {word}" + (f" {where}" if where else ""), count=case.T, seed=context.seed)


def _decay_words(context: Context, case: Problem, settings: Mapping[str, float]) -> list[str | None]:
    """The identity holds for coupled decay if and only if for decoupled. But only the coupled one passes the compressor.

    So, with equal gradients, e_1 depends on x_0 if and only if the decay is coupled and something is lost.
    """
    first = Problem(case.x0, case.gs[:1])
    other = Problem([-3.0 * x for x in case.x0], case.gs[:1])
    (one,), (again,), (two,) = (record(context, case, settings=settings) for case in (first, first, other))
    assert one.e is not None and again.e is not None and two.e is not None
    if not (one.e.any() or two.e.any()) or (one.e != again.e).any():
        return ["coupled", "decoupled"]  # nothing is lost on the way, so they are the same; or it cannot be told
    # the same gradient and decoupled: equal to the rounding of one step
    same = np.abs(one.e[1] - two.e[1]).max() <= 64 * one.eps * max(np.abs(one.x).max(), np.abs(two.x).max())
    return ["decoupled"] if same else ["coupled"]


def _placed_unseen(context: Context, case: Problem, traces: list[Trace], name: str, declared: str | None) -> Result:
    """The same without a memory to look at: under which placement does every step send C(p)?"""
    message, fits = context.message, []
    assert message is not None
    for reading in readings(traces[0], unit="x"):
        ps, deltas = payload(context, traces, reading)
        if message.random(ps[0]):
            return skipped(NO_MEMORY)
        off = max(float(np.abs(message(p) - delta).max(initial=0)) for p, delta in zip(ps, deltas, strict=True))
        if off <= CLOSE * float(np.abs(ps).max()):
            fits.append(reading.momentum if name == "momentum" else reading.decay)
    words = [word for word in fits if word]
    if not words:
        return failed(f"{name} is ignored" if fits else f"with {name} no placement gives Delta = C(p)", count=case.T)
    if declared not in ("any", *words):
        return failed(f"{name} acts {words[0]}; declared is {declared}", count=case.T)
    chosen = words[0] if declared == "any" else declared
    return passed(f"{name}: {chosen}", count=case.T, seed=context.seed)
