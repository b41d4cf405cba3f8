"""Checks of error feedback that only torch optimizers can fail: tensors, gradients, checkpoints and precisions."""

from __future__ import annotations

import contextlib
import inspect
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from efcheck.arrays import Array
from efcheck.checks._ef_checks import NO_MEMORY, identity
from efcheck.checks._ef_problem import PLAIN, Context, problem
from efcheck.checks._ef_trace import Trace, best_reading, first_failure, readings
from efcheck.checks._torch_optimizers import TorchRun, import_torch, seeded
from efcheck.checks.report import Result, failed, passed, skipped


def start(
    context: Context, shapes: Any = None, T: int = 6, dtype: str = "float64", settings: Mapping[str, float] = PLAIN
) -> tuple[TorchRun, Any]:
    """A fresh run on a pair of tensors, or on tensors of the shapes given."""
    case = problem(shapes or context.pair, T, context.seed)
    return context.lab.start(case.x0, [context.gamma] * len(case.x0), context.seed, settings, dtype), case


def same(a: list[Array] | None, b: list[Array] | None) -> bool:
    return a is None or b is None or all(np.array_equal(u, v, equal_nan=True) for u, v in zip(a, b, strict=True))


class Recorder:
    """x, e and what was asked for after each step, for runs that are not stepped plainly."""

    def __init__(self, run: TorchRun, gamma: float) -> None:
        self.run, self.gamma = run, gamma
        self.xs, self.es, self.gs = [run.x()], [run.e()], list[list[Array | None]]()

    def add(self, gs: Sequence[Array | None]) -> None:
        """After a step with these gradients; None for a tensor that had to rest."""
        self.gs.append([None if g is None else np.ravel(g) for g in gs])
        self.xs.append(self.run.x())
        self.es.append(self.run.e())

    def judge(self, context: Context, told: str, count: int) -> Result:
        """The telescoping identity over all that was added."""
        if self.es[-1] is None:
            return passed(f"{told}; {NO_MEMORY}", count=count)
        traces = []
        for i, x in enumerate(self.xs[0]):
            gs = [g[i] for g in self.gs]
            times = [0] + [t + 1 for t, g in enumerate(gs) if g is not None]
            g = np.array([g for g in gs if g is not None])
            xs = np.stack([self.xs[t][i] for t in times])
            es = np.stack([np.zeros_like(x) if (e := self.es[t]) is None else e[i] for t in times])
            traces.append(Trace(xs, es, g, np.full(len(g), self.gamma), **self.run.numbers(i)))
        reading, worst = best_reading(traces, readings(traces[0]))
        if worst <= 1:
            return passed(told, number=worst, bound=1.0, count=count, seed=context.seed)
        t, size, bound = max((first_failure(trace, reading) for trace in traces), key=lambda found: found[1])
        text = f"{told}: sum of what was sent + memory differs from the sum of gamma g by {size:.3g} at t = {t}"
        return failed(text, number=size, bound=bound, count=count, seed=context.seed)


def param_groups(context: Context) -> Result:
    """Two groups with different learning rates, the second an eighth of the first; then momentum and decay differ, too."""
    case = problem(context.pair, context.T, context.seed)
    try:
        run = context.lab.start(case.x0, [context.gamma, context.gamma / 8], context.seed, PLAIN)
    except (TypeError, ValueError) as error:
        return skipped(f"the factory takes no groups: {type(error).__name__}")
    if len(run.optimizer.param_groups) < 2:
        return skipped("the factory makes one group")
    rates = [context.gamma, context.gamma / 8]
    told = "two groups, gamma and gamma/8: sum of what was sent + memory = sum of gamma g"
    found = _moved_all(context, run, case) or identity(context, case, rates=rates, told=told)
    for name, values in (("momentum", (0.5, 0.25)), ("weight_decay", (0.25, 0.125))):
        if found.outcome == "passed" and all(name in group for group in run.optimizer.param_groups):
            found = _own_number(context, case, name, values) or found
    return found


def _own_number(context: Context, case: Any, name: str, values: tuple[float, float]) -> Result | None:
    """A failure, if the identity holds with one number for both groups and not with a number for each."""
    rates = [context.gamma, context.gamma / 8]
    if name in (context.lab.fixed or {}):
        return None  # it is told, so it is one for all
    told = f"two groups, {name} {values[0]:g} and {values[1]:g}: sum of what was sent + memory = sum of gamma g"
    try:
        alike, apart = (identity(context, case, None, {**PLAIN, name: v}, rates, told=told) for v in ((values[0],) * 2, values))
    except Exception:
        return None  # it was made without, or says that groups must agree
    return apart if alike.outcome == "passed" and apart.outcome == "failed" else None


def _moved_all(context: Context, run: TorchRun, case: Any) -> Result | None:
    before = run.x()
    for grads in case.gs:
        run.step(grads)
    waiting = run.e() or before  # what has not moved may be waiting to be sent
    for i, (a, b, e) in enumerate(zip(before, run.x(), waiting, strict=True)):
        if (a == b).all() and (run.e() is None or not e.any()):
            return failed(f"the parameter of group {i} never moves", count=context.T, seed=context.seed)
    return None


