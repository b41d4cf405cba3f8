"""The commands. They parse, call and show; there is no mathematics here.

Exit codes: 0 as expected; 1 a verdict differs from what is expected; 2 wrong usage or bad input, in one line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from efcheck import __version__
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


@cli.command()
@click.argument("paths", nargs=-1)
@click.option("--only", multiple=True, metavar="ID", help="Only this claim and those under it; may be repeated.")
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes; all cores by default.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the audit there.")
@click.option("--allow-missing", is_flag=True, help="Forgive evidence that needs an extra that is not installed.")
def audit(
    paths: tuple[str, ...], only: tuple[str, ...], jobs: int | None, seed: int, json_file: Path | None, allow_missing: bool
) -> int:
    """Give every claim its verdict: the paper's own, or those in PATH..."""
    from efcheck.claims import audit as run_audit
    from efcheck.claims import cores
    from efcheck.report import print_audit, print_details, write_json

    if json_file is not None:
        _writable(json_file.parent)
    with _Progress() as progress:
        found = run_audit(paths or None, only or None, jobs or cores(), seed, progress)
    if json_file is not None:
        write_json(found, json_file)
    if only:
        print_details(found)
    print_audit(found)
    return 0 if found.passed(allow_missing) else 1


@cli.command()
@click.argument("names", nargs=-1)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("out"), show_default=True)
@click.option("--list", "list_them", is_flag=True, help="Name them, one a line, and stop.")
def figures(names: tuple[str, ...], out: Path, list_them: bool) -> int:
    """Draw every figure, or those named: picture (PDF, PNG), data (npz) and record (JSON)."""
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
    for name in names or scripts:
        with _Progress() as progress:
            progress(name, 0, 1)
            written = content.load(scripts[name]).main(["--out", str(out)])
        click.echo(f"{name}: {', '.join(str(path) for path in written)}")
    return 0


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
        click.echo(f"efcheck: {error.format_message()}", err=True)
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
