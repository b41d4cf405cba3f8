"""sparse_noise*.py and fig5: verdicts on every seed, closed forms recomputed by hand, planted errors seen, redraws."""

from __future__ import annotations

import importlib.util
import json
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from efcheck import content, figure
from efcheck.claims import collect
from efcheck.methods import CompressedSGD, SignSGD
from efcheck.problems import SparseNoise
from efcheck.simulate import simulate

F = Fraction
ROOT = Path(__file__).parents[1]
FILES = [ROOT / "counterexamples" / name for name in ("sparse_noise.py", "sparse_noise_rates.py", "sparse_noise_runs.py")]
CLAIMS = {claim.id: claim for file in FILES for claim in collect(file)}
EXPECTED = {
    "sparse-noise-sgd": ["proved"],
    "sparse-noise-repeats": ["proved"],
    "sparse-noise-max-variance": ["refuted", "proved"],
    "sparse-noise-sign-scales": ["proved", "proved"],
    "sparse-noise-signsgd": ["proved"],
    "sparse-noise-best-sgd": ["refuted", "proved"],
    "sparse-noise-best-signsgd": ["refuted", "proved"],
    "sparse-noise-signsgd-faster": ["proved"],
    "sparse-noise-signsgd-tuned": ["refuted", "proved"],
    "sparse-noise-reduction": ["proved"],
    "sparse-noise-memory": ["proved", "supported"],
    "sparse-noise-best-ef": ["refuted", "supported"],
    "sparse-noise-best-scaled": ["refuted", "supported"],
    "sparse-noise-faster": ["supported"],
    "sparse-noise-same-rate": ["refuted", "supported"],
    "sparse-noise-as-slow": ["refuted", "supported"],
}


@pytest.fixture
def exactly() -> ModuleType:
    return content.load(FILES[0])


@pytest.fixture
def rates() -> ModuleType:
    return content.load(FILES[1])


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The simulations' module without its cache, so that a planted error is seen; at the size of its own checks."""
    module = content.load(FILES[2])
    monkeypatch.setattr(module, "losses", module.losses.__wrapped__)
    return module


def verdicts(id: str) -> list[str]:
    return [form.verdict for form in CLAIMS[id].audit().forms]


def test_the_claims_are_those_listed() -> None:
    assert set(CLAIMS) == set(EXPECTED)


# --- recomputed by hand


def test_sgd_closed_form_is_its_recursion_in_fractions(exactly: ModuleType) -> None:
    gamma, first, rest = F(1, 100), F(1), F(1)
    for _ in range(40):
        first, rest = (1 - gamma) ** 2 * first + gamma**2 * 10_000, (1 - gamma) ** 2 * rest
    value = (first + 99 * rest) / 2
    assert exactly.sgd_mean_exact(gamma, 40) == value
    assert abs(float(exactly.sgd_mean(0.01, 40)) / float(value) - 1) < 1e-13  # powers of 0.99 by log1p: some eps


@pytest.mark.parametrize(("step", "T"), [(0.01, 100), (0.01, 3000), (0.1, 300), (0.001, 2000)])
def test_signsgd_bracket_holds_the_exact_law_on_the_lattice(exactly: ModuleType, step: float, T: int) -> None:
    """The law of x_1 on 1 + step Z, by its transition probabilities; P(sign g = 1) = Phi(x/100)."""
    from math import erf

    reach = min(T, int(8 * np.sqrt(T)) + 10)  # eight deviations of a free walk
    x = 1 + step * np.arange(-reach, reach + 1)
    up = np.array([(1 - erf(z / 100 / np.sqrt(2))) / 2 for z in x])
    law = np.zeros(len(x))
    law[reach] = 1.0
    for _ in range(T):
        new = np.zeros_like(law)
        new[1:] += (law * up)[:-1]
        new[:-1] += (law * (1 - up))[1:]
        law = new
    assert abs(law.sum() - 1) < 1e-9
    noisy = float(law @ x**2) / 2
    low, high = (float(bound(step, T)) for bound in (exactly.sign_low, exactly.sign_high))
    way = [float(part) for part in exactly.noiseless(step, T)]
    assert low - way[0] <= noisy * (1 + 1e-9) and noisy * (1 - 1e-9) <= high - way[1]
    assert high - way[1] < 1.03 * (low - way[0])


