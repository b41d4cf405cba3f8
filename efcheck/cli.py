"""The commands. They parse, call and show; there is no mathematics here.

Exit codes: 0 as expected; 1 a verdict differs from what is expected; 2 wrong usage or bad input, in one line.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from efcheck import __version__
from efcheck._cmd_falsify import falsify
from efcheck._cmd_train import diagnose, tables, train
from efcheck._cmd_worst_case import worst_case
from efcheck.checks.command import check
from efcheck.errors import EfcheckError


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:  # click would print an empty line first
            raise click.Abort from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="efcheck")
def cli() -> None:
    """Decide whether what a paper says about compressed gradients with error feedback is true."""


cli.add_command(check)
cli.add_command(worst_case)
cli.add_command(falsify)
cli.add_command(train)
cli.add_command(tables)
cli.add_command(diagnose)


@cli.command()
@click.argument("paths", nargs=-1)
@click.option("--only", multiple=True, metavar="ID", help="Only this claim and those under it; may be repeated.")
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes; all cores by default.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the audit there.")
@click.option("--html", "html_folder", type=click.Path(path_type=Path, file_okay=False), help="Write the report there.")
@click.option("--thorough", is_flag=True, help="Also what takes minutes: worst cases are solved anew.")
@click.option("--allow-missing", is_flag=True, help="Forgive evidence that needs an extra that is not installed.")
@click.option("--mutate", is_flag=True, help="Plant errors one at a time instead: does a verdict notice?")
@click.option("--mutants", type=click.IntRange(min=1), metavar="N", help="How many errors --mutate plants.")
def audit(
    paths: tuple[str, ...],
    only: tuple[str, ...],
    jobs: int | None,
    seed: int,
    json_file: Path | None,
    html_folder: Path | None,
    thorough: bool,
    allow_missing: bool,
    mutate: bool,
    mutants: int | None,
) -> int:
    """Give every claim its verdict: the paper's own, or those in PATH..."""
    from efcheck import _html
    from efcheck._verdicts import find_paper
    from efcheck.claims import audit as run_audit
    from efcheck.claims import cores
    from efcheck.report import print_audit, print_details, write_json

    if json_file is not None:
        _writable(json_file.parent)
        if json_file.suffix == ".py":  # `--json A.py B.py` is a slip: A.py would be overwritten
            raise click.UsageError(f"--json takes the file to write, not a file of claims; got {json_file}")
    if mutate or mutants is not None:
        if not mutate or only or html_folder is not None or allow_missing or thorough:
            raise click.UsageError("--mutate goes with PATH, --mutants, --jobs, --seed and --json, and --mutants with --mutate")
        return _mutate(paths, mutants, jobs or cores(), seed, json_file)
    if html_folder is not None:
        _html.require()
        _writable(html_folder if html_folder.exists() else html_folder.parent)
    paper = find_paper(paths or None)
    with _Progress() as progress:
        found = run_audit(paths or None, only or None, jobs or cores(), seed, progress, html_folder is not None, thorough)
    if json_file is not None:
        write_json(found, json_file)
    if html_folder is not None:
        _html.write_html(found, html_folder, paper, paths)
    if only:
        print_details(found)
    print_audit(found, paper=paper)
    return 0 if found.passed(allow_missing) else 1


@cli.command()
@click.argument("ids", nargs=-1)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it there instead of printing it.")
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes; all cores by default.")
def erratum(ids: tuple[str, ...], out: Path | None, jobs: int | None) -> int:
    """A LaTeX note on what does not hold as printed: all of it, or ID... and what is under it."""
    from efcheck import _erratum
    from efcheck._verdicts import find_paper
    from efcheck.claims import audit as run_audit
    from efcheck.claims import cores
    from efcheck.report import differences, write_text

    if out is not None:
        _writable(out.parent)
    with _Progress() as progress:
        found = run_audit(only=ids or None, jobs=jobs or cores(), progress=progress)
    note = _erratum.render(found, ids, find_paper(None))
    if out is None:
        click.echo(note, nl=False)
    else:
        write_text(out, note)
    for line in differences(found):
        click.echo(f"efcheck: {line}", err=True)
    return 0 if found.passed() else 1


