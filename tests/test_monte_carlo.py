"""Tests of efcheck.evidence.monte_carlo: excesses are caught, true claims are not refuted too often, errors."""

from __future__ import annotations

import math
import sys
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest

import efcheck.evidence
from efcheck.errors import ArgumentError
from efcheck.evidence import monte_carlo

module = sys.modules["efcheck.evidence.monte_carlo"]


def rare(p: float, mean: float) -> Any:
    """mean/p with chance p, else 0."""
    return lambda rng, n: np.where(rng.random(n) < p, mean / p, 0.0)


def constant(value: float) -> Any:
    return lambda rng, n: np.full(n, value)


LAWS: dict[str, Any] = {  # nonnegative, mean 1
    "exponential": lambda rng, n: rng.exponential(size=n),
    "coin": rare(0.5, 1.0),
    "rare": rare(0.02, 1.0),
    "lognormal": lambda rng, n: rng.lognormal(-0.5, 1.0, n),
    "infinite variance": lambda rng, n: 0.5 * rng.pareto(1.5, n),
}


# --- with a lower end


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", LAWS)
def test_a_mean_above_the_bound_is_refuted_by_enough_draws(name: str, seed: int) -> None:
    law = LAWS[name]
    runs, bound = (400_000, 0.7) if name in ("rare", "infinite variance") else (100_000, 0.9)
    evidence = monte_carlo(law, bound, runs, seed=seed, lower=0.0)
    assert evidence.outcome == "refuted", evidence.detail
    assert evidence.data["n"] <= runs
    assert evidence.data["log_capital"] >= math.log(1e6)
    assert "false alarm with chance <= 1e-06" in evidence.detail


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("name", LAWS)
def test_a_bound_that_is_the_mean_itself_is_supported(name: str, seed: int) -> None:
    evidence = monte_carlo(LAWS[name], 1.0, 20_000, seed=seed, lower=0.0)
    assert evidence.outcome == "supported", evidence.detail
    assert evidence.data["n"] == 20_000
    assert "would have shown" in evidence.detail


def test_a_rare_heavy_tail_is_caught_where_most_samples_of_a_thousand_show_nothing() -> None:
    evidence = monte_carlo(rare(1e-3, 1.5), 1.0, 1_000_000, seed=0, lower=0.0)
    assert evidence.outcome == "refuted"


@pytest.mark.parametrize("name", LAWS)
def test_false_alarms_stay_below_alpha_although_the_test_looks_after_every_draw(name: str) -> None:
    alpha, repetitions = 0.05, 300
    outcomes = Counter(monte_carlo(LAWS[name], 1.0, 1000, alpha, seed, 0.0).outcome for seed in range(repetitions))
    assert outcomes["refuted"] <= alpha * repetitions + 3 * math.sqrt(alpha * (1 - alpha) * repetitions)
    assert outcomes["supported"] > 0.8 * repetitions


@pytest.mark.parametrize("name", ["exponential", "coin", "rare"])
def test_the_best_bet_in_hindsight_would_raise_too_many_false_alarms(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "log_average", lambda paths: paths.max(axis=-1))
    outcomes = Counter(monte_carlo(LAWS[name], 1.0, 1000, 0.05, seed, 0.0).outcome for seed in range(300))
    assert outcomes["refuted"] > 0.05 * 300 + 7


def test_the_capital_has_mean_one_under_the_claim_whatever_the_bet() -> None:
    bets = [Fraction(bet) for bet in module._BETS]
    law = {Fraction(0): Fraction(3, 4), Fraction(4): Fraction(1, 4)}  # mean 1
    total = Fraction(0)
    for path in product(law, repeat=3):
        chance = math.prod(law[z] for z in path)
        total += chance * sum((math.prod(1 + b * (z - 1) for z in path) for b in bets), Fraction(0)) / len(bets)
    assert total == 1


def test_the_recorded_capital_is_the_average_product_of_three_draws() -> None:
    draws = [3.0, 1.0, 9.0]
    evidence = monte_carlo(lambda rng, n: np.array(draws[:n]), 5.0, 3, lower=1.0)
    z = [(x - 1.0) / 4.0 for x in draws]
    capital = [np.mean([math.prod(1 + b * (v - 1) for v in z[:t]) for b in module._BETS]) for t in (1, 2, 3)]
    assert evidence.data["log_capital"] == pytest.approx(max(0.0, *np.log(capital)), abs=1e-12)


def test_the_test_stops_at_the_first_draw_that_wins_whatever_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = monte_carlo(constant(2.0), 1.0, 10_000, lower=0.0)
    monkeypatch.setattr(module, "_BATCH", 7)
    pieces = monte_carlo(constant(2.0), 1.0, 10_000, lower=0.0)
    assert whole.data["n"] == pieces.data["n"] < 40
    assert math.log2(1e6) <= whole.data["n"]  # no bet doubles more than once a draw
    assert pieces.data["log_capital"] >= math.log(1e6)


def test_one_draw_far_enough_out_refutes_and_huge_draws_do_not_overflow() -> None:
    assert monte_carlo(constant(1e300), 1.0, 1000, lower=0.0).data["n"] == 1
    assert monte_carlo(constant(1e300), 1e-300, 1000, lower=0.0).outcome == "refuted"


