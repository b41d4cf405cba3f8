"""The audit as a terminal table and as a JSON file."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from efcheck._verdicts import Paper, by_section, entries
from efcheck.claims import Audit, Form, Result
from efcheck.errors import EfcheckError

_STYLES = {"proved": "green", "refuted": "red", "supported": "cyan", "undecided": "yellow"}


def print_audit(audit: Audit, console: Console | None = None, paper: Paper | None = None) -> None:
    """A table with a line for each claim, then a summary, then whatever differs from what was expected.

    With a paper, the claims stand under its sections.
    """
    console = console or Console()
    if not console.is_terminal:
        console.width = max(console.width, 150)  # a pipe has no width of its own
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    for name, width in (("claim", _widest(audit)), ("source", 27), ("printed", 10), ("repaired", 10)):
        table.add_column(name, width=width, no_wrap=True, overflow="ellipsis")
    table.add_column("evidence", ratio=1, no_wrap=True, overflow="ellipsis")
    groups = _groups(audit, paper)
    for i, (heading, results) in enumerate(groups):
        if len(groups) > 1:
            if i:
                table.add_row()
            table.add_row(f"[bold]{escape(heading)}[/]", "", "", "", f"[bold]{_tally(results)}[/]")
        for result in results:
            repaired = "" if result.repaired is None else _verdict(result.repaired)
            table.add_row(escape(result.id), escape(result.source), _verdict(result.printed), repaired, escape(_words(result)))
    console.print(table)
    tally = _tally(audit.results)
    console.print(f"\n{len(audit.results)} claims as printed: {tally}; {audit.seconds:.1f} s, seed {audit.seed}")
    for line in differences(audit):
        console.print(f"[bold red]{escape(line)}[/]", soft_wrap=True)


def print_details(audit: Audit, console: Console | None = None) -> None:
    """Every claim in full: both statements, their verdicts, and each piece of evidence with the part that it covers."""
    console = console or Console()
    for result in audit.results:
        console.print(f"\n[bold]{escape(result.id)}[/]  {escape(result.source)}", soft_wrap=True, highlight=False)
        for name, form in zip(("printed", "repaired"), result.forms, strict=False):
            head = f"  {name}: {escape(form.statement)}  [{_STYLES[form.verdict]}]{form.verdict}[/]"
            console.print(head, soft_wrap=True, highlight=False)
            for e in form.evidence:
                part = f" ({e.covers})" if e.covers else ""
                line = f"    {e.outcome} by {e.kind}{part}: {e.detail}  [{e.seconds:.2f} s]"
                console.print(escape(line), soft_wrap=True, highlight=False)


def differences(audit: Audit) -> list[str]:
    """One line for each verdict that is not the expected one, each check that raised and each file that did not load."""
    lines = list(audit.errors)
    for result in audit.results:
        lines += [f"{result.id}: {error}" for error in result.errors]
        for name, form in zip(("printed", "repaired"), result.forms, strict=False):
            if form.verdict != form.expected:
                lines.append(f"{result.id}: the {name} statement is {form.verdict}; expected {form.expected}")
        lines += [f"{result.id}: could not run: {missing}" for missing in result.missing_extras]
    return lines


def write_json(audit: Audit, path: Path) -> None:
    """The audit as JSON, whole or not at all."""
    write_text(path, json.dumps(audit.to_json(), indent=1, ensure_ascii=False) + "\n")


def make_folder(folder: Path) -> None:
    """The folder, in which can be written; an EfcheckError where there can be none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise EfcheckError(f"{folder} must be a folder that can be written to")


def write_text(path: Path, text: str) -> None:
    """Write a file through a temporary one beside it, so that a reader never sees half of it.

    A link is followed. What is there and no file, such as /dev/stdout or a pipe, is written to, not replaced.
    """
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    path = path.resolve()
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _groups(audit: Audit, paper: Paper | None) -> list[tuple[str, list[Result]]]:
    """The results under the sections of the paper, in its order; all under one without a paper."""
    if paper is None:
        return [("", list(audit.results))]
    by_id = {result.id: result for result in audit.results}
    return [(name, [by_id[e.id] for e in group]) for name, group in by_section(entries(audit), paper).items()]


def _tally(results: Sequence[Result]) -> str:
    """Counts by printed verdict: "12 proved, 20 refuted"."""
    printed = Counter(result.printed.verdict for result in results)
    return ", ".join(f"{n} {verdict}" for verdict, n in sorted(printed.items())) or "none"


def _widest(audit: Audit) -> int:
    return max((len(r.id) for r in audit.results), default=5)


def _verdict(form: Form) -> str:
    mark = "" if form.verdict == form.expected else "!"
    return f"[{_STYLES[form.verdict]}]{form.verdict}[/]{mark}"


def _words(result: Result) -> str:
    """What decided the printed form, in a few words."""
    evidence = result.printed.deciding
    return "" if evidence is None else f"{evidence.kind}: {evidence.detail}"
