"""Lemma 8, Remark 7 and the compressors' constants in proofs_numeric/: verdicts, witnesses by hand, planted errors."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efcheck import content
from efcheck.claims import Claim, collect
from efcheck.compressors import QSGD, Blockwise, Scaled, ScaledSign

F = Fraction
FOLDER = Path(__file__).parents[1] / "proofs_numeric"
FILES = {"lemma_8": "lemma-8", "remark_7": "remark-7", "compressors": "compressor"}
CLAIMS = {claim.id: claim for name in FILES for claim in collect(FOLDER / f"{name}.py")}
FALSE = {"lemma-8-constant", "lemma-8-which-density", "remark-7-greedy"}


@pytest.fixture
def module() -> Callable[[str], ModuleType]:
    return lambda name: content.load(FOLDER / f"{name}.py")


def verdicts(id: str) -> list[str]:
    return [form.verdict for form in CLAIMS[id].audit().forms]


def data_of(id: str) -> dict[str, Any]:
    return dict(next(e.data for e in CLAIMS[id].audit().printed.evidence if e.outcome == "refuted"))


def density(v: Any) -> F:
    return F(sum(map(abs, v))) ** 2 / (len(v) * sum(F(c) * c for c in v))


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS.keys())
def test_every_claim_has_its_expected_verdict(claim: Claim) -> None:
    result = claim.audit()
    assert result.as_expected, [(e.outcome, e.detail) for form in result.forms for e in form.evidence]
    assert result.printed.verdict == ("refuted" if claim.id in FALSE else "proved")
    assert result.repaired is None or result.repaired.verdict == "proved"


@pytest.mark.parametrize("name", FILES)
def test_the_claims_of_a_file_carry_its_prefix(name: str) -> None:
    assert all(claim.id.startswith(FILES[name]) for claim in collect(FOLDER / f"{name}.py"))


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_layers_have_their_verdict_on_every_seed(seed: int) -> None:
    result = CLAIMS["lemma-8-layers"].audit(seed)
    assert result.as_expected and "supported" in {e.outcome for e in result.repaired.evidence}  # type: ignore[union-attr]


# --- witnesses, recomputed without efcheck's engine


def test_lemma_8_constant_by_hand() -> None:
    flat, single, realised = data_of("lemma-8-constant")["values"]
    sent = (F(1, 2), F(1, 2))  # ||(1, 0)||_1/2, sign(0) = 1
    assert realised == 1 - (sent[0] - 1) ** 2 - sent[1] ** 2 == F(1, 2)
    assert flat == density((1, 1)) == 1 and single == density((1, 0)) == F(1, 2)


def test_the_density_that_matters_by_hand() -> None:
    data, gamma = data_of("lemma-8-which-density"), F(1, 10)
    p0 = (gamma * 10, F(0))
    scale = (p0[0] + p0[1]) / 2
    e1 = (p0[0] - scale, p0[1] - scale)
    p1 = (gamma * 5 + e1[0], gamma * 5 + e1[1])
    wrong = (5 + e1[0], 5 + e1[1])
    assert tuple(data["e"]) == e1 == (F(1, 2), F(-1, 2)) and tuple(data["p"]) == p1 == (1, 0)
    assert data["printed"] == density(wrong) == F(100, 101) and data["realised"] == density(p1) == F(1, 2)


def test_the_coordinate_that_top_1_picks_by_hand() -> None:
    data = data_of("remark-7-greedy")
    e1 = (0, -2)  # p_0 = (-3, -2)
    p1 = (-3 + e1[0], -2 + e1[1])
    assert tuple(data["e"][1]) == e1 and abs(p1[1]) > abs(p1[0])
    assert tuple(data["x"][2]) == (3, 4) and tuple(data["x"][1]) == (3, 0)


def test_one_hot_vectors_by_hand() -> None:
    for d in range(1, 9):
        one, none = (F(1, d) - 1) ** 2 + (d - 1) * F(1, d) ** 2, (F(1, d) - 1) ** 2
        assert 1 - one == F(1, d) and 1 - none == F(2 * d - 1, d**2)


@given(st.lists(st.lists(st.integers(-5, 5), min_size=1, max_size=4), min_size=1, max_size=4))
def test_layers_keep_at_least_the_density_of_the_whole(blocks: list[list[int]]) -> None:
    """Exactly, sign(0) = 1 or -1; zero layers included."""
    whole = [c for block in blocks for c in block]
    if any(whole):
        kept = sum(F(sum(map(abs, block))) ** 2 / len(block) for block in blocks)
        share = kept / sum(c * c for c in whole)
        assert max(density(whole), F(1, max(map(len, blocks)))) <= share <= 1


def rounding_moment(v: list[int], levels: int) -> float:
    """E||C(v)||^2/||v||^2 of QSGD by enumeration of each entry's two levels."""
    r = np.abs(np.array(v, float)) / np.linalg.norm(v) * levels
    low = np.floor(r)
    return float(((1 - r + low) * low**2 + (r - low) * (low + 1) ** 2).sum() / levels**2)


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=6).filter(any), st.integers(1, 4))
def test_the_sharper_omega_of_qsgd_holds(v: list[int], levels: int) -> None:
    d = len(v)
    sharper = min(d / (4 * levels**2), d**0.5 / levels) if levels > 1 else min(d**0.5 - 1, d / 4)
    assert rounding_moment(v, levels) - 1 <= sharper + 1e-12
    assert sharper < QSGD(levels).omega(d)


