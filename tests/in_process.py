"""Commands in the process of the tests: many times faster than in one of their own, and the same but for `python -m`."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import NamedTuple

from efcheck import cli


class Done(NamedTuple):
    """How a command ended and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def efcheck(*arguments: object, cwd: Path | None = None) -> Done:
    """`efcheck ARGUMENTS`, in `cwd`, a folder of the test's own: what was imported from there is forgotten afterwards."""
    out, err, path, modules = io.StringIO(), io.StringIO(), sys.path[:], set(sys.modules)
    with contextlib.chdir(cwd or Path.cwd()), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
    sys.path[:] = path
    for name in sys.modules.keys() - modules if cwd else ():
        if str(getattr(sys.modules[name], "__file__", None)).startswith(f"{cwd}/"):
            del sys.modules[name]
    return Done(code, out.getvalue(), err.getvalue())
