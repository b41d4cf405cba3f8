"""`efcheck check MODULE:OBJECT`: parses, calls, shows."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from efcheck.checks.report import CheckReport
from efcheck.errors import EfcheckError, argument_error

_FORM = "be MODULE:OBJECT, such as mypackage.compress:TopK"


_COMPRESSOR, _OPTIMIZER, _HOOK = "a compressor", "an optimizer or method", "a communication hook"
_OPTIONS = {
    _COMPRESSOR: ("delta", "unbiased", "dims", "thorough"),
    _OPTIMIZER: (
        "compressor", "memory", "unit", "gamma", "momentum", "beta", "weight_decay", "decay", "granularity", "norm",
    ),
    _HOOK: ("state", "ratio", "no_feedback", "random"),
}  # fmt: skip


@click.command("check")
@click.argument("target", metavar="MODULE:OBJECT")
@click.option("--delta", type=float, metavar="X", help="The contraction to check, in (0, 1], in place of the object's own.")
@click.option("--unbiased", is_flag=True, help="Check that E C(v) = v, also where the object claims no omega.")
@click.option("--dims", metavar="D,...", help="Dimensions to test in; 1,2,3,10,1000 and a few odd ones by default.")
@click.option("--thorough", is_flag=True, help="Six times the draws and search steps.")
@click.option("--compressor", metavar="MODULE:OBJECT", help="Of an optimizer or method: the compressor that it should use.")
@click.option("--memory", metavar="KEY", help="Of an optimizer: the key of its state that holds the memory.")
@click.option("--unit", type=click.Choice(["x", "g"]), help="Of an optimizer: the unit of its memory.")
@click.option("--gamma", type=float, help="Of an optimizer: the learning rate of the runs.")
@click.option("--momentum", type=click.Choice(["before", "after"]), help="Of an optimizer: where momentum acts.")
@click.option("--beta", type=float, help="Of an optimizer: its momentum, where its groups have none.")
@click.option("--weight-decay", type=click.Choice(["coupled", "decoupled"]), help="Of an optimizer: how weight decay acts.")
@click.option("--decay", type=float, help="Of an optimizer: its weight decay, where its groups have none.")
@click.option(
    "--granularity", type=click.Choice(["tensor", "model"]), help="Of an optimizer: what is compressed as one vector."
)
@click.option("--norm", metavar="NAME", help="Of an optimizer: its attribute or method that reports ||e||.")
@click.option("--state", metavar="MODULE:OBJECT", help="Of a communication hook: what makes its state in each process.")
@click.option("--ratio", type=float, help="Of a hook: the claim that it sends at most 1/ratio of the bytes.")
@click.option("--no-feedback", is_flag=True, help="Of a hook: that it loses something for good.")
@click.option("--random", is_flag=True, help="Of a hook: that workers draw random numbers of their own.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the results there.")
def check(target: str, json_file: Path | None, **options: Any) -> int:
    """Check a compressor of your own, a torch optimizer or method with error feedback, or a DDP communication hook.

    MODULE is imported, from the current folder too. A compressor's class, and a function that
    needs no argument and returns what is to be checked, are called; a function of `params` makes an optimizer,
    one of `state` and `bucket` is a communication hook and runs in two processes.

    \b
    efcheck check mypackage.compress:TopK --delta 0.1
    efcheck check mypackage.hooks:sign_hook --state mypackage.hooks:Memory --ratio 8

    Exit codes: 0 every check passed or was skipped, 1 one failed, 2 wrong usage.
    """
    from efcheck.report import write_text

    if json_file is not None and not (json_file.parent.is_dir() and os.access(json_file.parent, os.W_OK)):
        raise EfcheckError(f"{json_file.parent} must be a folder that can be written to")
    subject, source, title = made(*load(target), target)
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    kind = _OPTIMIZER if is_method(subject) else _HOOK if is_hook(subject) else _COMPRESSOR
    for other, names in _OPTIONS.items():
        flags = ", ".join("--" + name.replace("_", "-") for name in names if name in given)
        if other != kind and flags:
            raise click.UsageError(f"{flags}: for {other}; {target} is {kind}")
    if kind == _OPTIMIZER:
        found = _check_optimizer(subject, given)
    elif kind == _HOOK:
        found = _check_hook(target, given)
    else:
        found = _check_compressor(subject, source, title, target, given)
    if json_file is not None:
        write_text(json_file, json.dumps(found.to_json(), indent=1, allow_nan=False) + "\n")
    found.print()
    return 0 if found.passed else 1


def _check_compressor(subject: Any, source: str, title: str, target: str, given: dict[str, Any]) -> CheckReport:
    from efcheck.checks._subject import DIMS
    from efcheck.checks.compressor import report

    c, source = instance(subject, target, source)
    dims = _sizes(given.get("dims")) or DIMS
    return report(
        c, given.get("delta"), given.get("unbiased"), dims, thorough="thorough" in given, source=source, title=title
    )  # fmt: skip


def _check_optimizer(subject: Any, given: dict[str, Any]) -> CheckReport:
    from efcheck.checks.error_feedback import check_error_feedback

    if "compressor" in given:
        given = {**given, "compressor": _compressor(given["compressor"])}
    return check_error_feedback(subject, **given)


def _check_hook(target: str, given: dict[str, Any]) -> CheckReport:
    from efcheck.checks.comm_hook import check_comm_hook

    feedback = not given.pop("no_feedback", False)
    return check_comm_hook(given.pop("state", None), target, feedback=feedback, **given)


def is_hook(found: Any) -> bool:
    """Whether it is called as DDP calls a communication hook: hook(state, bucket)."""
    if isinstance(found, type) or not callable(found):
        return False
    try:
        return [*inspect.signature(found).parameters][1:2] == ["bucket"]
    except (TypeError, ValueError):
        return False


def is_method(found: Any) -> bool:
    """Whether it is the class of a torch optimizer, or a method of efcheck.methods."""
    from efcheck.methods import Method

    torch = sys.modules.get("torch")
    if isinstance(found, type):
        return torch is not None and issubclass(found, torch.optim.Optimizer)
    return isinstance(found, Method) or (
        inspect.isfunction(found) and next(iter(inspect.signature(found).parameters), "") == "params"
    )


def made(found: Any, source: str, target: str) -> tuple[Any, str, str]:
    """What a function without a required argument returns; anything else as it is. With its source, and the title."""
    if not inspect.isfunction(found):
        return found, source, target
    places = inspect.signature(found).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL or (p.default is p.empty and p.kind is not p.VAR_KEYWORD) for p in places):
        return found, source, target
    try:
        value = found()
    except (Exception, SystemExit) as error:
        raise argument_error("MODULE:OBJECT", "be an object, or a function that makes one", target, _said(error)) from error
    if hasattr(value, "param_groups"):
        hint = "Name its class, or a function of `params` that returns it."
        raise argument_error(
            "MODULE:OBJECT", "make an optimizer from params", f"{target}, which returns one already made", hint
        )
    return value, f"{source}\nc = c()", f"{target}() (what the factory returned)"


def load(target: str) -> tuple[Any, str]:
    """The object of MODULE:OBJECT, and the lines that import it as `c`."""
    module, colon, path = target.partition(":")
    parts = path.split(".")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), *parts)):
        raise argument_error("MODULE:OBJECT", _FORM, target)
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise argument_error("MODULE:OBJECT", "name a module that can be imported", target, _said(error)) from error
    for part in parts:
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise argument_error("MODULE:OBJECT", _FORM, target, _said(error)) from error
    first, rest = parts[0], "".join(f".{part}" for part in parts[1:])
    return found, f"from {module} import {first} as c" if not rest else f"from {module} import {first}\nc = {first}{rest}"


def instance(found: Any, target: str, source: str) -> tuple[Any, str]:
    """A class called without arguments, anything else as it is; and the lines that make it."""
    if not isinstance(found, type):
        return found, source
    module, _, path = target.partition(":")
    try:
        return found(), f"from {module} import {path.partition('.')[0]}\nc = {path}()"
    except (Exception, SystemExit) as error:
        hint = f"{_said(error)} Name an instance instead."
        raise argument_error("MODULE:OBJECT", "be an object, or a class that needs no arguments", target, hint) from error


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}."


def _sizes(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argument_error("dims", "be integers >= 1 between commas", text) from None


def _compressor(target: str) -> Any:
    value, source, _ = made(*load(target), target)
    return instance(value, target, source)[0]
