"""check_error_feedback: a method, or anybody's torch optimizer, against Algorithm 2."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from efcheck.checks import _ef_checks, _ef_placement
from efcheck.checks._ef_method import MethodLab, Overflowing, source
from efcheck.checks._ef_problem import Context, Message, Shape, problem
from efcheck.checks._ef_trace import DECAYS, MOMENTA, UNITS
from efcheck.checks._source import source_of
from efcheck.checks.report import CheckReport, Raised, Result, calling, failed, passed, run_checks, skipped
from efcheck.errors import EfcheckError, argument_error, integer, real
from efcheck.methods import Method

BOTH: tuple[Callable[[Context], Result], ...] = (
    _ef_checks.memory, _ef_checks.memory_is_used, _ef_checks.telescoping, _ef_checks.first_step, _ef_checks.compression,
    _ef_checks.zero_gradient, _ef_checks.zero_coordinates, _ef_checks.learning_rate, _ef_placement.momentum,
    _ef_placement.weight_decay, _ef_checks.several_tensors,
)  # fmt: skip
_IDENTITY = (
    "learning_rate", "momentum", "weight_decay", "several_tensors", "param_groups", "missing_gradient", "closure",
    "skipped_step", "gradient_accumulation", "non_finite", "low_precision",
)  # fmt: skip
RESTS_ON: dict[str, tuple[str, ...]] = {
    "compression": ("first_step",),
    "zero_coordinates": ("telescoping", "first_step", "compression"),
    **{name: ("telescoping",) for name in _IDENTITY},
}


def check_error_feedback(
    subject: Any,
    compressor: Callable[..., Any] | None = None,
    *,
    memory: str | Callable[..., Any] | None = None,
    gamma: float = 0.125,
    unit: str = "x",
    momentum: str | None = "any",
    beta: float | None = None,
    weight_decay: str | None = "any",
    decay: float | None = None,
    granularity: str = "tensor",
    shapes: Sequence[Shape] | None = None,
    norm: str | Callable[..., Any] | None = None,
    seed: int = 0,
    expected_failed: Mapping[str, str] | None = None,
) -> CheckReport:
    """Check a method or a torch optimizer against Algorithm 2, in float64, on tensors of a few entries.

        p_t = gamma g_t + e_t,   Delta_t = C(p_t),   x_{t+1} = x_t - Delta_t,   e_{t+1} = p_t - Delta_t

    What is sent is read off the iterates, so most checks need no compressor: for every t,
    sum_{s<t} Delta_s + e_t = sum_{s<t} gamma g_s. With a compressor, Delta_t = C(p_t) is checked too.

    Parameters
    ----------
    subject
        A method of efcheck.methods; or the class of a torch optimizer, or a function params -> optimizer.
    compressor : callable (v, rng=None) -> v, optional
        C on one flat vector, for NumPy or for torch. Default: the subject's `compressor`, if it has one.
    memory : str or callable (optimizer, parameter) -> tensor or None
        Key of the optimizer's state, or a function that finds e. Default: a state entry named like a memory, or one of
        the parameter's shape that fits. An optimizer that keeps -e is recognized.
    gamma : float
        Learning rate of the runs, > 0, put into the groups' "lr".
    unit : {"x", "g"}
        Unit of the memory; "x" is Algorithm 2, with gamma inside, or a memory of gradients rescaled when gamma changes.
    momentum : {"any", "before", "after", None}
        Where it acts, of the compressor; its size is the groups' "momentum", or `beta`. "any" accepts both.
    weight_decay : {"any", "coupled", "decoupled", None}
        Coupled: lambda x is added to the gradient. Decoupled: x shrinks by 1 - gamma lambda, before or after the step.
        With lambda in place of gamma lambda it is the same word. lambda is the groups' "weight_decay", or `decay`. "any"
        accepts both, but not that it is ignored.
    granularity : {"tensor", "model"}
        Whether C acts on each tensor or on all of them as one vector.
    shapes : sequence of shapes
        The only shapes that the subject can handle, if there are such.
    norm : str or callable optimizer -> float
        What reports ||e||_2, if anything does: an attribute or method of the optimizer, or a function of it.
    seed : int
        Of the problems and of torch's generator, which is left as it was.
    expected_failed : mapping of check to reason
        Checks that are known to fail; one that passes instead is a failure.

    Returns
    -------
    CheckReport

    Raises
    ------
    ArgumentError
        If the subject is neither, or an argument is not one of those above.
    MissingExtraError
        If the subject is no method and torch is not installed.

    Examples
    --------
    >>> from efcheck.compressors import TopK
    >>> from efcheck.methods import EFSGD, CompressedSGD
    >>> check_error_feedback(EFSGD(0.1, TopK(1))).passed
    True
    >>> [r.name for r in check_error_feedback(CompressedSGD(0.1, TopK(1))).failures][:2]
    ['memory', 'telescoping']

    Source: Karimireddy et al. 2019, Algorithm 2.
    """
    _choices(unit=(unit, UNITS), momentum=(momentum, ("any", *MOMENTA)), weight_decay=(weight_decay, ("any", *DECAYS)))
    _choices(granularity=(granularity, ("tensor", "model")))
    real("gamma", gamma, 0, open_ends=True)
    integer("seed", seed, 0)
    if compressor is not None and (isinstance(compressor, type) or not callable(compressor)):
        raise argument_error("compressor", "be a callable (v, rng=None) -> v", compressor)
    again = _again(subject, compressor, {
        "memory": memory, "gamma": None if gamma == 0.125 else gamma, "unit": None if unit == "x" else unit, "beta": beta,
        "momentum": None if momentum == "any" else momentum, "weight_decay": None if weight_decay == "any" else weight_decay,
        "decay": decay, "granularity": None if granularity == "tensor" else granularity,
        "shapes": None if shapes is None else list(shapes), "norm": norm, "seed": seed or None,
    })  # fmt: skip
    fixed = {
        name: real(word, v, 0)
        for name, word, v in (("momentum", "beta", beta), ("weight_decay", "decay", decay))
        if v is not None
    }
    words: dict[str, Any] = {
        "gamma": gamma, "seed": seed, "momentum": momentum, "decay": weight_decay, "unit": unit,
        "whole": granularity == "model",
    }  # fmt: skip
    words |= _shapes(shapes)
    if expected_failed is not None and not isinstance(expected_failed, Mapping):
        raise argument_error("expected_failed", "be a mapping of check to reason", expected_failed)
    if not (memory is None or isinstance(memory, str) or callable(memory)):
        raise argument_error(
            "memory", "be a key of the optimizer's state or a function (optimizer, parameter) -> tensor", memory
        )
    if isinstance(subject, Method):
        return _check_method(subject, compressor, words, again, expected_failed)
    if not callable(subject):
        hint = "Pass a function that makes it: lambda params: MyOptimizer(params, lr=0.1)." if hasattr(subject, "step") else ""
        raise argument_error("subject", "be a method of efcheck.methods or a factory params -> torch optimizer", subject, hint)
    return _check_optimizer(subject, compressor, memory, norm, fixed, words, again, expected_failed)


def _again(subject: Any, compressor: Any, options: Mapping[str, Any]) -> str:
    """Python that repeats one check, with {name} for its name."""
    lines = [source_of(subject), "subject = c"]
    words = ["subject"]
    if compressor is not None:
        lines.append(source_of(compressor))
        words.append("c")
    words += [f"{name}={value!r}" for name, value in options.items() if value is not None]
    lines += ["from efcheck.checks import check_error_feedback", f"found = check_error_feedback({', '.join(words)})[@]"]
    text = "\n".join([*lines, "assert found.outcome != 'failed', found.detail"])
    return text.replace("{", "{{").replace("}", "}}").replace("@", "{name!r}")


def _named(checks: Sequence[tuple[str, Callable[[], Result]]], again: str) -> list[tuple[str, Callable[[], Result]]]:
    """The checks. One that fails and has no shorter way to be reproduced is repeated by the call of that check; one whose
    numbers are off because those of a check that it rests on are is skipped, so that one error is told once."""
    broken: set[str] = set()

    def run(name: str, check: Callable[[], Result]) -> Result:
        script = again.format(name=name)
        try:
            with calling("", script):
                found = check()
        except Raised as raised:
            raise Raised(raised.error, raised.given, raised.reproduce or script) from raised.error
        if found.outcome != "failed":
            return found
        ground = next((other for other in RESTS_ON.get(name, ()) if other in broken), None)
        if ground and found.bound is not None:  # a number is off; an error of another kind is told
            return skipped(f"rests on {ground}, which fails")
        broken.add(name)
        return found if found.reproduce else replace(found, reproduce=script)

    return [(name, functools.partial(run, name, check)) for name, check in checks]


def _check_method(
    method: Method, compressor: Any, words: dict[str, Any], again: str, expected: Mapping[str, str] | None
) -> CheckReport:
    from efcheck.compressors import Identity

    chosen = compressor or method.compressor or Identity()
    words = {**words, "shapes": words.get("shapes", ((1,), (3,), (2, 3), (8,)))}
    context = Context(MethodLab(method, source(method)), message=Message(chosen), **words)
    checks = [(check.__name__, functools.partial(check, context)) for check in BOTH]
    checks.append(("non_finite", functools.partial(_simulated_overflow, method, context)))
    return run_checks(source(method), _named(checks, again), expected)


def _simulated_overflow(method: Method, context: Context) -> Result:
    """A gradient that is not finite, in `simulate`: the run is said to have diverged, and its last state is finite."""
    from efcheck.simulate import simulate

    d = int(np.prod(context.base[0]))
    for bad in (float("nan"), float("inf")):
        with calling(f"a gradient with {bad} at step 2"):
            trace = simulate(Overflowing(bad, 2, d), method, 5, record=("x", "e"))
        if not (np.isfinite(trace["x"]).all() and np.isfinite(trace["e"]).all()):
            return failed(f"x or the memory is not finite after {bad} in one gradient", count=1)
        if not trace.diverged.all():
            return failed(f"{bad} in one gradient goes unnoticed", count=1)
    return passed("the simulation stops the run and keeps x and e finite", count=2)


def _check_optimizer(
    factory: Callable[..., Any],
    compressor: Any,
    memory: Any,
    norm: Any,
    fixed: Mapping[str, float],
    words: dict[str, Any],
    again: str,
    expected: Mapping[str, str] | None,
) -> CheckReport:
    from efcheck.checks import _torch_numbers
    from efcheck.checks._torch_optimizers import TorchLab, seeded

    name = getattr(factory, "__qualname__", type(factory).__name__)
    subject = f"{getattr(factory, '__module__', '')}:{name}".lstrip(":")
    with seeded(words["seed"]):
        lab = TorchLab(factory, subject, words["gamma"], memory, fixed)
        probe = _probe(lab, words)
        compressor = compressor or _compressor_of(probe.optimizer)
        context = Context(
            lab, message=Message(compressor) if compressor else None, reported=_norm(norm, probe.optimizer), **words
        )
        if isinstance(memory, str):
            _known(memory, probe, context)
        context = _with_memory(context, probe) if memory is None else _signed(context)
        checks = [(check.__name__, functools.partial(check, context)) for check in (*BOTH, *_torch_numbers.CHECKS)]
        return run_checks(subject, _named(checks, again), expected)


def _probe(lab: Any, words: Mapping[str, Any]) -> Any:
    """A run of two steps, to look at the optimizer; what does not even make one is an argument error."""
    context = Context(lab, **words)
    case = problem([context.base[0]], 2, context.seed)
    try:
        run = lab.start(case.x0, [context.gamma], context.seed)
    except EfcheckError:
        raise
    except Exception as error:
        told = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise argument_error("subject", "be a factory params -> torch optimizer", f"one that raised {told}") from error
    if "lr" not in run.optimizer.param_groups[0]:
        raise argument_error("subject", "make an optimizer with 'lr' in its param_groups", "one without")
    try:
        for grads in case.gs:
            run.step(grads)
    except Exception as error:
        run.error = error  # the checks will tell, unless it leaves no memory to check
    return run


def _with_memory(context: Context, probe: Any) -> Context:
    """The context with the memory found: by its name, else the entry of the state for which the identity holds.

    A compressor that sends everything needs none: then the memory is 0. Without memory, and without a compressor that
    gives the same answer twice, there is nothing to check.
    """
    from efcheck.checks._torch_optimizers import find_memory

    named, keys = find_memory(probe.optimizer, probe.params)
    for key in [named] if named else keys:
        there = _signed(replace(context, lab=replace(context.lab, memory=key)))
        if named or _fits(there):
            return there
    _of_matrices(context)
    p = problem(context.base, 1, context.seed).x0[0].reshape(-1)
    if context.message is None and probe.error is not None:
        lines = str(probe.error).splitlines() or [""]
        got = f"one whose step raised {type(probe.error).__name__}: {lines[0]} on a vector of {p.size} entries"
        hint = "Pass shapes= if it takes other tensors only."
        raise argument_error("subject", "make an optimizer that steps", got, hint) from probe.error
    if context.message is None or context.message.random(p):
        got = "none, and no state entry is named like one"
        hint = "It is a key of the state, or a function (optimizer, parameter) -> tensor; or pass compressor=C."
        raise argument_error("memory", "say where the optimizer keeps e", got, hint)
    lossless = bool((context.message(p) == p).all())
    return replace(context, lab=replace(context.lab, zero=lossless))


def _of_matrices(context: Context) -> None:
    """An ArgumentError where there is a memory for a matrix, and a vector is stepped by plain SGD, which needs none."""
    from efcheck.checks._torch_optimizers import state_keys

    lossless = replace(context, lab=replace(context.lab, memory=None, zero=True))
    keys: list[str] = []
    with contextlib.suppress(Exception):
        shape = (2, 3)
        if context.free and _ef_checks.identity(lossless, problem(context.base, 2, context.seed)).outcome == "passed":
            case = problem([shape], 24, context.seed)
            run = context.lab.start(case.x0, [context.gamma], context.seed)
            for grads in case.gs:
                run.step(grads)
            keys = [
                key for key in state_keys(run) if _fits(replace(context, lab=replace(context.lab, memory=key), base=(shape,)))
            ]
    if keys:
        got = f"{keys[0]!r}, of matrices; vectors are stepped without any, by plain SGD"
        raise argument_error("memory", "be kept for a vector too", got, "Pass shapes=[(2, 3)] to check what has a memory.")


def _signed(context: Context) -> Context:
    """The context with -e for the memory, if the identity fails with e and holds with -e."""
    other = replace(context, lab=replace(context.lab, sign=-1))
    return other if not _fits(context) and _fits(other) else context


def _known(memory: str, probe: Any, context: Context) -> None:
    """An ArgumentError if no parameter's state has the key, after 24 steps more where need be."""
    from efcheck.checks._torch_optimizers import state_keys

    with contextlib.suppress(Exception):  # the checks will tell
        for grads in problem([context.base[0]], 0 if memory in state_keys(probe) else 24, context.seed).gs:
            probe.step(grads)
    keys = state_keys(probe)
    if memory not in keys:
        _of_matrices(context)
        expected = (
            f"be a key of the optimizer's state, of {', '.join(map(repr, keys))}" if keys else "be a function: no state is kept"
        )
        raise argument_error("memory", expected, memory)


