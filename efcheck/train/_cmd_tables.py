"""`efcheck tables RESULTS`: Tables 1 to 4 from the files of training runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from efcheck.errors import EfcheckError


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--manifest", type=click.Path(path_type=Path, dir_okay=False), help="Only its runs, and which are missing.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the tables there.")
def tables(results: Path, manifest: Path | None, json_file: Path | None) -> int:
    """Tables 1 to 4 of the paper from the runs under RESULTS, beside the printed numbers where they are comparable.

    \b
    efcheck tables results
    efcheck tables out --manifest experiments/vgg19-cifar10.toml --json tables.json

    SGDM: test accuracy in percent; the others: their difference to it. After the sign: one standard deviation over the
    seeds (n - 1). Exit codes: 0 with a table, also a partial one, which says what is missing; 2 without one, and if a file
    was refused: malformed, named as another run, or at odds with another file. The tables are then of the others.
    """
    from efcheck.report import write_text
    from efcheck.train._tables_show import show
    from efcheck.train.manifest import load
    from efcheck.train.tables import collect

    if json_file is not None and not os.access(json_file.parent, os.W_OK):
        raise EfcheckError(f"{json_file.parent} must be a folder that can be written to")
    found = collect(results, None if manifest is None else load(manifest))
    if json_file is not None:
        write_text(json_file, json.dumps(found.to_json(), indent=1, allow_nan=False) + "\n")
    show(found)
    return 2 if found.refused else 0
