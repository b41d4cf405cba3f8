"""Section 5.1 in proofs_numeric/: verdicts on several seeds, witnesses recomputed by hand, planted errors found."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sympy import Integer, Matrix, Rational

from efcheck import content
from efcheck.claims import Result, collect
from efcheck.methods import CompressedSGD

F = Fraction
FOLDER = Path(__file__).parents[1] / "proofs_numeric"
NAMES: tuple[str, ...] = ("lemma_9", "lemma_9_margin", "lemma_9_rank", "lemma_9_span", "remark_10", "remark_10_close")
NAMES += ("theorem_4", "theorem_4_minimum_norm")
CLAIMS = {claim.id: claim for name in NAMES for claim in collect(FOLDER / f"{name}.py")}


@pytest.fixture
def module() -> Callable[[str], ModuleType]:
    return lambda name: content.load(FOLDER / f"{name}.py")


def verdicts(id: str) -> list[str]:
    return [form.verdict for form in CLAIMS[id].audit().forms]


@cache
def audited(id: str) -> Result:
    """Of the files as they are: not for tests that patch them."""
    return CLAIMS[id].audit()


def data_of(id: str) -> dict[str, Any]:
    return dict(next(e.data for e in audited(id).printed.evidence if e.outcome == "refuted"))


def norm2(v: Any) -> Any:
    return sum(c * c for c in v)


def off_line2(v: Any, a: Any) -> Any:
    return norm2(v) - sum(b * c for b, c in zip(v, a, strict=True)) ** 2 / F(norm2(a))


def test_every_file_has_claims_of_its_own_statement() -> None:
    for name in NAMES:
        claims = collect(FOLDER / f"{name}.py")
        assert claims and all(claim.id.split("-")[:2] == name.split("_")[:2] for claim in claims)


@pytest.mark.parametrize("id", CLAIMS)
def test_no_evidence_is_undecided_and_each_says_what_it_is_about(id: str) -> None:
    """A part is proved if one piece proves it: an undecided piece beside it would hide."""
    pieces = [e for form in audited(id).forms for e in form.evidence]
    assert pieces and [e for e in pieces if e.outcome == "undecided"] == []
    assert not [
        e.detail for e in pieces if e.detail.startswith(("true by", "no counter", "the two sides")) or "Fraction(" in e.detail
    ]


def test_small_margin_data_have_both_kinds_of_pairs(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    m = module("lemma_9_margin")
    found = m.small_data_agree()
    assert found.outcome == "supported" and dict(found.data) == {"is": 3516, "is not": 336}
    monkeypatch.setattr(m, "ENTRIES", (-1, 0, 2))  # no two points with <b_1, b_2> > ||b_1||^2
    assert m.small_data_agree().outcome == "undecided"


def test_sentences_of_the_paper_are_not_refuted_by_a_stricter_reading() -> None:
    natural = ("lemma-9-minimum-norm", "lemma-9-span-bias", "remark-10", "remark-10-close", "theorem-4-minimum-norm")
    strict: tuple[str, ...] = (
        "lemma-9-minimum-norm-rank",
        "lemma-9-span-unbiased",
        "remark-10-first",
        "remark-10-close-relative",
    )
    strict += ("theorem-4-minimum-norm-span", "theorem-4-minimum-norm-random", "theorem-4-start", "lemma-9-noise")
    for id in natural:
        assert "(ours" not in CLAIMS[id].source and {form.verdict for form in audited(id).forms} == {"proved"}
    for id in strict:
        assert "(ours" in CLAIMS[id].source and [form.verdict for form in audited(id).forms] == ["refuted", "proved"]


def test_what_rests_on_one_sign_or_letter_names_the_text_that_was_read() -> None:
    for id in ("theorem-4-identity", "theorem-4-domain"):
        deciding = audited(id).printed.deciding
        assert "text at hand" in CLAIMS[id].statement and deciding is not None and "text at hand" in deciding.detail


def test_a_file_runs_by_itself() -> None:
    done = subprocess.run([sys.executable, FOLDER / "lemma_9_span.py"], capture_output=True, text=True)
    assert done.returncode == 0 and "lemma-9-span-sgd" in done.stdout, done.stderr


# --- witnesses, recomputed without efcheck's engine


def test_remark_10_first_gradient_witness_is_one_top_1_step_to_a_solution() -> None:
    data, gamma = data_of("remark-10-first"), F(1, 8)
    g0 = (2 * -1 * 2, 2 * -1 * 1)  # f = (2 x_1 + x_2 - 1)^2 at 0
    p = (gamma * g0[0], gamma * g0[1])
    x1 = (-p[0], F(0))  # the larger entry is sent
    assert tuple(data["x"]) == x1 == (F(1, 2), F(0)) and 2 * x1[0] + x1[1] == 1  # so g_1 = 0
    assert data["left"] == off_line2(x1, (2, 1)) == F(1, 20) and data["right"] == 0


def test_remark_10_reduces_witness_by_hand() -> None:
    x, e = [F(0), F(0)], [F(0), F(0)]
    distances = []
    for gamma in (F(1, 4), F(1, 4), F(1, 8)):
        r = 2 * (x[0] + 2 * x[1] - 1)
        p = [gamma * r * 1 + e[0], gamma * r * 2 + e[1]]
        scale = (abs(p[0]) + abs(p[1])) / 2
        sent = [scale if c >= 0 else -scale for c in p]
        x, e = [a - b for a, b in zip(x, sent, strict=True)], [a - b for a, b in zip(p, sent, strict=True)]
        distances.append(off_line2(x, (1, 2)))
    assert distances == data_of("remark-10-reduces")["distance2"][1:] == [F(9, 80), F(9, 1280), F(2601, 81920)]


def test_remark_10_current_step_witness_by_hand() -> None:
    data, a, eta = data_of("remark-10-current-step"), (-4, -2, -1), F(1, 100)
    e1 = (0, -2, -1)  # p_0 = a, the first entry is sent
    p1 = [eta * c + b for c, b in zip(a, e1, strict=True)]
    assert max(range(3), key=lambda i: abs(p1[i])) == 1
    e2 = (p1[0], 0, p1[2])
    assert data["left"] == off_line2(e2, a) > data["right"] == 4 * eta**2 * F(2, 3) / F(1, 9) * 21


def test_remark_10_random_witness_by_hand() -> None:
    data = data_of("remark-10-random")
    assert data["left"] == off_line2((0, -data["T"]), (1, 1)) > data["right"] == 4 * F(1, 2) / F(1, 4) * 2


def test_remark_10_orthogonal_iterate_by_hand() -> None:
    q = F(1, 2)
    p0 = (F(1), F(0))
    e1 = (-q * p0[1], q * p0[0])
    p1 = (F(-5, 4) + e1[0], e1[1])
    x2 = (-(p0[0] - e1[0]) - (p1[0] + q * p1[1]), -(p0[1] - e1[1]) - (p1[1] - q * p1[0]))
    assert tuple(data_of("remark-10-close-relative")["x"]) == x2 and x2[0] == 0 != x2[1]


def test_an_entry_that_is_never_sent_ends_at_another_solution_by_hand() -> None:
    x, e = F(0), F(0)  # entry 2 of x, entry 1 of e
    for t in range(6):
        r = 2 * (x - 1)
        assert (r / 2) ** 2 == F(9, 16) ** t  # f = (3/4)^(2t)
        e, x = e + F(1, 8) * 2 * r, x - F(1, 8) * r
    assert x == 1 - F(3, 4) ** 6 and e == -2 * x
    end = data_of("theorem-4-minimum-norm-random")["end"]
    assert 2 * end[0] + end[1] == 1 and norm2(end) == 1 > F(1, 5)  # a solution, longer than A^+ y = (2, 1)/5


def test_lemma_9_margin_witness_has_a_shorter_separator() -> None:
    data = data_of("lemma-9-margin")
    signed = [(1, 0, 0), (2, 1, 0)]  # y_i a_i
    x, w = data["x"], data["w"]
    assert [sum(b * c for b, c in zip(row, x, strict=True)) for row in signed] == [1, 1]
    assert min(sum(b * c for b, c in zip(row, w, strict=True)) for row in signed) >= 1
    assert norm2(w) == 1 < norm2(x) == 2 and list(data["margin2"]) == [Rational(1, 2), 1]
    assert list(data["multipliers"]) == [3, -1]  # of b_1 and b_2: x = 3 b_1 - b_2


def test_lemma_9_noise_witness_is_a_longer_solution_in_the_span() -> None:
    for sign in (1, -1):
        g0 = (-2, -2 * sign)
        x1 = (F(1), F(sign))  # -g_0/2, on the line of g_0; x_1 = 1 has loss 0 and no gradient
        assert x1[0] * g0[1] == x1[1] * g0[0] and norm2(x1) == 2 > 1
    assert data_of("lemma-9-noise")["norm2"] == [2, 2]


def test_theorem_4_witnesses_by_hand() -> None:
    box = data_of("theorem-4-constrained")
    assert tuple(box["x"]) == (1, 1) and off_line2((1, 1), (2, 1)) == F(1, 5)
    start = data_of("theorem-4-start")
    assert tuple(start["x"]) == (1, 1) and start["g"][1] == 0 and not any(start["e"])
    assert tuple(data_of("theorem-4-minimum-norm-span")["x"]) == (F(1, 2), 0)


def test_least_norm_of_a_two_by_two_by_hand(module: Callable[[str], ModuleType]) -> None:
    point = module("lemma_9").least_norm(Matrix([[1, 1, 0], [0, 1, 1]]), Matrix([1, -1]))
    assert list(point) == [1, 0, -1]  # alpha = (1, -1)


def test_wilson_multipliers_by_hand(module: Callable[[str], ModuleType]) -> None:
    m = module("lemma_9_margin")
    plus, minus = (c.subs({m.k: 1, m.l: 1}) for c in m.wilson_alpha())
    assert 4 * plus + minus == 1 and plus + 8 * minus == -1


def test_exact_projection_agrees_with_least_squares(module: Callable[[str], ModuleType]) -> None:
    rng = np.random.default_rng(0)
    for count in (0, 1, 2, 3, 5):
        gs = rng.integers(-2, 3, (count, 4))
        v = rng.integers(-3, 4, 4)
        rest = [float(c) for c in module("_span").off_span(v.tolist(), gs.tolist())]
        want = v - gs.T @ np.linalg.lstsq(gs.T, v, rcond=None)[0] if count else v
        assert np.allclose(rest, want, atol=1e-12)


def test_simulated_bounds_are_not_vacuous() -> None:
    def found(id: str, name: str) -> float:
        forms = audited(id).forms
        return next(float(e.data[name]) for f in forms for e in f.evidence if e.kind == "search" and name in e.data)

    assert found("remark-10", "closest") > 0.1 and found("theorem-4", "closest") > 0.5
    assert found("theorem-4-minimum-norm", "left") < 1e-3


# --- planted errors


def test_theorem_4_with_the_sign_of_the_gradient_lost_has_no_identity(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    m = module("_span")
    wrong = (m.x + m.sent, m.gamma * m.g + m.e - m.sent, m.gamma * m.g + m.e)
    monkeypatch.setattr(m, "step", lambda: wrong)
    assert verdicts("theorem-4-identity")[1] == "refuted"
    assert verdicts("theorem-4") == ["refuted", "refuted"]
    assert verdicts("theorem-4-constrained")[1] == "refuted"


RESTS_ON_THE_START: tuple[str, ...] = ("theorem-4-identity", "theorem-4", "theorem-4-start", "theorem-4-constrained")
RESTS_ON_THE_START += (
    "theorem-4-minimum-norm",
    "theorem-4-minimum-norm-span",
    "theorem-4-minimum-norm-random",
    "remark-10",
    "remark-10-first",
)
RESTS_ON_THE_START += ("remark-10-random", "remark-10-close", "remark-10-reduces", "remark-10-current-step")


@pytest.mark.parametrize("id", RESTS_ON_THE_START)
def test_a_memory_that_does_not_start_at_0_is_noticed(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, id: str
) -> None:
    m = module("_span")
    monkeypatch.setattr(m, "begin", lambda: (m.x0, Integer(1)))
    assert verdicts(id)[-1] == "refuted"


def test_the_bound_on_the_memory_needs_its_own_start(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module("_span"), "begin", lambda: (module("_span").x0, Integer(1)))
    assert module("remark_10").solved_by_induction().outcome == "refuted"
    assert module("remark_10_close").the_largest_step_will_do().outcome == "refuted"
    assert module("remark_10_close").the_bound_is_the_sum_of_all_old_steps().outcome == "refuted"


def forgetful(gradient: Any, x0: Any, gammas: Any, compress: Any) -> Any:
    """Exact compressed SGD that reports no memory."""
    xs = [tuple(map(F, x0))]
    for t, gamma in enumerate(gammas):
        sent = compress(tuple(gamma * F(g) for g in gradient(t, xs[-1])))
        xs.append(tuple(a - b for a, b in zip(xs[-1], sent, strict=True)))
    return xs, [tuple(0 * c for c in x) for x in xs]


def test_theorem_4_without_feedback_fails_in_exact_runs(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module("theorem_4").exact, "ef_sgd", forgetful)
    assert module("theorem_4").exact_runs_agree().outcome == "refuted"
    assert module("theorem_4").the_parts_outside_coincide_in_exact_runs().outcome == "refuted"


@pytest.mark.parametrize("name", ["theorem_4", "remark_10", "theorem_4_minimum_norm"])
def test_simulations_without_feedback_break_the_bounds(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The bound of Remark 10 is generous: there the step is made ten times as large as the bound is told."""
    m = module(name)
    if name == "remark_10":
        monkeypatch.setattr(m, "EFSGD", lambda step, c: CompressedSGD(10 * step, c))
    else:
        monkeypatch.setattr(m, "EFSGD", CompressedSGD)
    check = m.simulated_feedback_reaches_it if name == "theorem_4_minimum_norm" else m.simulated_runs_agree
    assert check().outcome == "refuted"


