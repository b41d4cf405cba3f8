"""Results of checks as data: what ran, what failed with the input that reproduces it, what was skipped and why."""

from __future__ import annotations

import io
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from efcheck import __version__
from efcheck.errors import argument_error

Outcome = Literal["passed", "failed", "skipped"]
WIDTH = 80
_STYLES = {"passed": "green", "failed": "bold red", "skipped": "yellow"}


@dataclass(frozen=True)
class Result:
    """What one check found.

    name: of the check. outcome: passed, failed, or skipped. detail: one line; for a skipped check, its reason.
    reproduce: Python that shows the failure in a fresh prompt. number, bound: what broke which bound. count: how many
    cases ran. seed: of the check's own draws. expected: the reason for which this check may fail, if one was given.
    """

    name: str
    outcome: Outcome
    detail: str = ""
    reproduce: str = ""
    number: float | None = None
    bound: float | None = None
    count: int = 0
    seed: int | None = None
    seconds: float = 0.0
    expected: str | None = None

    @property
    def surprising(self) -> bool:
        """Failed without being expected to, or passed though expected to fail."""
        return self.outcome == ("failed" if self.expected is None else "passed")


def passed(detail: str = "", **numbers: Any) -> Result:
    """A passed check; `run_checks` fills in its name."""
    return Result("", "passed", detail, **numbers)


def failed(detail: str, reproduce: str = "", **numbers: Any) -> Result:
    """A failed check; `run_checks` fills in its name."""
    return Result("", "failed", detail, reproduce, **numbers)


def skipped(reason: str) -> Result:
    """A check that does not apply."""
    return Result("", "skipped", reason)


class Raised(Exception):
    """The code under test raised `error`; `given` says on what, in a few words, and `reproduce` is a snippet."""

    def __init__(self, error: BaseException, given: str = "", reproduce: str = "") -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.error, self.given, self.reproduce = error, given, reproduce


@contextmanager
def calling(given: str = "", reproduce: str = "") -> Iterator[None]:
    """What the code under test raises inside is told as its failure on `given`."""
    try:
        yield
    except Raised:
        raise
    except (Exception, SystemExit) as error:
        raise Raised(error, given, reproduce) from error


@dataclass(frozen=True)
class CheckReport:
    """The results of all checks of one subject; `str(report)` is a table for a terminal."""

    subject: str
    results: tuple[Result, ...] = field(repr=False)
    notes: tuple[str, ...] = ()  # what was reduced, and why

    @property
    def passed(self) -> bool:
        """Something ran, nothing failed but what was expected to, and all that was expected to fail did where it ran."""
        return any(r.outcome != "skipped" for r in self.results) and not self.failures

    @property
    def failures(self) -> tuple[Result, ...]:
        """The results that make `passed` False: unexpected failures, and expected ones that passed."""
        return tuple(r for r in self.results if r.surprising)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, name: str) -> Result:
        for result in self.results:
            if result.name == name:
                return result
        raise KeyError(name)

    def to_json(self) -> dict[str, Any]:
        """Plain data for json.dumps(allow_nan=False): a number that is not finite is its text."""
        results = [{key: _plain(value) for key, value in asdict(r).items()} for r in self.results]
        return {
            "efcheck": __version__, "subject": self.subject, "passed": self.passed, "counts": _counts(self.results),
            "notes": list(self.notes), "seconds": sum(r.seconds for r in self.results), "results": results,
        }  # fmt: skip

    def __str__(self) -> str:
        text = io.StringIO()
        self.print(Console(file=text, width=WIDTH, color_system=None, force_terminal=False))
        return text.getvalue().rstrip("\n")

    def print(self, console: Console | None = None) -> None:
        """The table, what reproduces each failure, and a line of counts."""
        console = console or Console()
        console.width = min(console.width, 160) if console.is_terminal else WIDTH
        console.print(escape(self.subject), highlight=False, markup=True)
        console.print(self._table())
        for result in self.results:
            if result.outcome == "failed" and result.reproduce:
                console.print(f"\n[bold]# {escape(result.name)}: to reproduce[/]", highlight=False)
                console.print(result.reproduce, markup=False, highlight=False, soft_wrap=True)
        console.print()
        for line in (*(f"note: {note}" for note in self.notes), self._summary()):
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("check", no_wrap=True)
        table.add_column("outcome", no_wrap=True)
        table.add_column("detail", ratio=1, overflow="fold")
        for r in self.results:
            outcome, detail = f"[{_STYLES[r.outcome]}]{r.outcome}[/]", r.detail
            if r.expected is not None:
                outcome += "!" if r.surprising else ""
                detail += f" (expected to fail: {r.expected})"
            table.add_row(escape(r.name), outcome, escape(" ".join(detail.split())))
        return table

    def _summary(self) -> str:
        counts = _counts(self.results)
        known = sum(r.outcome == "failed" and r.expected is not None for r in self.results)
        fixed = sum(r.outcome == "passed" and r.expected is not None for r in self.results)
        line = f"{counts['passed']} passed, {counts['failed']} failed"
        line += f" ({known} as expected)" if known else ""
        line += f", {counts['skipped']} skipped"
        line += f"; {fixed} passed though expected to fail" if fixed else ""
        return f"{line}; {counts['cases']} cases, {sum(r.seconds for r in self.results):.1f} s"


def run_checks(
    subject: str,
    checks: Sequence[tuple[str, Callable[[], Result | None]]],
    expected_failed: Mapping[str, str] | None = None,
) -> CheckReport:
    """Run each named check and time it.

    A check returns a Result (its name is filled in) or None for passed. What it raises is a failure of the code under
    test: the exception's type and message, and the input where `calling` named one.

    Raises
    ------
    ArgumentError
        If `expected_failed` names a check that does not exist, or gives an empty reason.
    """
    expected = _expected(expected_failed, [name for name, _ in checks])
    results = []
    for name, check in checks:
        began = time.perf_counter()
        found = _run(check)
        seconds = time.perf_counter() - began
        results.append(replace(found, name=name, seconds=seconds, expected=expected.get(name)))
    return CheckReport(subject, tuple(results))


def _run(check: Callable[[], Result | None]) -> Result:
    try:
        return check() or passed()
    except Raised as raised:
        on = f" on {raised.given}" if raised.given else ""
        return failed(f"raised {_one_line(str(raised))}{on}", raised.reproduce, count=1)
    except (Exception, SystemExit) as error:
        return failed(f"raised {type(error).__name__}: {_one_line(str(error))}", count=1)


def _expected(given: Any, names: Sequence[str]) -> dict[str, str]:
    if given is not None and not isinstance(given, Mapping):
        hint = "Write {name: why} for each check that is known to fail."
        raise argument_error("expected_failed", "be a mapping of check to reason", str(given), hint)
    expected = dict(given or {})
    for name, reason in expected.items():
        if name not in names:
            raise argument_error("expected_failed", f"name checks, of {', '.join(names)}", str(name))
        if not isinstance(reason, str) or not reason.strip():
            raise argument_error("expected_failed", f"give a reason in words for {name}", reason)
    return expected


def _counts(results: Sequence[Result]) -> dict[str, int]:
    counts = Counter(r.outcome for r in results)
    return {**{name: counts[name] for name in ("passed", "failed", "skipped")}, "cases": sum(r.count for r in results)}


def _one_line(text: str, limit: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
