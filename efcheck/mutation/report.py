"""What the planted errors came to, on a terminal."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from efcheck.mutation.run import Mutation, Planted

_HOW = {"verdict": "by a verdict", "check": "by a single check", "error": "by an error", "time": "by a time-out"}


def print_mutation(found: Mutation, console: Console | None = None) -> None:
    """A table by file, the shares, then each error that nothing noticed with its reason."""
    console = console or Console()
    if not console.is_terminal:
        console.width = max(console.width, 150)  # a pipe has no width of its own
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", no_wrap=True)
    for name in ("planted", "noticed", "share"):
        table.add_column(name, justify="right")
    planted = Counter(p.place.file for p in found.planted)
    noticed = Counter(p.place.file for p in found.planted if p.noticed)
    for file, count in sorted(planted.items()):
        table.add_row(file, str(count), str(noticed[file]), f"{100 * noticed[file] / count:.0f} %")
    console.print(table)
    for line in summary(found):
        console.print(escape(line), soft_wrap=True, highlight=False)
    missed = [p for p in found.planted if not p.noticed]
    for title, group in (
        ("Not noticed, and not explained", [p for p in missed if not p.reason]),
        ("Not noticed, and why", [p for p in missed if p.reason]),
    ):
        if group:
            console.print(f"\n[bold]{title}[/]")
        for p in group:
            for line in _lines(p):
                console.print(escape(line), soft_wrap=True, highlight=False)


def summary(found: Mutation) -> list[str]:
    """What was drawn of what, the share, and how it was noticed."""
    how = Counter(p.noticed for p in found.planted if p.noticed)
    ways = ", ".join(f"{how[way]} {text}" for way, text in _HOW.items() if how[way])
    explained = sum(bool(p.reason) for p in found.planted if not p.noticed)
    open_ = len(found.planted) - found.noticed - explained
    return [
        "",
        f"{len(found.planted)} errors planted, at {len(found.planted)} of {found.places} places; seed {found.seed}, "
        f"{found.seconds:.0f} s",
        f"{found.noticed} noticed, {100 * found.share:.1f} %: {ways or 'none'}",
        f"{explained} not noticed and explained, {open_} not explained",
        f"not drawn from: {found.refutations} places that bear on refutations alone; "
        f"{sum(found.unreached.values())} that no check runs ({_most(found.unreached)})",
    ]


def _most(unreached: Counter[str]) -> str:
    few = [f"{file} {count}" for file, count in sorted(unreached.items(), key=lambda item: (-item[1], item[0]))[:6]]
    return ", ".join(few) + (", ..." if len(unreached) > 6 else "") if few else "none"


def _lines(p: Planted) -> list[str]:
    head = f"{p.place.file}:{p.place.line}  {p.change.kind} in {p.place.function or 'the module'}"
    return [head, f"    {p.diff}"] + ([f"    {p.reason}"] if p.reason else [])
