"""check_comm_hook: a DDP communication hook, run by two processes."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from efcheck.checks._comm_judge import Judge
from efcheck.checks._comm_pool import Pool, check_picklable
from efcheck.checks._comm_scenario import Subject, scenarios
from efcheck.checks._torch_optimizers import import_torch
from efcheck.checks.report import CheckReport, Result, run_checks
from efcheck.errors import argument_error, integer, real


def check_comm_hook(
    state: Any,
    hook: Any,
    *,
    ratio: float | None = None,
    feedback: bool = True,
    random: bool = False,
    save: Any = None,
    load: Any = None,
    seconds: float = 60.0,
    only: Sequence[str] | None = None,
    seed: int = 0,
    expected_failed: Mapping[str, str] | None = None,
) -> CheckReport:
    """Check a communication hook of torch's DistributedDataParallel with two real processes, gloo on 127.0.0.1.

    The loss is linear, so every gradient is known; what comes out of the hook is compared with what went in.

    Parameters
    ----------
    state
        The hook's state: None, or a function or class that makes it in each process from those of `process_group`,
        `model` (not yet wrapped), `rank` and `world_size` that it has arguments for, or an object that can be pickled.
        "module:name" works, and functools.partial.
    hook : callable (state, bucket) -> Future, or "module:name"
        Importable in another process.
    ratio : float, optional
        The claim that it sends at most 1/ratio of the bytes of DDP without a hook, > 0.
    feedback : bool
        Whether everything is sent in the end, by feedback or because nothing is lost. False for a biased hook without.
    random : bool
        Whether workers draw random numbers of their own; then one worker is not compared with two.
    save, load : callables state -> object and (state, object) -> None, or "module:name"
        How a worker checkpoints its state. Default: its state_dict and load_state_dict, else it is pickled.
    seconds : float
        A step that takes longer hangs, > 0.
    only : sequence of str
        Names of the checks to run.
    seed : int
        Of the gradients.
    expected_failed : mapping of check to reason
        Checks that are known to fail; one that passes instead is a failure.

    Returns
    -------
    CheckReport
        Bytes are those the kernel counts on the sockets of the process group (Linux), not what the hook says.

    Raises
    ------
    ArgumentError
        If hook or state cannot be found, or cannot be handed to another process.
    MissingExtraError
        If torch is not installed.

    Examples
    --------
    >>> from functools import partial  # doctest: +SKIP
    >>> from torch.distributed.algorithms.ddp_comm_hooks import powerSGD_hook as power  # doctest: +SKIP
    >>> make = partial(power.PowerSGDState, matrix_approximation_rank=1, start_powerSGD_iter=2)  # doctest: +SKIP
    >>> print(check_comm_hook(make, power.powerSGD_hook, ratio=4))  # doctest: +SKIP
    """
    real("seconds", seconds, 0, open_ends=True)
    with Pool(seconds) as pool:
        return check_in(
            pool, state, hook, ratio=ratio, feedback=feedback, random=random, save=save, load=load, only=only, seed=seed,
            expected_failed=expected_failed,
        )  # fmt: skip


def check_in(
    pool: Pool,
    state: Any,
    hook: Any,
    *,
    ratio: float | None = None,
    feedback: bool = True,
    random: bool = False,
    save: Any = None,
    load: Any = None,
    only: Sequence[str] | None = None,
    seed: int = 0,
    expected_failed: Mapping[str, str] | None = None,
) -> CheckReport:
    """check_comm_hook in processes that may already run; many checks can share a pool."""
    import_torch()
    integer("seed", seed, 0)
    if ratio is not None:
        real("ratio", ratio, 0, open_ends=True)
    named = {"hook": hook, "state": state, "save": save, "load": load}
    found = {name: imported(name, value) for name, value in named.items()}
    if not callable(found["hook"]):
        raise argument_error("hook", "be a function (state, bucket) -> Future", hook)
    for name, value in found.items():
        check_picklable(name, value)
    subject = Subject(**found)
    options: dict[str, Any] = {"ratio": ratio, "save": subject.save, "load": subject.load, "seed": seed or None}
    options |= {"feedback": None if feedback else False, "random": random or None}
    judge = Judge(pool, subject, scenarios(seed), ratio, feedback, random)
    judge.again = _call_text(subject, {name: value for name, value in options.items() if value is not None})
    label = f"{getattr(subject.hook, '__module__', '')}:{getattr(subject.hook, '__qualname__', type(subject.hook).__name__)}"
    return run_checks(label, _only(judge.checks(), only), expected_failed)


def imported(name: str, value: Any) -> Any:
    """The object that "module:name" means; anything else is itself."""
    if not isinstance(value, str):
        return value
    module, _, path = value.partition(":")
    try:
        found = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise argument_error(name, "be 'module:name' of something that exists", f"{value!r} ({error})") from None
    return found


def _only(checks: list[tuple[str, Callable[[], Result]]], only: Sequence[str] | None) -> list[tuple[str, Callable[[], Result]]]:
    names = [name for name, _ in checks]
    for name in only or ():
        if name not in names:
            raise argument_error("only", f"name checks, of {', '.join(names)}", name)
    return [pair for pair in checks if only is None or pair[0] in only]


def _call_text(subject: Subject, options: Mapping[str, Any]) -> str:
    """Python that repeats one check; {only} is left for its name."""
    lines, words = ["from efcheck.checks import check_comm_hook"], []
    for value in (subject.state, subject.hook):
        text, needed = _expression(value)
        lines += [line for line in needed if line not in lines]
        words.append(text)
    for name, value in options.items():
        text, needed = _expression(value)
        lines += [line for line in needed if line not in lines]
        words.append(f"{name}={text}")
    call = f"found = check_comm_hook({', '.join(words)}, only=['{{only}}'])"
    shown = ["    print(found)", "    assert not found.failures, found.failures[0].detail"]
    body = "\n".join([*lines, "if __name__ == '__main__':", f"    {call.replace('{only}', '@')}", *shown])
    return body.replace("{", "{{").replace("}", "}}").replace("@", "{only}")


def _expression(value: Any) -> tuple[str, list[str]]:
    """(Python for the value, the imports it needs)."""
    if isinstance(value, functools.partial):
        inner, needed = _expression(value.func)
        words = [inner, *map(repr, value.args), *(f"{k}={v!r}" for k, v in value.keywords.items())]
        return f"partial({', '.join(words)})", ["from functools import partial", *needed]
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    module = Path(script).stem if module == "__main__" and script else module
    if callable(value) and module and name and "." not in name:
        return name, [f"from {module} import {name}"]
    return repr(value), []