def _fits(context: Context) -> bool:
    """Whether the state entry is not always 0 and makes the identity true."""
    try:
        found = _ef_checks.memory(context), _ef_checks.telescoping(context)
    except Exception:
        return False
    return all(result.outcome == "passed" for result in found) and "always 0" not in found[0].detail


def _compressor_of(optimizer: Any) -> Any:
    group = optimizer.param_groups[0]
    for value in (getattr(optimizer, "compressor", None), group.get("compressor")):
        if callable(value) and not isinstance(value, type):
            return value
    return None


def _norm(norm: Any, optimizer: Any) -> Any:
    """A function optimizer -> the norm that it reports, or None."""
    if callable(norm):
        return norm
    names = [norm] if norm else [name for name in ("memory_norm", "error_norm") if hasattr(optimizer, name)]
    if not names:
        return None
    if not hasattr(optimizer, names[0]):
        raise argument_error("norm", "name an attribute or method of the optimizer", norm)

    def read(made: Any) -> float:
        value = getattr(made, names[0])
        return float(value() if callable(value) else value)

    return read


def _shapes(shapes: Sequence[Shape] | None) -> dict[str, Any]:
    if shapes is None:
        return {}
    try:
        given = tuple(tuple(shape) for shape in shapes)
    except TypeError:
        given = ()
    if not given or any(not isinstance(n, int) or n < 0 for shape in given for n in shape):
        raise argument_error("shapes", "be shapes, such as [(3,), (2, 3)]", str(shapes))
    return {"shapes": given, "base": given[:1], "pair": (given[0], given[-1]), "free": False}


def _choices(**given: tuple[Any, tuple[Any, ...]]) -> None:
    for name, (value, allowed) in given.items():
        if value not in allowed:
            raise argument_error(name, f"be one of {', '.join(map(repr, allowed))}", value)
