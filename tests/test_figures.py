"""figures/: data that obey the geometry, pictures that a redraw gives again to the byte, records that say enough."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from efcheck import figure

FOLDER = Path(__file__).parents[1] / "figures"
SMALL: dict[str, dict[str, Any]] = {
    "fig1": {"points": 21},
    "trajectories": {"T": 12, "points": 21},
    "fig3": {},
    "fig3_draws": {},
    "fig5": {"T": 40, "runs": 20, "every": 10, "sweep_runs": 50, "rates": 4},
    "extensions": {"T": 12, "runs": 16, "points": 4, "top": 0.5, "largest": 6},
    "tightness": {"lemma": (1,), "smooth": (6,), "convex": (1,), "methods": (1, 2)},
}
TRAINED = {"fig2", "fig4", "fig6", "fig7"}  # from results/: tests/test_figures_training.py
COSTLY = {"fig5", "extensions"}  # about ten seconds each at full size
FULL_SIZE = [pytest.param(name, marks=pytest.mark.slow if name in COSTLY else ()) for name in sorted(SMALL)]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"figure_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small(name: str) -> tuple[ModuleType, Any]:
    module = script(name)
    return module, lambda seed=0: module.compute(seed=seed, **SMALL[name])


def check_figure_1_geometry(data: dict[str, Any]) -> None:
    """Above x1 + x2 = 0: g = eps (1, 1) +- (1, -1), the sign is +-(1, -1), and what is lost is eps (1, 1)."""
    eps, side = data["epsilon"], np.sign(data["x"][:, :1] - data["x"][:, 1:])
    across = side * np.array([1.0, -1.0])
    along = np.full((2, 2), eps)
    assert (data["x"].sum(axis=1) > 0).all(), "a point lies below x1 + x2 = 0"
    assert sorted(side.ravel()) == [-1, 1], "the points lie on one side of x1 = x2"
    assert np.array_equal(data["g"], along + across), "a gradient is wrong"  # halves: exact
    assert np.array_equal(data["sign"], across), "a sign is wrong"
    assert np.array_equal(data["error"], along), "an error is wrong"


def test_every_script_is_tested_here() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == set(SMALL) | TRAINED


def test_figure_1_data_obey_the_geometry() -> None:
    check_figure_1_geometry(script("fig1").compute())


@pytest.mark.parametrize("key", ["g", "sign", "error"])
def test_figure_1_check_catches_a_wrong_sign(key: str) -> None:
    data = script("fig1").compute()
    data[key] = data[key] * np.array([[1.0, 1.0], [1.0, -1.0]])
    with pytest.raises(AssertionError, match="is wrong"):
        check_figure_1_geometry(data)


@pytest.mark.parametrize("name", ["nonsmooth", "least_squares"])
def test_trajectories_sign_methods_stay_on_the_line_and_feedback_leaves_it(name: str) -> None:
    data = script("trajectories").compute(T=100, points=5)
    sums = dict(zip(data["labels"], data[f"{name}_x"].sum(axis=2), strict=True))
    for label in ("signSGD", "scaled signSGD"):
        assert np.abs(sums[label] - 2).max() <= 1e-12  # 100 additions to numbers near 1, eps = 2e-16 each
    for label in ("SGD", "EF-signSGD", "EF top-1"):
        assert abs(sums[label][-1]) < 0.5


@pytest.mark.parametrize("name", sorted(SMALL))
def test_redraw_from_saved_data_gives_identical_pictures(name: str, tmp_path: Path) -> None:
    module, compute = small(name)
    first, again = tmp_path / "first", tmp_path / "again"
    call = {"name": name, "size": module.SIZE, "panels": module.PANELS}
    figure.main(compute, module.draw, argv=["--out", str(first), "--seed", "3"], **call)

    def refuse(seed: int = 0) -> dict[str, Any]:
        raise AssertionError("a redraw computes nothing")

    source = first / f"{name}.npz"
    figure.main(refuse, module.draw, argv=["--out", str(again), "--from", str(source)], **call)
    for suffix in ("png", "pdf", "npz"):
        assert (first / f"{name}.{suffix}").read_bytes() == (again / f"{name}.{suffix}").read_bytes()
    assert sorted(path.name for path in again.iterdir()) == [f"{name}.{s}" for s in ("json", "npz", "pdf", "png")]
    record = json.loads((again / f"{name}.json").read_text())
    assert record["seed"] == 3 and record["drawn_from"] == f"{name}.npz"
    assert set(record["versions"]) == {"python", "numpy", "matplotlib", "efcheck"}


@pytest.mark.parametrize("name", FULL_SIZE)
def test_main_of_a_script_takes_arguments_and_returns_the_files(name: str, tmp_path: Path) -> None:
    written = script(name).main(["--out", str(tmp_path)])
    assert sorted(written) == sorted(tmp_path.iterdir())
    assert len(written) == 4


def test_redraw_of_a_missing_file_is_one_line_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = script("fig1")
    with pytest.raises(SystemExit) as stop:
        figure.main(module.compute, module.draw, "fig1", module.SIZE, ["--from", str(tmp_path / "no.npz")])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_save_leaves_the_old_files_when_drawing_fails(tmp_path: Path) -> None:
    def fail(axes: Any, data: Any) -> None:
        raise RuntimeError("planted")

    (tmp_path / "a.png").write_bytes(b"old")
    with pytest.raises(RuntimeError, match="planted"):
        figure.save("a", {"x": [1.0]}, fail, figure.HALF_WIDTH, 1, tmp_path, 0, 0.0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"old"


def test_save_refuses_arrays_that_would_need_pickles(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`x` must be an array of numbers or text"):
        figure.save("a", {"x": [object()]}, lambda axes, data: None, figure.HALF_WIDTH, 1, tmp_path, 0, 0.0)


def test_styles_differ_without_colour() -> None:
    looks = [(style.linestyle, style.marker) for style in figure.STYLES.values()]
    assert len(set(looks)) == len(looks)