def test_theorem_4_turn_of_another_angle_is_not_tight(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module("theorem_4"), "turn", lambda q: lambda p: (p[0] + q * p[0], p[1] - q * p[0]))
    assert verdicts("theorem-4-tight") == ["refuted"]


def test_remark_10_with_a_constant_too_small_is_refuted(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    m = module("remark_10")
    right, larger = m.sharp, m.printed
    monkeypatch.setattr(m, "sharp", lambda w: right(w) / 2)
    assert verdicts("remark-10") == ["refuted", "refuted"] and verdicts("remark-10-tight") == ["refuted"]
    monkeypatch.setattr(m, "sharp", right)
    monkeypatch.setattr(m, "printed", lambda *a: larger(*a) / 2)  # the noise term that Theorem II lost, here
    assert verdicts("remark-10")[0] == "refuted" and verdicts("remark-10-first")[1] == "refuted"
    assert verdicts("remark-10-current-step")[1] == "refuted" and verdicts("remark-10-close")[0] == "refuted"


def test_remark_10_tightness_needs_the_turn(module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    shrink = lambda share, _: lambda p: tuple((1 - share) * c for c in p)  # noqa: E731
    monkeypatch.setattr(module("remark_10"), "late_turn", shrink)
    assert module("remark_10").exact_runs_attain_it().outcome == "refuted"
    assert verdicts("remark-10-close-relative") == ["supported", "undecided"]


def test_remark_10_without_a_reduction_has_no_witness(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module("remark_10_close"), "halved", lambda: ([F(1), F(1), F(1, 2)], [F(0), F(3), F(2), F(1)]))
    assert verdicts("remark-10-reduces") == ["supported", "undecided"]


def test_remark_10_with_the_other_entry_kept_has_no_unlucky_path(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module("remark_10"), "keep_second", lambda p: (0 * p[0], p[1] / 2))
    assert module("remark_10").the_unlucky_path_has_no_bound().outcome == "refuted"
    monkeypatch.setattr(module("remark_10"), "unlucky_path", lambda T: F(T, 2))
    assert verdicts("remark-10-random") == ["supported", "refuted"]


def test_theorem_4_minimum_norm_with_an_entry_that_is_sent_has_no_unlucky_path(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    m = module("theorem_4_minimum_norm")
    right = m.unlucky
    monkeypatch.setattr(m, "unlucky", lambda z, memory: (right(z, memory)[0], (0, 0)))
    assert verdicts("theorem-4-minimum-norm-random") == ["supported", "proved"]
    monkeypatch.setattr(m, "unlucky", right)
    monkeypatch.setattr(m, "STEP", F(1, 2))  # a solution is found in one step
    assert verdicts("theorem-4-minimum-norm-random") == ["supported", "proved"]


def test_theorem_4_minimum_norm_witness_on_the_span_is_none(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module("theorem_4_minimum_norm").exact, "top_k", lambda p, k: p)
    assert verdicts("theorem-4-minimum-norm-span") == ["supported", "undecided"]