@cli.command()
@click.argument("names", nargs=-1)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("out"), show_default=True)
@click.option("--results", type=click.Path(path_type=Path), metavar="DIR", help="Of training figures: the runs to draw.")
@click.option("--list", "list_them", is_flag=True, help="Name them, one a line, and stop.")
def figures(names: tuple[str, ...], out: Path, results: Path | None, list_them: bool) -> int:
    """Draw every figure, or those named: picture (PDF, PNG), data (npz) and record (JSON).

    A figure that cannot be drawn is told, in one line, and the others are drawn. Exit codes: 0 all are drawn, 2 not all.
    """
    from efcheck import content
    from efcheck.errors import argument_error

    place = content.folder("figures")
    scripts = {path.stem: path for path in content.scripts(place)} if place is not None else {}
    if list_them:
        for name, path in scripts.items():
            click.echo(f"{name:<14} {(content.load(path).__doc__ or '').splitlines()[0]}")
        return 0
    for name in names:
        if name not in scripts:
            raise argument_error("name", f"be one of {', '.join(scripts)}", name)
    out.mkdir(parents=True, exist_ok=True)
    _writable(out)
    failed = False
    for name in names or scripts:
        try:
            with _Progress() as progress:
                progress(name, 0, 1)
                script = content.load(scripts[name])
                from_runs = results is not None and "results" in inspect.signature(script.compute).parameters
                written = script.main(["--out", str(out), *(["--results", str(results)] if from_runs else [])])
        except EfcheckError as error:
            click.echo(f"{name}: {error}", err=True)
            failed = True
            continue
        except SystemExit:  # the script has told it
            failed = True
            continue
        click.echo(f"{name}: {', '.join(str(path) for path in written)}")
    return 2 if failed else 0


