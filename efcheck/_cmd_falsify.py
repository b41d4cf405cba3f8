"""`efcheck falsify BOUND`: look for an exact instance that exceeds a bound; write it, and a script that shows it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from efcheck.errors import EfcheckError


@click.command()
@click.argument("bound", required=False)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write BOUND.json and BOUND.py there.")
@click.option("--minutes", type=float, default=10.0, show_default=True, help="Nothing new is tried after that.")
@click.option("--form", type=click.Choice(["printed", "repaired", "sharp"]), default="printed", show_default=True)
@click.option("--scale", default="1", show_default=True, help="Multiplies the right side: 0.99 asks whether it is tight.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the families; programs draw nothing.")
@click.option("--by", type=click.Choice(["both", "families", "programs"]), default="both", show_default=True)
@click.option("--list", "list_them", is_flag=True, help="Name the bounds, one a line, and stop.")
def falsify(
    bound: str | None, out: Path | None, minutes: float, form: str, scale: str, seed: int, by: str, list_them: bool
) -> int:
    """Look for a run that exceeds BOUND, and confirm it in exact fractions.

    \b
    efcheck falsify theorem-2 --out found        found/theorem-2.json and found/theorem-2.py
    efcheck falsify lemma-3 --form sharp --scale 0.99

    families: runs in one or two dimensions, T in the thousands. programs: worst cases over all functions and compressors, T up
    to 16, or 60 for runs that go round, replayed; they need the extra worst-case.

    Exit codes: 0 a confirmed violation, 1 none, or not in time (the largest ratio of left to right side is told), 2 wrong
    usage.
    """
    from efcheck.cli import _Progress
    from efcheck.evidence import falsify as search
    from efcheck.evidence._falsify_instance import read
    from efcheck.evidence._falsify_script import script
    from efcheck.evidence._falsify_target import NAMES, READINGS, target
    from efcheck.report import write_text

    if list_them:
        click.echo("\n".join(NAMES))
        return 0
    goal = target(bound or "none", form)
    if out is not None:
        _make(out, f"{bound}.json", f"{bound}.py")
    with _Progress() as progress:
        found = search(bound or "none", form, scale, minutes, seed, progress, by)
    click.echo(f"{found.outcome}: {found.detail}")
    if goal.reading:
        click.echo(f"read as: {goal.reading}")
    if found.outcome != "refuted":
        for name, reading in READINGS.items():
            if reading.bound == goal.bound.name and name != bound:
                click.echo(f"another reading: {name}, {reading.text}")
        return 1
    click.echo(f"left side over right side {found.data['ratio']:.6f}")
    for line in found.data["scans"]:
        click.echo(f"searched: {line}")
    if out is not None:
        instance = found.data["instance"]
        for path, text in (
            (out / f"{bound}.json", json.dumps(instance, indent=1) + "\n"),
            (out / f"{bound}.py", script(read(instance))),
        ):
            write_text(path, text)
            click.echo(str(path))
    return 0


def _make(folder: Path, *names: str) -> None:
    """The folder, in which files of these names can be written."""
    from efcheck.report import make_folder

    make_folder(folder)
    for file in (folder / name for name in names):
        if file.is_dir():
            raise EfcheckError(f"{file} must be a file, or not there; it is a folder")
