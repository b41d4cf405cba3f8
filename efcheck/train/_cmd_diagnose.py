"""`efcheck diagnose OUT`: what a training log says about its error feedback."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from efcheck.errors import EfcheckError, argument_error


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--column", multiple=True, metavar="NAME=COLUMN", help="Of a CSV: the column that is NAME; may be repeated.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the diagnosis there.")
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Draw it there, .png or .pdf.")
def diagnose(out: Path, column: tuple[str, ...], json_file: Path | None, picture: Path | None) -> int:
    """Which of the paper's bounds apply to a training run and how loose they are; does the memory grow.

    \b
    efcheck diagnose OUT --picture run.png           OUT of `efcheck train`, or its metrics.jsonl
    efcheck diagnose log.csv --column e_norm=memory  columns step or epoch, density, delta, e_norm, lr, grad_norm

    Exit codes: 0 nothing to warn of, 1 a warning, 2 wrong usage or bad input.
    """
    from efcheck.report import write_text
    from efcheck.train._diagnose_show import show
    from efcheck.train.diagnose import diagnose as look
    from efcheck.train.trace import read

    names: dict[str, str] = {}
    for text in column:
        name, equals, there = (part.strip() for part in text.partition("="))
        if not equals or not name or not there or name in names:
            raise argument_error("column", "be NAME=COLUMN, each NAME once", text)
        names[name] = there
    for file in (json_file, picture):
        if file is not None and not os.access(file.parent, os.W_OK):
            raise EfcheckError(f"{file.parent} must be a folder that can be written to")
    if picture is not None and picture.suffix not in (".png", ".pdf"):
        raise argument_error("picture", "end in .png or .pdf", picture.name)
    found = look(read(out, names))
    if json_file is not None:
        write_text(json_file, json.dumps(found.to_json(), indent=1, allow_nan=False) + "\n")
    if picture is not None:
        from efcheck import figure
        from efcheck.train._diagnose_show import PANELS, SIZE, arrays, draw

        figure._write(picture, figure.picture(arrays(found), draw, SIZE, PANELS)[picture.suffix[1:]])
    show(found)
    return 1 if found.warnings else 0
