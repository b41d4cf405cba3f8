"""Claims, their verdicts, and the audit that collects and runs them.

A claim is one statement of a paper. It has a printed form and, where that fails or is loose, a repaired form; each has
functions that return Evidence, and its verdict comes from these alone. `expect` is what the author of the claim's file
expects, as an expected failure in pytest: the audit fails when a verdict differs from it, in either direction.
"""

from __future__ import annotations

import inspect
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from efcheck import content
from efcheck.errors import EfcheckError, MissingExtraError, argument_error
from efcheck.evidence import Evidence, combine

if TYPE_CHECKING:
    from efcheck._picture import Picture

VERDICTS = ("proved", "refuted", "supported", "undecided")
Check: TypeAlias = Callable[..., Evidence]


class Claim:
    """One statement of a paper, with the functions that find out whether it is true.

    Parameters
    ----------
    id : str
        Stable, lower case with hyphens.
    source : str
        Where it stands in the paper.
    statement, repaired : str
        What is printed; what is true instead, or sharper, if anything.
    expect, expect_repaired : str
        Expected verdicts; a repaired statement is expected to be proved unless said otherwise.

    Examples
    --------
    >>> claim = Claim("square", "my paper, p. 1", "x^2 >= 0")
    >>> @claim.printed
    ... def it_is_proved():
    ...     from sympy import Symbol
    ...     from efcheck.evidence import prove
    ...     return prove(Symbol("x", real=True) ** 2 >= 0)
    >>> claim.audit().printed.verdict
    'proved'
    """

    def __init__(
        self,
        id: str,
        source: str,
        statement: str,
        repaired: str | None = None,
        expect: str = "proved",
        expect_repaired: str | None = None,
    ) -> None:
        for name, value in (("expect", expect), ("expect_repaired", expect_repaired or "proved")):
            if value not in VERDICTS:
                raise argument_error(name, f"be one of {', '.join(VERDICTS)}", value)
        if not id or any(c.isspace() for c in id):
            raise argument_error("id", "be a word without spaces", id)
        if expect_repaired is not None and repaired is None:
            raise argument_error("repaired", "be a statement when expect_repaired is given", "None")
        self.id, self.source, self.statement = id, source, statement
        self.repaired_statement = repaired
        self.expect, self.expect_repaired = expect, expect_repaired or "proved"
        self.printed_checks: list[Check] = []
        self.repaired_checks: list[Check] = []
        self.drawings: list[Callable[..., str]] = []

    def printed(self, check: Check) -> Check:
        """Register a function that returns Evidence on the printed statement."""
        self.printed_checks.append(check)
        return check

    def repaired(self, check: Check) -> Check:
        """Register a function that returns Evidence on the repaired statement."""
        if self.repaired_statement is None:
            raise argument_error("repaired", f"be a statement of claim {self.id}", "None")
        self.repaired_checks.append(check)
        return check

    def picture(self, draw: Callable[..., str]) -> Callable[..., str]:
        """Register a function of one or more matplotlib Axes that draws into them and returns the caption.

        It runs when a page is made, after the checks; it has no part in a verdict.
        """
        if not inspect.signature(draw).parameters:
            raise argument_error("picture", "take an Axes for each of its panels", f"{draw.__name__}()")
        self.drawings.append(draw)
        return draw

    def audit(self, seed: int = 0, pictures: bool = False, long: bool = False) -> Result:
        """Run every check, the thorough ones if `long`, and combine what they found; draw the pictures on request."""
        errors: list[str] = []
        printed = _form(self.statement, self.expect, _chosen(self.printed_checks, long), seed, errors)
        repaired = None
        if self.repaired_statement is not None:
            checks = _chosen(self.repaired_checks, long)
            repaired = _form(self.repaired_statement, self.expect_repaired, checks, seed, errors)
        drawn = tuple(_pictures(self.id, self.drawings, errors)) if pictures else ()
        return Result(self.id, self.source, printed, repaired, tuple(errors), drawn)


@dataclass(frozen=True)
class Form:
    """One form of a claim after its checks ran."""

    statement: str
    verdict: str
    expected: str
    evidence: tuple[Evidence, ...]

    @property
    def deciding(self) -> Evidence | None:
        """The first piece of evidence with the outcome that became the verdict."""
        return next((e for e in self.evidence if e.outcome == self.verdict), None)

    def good(self, allow_missing: bool = False) -> bool:
        """True if the verdict is the expected one, or, where that is forgiven, if only a missing extra left it open."""
        lacks = self.verdict == "undecided" and any("missing_extra" in e.data for e in self.evidence)
        return self.verdict == self.expected or (allow_missing and lacks)

    def to_json(self) -> dict[str, Any]:
        evidence = [e.to_json() for e in self.evidence]
        return {"verdict": self.verdict, "expected": self.expected, "evidence": evidence}