def test_signsgd_noiseless_part_holds_for_every_sign_of_zero(exactly: ModuleType) -> None:
    for zero in (-1, 0, 1):
        f = simulate(SparseNoise(noise=0.0), SignSGD(0.25, zero=zero), 9)["f"][:, 0] * 99 / 100
        for t in range(10):
            low, high = exactly.noiseless(0.25, t)
            assert low <= f[t] <= high


def test_first_step_closed_form_agrees_with_quadrature(runs: ModuleType) -> None:
    nodes, weights = np.polynomial.legendre.leggauss(400)  # on either side of the jump of sign(g) at z = -0.01
    ends = ((-10.0, -0.01), (-0.01, 10.0))
    z = np.concatenate([(b - a) / 2 * nodes + (a + b) / 2 for a, b in ends])
    mass = np.concatenate([(b - a) / 2 * weights for a, b in ends]) * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    for step in (0.001, 0.5):
        g = 1 + 100 * z
        s = step * (99 + np.abs(g)) / 100
        f = (99 * (1 - s) ** 2 + (1 - s * np.sign(g)) ** 2) / 2
        assert abs(float(mass @ f) / runs.first_step(step) - 1) < 1e-10  # smooth pieces: the quadrature is at rounding


def test_max_variance_witness_by_a_grid() -> None:
    best = {
        V: min((F(k, 2000) for k in range(1, 40)), key=lambda g, V=V: (1 - g) ** 2 * 100 + g**2 * V) for V in (10_000, 20_000)
    }
    assert best[10_000] == F(20, 2000) and best[20_000] == F(10, 2000)  # next to 1/101 and 1/201


# --- planted errors


def test_a_wrong_noise_constant_moves_the_window(rates: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates.laws, "SIGMA", 90.0)
    assert rates.the_ends_in_fractions().outcome == "refuted"


@pytest.mark.parametrize(("end", "value"), [("FIRST", 370), ("FIRST", 372), ("LAST", 15_477)])
def test_a_horizon_off_by_one_is_seen(rates: ModuleType, monkeypatch: pytest.MonkeyPatch, end: str, value: int) -> None:
    monkeypatch.setattr(rates, end, value)
    assert rates.the_ends_in_fractions().outcome == "refuted"


def test_another_paper_rate_is_not_the_best_of_signsgd(rates: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "PAPER_SIGN", 0.001)
    assert verdicts("sparse-noise-best-signsgd")[1] != "proved"
    monkeypatch.setattr(rates, "PAPER_SIGN", 1.0)
    assert verdicts("sparse-noise-signsgd-faster") != ["proved"]


def test_a_sign_without_its_loss_of_signal_would_win_for_longer(rates: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates.laws, "C", np.pi / 2 * rates.laws.C)
    assert verdicts("sparse-noise-signsgd-tuned") != ["refuted", "proved"]