def missing_gradient(context: Context) -> Result:
    """A parameter whose grad is None at one step keeps x and e, and goes on afterwards; all None changes nothing."""
    run, case = start(context, shapes=(*context.pair, context.pair[0]))
    seen = Recorder(run, context.gamma)
    absent = {1: (0,), 2: (1,), 3: (2,), 4: (0, 1, 2)}
    for t, grads in enumerate(case.gs):
        present = [None if i in absent.get(t, ()) else g for i, g in enumerate(grads)]
        before = run.x(), run.e()
        run.step(present)
        for i, g in enumerate(present):
            after = run.x(), run.e()
            if g is None and not (same([before[0][i]], [after[0][i]]) and same(pick(before[1], i), pick(after[1], i))):
                text = f"parameter {i} has no gradient at step {t}, and its x or its memory changes"
                return failed(text, count=t + 1, seed=context.seed)
        seen.add(present)
    return seen.judge(context, "x and e rest while a gradient is missing", case.T)


def pick(e: list[Array] | None, i: int) -> list[Array] | None:
    return None if e is None else [e[i]]


def closure(context: Context) -> Result:
    """step(closure) calls it with gradients enabled, uses what it computes, and returns the loss."""
    run, case = start(context, T=3)
    if "closure" not in inspect.signature(run.optimizer.step).parameters:
        return skipped("its step takes no closure")
    seen, calls, returned = Recorder(run, context.gamma), 0, None
    for grads in case.gs:
        stale = [np.full_like(g, 7.0) for g in grads]
        for p, g in zip(run.params, stale, strict=True):
            p.grad = run.tensor(g).reshape(p.shape)

        def evaluate(grads: list[Array] = grads) -> Any:
            nonlocal calls
            calls += 1
            run.optimizer.zero_grad()
            loss = linear_loss(run, grads)
            loss.backward()
            return loss

        returned = run.optimizer.step(evaluate)
        seen.add(grads)
    if calls == 0:
        return failed("step(closure) never calls the closure", count=3)
    if returned is None:
        return failed("step(closure) does not return the closure's loss", count=3)
    return seen.judge(context, f"step(closure) calls it {calls} times in 3 steps", 3)


def linear_loss(run: TorchRun, grads: list[Array]) -> Any:
    """sum <p, g>, whose gradient is g."""
    return sum((p * run.tensor(g).reshape(p.shape)).sum() for p, g in zip(run.params, grads, strict=True))


def state_dict(context: Context) -> Result:
    """torch.save and torch.load, defaults, into a fresh optimizer: the memory bitwise, and the run that follows.

    Once more with momentum, where the groups have it.
    """
    found = round_trip(context, "float64")
    if found.outcome != "passed" or not context.lab.has("momentum"):
        return found
    own = context.lab.value("momentum")
    beta = own or 0.5
    try:
        with_momentum = round_trip(context, "float64", {**PLAIN, "momentum": beta})
    except Exception:
        if own:
            raise
        return found  # it was made without, and cannot have it later
    if with_momentum.outcome == "passed":
        return replace(found, count=found.count + with_momentum.count)
    return replace(with_momentum, detail=f"with momentum = {beta:g}, {with_momentum.detail}")


def round_trip(context: Context, dtype: str, settings: Mapping[str, float] = PLAIN) -> Result:
    torch = import_torch()
    run, case = start(context, dtype=dtype, settings=settings)
    for grads in case.gs[:3]:
        run.step(grads)
    file = io.BytesIO()
    torch.save(run.optimizer.state_dict(), file)
    file.seek(0)
    other, _ = start(context, dtype=dtype, settings=settings)
    with torch.no_grad():
        for p, q in zip(other.params, run.params, strict=True):
            p.copy_(q)
    other.optimizer.load_state_dict(torch.load(file))
    kinds = [[None if t is None else str(t.dtype) for t in r.e_tensors() or []] for r in (run, other)]
    kept, again = run.e(), other.e()
    if kept is not None and (again is None or not same(kept, again) or kinds[0] != kinds[1]):
        return _lost(kept, again, kinds, context)
    saved, ends = other.x(), list[list[Array]]()
    for t, grads in enumerate(case.gs[3:]):
        for one in (run, other):
            with seeded(context.seed + t):
                one.step(grads)
        ends.append(run.x())
        if not same(run.x(), other.x()) and _repeats(context):
            worst = max(float(np.abs(a - b).max(initial=0)) for a, b in zip(run.x(), other.x(), strict=True))
            text = f"after load_state_dict(torch.load(...)) x differs by {worst:.3g} after {t + 1} more steps"
            return failed(text, number=worst, bound=0.0, count=t + 1, seed=context.seed)
    file.seek(0)
    if back := _rolled_back(context, run, torch.load(file), (saved, kept), case.gs[3:], ends):
        return back
    return passed("memory and run bitwise the same after torch.save and torch.load", count=case.T, seed=context.seed)