@dataclass(frozen=True)
class Result:
    """One claim after its checks ran; `errors` are checks and pictures that raised, one line each with file and line."""

    id: str
    source: str
    printed: Form
    repaired: Form | None
    errors: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()

    @property
    def forms(self) -> tuple[Form, ...]:
        return (self.printed,) if self.repaired is None else (self.printed, self.repaired)

    @property
    def as_expected(self) -> bool:
        return not self.errors and all(form.verdict == form.expected for form in self.forms)

    @property
    def missing_extras(self) -> tuple[str, ...]:
        """What could not run for lack of an optional library."""
        found = (e.data.get("missing_extra") for form in self.forms for e in form.evidence)
        return tuple(str(m) for m in found if m)

    def to_json(self) -> dict[str, Any]:
        repaired = None
        if self.repaired is not None:
            repaired = {"statement": self.repaired.statement, **self.repaired.to_json()}
        return {
            "id": self.id,
            "source": self.source,
            "statement": self.printed.statement,
            "printed": self.printed.to_json(),
            "repaired": repaired,
        }


@dataclass(frozen=True)
class Audit:
    """All results, in the order of the files, and the errors of files that could not be read."""

    results: tuple[Result, ...]
    errors: tuple[str, ...]
    seed: int
    seconds: float

    def passed(self, allow_missing: bool = False) -> bool:
        """True if every verdict is as expected and everything ran; missing extras are forgiven on request."""
        good = [not r.errors and all(form.good(allow_missing) for form in r.forms) for r in self.results]
        return not self.errors and all(good)

    def to_json(self) -> dict[str, Any]:
        """As in design: efcheck's version, seed, seconds, claims."""
        from efcheck import __version__

        claims = [r.to_json() for r in self.results]
        errors = list(self.errors) + [e for r in self.results for e in r.errors]
        extra = {"errors": errors} if errors else {}
        return {"efcheck": __version__, "seed": self.seed, "seconds": self.seconds, "claims": claims, **extra}


def audit(
    paths: Iterable[str | Path] | None = None,
    only: str | Sequence[str] | None = None,
    jobs: int | None = None,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
    pictures: bool = False,
    long: bool = False,
) -> Audit:
    """Collect the claims of files and folders and run their checks.

    Parameters
    ----------
    paths : files or folders of claims; the paper's own by default
    only : id or ids; "counterexample-2" also selects "counterexample-2-line"
    jobs : worker processes; None is one (they start anew: a script that asks for more needs a __main__ guard)
    seed : handed to every check that takes a `seed`; verdicts do not depend on `jobs`
    progress : called with (id, done, total)
    pictures : draw them, too, for a page
    long : also run the checks that are marked `thorough`

    Raises
    ------
    ArgumentError
        If a path does not exist, or nothing matches `only`.
    """
    began = time.perf_counter()
    files, errors = _files(paths), []
    tasks: list[tuple[Path, str]] = []
    seen: dict[str, Path] = {}
    for path in files:
        try:
            claims = collect(path)
        except (Exception, SystemExit) as error:
            errors.append(_where(error, path))
            continue
        for claim in claims:
            if claim.id in seen:
                errors.append(f"{path}: claim id {claim.id} is already in {seen[claim.id]}")
                continue
            seen[claim.id] = path
            tasks.append((path, claim.id))
    if not tasks and not errors:
        raise argument_error("path", "hold at least one claim", ", ".join(map(str, files)) or "no file")
    wanted = [only] if isinstance(only, str) else None if only is None else list(only)
    if wanted is not None:
        for word in wanted:
            if not any(_selects(word, id) for _, id in tasks):
                raise argument_error("only", f"name a claim ({', '.join(id for _, id in tasks)})", word)
        tasks = [task for task in tasks if any(_selects(word, task[1]) for word in wanted)]
    results = _run_all(tasks, jobs or 1, (seed, pictures, long), progress)
    return Audit(results, tuple(errors), seed, round(time.perf_counter() - began, 3))


def collect(path: Path) -> list[Claim]:
    """The claims of one file, in the order of the file."""
    found = {id(v): v for v in vars(content.load(path)).values() if isinstance(v, Claim)}
    return list(found.values())


