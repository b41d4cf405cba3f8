"""The engine under figures/: compute -> arrays -> picture, data and record, each file whole or not there.

A figure's script has `compute(seed=...)`, which returns arrays, and `draw(axes, data)`, which draws them. `main` makes

    NAME.pdf  NAME.png     the picture; its bytes depend on the data and on the library versions alone
    NAME.npz               the data, no pickles; `--from NAME.npz` draws it again without computing
    NAME.json              parameters, seed, versions, seconds, commit
"""

from __future__ import annotations

import argparse
import inspect
import io
import json
import os
import platform
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from efcheck import __version__
from efcheck.errors import EfcheckError, argument_error

Data: TypeAlias = dict[str, NDArray[Any]]
Compute: TypeAlias = Callable[..., Mapping[str, Any]]
Draw: TypeAlias = Callable[[Sequence[Axes], Data], None]
Size: TypeAlias = tuple[float, float]

FULL_WIDTH: Size = (6.75, 2.6)
HALF_WIDTH: Size = (3.25, 2.6)
STYLE_FILE = Path(__file__).with_name("efcheck.mplstyle")


class Style(NamedTuple):
    """How a method looks in every figure: never by colour alone."""

    color: str
    linestyle: str | tuple[int, tuple[float, ...]]
    marker: str


STYLES: dict[str, Style] = {
    "SGD": Style("#000000", "-", "o"),
    "SGDm": Style("#000000", (0, (5, 1)), "h"),
    "signSGD": Style("#D55E00", "--", "s"),
    "scaled signSGD": Style("#E69F00", "-.", "D"),
    "signSGDm": Style("#CC79A7", (0, (3, 1, 1, 1)), "v"),
    "EF-signSGD": Style("#0072B2", (0, (6, 1)), "^"),
    "EF top-1": Style("#009E73", ":", "P"),
    "EF21-sign": Style("#56B4E9", (0, (4, 1, 1, 1, 1, 1)), "X"),
}


def main(compute: Compute, draw: Draw, name: str, size: Size, argv: Sequence[str] | None = None, panels: int = 1) -> list[Path]:
    """A figure's command line: --out DIR, --seed N, --from FILE.npz. Returns the files written."""
    parser = argparse.ArgumentParser(prog=name, description=f"Writes {name}.pdf, .png, .npz and .json.")
    parser.add_argument("--out", type=Path, default=Path("out"), metavar="DIR", help="where to (default: out)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the computation (default: 0)")
    parser.add_argument("--from", type=Path, dest="source", metavar="FILE.npz", help="draw saved data, compute nothing")
    options = parser.parse_args(argv)
    try:
        return render(compute, draw, name, size, panels, out=options.out, seed=options.seed, source=options.source)
    except (OSError, ValueError, EfcheckError) as error:
        parser.exit(2, f"{name}: {error}\n")


def render(
    compute: Compute,
    draw: Draw,
    name: str,
    size: Size,
    panels: int = 1,
    *,
    out: Path | str = "out",
    seed: int = 0,
    source: Path | str | None = None,
) -> list[Path]:
    """Compute the data, or load them from `source` with the record beside it, and save the figure."""
    if source is not None:
        data, record = load(source), _record_beside(Path(source))
        told = {"parameters": record.get("parameters", {}), "drawn_from": Path(source).name}
        return save(name, data, draw, size, panels, out, record.get("seed"), record.get("seconds"), **told)
    start = time.perf_counter()
    data = _arrays(compute(seed=seed))
    seconds = time.perf_counter() - start
    return save(name, data, draw, size, panels, out, seed, seconds, parameters=parameters(compute))


def save(
    name: str,
    data: Mapping[str, Any],
    draw: Draw,
    size: Size,
    panels: int,
    out: Path | str,
    seed: int | None,
    seconds: float | None,
    **record: Any,
) -> list[Path]:
    """Write NAME.pdf, .png, .npz and .json into `out`; more keywords go into the record."""
    arrays = _arrays(data)
    pictures = picture(arrays, draw, size, panels)
    told = {"figure": name, "parameters": {}, "seed": seed, "seconds": seconds, **record}
    told |= {"size_inches": list(size), "versions": versions(), "commit": commit()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    files = {**pictures, "npz": buffer.getvalue(), "json": (json.dumps(told, indent=2) + "\n").encode()}
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    return [_write(folder / f"{name}.{suffix}", content) for suffix, content in files.items()]


def picture(data: Mapping[str, Any], draw: Draw, size: Size, panels: int = 1) -> dict[str, bytes]:
    """The drawn figure as {"pdf": bytes, "png": bytes}, without time stamps."""
    arrays = _arrays(data)
    with matplotlib.rc_context(fname=str(STYLE_FILE)):  # matplotlib's defaults under it, not the user's settings
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw(list(figure.subplots(1, panels, squeeze=False)[0]), arrays)
        pdf, png = io.BytesIO(), io.BytesIO()
        figure.savefig(png, format="png", dpi=200, metadata={"Software": None})
        figure.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    return {"pdf": pdf.getvalue(), "png": png.getvalue()}


def load(source: Path | str) -> Data:
    """The arrays of a saved figure."""
    try:
        with np.load(source, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except FileNotFoundError:
        raise argument_error("from", "be an .npz file of a figure", f"{source}, which is not there") from None
    except (AttributeError, TypeError, ValueError, EOFError, zipfile.BadZipFile):
        raise argument_error("from", "be an .npz file of a figure", str(source)) from None


def parameters(compute: Compute) -> dict[str, Any]:
    """The defaults of a compute function, without the seed, as JSON can hold them.

    >>> def compute(seed=0, T=400): ...
    >>> parameters(compute)
    {'T': 400}
    """
    given = inspect.signature(compute).parameters.values()
    found = {p.name: p.default for p in given if p.default is not p.empty and p.name != "seed"}
    return {key: v if isinstance(v, (int, float, str, bool, type(None))) else repr(v) for key, v in found.items()}


def versions() -> dict[str, str]:
    """Versions that the bytes of a picture may depend on."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "matplotlib": matplotlib.__version__,
        "efcheck": __version__,
    }


def commit() -> str | None:
    """The checkout's commit, or None outside a checkout or without git."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():  # an installed package must not report the repository that surrounds it
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def _arrays(data: Mapping[str, Any]) -> Data:
    arrays = {key: np.asarray(value) for key, value in data.items()}
    for key, array in arrays.items():
        if array.dtype.hasobject:
            raise argument_error(key, "be an array of numbers or text", f"dtype {array.dtype}")
    return arrays


def _record_beside(source: Path) -> dict[str, Any]:
    try:
        record = json.loads(source.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _write(path: Path, content: bytes) -> Path:
    """Write next to `path`, then rename: a reader or an interrupt sees the old file or the new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path
