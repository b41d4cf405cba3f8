"""evidence.worst_case: what comes back satisfies every constraint, agrees with the sharp forms; wrong programs are noticed."""

from __future__ import annotations

import dataclasses
import math
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from efcheck.bounds import LEMMA_3, THEOREM_2, THEOREM_3
from efcheck.evidence import worst_case

pytest.importorskip("PEPit")
pytest.importorskip("clarabel")

from efcheck.evidence import _worst_case_quantities as quantities
from efcheck.evidence import _worst_case_sdp as sdp
from efcheck.evidence._worst_case_model import Model, Question, smat, svec

METHODS = ("EFSGD", "CompressedSGD", "EF21")
EXACT = 3e-6  # the gap and residuals allowed to an answer that counts, three of 1e-6
ODD: dict[str, Any] = {"T": 3, "delta": 0.4, "gamma": 0.3, "sigma": 2.0}  # units that are not 1, so that one left out shows
CASES = {
    "error_norm": ODD,
    "gradient_norm": ODD | {"L": 5.0},
    "gradient_norm, f0": ODD | {"L": 5.0, "f0": 0.8},
    "suboptimality": ODD | {"R": 1.3},
}


def case(name: str) -> tuple[str, dict[str, Any]]:
    return name.split(",")[0], CASES[name]


def asked(quantity: str = "error_norm", **changes: Any) -> Question:
    letters: dict[str, Any] = {"method": "EFSGD", "T": 3, "delta": 0.5, "L": 1.0, "mu": 0.1, "f0": None, "R": 2.0}
    return Question(quantity, **(letters | changes))


# -- what attains the value ------------------------------------------------------------------------


def rerun(method: str, letters: dict[str, Any], vectors: dict[str, Any]) -> tuple[Any, Any, Any]:
    """x, p and what the messages lose, from the gradients and the residuals alone; gamma inside p for EF-SGD."""
    gamma, g, residual = letters["gamma"], vectors["g"], vectors["residual"]
    x, p, memory = [vectors["x"][0]], [], 0 * g[0]
    for t in range(letters["T"]):
        if method == "EFSGD":
            p.append(memory + gamma * g[t])
            x.append(x[-1] - (p[-1] - residual[t]))
            memory = residual[t]
        elif method == "CompressedSGD":
            p.append(g[t])
            x.append(x[-1] - gamma * (g[t] - residual[t]))
        else:
            p.append(g[t] - memory)
            memory = memory + p[-1] - residual[t]
            x.append(x[-1] - gamma * memory)
    return np.array(x), np.array(p), x[-1] - x[0] + gamma * g[: letters["T"]].sum(axis=0)


def smooth_excess(x: Any, g: Any, f: Any, L: float) -> float:
    """The largest violation of f_i >= f_j + <g_i + g_j, x_i - x_j>/2 - L/4 ||x_i - x_j||^2 + ||g_i - g_j||^2/(4 L)."""
    pairs = permutations(range(len(f)), 2)
    return max(
        float(f[j] - f[i] + (g[i] + g[j]) @ (x[i] - x[j]) / 2 - L / 4 * sq(x[i] - x[j]) + sq(g[i] - g[j]) / (4 * L))
        for i, j in pairs
    )


