"""Checks of torch optimizers with numbers that are not finite, and with numbers of few digits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product

import numpy as np

from efcheck.arrays import Array
from efcheck.checks._ef_checks import NO_MEMORY
from efcheck.checks._ef_problem import PLAIN, Context
from efcheck.checks._ef_trace import Trace, readings, residual
from efcheck.checks._torch_checks import (
    Recorder,
    closure,
    gradient_accumulation,
    gradient_untouched,
    linear_loss,
    missing_gradient,
    param_groups,
    pick,
    reported_norm,
    round_trip,
    same,
    start,
    state_dict,
)  # fmt: skip
from efcheck.checks._torch_optimizers import demands_closure, import_torch
from efcheck.checks.report import Result, failed, passed, skipped


def skipped_step(context: Context) -> Result:
    """torch.amp.GradScaler: an overflow skips the step and changes neither x nor e; the others are unscaled first."""
    torch = import_torch()
    run, case = start(context)
    if demands_closure(run.optimizer):
        return skipped("its step demands a closure, which torch.amp.GradScaler does not pass on")
    seen = Recorder(run, context.gamma)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=10**6)
    for t, grads in enumerate(case.gs):
        bad = t in (1, 3)
        used = [np.where(np.arange(g.size).reshape(g.shape) == 0, np.inf, g) if bad else g for g in grads]
        run.optimizer.zero_grad()
        before = run.x(), run.e()
        scaler.scale(linear_loss(run, used)).backward()
        scaler.step(run.optimizer)
        scaler.update()
        if bad and not (same(before[0], run.x()) and same(before[1], run.e())):
            what = "x" if not same(before[0], run.x()) else "the memory"
            return failed(f"the scaler saw an overflow at step {t}, and {what} changes all the same", count=t + 1)
        seen.add([None if bad else g for g in grads])
    return seen.judge(context, "with torch.amp.GradScaler, an overflow leaves x and e as they were", case.T)


def non_finite(context: Context) -> Result:
    """NaN, inf and -inf, first and last in either of two gradients: an error or a step that leaves that tensor's x and e.

    x and e are finite ever after, and the steps after it are those of Algorithm 2 again. Once more with momentum, where the
    groups have it: what the momentum is after such a step is not prescribed, but x or e must move.
    """
    if context.lab.zero:
        return skipped("everything is sent: there is no memory to poison")
    found = _overflows(context, PLAIN)
    if found.outcome != "passed" or not context.lab.has("momentum"):
        return found
    own = context.lab.value("momentum")
    beta = own or 0.5
    try:
        with_momentum = _overflows(context, {**PLAIN, "momentum": beta})
    except Exception:
        if own:
            raise
        return found  # it was made without, and cannot have it later
    if with_momentum.outcome == "failed":
        return replace(with_momentum, detail=f"with momentum = {beta:g}, {with_momentum.detail}")
    return replace(found, count=found.count + with_momentum.count)


def _overflows(context: Context, settings: Mapping[str, float]) -> Result:
    """One run for each kind and place of a number that is not finite, at step 2 of 6."""
    count = 0
    for bad, i, where in product((float("nan"), float("inf"), float("-inf")), (0, 1), (0, -1)):
        run, case = start(context, settings=settings)
        told = f"one {bad} in the gradient of tensor {i} of 2, {'last' if where else 'first'} entry"
        after: Recorder | None = None
        for t, grads in enumerate(case.gs):
            used, before = [np.array(g) for g in grads], (run.x(), run.e())
            if t == 2:
                used[i].flat[where] = bad
            count += 1
            try:
                run.step(used)
            except Exception:
                if t != 2:
                    raise
            else:
                rests = same([before[0][i]], [run.x()[i]]) and same(pick(before[1], i), pick(run.e(), i))
                if t == 2 and _finite(run.x()) and _finite(run.e()) and not rests:
                    return failed(f"{told}: its x or memory changes as if nothing were wrong", count=count, seed=context.seed)
            if t == 2:
                after = Recorder(run, context.gamma)
            elif after is not None:
                after.add(grads)
        if run.e() is None:
            return skipped("it shows no memory to poison")
        for name, parts in (("memory", run.e()), ("parameters", run.x())):
            if not _finite(parts):
                text = f"{told}: the {name} are not finite 3 steps later".replace("memory are", "memory is")
                return failed(text, count=count, seed=context.seed)
        assert after is not None
        gone_on = _goes_on(context, after, f"{told}, and then three that are finite", count)
        if gone_on.outcome == "failed":
            return gone_on
    return passed("x and the memory stay finite after nan, inf and -inf", count=count, seed=context.seed)


def _goes_on(context: Context, after: Recorder, told: str, count: int) -> Result:
    """x or e of each tensor moves after a bad step; without momentum, the identity holds from there."""
    for i, x in enumerate(after.xs[0]):
        if x.size and same([x], [after.xs[-1][i]]) and same(pick(after.es[0], i), pick(after.es[-1], i)):
            text = f"{told}: x and the memory of tensor {i} never move again"
            return failed(text, count=count, seed=context.seed)
    if any(after.run.numbers(i)["beta"] for i in range(len(after.xs[0]))):
        return passed(told, count=count)
    return after.judge(context, told, count)


def _finite(parts: list[Array] | None) -> bool:
    return parts is None or all(bool(np.isfinite(part).all()) for part in parts)


def low_precision(context: Context) -> Result:
    """float16 and bfloat16: finite on a long tensor whose absolute sum overflows float16, the memory is used as it is in
    float64, and checkpoints keep it.
    """
    refused: list[str] = []
    for dtype in ("bfloat16", "float16"):
        try:
            found = _long(context, dtype) or _unused(context, dtype) or round_trip(context, dtype)
        except (TypeError, ValueError, NotImplementedError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "not implemented" not in str(error) and "dtype" not in str(error).lower():
                raise
            refused.append(f"{dtype}: {str(error).splitlines()[0][:80]}")
            continue
        if found.outcome == "failed":
            return replace(found, detail=f"{dtype} parameters: {found.detail}")
    if len(refused) == 2:
        return skipped("refused: " + "; ".join(refused))
    return passed("finite, and checkpoints keep the memory" + "".join(f"; refused {text}" for text in refused), count=2)


def _long(context: Context, dtype: str) -> Result | None:
    """gamma g = 2 in 40,000 entries: their sum overflows float16."""
    if not context.free:
        return None
    d = 40_000
    run = context.lab.start([np.zeros(d)], [context.gamma], context.seed, PLAIN, dtype)
    for _ in range(2):
        run.step([np.full(d, 2 / context.gamma)])
    e = run.e()
    for name, value in (("x", run.x()[0]), ("the memory", np.zeros(1) if e is None else e[0])):
        if not np.isfinite(value).all():
            text = f"{name} is not finite after two steps on {d} entries of gamma g = 2: a sum overflows"
            return failed(text, number=float((~np.isfinite(value)).sum()), bound=0.0, count=2)
    return None


def _unused(context: Context, dtype: str) -> Result | None:
    """A failure, if the memory is always 0 although the first step does not send all of gamma g."""
    run, case = start(context, dtype=dtype)
    with run.torch.no_grad():
        for p in run.params:
            p.zero_()  # so that x_1 = -Delta_0, to the rounding of Delta_0
    seen = Recorder(run, context.gamma)
    for grads in case.gs:
        run.step(grads)
        seen.add(grads)
    if seen.es[-1] is None or any(part.any() for e in seen.es for part in e or []):
        return None
    for i, x in enumerate(seen.xs[0]):
        g = np.stack([np.ravel(case.gs[0][i])])
        trace = Trace(np.stack([x, seen.xs[1][i]]), np.zeros((2, x.size)), g, np.full(1, context.gamma), **run.numbers(i))
        off = min(float(np.abs(residual(trace, reading)).max(initial=0)) for reading in readings(trace, unit="x"))
        bound = 16 * trace.eps * context.gamma * float(np.abs(g).max(initial=0))  # gamma, g, the sums and Delta are rounded
        if off > bound:
            text = f"the memory is always 0, and the first step leaves {off:.3g} of gamma g unsent"
            return failed(text, number=off, bound=bound, count=case.T, seed=context.seed)
    return None


def memory_dtype(context: Context) -> Result:
    """The memory is as precise as float32 parameters, or as the parameters if they are less precise."""
    torch = import_torch()
    found = {}
    for dtype in ("float32", "float64"):
        run, case = start(context, dtype=dtype)
        run.step(case.gs[0])
        tensors = run.e_tensors()
        if tensors is None:
            return skipped(NO_MEMORY)
        found[dtype] = tensors[0].dtype if tensors[0] is not None else None
    kind = found["float32"]
    if kind is not None and torch.finfo(kind).eps > torch.finfo(torch.float32).eps:
        text = f"for float32 parameters the memory is {kind}: what is smaller than its rounding is lost"
        return failed(text, number=float(torch.finfo(kind).eps), bound=float(torch.finfo(torch.float32).eps), count=2)
    return passed(f"{str(kind).removeprefix('torch.')} for float32 parameters", count=2)


CHECKS: tuple[Callable[[Context], Result], ...] = (
    param_groups, missing_gradient, closure, state_dict, skipped_step, non_finite, gradient_untouched,
    gradient_accumulation, low_precision, memory_dtype, reported_norm,
)  # fmt: skip