def test_the_sharper_omega_of_qsgd_is_attained() -> None:
    for levels in (1, 3):
        assert rounding_moment([1, 1, 1, 1], levels) - 1 == pytest.approx(4 / (4 * levels**2), rel=1e-12)
    for d in range(1, 9):
        assert rounding_moment([1] * d, 1) - 1 == pytest.approx(d**0.5 - 1, abs=1e-12)


def test_terngrad_attains_its_omega() -> None:
    for d in (4, 9, 16):
        v = np.full(d, 1 / (d**0.5 + 1))
        v[0] = 1.0
        assert v.max() * v.sum() / (v @ v) == pytest.approx(1 + (d**0.5 - 1) / 2, rel=1e-12)


# --- planted errors


@pytest.mark.parametrize(
    ("attribute", "value", "expected"),
    [
        ("error2", lambda a, b, n, zeros=0: b - a * a / n / 2, {"lemma-8": "refuted", "lemma-8-one-hot": "refuted"}),
        ("error2", lambda a, b, n, zeros=0: b - 2 * a * a / n, {"lemma-8": "refuted", "lemma-8-layers": "refuted"}),
        ("phi", lambda a, b, n: a**2 / b, {"lemma-8": "refuted", "lemma-8-range": "refuted"}),
        ("phi", lambda a, b, n: a / (n * b), {"lemma-8": "refuted", "lemma-8-which-density": "refuted"}),
        ("exact_phi", lambda v: F(1, len(v)), {"lemma-8": "refuted"}),
        ("norm_one", lambda n, zeros=0: n, {"lemma-8-magnitude": "refuted"}),
        ("VECTOR", (), {"lemma-8-constant": "refuted"}),
    ],
    ids=["half kept", "twice kept", "no d", "no square", "always the worst", "wrong norm", "no Cauchy-Schwarz"],
)
def test_lemma_8_notices_a_planted_error(
    module: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    attribute: str,
    value: Any,
    expected: dict[str, str],
) -> None:
    m = module("lemma_8")
    if attribute == "VECTOR":
        value = (m.d >= 1,)
    monkeypatch.setattr(m, attribute, value)
    assert {id: verdicts(id)[-1] for id in expected} == expected


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_layers_that_are_scaled_wrongly_are_caught(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    m = module("lemma_8")
    monkeypatch.setattr(m, "Blockwise", lambda c, sizes: Blockwise(Scaled(c, 0.5), sizes))
    assert m.random_networks_agree(seed).outcome == "refuted"


def test_with_gamma_one_the_printed_density_is_right(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    m = module("lemma_8")
    right = m.two_steps
    monkeypatch.setattr(m, "two_steps", lambda step, gradients: right(F(1), gradients))
    assert verdicts("lemma-8-which-density")[0] == "supported"


def test_remark_7_without_feedback_is_greedy_and_has_no_witness(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    m = module("remark_7")

    def plain(gradients: Any) -> Any:
        xs = [(F(0),) * len(gradients[0])]
        for g in gradients:
            i = max(range(len(g)), key=lambda j: abs(g[j]))
            xs.append(tuple(a - (g[j] if j == i else 0) for j, a in enumerate(xs[-1])))
        return xs, [tuple(0 * a for a in x) for x in xs]

    monkeypatch.setattr(m, "run", plain)
    assert m.the_memory_overrules_the_gradient().outcome == "supported"


def test_remark_7_with_the_smallest_entry_is_refuted(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    def smallest(p: Any, k: int) -> Any:
        i = min(range(len(p)), key=lambda j: abs(p[j]))
        return tuple(c if j == i else F(0) for j, c in enumerate(p))

    monkeypatch.setattr(module("remark_7").exact, "top_k", smallest)
    assert verdicts("remark-7-greedy")[1] == "refuted" and verdicts("remark-7")[1] == "refuted"


@pytest.mark.parametrize(
    ("attribute", "value", "id"),
    [
        ("wrapped", lambda a, n: a**2 * n - a + 1, "compressor-remark-5"),
        ("wrapped", lambda a, n: a**2 * n + 2 * a + 1, "compressor-scaled"),
        ("terngrad_moment", lambda rest, squares: (1 + 1.01 * rest) / (1 + squares), "compressor-terngrad"),
        ("RandomK", lambda k, unbiased=False: QSGD(1), "compressor-random-k"),
        ("QSGD", lambda s: QSGD(s + 1), "compressor-qsgd"),
        ("TernGrad", lambda: QSGD(1), "compressor-terngrad"),
        ("OneBit", lambda: Scaled(ScaledSign(), 0.5), "compressor-one-bit"),
        ("Scaled", lambda c, a: c, "compressor-scaled"),
        ("Blockwise", lambda c, sizes: ScaledSign(), "compressor-blockwise"),
    ],
    ids=["cross term", "its sign", "1 % too small", "random-k", "levels", "TernGrad", "one-bit", "no factor", "one block"],
)
def test_a_wrong_constant_is_noticed(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, attribute: str, value: Any, id: str
) -> None:
    monkeypatch.setattr(module("compressors"), attribute, value)
    assert "refuted" in verdicts(id)


def test_qsgd_with_a_variance_that_is_too_small_is_refuted(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    m = module("compressors")
    monkeypatch.setattr(m, "QUARTER", m.QUARTER * 99 / 100)
    assert verdicts("compressor-qsgd") == ["refuted", "refuted"]