class _Relation(click.Command):
    """Takes "-x <= 1" for a relation, not for an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        looks = [a.startswith("-") and not a.startswith("--") and any(c in a for c in "<>=") for a in args]
        return super().parse_args(ctx, [f" {a}" if yes else a for a, yes in zip(args, looks, strict=True)])


@cli.command(cls=_Relation)
@click.argument("relation")
@click.option("--where", multiple=True, metavar="RELATION", help="A hypothesis, or several between commas; may be repeated.")
@click.option("--integer", multiple=True, metavar="NAME,...", help="These letters are integers.")
@click.option("--positive", multiple=True, metavar="NAME,...", help="These letters are > 0.")
@click.option("--timeout", type=float, default=20.0, show_default=True, help="Seconds for the solvers.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the evidence there.")
def prove(
    relation: str,
    where: tuple[str, ...],
    integer: tuple[str, ...],
    positive: tuple[str, ...],
    timeout: float,
    json_file: Path | None,
) -> int:
    """Prove RELATION for all real values of its letters, or refute it at a point in round numbers.

    \b
    efcheck prove "4*k*(k-1) <= 2*k**2" --where "k >= 1"
    efcheck prove "sqrt(x*y) <= (x+y)/2" --where "x >= 0, y >= 0"

    Numbers (0.1 is 1/10), letters, + - * / **, sqrt, abs, min, max, sign; < <= == != >= >, also chained; and, or, not.
    Exit codes: 0 proved, 1 refuted or undecided, 2 wrong usage or hypotheses that cannot be met.
    """
    from efcheck import show
    from efcheck.report import write_text

    if json_file is not None:
        _writable(json_file.parent)
    named = [[name.strip() for text in texts for name in text.split(",") if name.strip()] for texts in (integer, positive)]
    found = show.proof(relation, where, named[0], named[1], timeout)
    if json_file is not None:
        asked = {"efcheck": __version__, "relation": relation, "where": where, "integer": named[0], "positive": named[1]}
        write_text(json_file, json.dumps({**asked, **found.to_json()}, indent=1) + "\n")
    click.echo(f"{found.outcome}: {found.detail}")
    return 0 if found.outcome == "proved" else 1


@cli.command()
@click.argument("name", required=False)
@click.argument("values", nargs=-1, metavar="LETTER=VALUE...")
@click.option("--list", "list_them", is_flag=True, help="Name them with their letters, one a line, and stop.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the values there.")
def bound(name: str | None, values: tuple[str, ...], list_them: bool, json_file: Path | None) -> int:
    """What a theorem guarantees for these numbers: as printed, repaired, and sharp.

    \b
    efcheck bound theorem-2 T=1000 gamma=1/100 f0=2.3 L=10 sigma=1 delta=1e-2
    """
    from efcheck import bounds, show
    from efcheck.errors import argument_error
    from efcheck.report import write_text

    if list_them:
        show.print_bounds(bounds.BOUNDS)
        return 0
    if json_file is not None:
        _writable(json_file.parent)
    chosen = bounds.named(name or "none")
    given: dict[str, str] = {}
    for text in values:
        letter, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not letter or not value or letter in given:
            raise argument_error("letters", "be letter=value, each letter once", text)
        given[letter] = value
    found = show.bound_values(chosen, given)
    if json_file is not None:
        write_text(json_file, json.dumps(found, indent=1, allow_nan=False) + "\n")
    show.print_bound(found)
    return 0


@cli.command("verify-certificate")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def verify_certificate(file: Path) -> int:
    """Check FILE, an exact certificate of a worst-case bound: exit 0 if it proves what it states, 1 if it does not."""
    from efcheck.evidence import certificate
    from efcheck.evidence.certify import read

    found = read(file)
    try:
        certificate.verify(found)
    except certificate.Rejected as error:
        click.echo(f"not proved: {error}")
        return 1
    click.echo(f"proved: {certificate.statement(found)}")
    return 0


def _mutate(paths: tuple[str, ...], mutants: int | None, jobs: int, seed: int, json_file: Path | None) -> int:
    from efcheck.mutation.report import print_mutation
    from efcheck.mutation.run import MUTANTS
    from efcheck.mutation.run import mutate as run_mutate
    from efcheck.report import write_text

    with _Progress() as progress:
        found = run_mutate(paths or None, mutants or MUTANTS, jobs, seed, progress)
    if json_file is not None:
        write_text(json_file, json.dumps(found.to_json(), indent=1, ensure_ascii=False) + "\n")
    print_mutation(found)
    return 0 if found.passed else 1


class _Progress:
    """One line on a terminal that says what was done last; silent in a pipe."""

    def __enter__(self) -> _Progress:
        self._shown = sys.stderr.isatty()
        return self

    def __call__(self, name: str, done: int, total: int) -> None:
        if self._shown:
            click.echo(f"\r\033[K{done}/{total}  {name}", nl=False, err=True)

    def __exit__(self, *_: object) -> None:
        if self._shown:
            click.echo("\r\033[K", nl=False, err=True)


def _writable(folder: Path) -> None:
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise EfcheckError(f"{folder or '.'} must be a folder that can be written to")


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point: run the command and exit with its code; every expected error is one line on stderr."""
    try:
        code = cli.main(args=None if argv is None else list(argv), prog_name="efcheck", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        code = 2
    except click.ClickException as error:
        click.echo(f"efcheck: {' '.join(error.format_message().split())}", err=True)
        code = 2
    except EfcheckError as error:
        click.echo(f"efcheck: {error}", err=True)
        code = 2
    except OSError as error:
        click.echo(f"efcheck: {error.strerror or error}: {error.filename or ''}", err=True)
        code = 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("efcheck: stopped; files already written are whole", err=True)
        code = 130
    sys.exit(code if isinstance(code, int) else 0)