def _rolled_back(
    context: Context,
    run: TorchRun,
    state: Any,
    saved: tuple[list[Array], list[Array] | None],
    gs: list[list[Array]],
    ends: list[list[Array]],
) -> Result | None:
    """A failure, if a checkpoint loaded into the optimizer that has stepped on does not take it back to (x, e)."""
    x, kept = saved
    with run.torch.no_grad():
        for p, value in zip(run.params, x, strict=True):
            p.copy_(run.tensor(value).reshape(p.shape))
    run.optimizer.load_state_dict(state)
    again, told = run.e(), "load_state_dict into an optimizer that has stepped on"
    if kept is not None and (again is None or not same(kept, again)):
        off = max(float(np.abs(a - b).max(initial=0)) for a, b in zip(kept, again or kept, strict=True))
        text = f"{told}: the memory is not the one that was saved"
        return failed(text, number=off, bound=0.0, count=1, seed=context.seed)
    for t, (grads, end) in enumerate(zip(gs, ends, strict=True)):
        with seeded(context.seed + t):
            run.step(grads)
        if not same(run.x(), end) and _repeats(context):
            off = max(float(np.abs(a - b).max(initial=0)) for a, b in zip(run.x(), end, strict=True))
            text = f"{told}: x differs by {off:.3g} after {t + 1} more steps"
            return failed(text, number=off, bound=0.0, count=t + 1, seed=context.seed)
    return None


def _lost(kept: list[Array], again: list[Array] | None, kinds: list[Any], context: Context) -> Result:
    if again is None or not any(a.any() for a in again):
        text = "the memory is not in the state_dict: it is 0 after load_state_dict(torch.load(...))"
    elif kinds[0] != kinds[1]:
        i, (old, new) = next((i, pair) for i, pair in enumerate(zip(*kinds, strict=True)) if pair[0] != pair[1])
        whose = f" of parameter {i}" if i else ""
        text = f"load_state_dict {f'casts the memory{whose} from {old} to {new}' if new else f'loses the memory{whose}'}"
    else:
        text = "the memory differs after load_state_dict(torch.load(...))"
    off = max(float(np.abs(a - b).max(initial=0)) for a, b in zip(kept, again or kept, strict=True))
    return failed(text, number=off, bound=0.0, count=1, seed=context.seed)


def _repeats(context: Context) -> bool:
    """Whether two fresh runs with one seed agree: an optimizer with random numbers of its own does not."""
    ends = []
    for _ in range(2):
        run, case = start(context)
        with seeded(context.seed):
            for grads in case.gs:
                run.step(grads)
        ends.append(run.x())
    return same(ends[0], ends[1])


def gradient_untouched(context: Context) -> Result:
    """step() leaves p.grad as it was: others log it, clip it, or add to it."""
    run, case = start(context)
    for t, grads in enumerate(case.gs):
        run.step(grads)
        for p, g in zip(run.params, grads, strict=True):
            if p.grad is None or not np.array_equal(run.array(p.grad), np.ravel(g)):
                first = "None" if p.grad is None else f"{run.array(p.grad)[0]:.6g}"
                text = f"step {t} changes p.grad: its first entry was {np.ravel(g)[0]:.6g} and is {first}"
                return failed(text, count=t + 1, seed=context.seed)
    return passed("p.grad is not written", count=case.T, seed=context.seed)


def gradient_accumulation(context: Context) -> Result:
    """Two backward passes for each step, and zero_grad only at every other step: what is in p.grad is what counts."""
    run, case = start(context)
    seen = Recorder(run, context.gamma)
    held = [np.zeros_like(x) for x in case.x0]
    for t, grads in enumerate(case.gs):
        if t % 2 == 0:
            run.optimizer.zero_grad()
            held = [np.zeros_like(x) for x in case.x0]
        for share in (0.25, 0.75):
            part = [share * g for g in grads]
            linear_loss(run, part).backward()
            held = [h + g for h, g in zip(held, part, strict=True)]
        run.advance()
        seen.add(list(held))
    return seen.judge(context, "gradients accumulated over several backward passes", case.T)


def reported_norm(context: Context) -> Result:
    """The norm that the optimizer reports is ||e||_2 of its whole memory, of two groups where it takes groups."""
    if context.reported is None:
        return skipped("it reports no norm that is known; pass norm=")
    run, case = start(context)
    with contextlib.suppress(TypeError, ValueError):  # a factory may take no groups
        run = context.lab.start(case.x0, [context.gamma, context.gamma / 8], context.seed, PLAIN)
    for t, grads in enumerate(case.gs):
        run.step(grads)
        e = run.e()
        if e is None:
            return skipped(NO_MEMORY)
        true, told = float(np.sqrt(sum(np.square(part).sum() for part in e))), float(context.reported(run.optimizer))
        if not abs(told - true) <= 1e-5 * max(true, 1e-30):
            text = f"it reports {told:.6g} after step {t}; the memory's norm is {true:.6g}"
            return failed(text, number=abs(told - true), bound=1e-5 * true, count=t + 1, seed=context.seed)
    return passed("the reported norm is ||e||_2", count=case.T, seed=context.seed)