def test_another_dimension_or_a_wider_noise_is_not_the_solved_problem(
    exactly: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = exactly.Normal("z", 0, 2)
    monkeypatch.setattr(exactly, "DIM", 99)
    monkeypatch.setattr(exactly, "Normal", lambda *law: wide)
    assert exactly.only_the_first_coordinate_is_noisy().outcome == "refuted"
    assert exactly.the_closed_form_obeys_the_recursion().outcome == "refuted"
    assert exactly.one_plain_step().outcome == "refuted"


def test_swapped_labels_are_not_faster(runs: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    right = runs.reduced
    swap = {"EF-signSGD": "scaled signSGD", "scaled signSGD": "EF-signSGD"}
    monkeypatch.setattr(runs, "reduced", lambda name, step: right(swap.get(name, name), step))
    monkeypatch.setattr(runs, "RUNS", 500)
    assert verdicts("sparse-noise-faster") == ["undecided"]
    assert verdicts("sparse-noise-reduction") == ["refuted"]


def test_lost_feedback_is_not_sgd(runs: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "EFSGD", CompressedSGD)
    monkeypatch.setattr(runs, "RUNS", 500)
    assert verdicts("sparse-noise-same-rate")[1] == "undecided"


def test_a_wrong_weight_is_not_the_reduction(runs: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    right = runs.WeightedSign
    monkeypatch.setattr(runs, "WeightedSign", lambda: right(99))
    assert verdicts("sparse-noise-reduction") == ["refuted"]


def test_a_first_step_equal_to_sgd_would_not_refute(runs: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "first_step", lambda step: float(runs.exactly.sgd_mean(step, 1)))
    assert runs.not_after_one_step().outcome == "supported"
    assert runs.one_step_of_ef_beats_one_step_of_sgd().outcome == "supported"


# --- figure 5

SMALL = {"T": 40, "runs": 20, "every": 10, "sweep_runs": 50, "rates": 4}


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("figure_fig5", ROOT / "figures" / "fig5.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_figure(data: dict[str, Any]) -> None:
    """From 50 on; SGD near its exact mean, the sign methods below SGD and EF at the end."""
    ends, mean = dict(zip(data["labels"], data["mean"][:, -1], strict=True)), data["mean"]
    assert np.allclose(mean[:, 0], 50), "a run does not start at 50"
    error = data["std"][0] / np.sqrt(data["runs"]) + 1e-9
    exact = [49.5 * 0.999 ** (2 * t) + 0.5 * 0.999 ** (2 * t) + 10 / 3.998 * (1 - 0.999 ** (2 * t)) for t in data["t"]]
    assert (np.abs(mean[0] - exact) < 6 * error).all(), "SGD is not SGD"
    assert max(ends["signSGD"], ends["scaled signSGD"]) < min(ends["SGD"], ends["EF-signSGD"]), "a sign method is behind"
    assert (data["sweep_error"][0] == 0).all() and (data["sweep_error"][2:] > 0).all()


def test_figure_5_data_obey_the_closed_form_and_the_ranking() -> None:
    check_figure(script().compute(**{**SMALL, "runs": 100}))


def test_figure_5_check_catches_swapped_methods_and_a_wrong_start() -> None:
    data = script().compute(**SMALL)
    for key, value in (
        ("mean", np.roll(data["mean"], 1, axis=0)),
        ("mean", data["mean"] + 1),
        ("labels", np.roll(data["labels"], 1)),
    ):
        with pytest.raises(AssertionError):
            check_figure({**data, key: value})


def test_figure_5_redraw_from_saved_data_gives_identical_pictures(tmp_path: Path) -> None:
    module = script()
    first, again = tmp_path / "first", tmp_path / "again"
    call = {"name": "fig5", "size": module.SIZE, "panels": module.PANELS}
    figure.main(
        lambda seed=0: module.compute(seed=seed, **SMALL), module.draw, argv=["--out", str(first), "--seed", "3"], **call
    )

    def refuse(seed: int = 0) -> dict[str, Any]:
        raise AssertionError("a redraw computes nothing")

    figure.main(refuse, module.draw, argv=["--out", str(again), "--from", str(first / "fig5.npz")], **call)
    for suffix in ("png", "pdf", "npz"):
        assert (first / f"fig5.{suffix}").read_bytes() == (again / f"fig5.{suffix}").read_bytes()
    record = json.loads((again / "fig5.json").read_text())
    assert record["seed"] == 3 and record["drawn_from"] == "fig5.npz"


@pytest.mark.slow
def test_figure_5_main_takes_arguments_and_returns_the_files(tmp_path: Path) -> None:
    written = script().main(["--out", str(tmp_path)])
    assert sorted(written) == sorted(tmp_path.iterdir()) and len(written) == 4
