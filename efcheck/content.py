"""Where the content is: the folders of a checkout, else the copies inside the installed package; and how a file is loaded."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from efcheck.errors import EfcheckError

PACKAGE = Path(__file__).resolve().parent
CLAIM_FOLDERS = ("counterexamples", "proofs_numeric")


def folder(name: str) -> Path | None:
    """The folder of that name: at the top of a checkout, else inside the package; None if there is neither."""
    top = PACKAGE.parent
    places = [top / name] if (top / "pyproject.toml").is_file() else []
    places.append(PACKAGE / "_content" / name)
    return next((place for place in places if place.is_dir()), None)


def scripts(path: Path) -> list[Path]:
    """The Python files of a folder that are content (no leading underscore), sorted; or the file itself."""
    if path.is_file():
        return [path]
    return sorted(p for p in path.glob("*.py") if not p.name.startswith("_"))


def figure(name: str) -> ModuleType:
    """The script figures/NAME.py, which computes and draws."""
    place = folder("figures")
    if place is None or not (place / f"{name}.py").is_file():
        raise EfcheckError(f"figures/{name}.py must be there; got neither a checkout nor an installed copy")
    return load(place / f"{name}.py")


def load(path: Path) -> ModuleType:
    """The module in this file, loaded once; what it raises while loading passes through."""
    path = path.resolve()
    name = f"efcheck_content_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise EfcheckError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