def sq(v: Any) -> Any:
    return np.square(v).sum(axis=-1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", CASES)
def test_what_is_recovered_is_a_run_that_attains_the_value_in_the_readers_units(name: str, method: str) -> None:
    quantity, letters = case(name)
    found = worst_case(quantity, method=method, gram=True, **letters)
    assert found.outcome == "supported", found.detail
    vectors, numbers = found.data["vectors"], found.data["numbers"]
    x, p, lost = rerun(method, letters, vectors)
    assert x == pytest.approx(vectors["x"], abs=1e-9) and p == pytest.approx(vectors["p"], abs=1e-9)
    assert (sq(vectors["residual"]) <= (1 - letters["delta"]) * sq(p) * (1 + 1e-5) + 1e-6).all()
    assert (sq(vectors["g"]) <= letters["sigma"] ** 2 * (1 + 1e-6)).all()
    if quantity == "error_norm":
        value = sq(lost)
    elif quantity == "gradient_norm":
        f, L = numbers["f"], letters["L"]
        assert smooth_excess(x, vectors["g"], f, L) <= 1e-6 and (f >= sq(vectors["g"]) / (2 * L) - 1e-6).all()
        assert letters.get("f0") is None or f[0] <= letters["f0"] + 1e-6
        paid = 0 if "f0" in letters else 2 * f[0] / (letters["gamma"] * (letters["T"] + 1))
        value = sq(vectors["g"]).min() - paid
    else:
        value = numbers["f_mean"][0]
        points = np.vstack([x, x.mean(axis=0), 0 * x[:1]])
        slopes = np.vstack([vectors["g"], vectors["slope"], 0 * x[:1]])
        f = np.concatenate([numbers["f"], numbers["f_mean"], [0.0]])
        cuts = f[None, :] + points @ slopes.T - (points * slopes).sum(axis=1)  # f_j + <g_j, x_i - x_j>
        assert (f[:, None] >= cuts - 1e-6).all() and np.linalg.norm(x[0]) <= letters["R"] * (1 + 1e-6)
    assert value == pytest.approx(found.data["value"], rel=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_gamma_sigma_and_length_scale_out(name: str) -> None:
    """x by 7, f by 3: gamma by 49/3, sigma by 3/7, L by 3/49, R by 7, f0 by 3."""
    quantity, letters = case(name)
    factors = {"gamma": 49 / 3, "sigma": 3 / 7, "L": 3 / 49, "R": 7.0, "f0": 3.0}
    scaled = {name: value * factors.get(name, 1) for name, value in letters.items()}
    unit = {"error_norm": 49.0, "gradient_norm": 9 / 49, "suboptimality": 3.0}[quantity]
    found, other = worst_case(quantity, **letters), worst_case(quantity, **scaled)
    assert other.data["value"] == pytest.approx(unit * found.data["value"], rel=EXACT)


# -- known answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("T", [1, 2, 5, 12, 30])
@pytest.mark.parametrize("delta", [0.01, 0.3, 0.9, 0.9999])
def test_lemma_3_attains_its_sharp_form(T: int, delta: float) -> None:
    found = worst_case("error_norm", T=T, delta=delta, gamma=0.1, sigma=3.0).data
    assert found["value"] == pytest.approx(LEMMA_3.sharp(t=T, delta=delta, gamma=0.1, sigma=3.0), rel=1e-6)


@pytest.mark.parametrize("T", [0, 1, 4, 8])
@pytest.mark.parametrize("delta", [0.1, 0.5, 0.9, 1.0])
def test_theorem_3_attains_its_sharp_form_at_gamma_R_over_sigma_steps(T: int, delta: float) -> None:
    """theorem-3-sharp-attained: gamma = R/(sigma (T+1))."""
    letters = {"T": T, "delta": delta, "gamma": 2.0 / (0.5 * (T + 1)), "sigma": 0.5, "R": 2.0}
    assert worst_case("suboptimality", **letters).data["value"] == pytest.approx(THEOREM_3.sharp(**letters), rel=1e-6)


@pytest.mark.parametrize("quantity", ["error_norm", "gradient_norm", "suboptimality"])
def test_without_compression_all_methods_are_sgd(quantity: str) -> None:
    own: dict[str, Any] = {"error_norm": {}, "gradient_norm": {"L": 2.0, "f0": 1.0}, "suboptimality": {"R": 2.0}}[quantity]
    values = [worst_case(quantity, T=4, delta=1.0, gamma=0.7, method=method, **own).data["value"] for method in METHODS]
    assert values == pytest.approx(3 * [values[0]], abs=1e-6)
    assert quantity != "error_norm" or values[0] == pytest.approx(0, abs=1e-6)


def test_gradient_descent_has_its_known_rate() -> None:
    """delta = 1, gamma = 2/(L + mu): ||x - x*||^2 and ||g||^2 shrink by ((L - mu)/(L + mu))^2 a step."""
    for method in ("EFSGD", "EF21"):
        found = worst_case("contraction", T=2, delta=1.0, gamma=2 / 11, L=10.0, mu=1.0, method=method)
        assert found.data["value"] == pytest.approx((9 / 11) ** 4, rel=EXACT)


@pytest.mark.parametrize("mu", [0.05, 0.3])
@pytest.mark.parametrize("delta", [0.2, 0.5, 0.96])
def test_the_rates_at_the_best_steps_are_the_published_ones(delta: float, mu: float) -> None:
    """Berg Thomsen, Taylor, Dieuleveut 2025, Theorems 1 and 2, and gradient descent for L (1 + q) and mu (1 - q); L = 1."""
    q, s = math.sqrt(1 - delta), (1 - mu) / (1 + mu)
    letters = {"T": 1, "delta": delta, "mu": mu}
    fed = q + (1 - q) * s / 2 * ((1 - q) * s + math.sqrt(4 * q + ((1 - q) * s) ** 2))
    for method in ("EFSGD", "EF21"):
        found = worst_case("contraction", gamma=2 / (1 + mu) * (1 - q) / (1 + q), method=method, **letters)
        assert found.data["value"] == pytest.approx(fed, rel=EXACT)
    low, high = (1 - q) * mu, 1 + q
    found = worst_case("contraction", gamma=2 / (low + high), method="CompressedSGD", **letters)
    assert found.data["value"] == pytest.approx(((high - low) / (high + low)) ** 2, rel=EXACT)


@pytest.mark.parametrize("delta", [0.2, 0.75])
def test_feedback_and_ef21_share_their_rate_at_the_best_step_and_it_is_the_rate_of_many_steps(delta: float) -> None:
    """Berg Thomsen, Taylor, Dieuleveut 2025: equal rates; V_T = rate^T V_0 means that one step tells all."""
    q = math.sqrt(1 - delta)
    letters = {"delta": delta, "L": 1.0, "mu": 0.1, "gamma": 2 / 1.1 * (1 - q) / (1 + q)}
    rate = {
        (m, T): worst_case("contraction", T=T, method=m, **letters).data["value"] for m in ("EFSGD", "EF21") for T in (1, 3)
    }
    one = rate["EFSGD", 1]
    assert one < 1 and rate["EF21", 1] == pytest.approx(one, rel=EXACT)
    assert [rate["EFSGD", 3], rate["EF21", 3]] == pytest.approx([one**3, one**3], rel=EXACT)


@pytest.mark.parametrize("method", ["EFSGD", "EF21"])
def test_the_published_step_has_the_best_rate(method: str) -> None:
    """2 (1 - q)/((L + mu) (1 + q)), and its neighbours."""
    q, step = 0.5, 2 / 1.1 / 3
    near = [worst_case("contraction", T=1, method=method, delta=1 - q**2, mu=0.1, gamma=f * step) for f in (0.95, 1, 1.05)]
    below, best, beyond = (found.data["value"] for found in near)
    assert best < below - 1e-4 and best < beyond - 1e-4


@pytest.mark.parametrize("method", ["EFSGD", "EF21"])
def test_no_quadratic_in_one_dimension_contracts_slower(method: str) -> None:
    """f = l x^2/2, l = mu or L, C(p) = (1 - s q) p, s = 1 or -1: a linear map; its spectral radius squared is a lower bound."""
    delta, gamma, L, mu = 0.5, 0.3, 1.0, 0.1
    found = worst_case("contraction", T=1, delta=delta, gamma=gamma, L=L, mu=mu, method=method).data["value"]
    radius = 0.0
    for curve in (gamma * mu, gamma * L):
        for q in (math.sqrt(1 - delta), -math.sqrt(1 - delta)):
            feedback = [[1 - curve, -curve], [q * curve, q * (1 + curve)]]  # (x - e, e)
            radius = max(radius, float(np.abs(np.linalg.eigvals(feedback)).max()))
    assert radius**2 <= found * (1 + 1e-6)


@pytest.mark.parametrize("name", CASES)
def test_more_compression_is_never_better(name: str) -> None:
    quantity, letters = case(name)
    values = [worst_case(quantity, **(letters | {"delta": delta})).data["value"] for delta in (0.999, 0.95, 0.5)]
    assert np.diff(values).min() >= -1e-6 and values[0] < 0.99 * values[-1]


@pytest.mark.slow
def test_theorem_2_is_exceeded_as_printed_at_a_step_and_delta_found_by_the_solver() -> None:
    """Twelve steps, f(x_0) free: the largest ratio over gamma L and delta, from a coarse grid and by Nelder-Mead."""
    from scipy.optimize import minimize

    def ratio(at: Any) -> float:
        letters = {"T": 12, "delta": 1 - math.exp(at[1]), "gamma": at[0], "sigma": 1.0, "L": 1.0}
        found = worst_case("gradient_norm", **letters)
        assert found.outcome == "supported"
        return -float(found.data["value"] / THEOREM_2.printed(**letters, f0=0.0))

    grid = [(step, share) for step in (0.5, 1.0, 1.5, 2.0) for share in (-1.0, -3.0, -5.0)]
    best = minimize(ratio, min(grid, key=ratio), method="Nelder-Mead", options={"maxfev": 60, "xatol": 1e-3, "fatol": 1e-5})
    assert -best.fun > 1.0005
    letters = {"T": 12, "delta": 1 - math.exp(best.x[1]), "gamma": best.x[0], "sigma": 1.0, "L": 1.0, "f0": 0.0}
    assert -best.fun * THEOREM_2.printed(**letters) < THEOREM_2.repaired(**letters)


# -- a second solver -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", CASES)
def test_scs_agrees(name: str, method: str) -> None:
    pytest.importorskip("scs")
    quantity, letters = case(name)
    first, second = (worst_case(quantity, method=method, solver=solver, **letters) for solver in ("CLARABEL", "SCS"))
    assert second.data["value"] == pytest.approx(first.data["value"], rel=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_scs_agrees_on_contraction(method: str) -> None:
    pytest.importorskip("scs")
    letters = {"T": 2, "delta": 0.4, "gamma": 0.3, "L": 2.0, "mu": 0.3, "method": method}
    first, second = (worst_case("contraction", solver=solver, **letters) for solver in ("CLARABEL", "SCS"))
    assert second.data["value"] == pytest.approx(first.data["value"], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_scs_agrees_for_more_steps(name: str) -> None:
    pytest.importorskip("scs")
    quantity, letters = case(name)
    first, second = (worst_case(quantity, solver=s, **(letters | {"T": 8})) for s in ("CLARABEL", "SCS"))
    assert second.data["value"] == pytest.approx(first.data["value"], rel=1e-4)


# -- planted errors --------------------------------------------------------------------------------


def without(model: Model, drop: int) -> Model:
    kept = np.arange(len(model.kinds)) != drop
    rows = dataclasses.replace(model.rows, W=model.rows.W[kept], A=model.rows.A[kept], c=model.rows.c[kept])
    return dataclasses.replace(model, rows=rows, kinds=tuple(k for k, keep in zip(model.kinds, kept, strict=True) if keep))


@pytest.mark.parametrize("drop", range(1, 7))
def test_a_dropped_constraint_is_noticed(drop: int) -> None:
    """Of Lemma 3 at T = 3, any of the three moments and the three contractions; without it the value is larger or infinite."""
    model = quantities.build(asked())
    whole, less = sdp.solve(model), sdp.solve(without(model, drop))
    assert whole.counts and not (less.counts and less.primal <= whole.primal * (1 + 1e-3))


@pytest.mark.parametrize(
    ("quantity", "kind"),
    [
        *(("gradient_norm", kind) for kind in ("moment", "compressor", "f", "infimum", "start")),
        *(("suboptimality", kind) for kind in ("compressor", "f", "start")),
    ],
)
def test_a_kind_of_constraint_left_out_is_noticed(quantity: str, kind: str) -> None:
    model = quantities.build(asked(quantity, f0=0.2 if kind == "start" else None, delta=0.999, L=1.3))
    whole = sdp.solve(model)
    assert kind in model.kinds
    while kind in model.kinds:
        model = without(model, model.kinds.index(kind))
    less = sdp.solve(model)
    assert whole.counts and not (less.counts and less.primal <= whole.primal * (1 + 1e-3))


def test_a_sign_in_a_step_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgets(x: Any, g: Any, e: Any, residual: Any) -> Any:
        p = g - e
        return p, x - p + residual, residual

    right = sdp.solve(quantities.build(asked("suboptimality", T=4))).primal
    monkeypatch.setitem(quantities.STEPS, "EFSGD", forgets)
    assert abs(sdp.solve(quantities.build(asked("suboptimality", T=4))).primal - right) > 1e-3


def test_a_wrong_delta_is_noticed() -> None:
    found = worst_case("error_norm", T=4, delta=0.501, gamma=1.0).data["value"]
    assert found != pytest.approx(LEMMA_3.sharp(t=4, delta=0.5, gamma=1.0, sigma=1.0), rel=1e-4)


@pytest.mark.parametrize("part", ["gram", "multipliers", "values", "zero", "nan"])
def test_an_answer_that_is_wrong_does_not_count_whatever_its_label(part: str) -> None:
    model = quantities.build(asked("gradient_norm", L=1.5))
    good = sdp.solve(model)
    gram, values, y = good.gram.copy(), good.values.copy(), good.multipliers.copy()
    if part == "gram":
        gram *= 1.001
    elif part == "multipliers":
        y[np.argmax(y)] *= -1
    elif part == "values":
        values[0] += 0.001
    elif part == "zero":
        gram, values, y = 0 * gram, 0 * values, 0 * y
    else:
        gram[0, 0] = math.nan
    assert good.counts and not sdp.judge(model, gram, values, y, "Solved").counts


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("gamma", [1e-6, 1e-4, 1e-2])
def test_a_value_counts_only_if_it_is_right_however_small_the_step(gamma: float, method: str) -> None:
    """Points are 1/gamma apart there, so that a residual of 1e-9 may be worth 1e-3 of the value."""
    found = worst_case("contraction", T=2, delta=0.3, gamma=gamma, L=1.0, mu=0.01, method=method)
    slowest = (1 - gamma * 0.01) ** 4  # f = mu x^2/2, C(p) = p
    assert found.data["value"] >= slowest * (1 - 1e-5)
    assert found.outcome == "undecided" or found.data["value"] <= 1 + 1e-5


def test_a_solver_that_lies_gives_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = sdp.SOLVERS["CLARABEL"][0]

    def lies(model: Model) -> Any:
        gram, values, y, _ = honest(model)
        return 2 * gram, values, y, "Solved"

    monkeypatch.setitem(sdp.SOLVERS, "CLARABEL", (lies, lies))
    found = worst_case("error_norm", T=2, delta=0.5, gamma=1.0)
    assert found.outcome == "undecided" and "Solved" in found.detail


def test_the_second_way_is_tried_when_the_first_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    honest, calls = sdp.SOLVERS["CLARABEL"], []

    def fails(model: Model) -> Any:
        calls.append(model)
        gram, values, y, _ = honest[0](model)
        return 0.9 * gram, values, y, "Solved"

    monkeypatch.setitem(sdp.SOLVERS, "CLARABEL", (fails, honest[1]))
    assert worst_case("error_norm", T=2, delta=0.5, gamma=1.0).outcome == "supported" and len(calls) == 1


@pytest.mark.parametrize(("q", "L"), [(0.5, 1.0), (0.9, 0.25)])
def test_programs_that_scaling_spoils_are_solved_without_it(q: float, L: float) -> None:
    """Seen with Clarabel 0.11.1: the first ways stop at residuals of 5e-6 and 1e-4."""
    assert worst_case("gradient_norm", T=15, delta=1 - q**2, gamma=1.0, L=L).outcome == "supported"


def test_an_unbounded_program_is_undecided_not_a_number() -> None:
    """Without the contraction of the last message nothing bounds it."""
    model = quantities.build(asked())
    unbounded = sdp.solve(without(model, model.kinds.index("compressor") + 2))
    assert not unbounded.counts


def test_svec_keeps_inner_products_and_smat_undoes_it() -> None:
    a, b = (m + m.T for m in np.random.default_rng(0).normal(size=(2, 5, 5)))
    assert svec(a) @ svec(b) == pytest.approx(np.sum(a * b), rel=1e-12)
    assert np.array_equal(smat(svec(a)).round(12), a.round(12))
