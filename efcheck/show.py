"""What `efcheck prove` and `efcheck bound` print and write: a line, a small table, JSON."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from efcheck import __version__
from efcheck.errors import ArgumentError, argument_error, real

if TYPE_CHECKING:
    from efcheck.bounds import Bound
    from efcheck.evidence import Evidence


class _TimeIsUp(BaseException):
    """Not an Exception: SymPy catches those."""


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """_TimeIsUp after that long, where there is a timer (not on Windows, not outside the main thread)."""

    def stop(*_: object) -> None:
        raise _TimeIsUp

    try:
        before = signal.signal(signal.SIGALRM, stop)
    except (AttributeError, ValueError):
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def proof(text: str, where: Sequence[str], integer: Sequence[str], positive: Sequence[str], timeout: float) -> Evidence:
    """What `prove` finds on a reader's text. SymPy knows no time limit of its own, so one is kept here, too."""
    from efcheck.evidence import Evidence, prove
    from efcheck.evidence.parse import statement

    began = time.perf_counter()
    timeout = real("timeout", timeout, 0.0, 86400.0, open_ends=True)
    read = statement(text, where, integer, positive)
    try:
        with _at_most(timeout + 5.0):  # prove itself looks for a witness for 2 s more
            found = prove(read.relation, read.assume, timeout_s=timeout)
            return replace(found, detail=_with_numbers(found, read.relation))
    except ArgumentError as error:
        raise ArgumentError(str(error).replace("`assume`", "`where`", 1)) from None
    except _TimeIsUp:
        detail = f"SymPy or z3 ran out of {timeout:g} s"
        return Evidence("inequality", "undecided", detail, seconds=time.perf_counter() - began)


def _with_numbers(found: Evidence, relation: Any) -> str:
    """What `prove` says, and for a <= b <= c or `and` which part is false at the witness, in numbers."""
    from sympy import Rational

    if found.detail == "false: false by evaluation":
        return "false wherever both sides are defined"
    witness = found.data.get("witness")
    if not witness or relation.func.__name__ != "And":
        return found.detail
    at = {symbol: Rational(witness[symbol.name]) for symbol in relation.free_symbols}
    failing = [part for part in relation.args if part.is_Relational and part.subs(at) == False]  # noqa: E712 - SymPy's false
    shown = " and ".join(f"{part.lhs.subs(at)} {part.rel_op} {part.rhs.subs(at)}" for part in failing)
    return found.detail.replace("the statement does not hold there", shown) if failing else found.detail


def bound_values(bound: Bound, given: Mapping[str, str]) -> dict[str, Any]:
    """The JSON record of `efcheck bound`: each form's value at the given letters, texts such as 1/1200 or 1e-3."""
    from efcheck.bounds import UNITS
    from efcheck.evidence.parse import number

    needed = sorted({*bound.printed.letters, *bound.repaired.letters})
    known = sorted({*needed, *(bound.sharp.letters if bound.sharp else ())})
    wanted = f"be given as letter=value for {', '.join(needed)}"
    wanted += f" and, for the sharp form, {', '.join(sorted({*known} - {*needed}))}" if known != needed else ""
    missing = [name for name in needed if name not in given]
    strange = [name for name in given if name not in known]
    if missing or strange:
        raise argument_error("letters", wanted, f"no {', '.join(missing)}" if missing else strange[0])
    values = {name: _float(name, text, number(text, name)) for name, text in given.items()}
    forms: dict[str, Any] = {"printed": None, "repaired": None, "sharp": None}
    for name, side in bound.forms:
        lacks = [letter for letter in side.letters if letter not in values]
        value = None if lacks else float(side(**{letter: values[letter] for letter in side.letters}))
        shown = value if value is None or math.isfinite(value) else str(value)
        forms[name] = {"value": shown, "needs": lacks, "formula": str(side.expression), "latex": side.latex}
    letters = {name: {"given": given[name], "value": values[name], "unit": UNITS[name]} for name in sorted(given)}
    return {
        "efcheck": __version__, "name": bound.name, "source": bound.source, "quantity": bound.quantity, "unit": bound.unit,
        "printed_holds": bound.holds, "letters": letters, **forms,
    }  # fmt: skip


def _float(name: str, text: str, value: Any) -> float:
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if math.isinf(found) or (found == 0) != (value == 0):
        raise argument_error(name, "be 0 or between 5e-324 and 1.8e308 in size", text)
    return found


def print_bound(found: dict[str, Any], console: Console | None = None) -> None:
    """Its forms side by side, then what the letters were."""
    console = console or Console()
    console.print(f"{found['name']}: {escape(found['quantity'])} ({found['source']})", soft_wrap=True, highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    row = ["at most"]
    for name in ("printed", "repaired", "sharp"):
        form = found[name]
        table.add_column(f"{name} (false)" if name == "printed" and not found["printed_holds"] else name, no_wrap=True)
        needs = "" if form is None else f"needs {', '.join(form['needs'])}"
        row.append("none known" if form is None else needs if form["needs"] else _number(form["value"]))
    table.add_column("unit", no_wrap=True)
    table.add_row(*map(escape, row), escape(found["unit"]))
    console.print(table)
    letters = [f"{n} = {v['given']} {v['unit']}".rstrip() for n, v in found["letters"].items()]
    console.print(escape("at " + ", ".join(letters)), soft_wrap=True, highlight=False)


def print_bounds(bounds: Mapping[str, Bound], console: Console | None = None) -> None:
    """A line for each bound: its name, whether it holds as printed, its letters, what it bounds."""
    console = console or Console()
    if not console.is_terminal:
        console.width = max(console.width, 150)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("bound", "printed", "letters", "bounds", "unit"):
        table.add_column(head, no_wrap=True, overflow="ellipsis")
    for name, bound in bounds.items():
        letters = sorted({letter for _, side in bound.forms for letter in side.letters})
        holds = "holds" if bound.holds else "false"
        table.add_row(*map(escape, (name, holds, " ".join(letters), bound.quantity, bound.unit)))
    console.print(table)


def _number(value: float | str) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "beyond 1.8e308"
