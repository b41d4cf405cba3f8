"""The package: what an import costs, which way the arrows go, and what is public."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import efcheck

ROOT = Path(efcheck.__file__).parent
HEAVY = ("sympy", "z3", "matplotlib", "scipy", "torch", "numba")
FLOOR_ONE = [ROOT / "arrays.py", ROOT / "errors.py"]
FLOOR_ONE += sorted((ROOT / "compressors").glob("*.py")) + sorted((ROOT / "problems").glob("*.py"))
NAMES = ("compressors", "problems", "methods", "simulate", "span")


def fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def imports(path: Path) -> set[str]:
    """Absolute module names that a file imports, at any depth of its code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found.add(node.module or "")
    return found


def test_importing_efcheck_loads_nothing_heavy() -> None:
    code = "import sys, efcheck; print([m for m in {!r} if m in sys.modules])"
    assert fresh(code.format((*HEAVY, "numpy"))) == "[]"


def test_importing_the_simulator_loads_no_solver_or_plotting() -> None:
    modules = ", ".join(f"efcheck.{name}" for name in NAMES)
    assert fresh(f"import sys, {modules}; print([m for m in {HEAVY!r} if m in sys.modules])") == "[]"


@pytest.mark.parametrize(
    "code",
    [
        "import efcheck.simulate",
        "from efcheck.simulate import Trace",
        "from efcheck import simulate; import efcheck.simulate",
        "import importlib; importlib.import_module('efcheck.simulate')",
        "import efcheck.simulate, efcheck.span, efcheck.methods",
    ],
)
def test_simulate_is_the_function_whatever_was_imported(code: str) -> None:
    assert fresh(f"import efcheck\n{code}\nprint(type(efcheck.simulate).__name__)") == "function"


@pytest.mark.parametrize("path", FLOOR_ONE, ids=lambda p: str(p.relative_to(ROOT)))
def test_floor_one_imports_only_numpy_arrays_errors_and_its_own_package(path: Path) -> None:
    own = "efcheck." + path.parent.name if path.parent != ROOT else "efcheck.errors"
    for module in imports(path):
        top = module.partition(".")[0]
        if top == "efcheck":
            assert module in ("efcheck.arrays", "efcheck.errors") or (module + ".").startswith(own + "."), module
        else:
            assert top == "numpy" or top in sys.stdlib_module_names, module


def test_nothing_in_the_package_imports_its_content() -> None:
    for path in ROOT.rglob("*.py"):
        for module in imports(path):
            assert module.partition(".")[0] not in ("counterexamples", "figures", "tests"), f"{path}: {module}"


def test_the_arrow_check_sees_a_planted_import(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("def f():\n    import counterexamples.c1\n    from sympy.core import Symbol\n")
    assert imports(planted) == {"counterexamples.c1", "sympy.core"}


def test_every_public_name_exists_and_is_documented() -> None:
    for name in efcheck.__all__:
        value = getattr(efcheck, name)
        assert name == "__version__" or (value.__doc__ or "").strip(), name
    for package in ("compressors", "problems", "evidence"):
        module = importlib.import_module(f"efcheck.{package}")
        for name in module.__all__:
            value = getattr(module, name)
            assert not callable(value) or (value.__doc__ or "").strip(), f"{package}.{name}"
    assert set(efcheck.__all__) <= set(dir(efcheck))


def test_every_public_name_of_the_single_modules_is_documented() -> None:
    for stem in ("arrays", "errors", "methods", "span", "simulate"):
        module = sys.modules.get(f"efcheck.{stem}") or importlib.import_module(f"efcheck.{stem}")
        assert (module.__doc__ or "").strip(), stem
        for name, value in vars(module).items():
            public = not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
            if public and isinstance(value, type | type(fresh)):
                assert (value.__doc__ or "").strip(), f"{stem}.{name}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'efcheck' has no attribute 'nothing'"):
        _ = efcheck.nothing