def _selects(word: str, id: str) -> bool:
    return id == word or id.startswith(word + "-")


def _files(paths: Iterable[str | Path] | None) -> list[Path]:
    if paths is None:
        folders = [content.folder(name) for name in content.CLAIM_FOLDERS]
        return [file for place in folders if place is not None for file in content.scripts(place)]
    files: list[Path] = []
    for given in paths:
        path = Path(given)
        if not path.exists():
            raise argument_error("path", "be a file or folder of claims", str(path), "It does not exist.")
        files += content.scripts(path)
    return files


def _run_all(
    tasks: list[tuple[Path, str]],
    jobs: int,
    how: tuple[int, bool, bool],
    progress: Callable[[str, int, int], None] | None,
) -> tuple[Result, ...]:
    results: dict[tuple[Path, str], Result] = {}

    def done(task: tuple[Path, str], result: Result) -> None:
        results[task] = result
        if progress is not None:
            progress(task[1], len(results), len(tasks))

    workers = min(jobs, len(tasks))
    others = set(multiprocessing.active_children())
    if workers <= 1:
        for task in tasks:
            done(task, _run_one(*task, how))
    else:  # spawned, not forked: the parent may hold threads
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            try:
                with _interrupts_held():  # the workers inherit it: Ctrl-C is the parent's to handle
                    futures = {pool.submit(_run_one, *task, how): task for task in tasks}
                for future in as_completed(futures):
                    done(futures[future], future.result())
            except BrokenProcessPool:
                raise EfcheckError("a worker died while it ran a check; audit the files one by one with --jobs 1") from None
            except BaseException:
                for worker in set(multiprocessing.active_children()) - others:
                    worker.terminate()  # or leaving the pool would wait for the checks that are running
                pool.shutdown(cancel_futures=True)  # its thread, if it lived on, could write to a closed pipe at exit
                raise
    return tuple(results[task] for task in tasks)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """SIGINT waits until the end of the block; processes started inside never see it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run_one(path: Path, id: str, how: tuple[int, bool, bool]) -> Result:
    return next(claim for claim in collect(path) if claim.id == id).audit(*how)


def thorough(check: Check) -> Check:
    """Mark a check that only `efcheck audit --thorough` runs, such as a new semidefinite program: below @claim.printed.

    A part of a statement (`covers`) needs a check without this mark: without --thorough it would have no evidence.
    """
    check.thorough = True  # type: ignore[attr-defined]
    return check


def _chosen(checks: list[Check], long: bool) -> list[Check]:
    return [check for check in checks if long or not getattr(check, "thorough", False)]


def _form(statement: str, expected: str, checks: list[Check], seed: int, errors: list[str]) -> Form:
    evidence: list[Evidence] = []
    for check in checks:
        began = time.perf_counter()
        try:
            takes_seed = "seed" in inspect.signature(check).parameters
            found = check(seed=seed) if takes_seed else check()
            if not isinstance(found, Evidence):
                raise EfcheckError(f"{check.__name__} must return Evidence; got {type(found).__name__}.")
        except MissingExtraError as error:
            found = Evidence("search", "undecided", str(error), data={"missing_extra": str(error)})
        except (Exception, SystemExit) as error:
            errors.append(_where(error, Path(inspect.getfile(check))))
            continue
        evidence.append(replace(found, seconds=round(time.perf_counter() - began, 4)))
    return Form(statement, combine(evidence), expected, tuple(evidence))


def _pictures(id: str, drawings: list[Callable[..., str]], errors: list[str]) -> Iterator[Picture]:
    from efcheck._picture import drawn

    for number, draw in enumerate(drawings, 1):
        try:
            yield drawn(draw, f"{id} {number}")
        except (Exception, SystemExit) as error:
            errors.append(f"{_where(error, Path(inspect.getfile(draw)))} (its picture {draw.__name__} is left out)")


def _where(error: BaseException, path: Path) -> str:
    """file:line: what happened, in one line."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    inside = [f for f in frames if Path(f.filename).resolve() == path.resolve()]
    line = inside[-1].lineno if inside else 0
    return f"{path}:{line}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def main(file: str) -> None:
    """Audit one file's claims and print their table: what a claim file calls when it is run by itself."""
    from efcheck.report import print_audit

    found = audit([file], jobs=1)
    print_audit(found)
    sys.exit(0 if found.passed() else 1)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