def test_the_unit_of_the_draws_does_not_matter() -> None:
    first = monte_carlo(LAWS["exponential"], 0.9, 50_000, lower=0.0)
    second = monte_carlo(lambda rng, n: 1e-9 * rng.exponential(size=n) - 5, 0.9e-9 - 5, 50_000, lower=-5.0)
    assert first.outcome == second.outcome == "refuted"
    assert abs(first.data["n"] - second.data["n"]) < 0.01 * first.data["n"] + 2


# --- without


@pytest.mark.parametrize("bound", [0.0, 0.01, 5.0])
@pytest.mark.parametrize("seed", range(5))
def test_without_lower_a_claim_may_support_itself_and_the_detail_says_on_what(bound: float, seed: int) -> None:
    evidence = monte_carlo(lambda rng, n: rng.normal(size=n), bound, 10_000, seed=seed)
    assert evidence.outcome == "supported"
    assert "asymptotic: assumes a finite variance; supports, never refutes" in evidence.detail


@pytest.mark.parametrize("law", [lambda rng, n: rng.normal(1.0, 1.0, n), constant(1.0)], ids=["normal", "constant"])
def test_without_lower_a_clear_excess_is_undecided_never_refuted(law: Any) -> None:
    evidence = monte_carlo(law, 0.9, 10_000)
    assert evidence.outcome == "undecided"
    assert "standard errors above 0.9" in evidence.detail


def test_a_constant_draw_that_is_the_bound_is_supported_up_to_rounding() -> None:
    assert monte_carlo(constant(0.1), 0.1, 12_345).outcome == "supported"
    assert monte_carlo(constant(0.1), 0.1, 12_345, lower=0.0).outcome == "supported"


# --- what decides nothing


@pytest.mark.parametrize("lower", [None, 0.0])
def test_too_few_draws_are_undecided(lower: float | None) -> None:
    for runs in (1, 50):
        evidence = monte_carlo(LAWS["exponential"], 1.5, runs, lower=lower)
        assert evidence.outcome == "undecided"
        assert "too few" in evidence.detail


def test_draws_that_spread_too_far_for_their_number_are_undecided() -> None:
    assert monte_carlo(rare(0.01, 1.0), 1.0, 500, lower=0.0).outcome == "undecided"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("lower", [None, 0.0])
def test_a_draw_that_is_not_finite_is_undecided_and_named(bad: float, lower: float | None) -> None:
    def law(rng: np.random.Generator, n: int) -> Any:
        x = np.zeros(n)
        x[min(321, n - 1)] = bad
        return x

    evidence = monte_carlo(law, 1.0, 5000, lower=lower)
    assert evidence.outcome == "undecided"
    assert f"draw 321 is {bad}" in evidence.detail


def test_a_bet_won_before_the_bad_draw_still_refutes() -> None:
    assert monte_carlo(lambda rng, n: np.r_[np.full(n - 1, 2.0), math.nan], 1.0, 5000, lower=0.0).outcome == "refuted"


def test_a_sum_that_overflows_is_undecided() -> None:
    assert monte_carlo(constant(1.7e308), 1.0, 5000).outcome == "undecided"


def test_equal_seeds_give_equal_evidence() -> None:
    first, second = (replace(monte_carlo(LAWS["lognormal"], 1.0, 5000, seed=3, lower=0.0), seconds=0.0) for _ in range(2))
    assert first == second
    assert first.to_json()["data"]["lower"] == 0.0
    assert efcheck.evidence.monte_carlo is monte_carlo


# --- errors


ERRORS: dict[str, tuple[Any, str]] = {
    "bound": (lambda: monte_carlo(constant(0), math.nan, 10), r"`bound` must be a finite number; got nan\."),
    "alpha": (lambda: monte_carlo(constant(0), 1, 10, alpha=0), r"`alpha` must be a number in \(0, 1\); got 0\."),
    "runs": (lambda: monte_carlo(constant(0), 1, 0), r"`runs` must be an integer >= 1; got 0\."),
    "seed": (lambda: monte_carlo(constant(0), 1, 10, seed=-1), r"`seed` must be an integer >= 0; got -1\."),
    "lower": (lambda: monte_carlo(constant(0), 1, 10, lower=1), r"`lower` must be below `bound` = 1; got 1\."),
    "below": (
        lambda: monte_carlo(lambda rng, n: np.arange(3.0, 3 - n, -1), 1, 10, lower=0),
        r"`draw` must be >= `lower` = 0; got -1 at draw 4\.",
    ),
    "shape": (lambda: monte_carlo(lambda rng, n: np.zeros((n, 1)), 1, 10), r"`draw` must return shape \(10,\).*\(10, 1\)\."),
    "words": (lambda: monte_carlo(lambda rng, n: ["a"] * n, 1, 10), r"`draw` must return an array of numbers; got ValueError"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_a_bad_argument_is_refused_in_one_line(name: str) -> None:
    call, message = ERRORS[name]
    with pytest.raises(ArgumentError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
