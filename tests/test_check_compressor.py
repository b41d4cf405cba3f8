"""check_compressor: accuses no correct compressor, catches planted bugs by the intended check, and shows each failure."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from efcheck import check_compressor, compressors
from efcheck.checks import CHECKS, _behaviour, check_named
from efcheck.checks._clock import Clock, Prices
from efcheck.checks._compare import TOO_SLOW
from efcheck.checks._subject import Subject, refused
from efcheck.compressors import (
    QSGD,
    Blockwise,
    Identity,
    LowRank,
    OneBit,
    RandomK,
    Scaled,
    ScaledSign,
    Sign,
    TernGrad,
    TopK,
)
from efcheck.errors import ArgumentError

sys.path.insert(0, str(Path(__file__).parent))
from planted.cases import ALL_CORRECT, ALL_PLANTED, TORCH_CORRECT, TORCH_PLANTED, intended
from planted.compressors import PLANTED
from planted.correct import CORRECT
from planted.unusual_compressors import UNUSUAL

needs_torch = pytest.mark.skipif(not TORCH_PLANTED, reason="needs torch")
FAST = ("learned table", "top-k with shuffled ties", "seldom mask without omega", "ternary", "float32 only",
        "plain numbers named delta and bits", "a step above 1", "a float32 scale, declared homogeneous",
        "error-compensated, declared", "raises on NaN", "symmetries in law", "one dither for all entries",
        "antithetic in a batch", "memoised", "forwards its claims", "stored by columns")  # fmt: skip
OWN = (
    Identity(), Sign(), Sign(zero=1), ScaledSign(), ScaledSign(zero=0), TopK(1), TopK(2), TopK(0.3), RandomK(1), RandomK(0.3),
    RandomK(0.5, unbiased=True), LowRank(1, (2, 5)), QSGD(1), QSGD(16), TernGrad(), OneBit(), Scaled(TopK(0.5), 0.9),
    Scaled(RandomK(0.5, unbiased=True), 0.4), Blockwise(ScaledSign(), (5, 5)), Blockwise([QSGD(3), TernGrad()], (500, 500)),
)  # fmt: skip


@pytest.fixture
def quick(monkeypatch):
    """A twelfth of the time for the tests of random compressors: they lose power, not validity."""
    monkeypatch.setattr(Subject, "clock", lambda self, seconds: Clock(seconds / 12, lambda: self.prices.spent))


def failing(report):
    return [r.name for r in report if r.outcome == "failed"]


# planted bugs


@pytest.mark.parametrize("name", ALL_PLANTED)
def test_a_planted_bug_is_caught_by_the_intended_check(name):
    found = intended(name)
    assert found.outcome == "failed" and found.detail and found.reproduce, found


def test_there_are_enough_planted_bugs_and_correct_compressors():
    assert len(PLANTED) >= 40 and len(CORRECT) >= 20
    assert {case[2] for case in PLANTED.values()} == set(CHECKS), "each check has a bug that it must catch"


def test_code_that_computes_in_float32_is_told_so_and_unscaled_signs_are_not():
    def narrow(v):
        return (v.astype(np.float32) * np.float32(0.7)).astype(v.dtype)

    found = check_named("finite", narrow)
    assert found.outcome == "failed" and found.detail.endswith(
        "; it seems to compute in float32: let it refuse float64, or name this check in expected_failed"
    )
    assert not Subject(Sign(zero=1)).precision_note(np.array([1e150]))
    assert not Subject(narrow).precision_note(np.array([1.0]))


# correct compressors


@pytest.mark.parametrize("name", [*FAST, *UNUSUAL])
def test_a_correct_compressor_is_not_accused(name, quick):
    c, claims = ALL_CORRECT[name]
    report = check_compressor(c, **claims)
    assert report.passed, str(report)


def test_what_draws_at_ties_alone_is_random():
    assert Subject(ALL_CORRECT["draws at ties alone"][0]).random


def test_what_is_refused_is_told(quick):
    assert check_named("layout", ALL_CORRECT["contiguous vectors only"][0]).detail == "a strided view is refused: ValueError"
    assert check_named("encode", ALL_CORRECT["an autoencoder"][0]).outcome == "skipped"


def test_a_count_that_is_no_generator_is_told():
    found = check_named("sizes", lambda v, k: v[np.argsort(v)[:k]])
    assert found.outcome == "failed" and found.detail.endswith(
        ". `k` was given a generator: bind what is none, functools.partial(c, k=...)"
    )
    assert "`" not in check_named("sizes", lambda v, random_state: v[:0]).detail


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL_CORRECT)
def test_a_correct_compressor_is_not_accused_over_50_seeds(name):
    c, claims = ALL_CORRECT[name]
    for seed in range(50):
        report = check_compressor(c, **claims, seed=seed)
        assert report.passed, f"seed {seed}\n{report}"


@needs_torch
@pytest.mark.parametrize("name", TORCH_CORRECT)
def test_a_correct_torch_compressor_is_not_accused(name, quick):
    c, claims = TORCH_CORRECT[name]
    report = check_compressor(c, **claims, dims=(1, 7, 100))
    assert report.passed, str(report)


@pytest.mark.parametrize("c", OWN, ids=repr)
def test_every_compressor_of_ours_passes_everything_declared_for_it(c, quick):
    report = check_compressor(c, dims=(1, 3, 10, 200) if not isinstance(c, Blockwise) else (sum(c.sizes),))
    assert report.passed, str(report)
    if callable(getattr(c, "delta", None)) and any(c.delta(d) is not None for d in (10, 200) if works(c, d)):
        assert report["contraction"].outcome == "passed"
    if not isinstance(c, (Sign, ScaledSign)) or c.zero:
        assert report["encode"].outcome == "passed" and report["bits"].outcome == "passed"


def works(c, d):
    try:
        c.check(d)
    except ArgumentError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("c", OWN, ids=repr)
def test_every_compressor_of_ours_passes_a_thorough_check(c):
    report = check_compressor(c, thorough=True)
    assert report.passed, str(report)


def test_every_class_of_compressors_is_among_those_checked():
    classes = {x for x in vars(compressors).values() if isinstance(x, type) and issubclass(x, compressors.Compressor)}
    assert {type(c) for c in OWN} == classes - {compressors.Compressor}


# claims


@pytest.mark.parametrize("factor", [1.2, 1.01])
def test_contraction_alone_catches_a_delta_that_is_too_large(factor):
    report = check_compressor(ScaledSign(), delta=lambda d: factor / d, dims=(2, 10))
    assert failing(report) == ["contraction"]
    assert report["contraction"].number < report["contraction"].bound


def test_the_largest_delta_is_found_where_none_is_claimed():
    def top_one(v):
        keep = np.arange(v.shape[-1]) == np.abs(v).argmax(axis=-1)[..., None]
        return np.where(keep, v, 0 * v)

    for d, c in ((2, top_one), (7, top_one), (5, lambda v: OneBit()(v))):
        found = check_named("contraction", c, dims=(d,))
        assert found.outcome == "skipped" and found.number == pytest.approx(1 / d, rel=1e-3), found


def test_no_delta_holds_for_the_unscaled_sign():
    found = check_named("contraction", Sign(zero=1), dims=(3,))
    assert found.outcome == "skipped" and "none above 0 would hold" in found.detail and found.number == -np.inf


def test_a_delta_above_one_is_refused_as_a_number_and_fails_as_a_function():
    for delta in (0.0, -0.1, 1.5, float("nan"), "x", True):
        with pytest.raises(ArgumentError, match="`delta` must be a number in"):
            check_compressor(ScaledSign(), delta=delta)
    assert failing(check_compressor(Identity(), delta=lambda d: 1.1, dims=(2,))) == ["contraction"]


def test_a_claim_that_is_no_number_fails_its_check_alone():
    class Odd:
        def delta(self, d):
            return "much"

        def __call__(self, v):
            return v + 0.0

    assert failing(check_compressor(Odd(), dims=(2, 3))) == ["contraction"]


def test_dimensions_that_a_compressor_refuses_are_named_and_no_failure():
    report = check_compressor(TopK(3), dims=(2, 3, 8))
    assert report.passed and "refuses d = 2: ArgumentError: `k` must be in [1, 2]; got 3." in report["sizes"].detail
    report = check_compressor(TopK(30), dims=(2, 3))
    assert failing(report) == ["sizes"] and all(r.outcome == "skipped" for r in report if r.name != "sizes")


def test_slow_random_compressors_are_not_compared_in_law(monkeypatch):
    s = Subject(PLANTED["random levels of the whole batch"][0], dims=(3, 5))
    s.prices.took = dict.fromkeys(s.prices.took, 0.02)
    calls = []
    monkeypatch.setattr(_behaviour, "same_law", lambda *_: calls.append(1))
    found = _behaviour.batch(s)
    assert not calls and found.outcome == "passed" and found.detail == TOO_SLOW
    s = Subject(CORRECT["symmetries in law"][0], dims=(3, 5))
    s.prices.took = dict.fromkeys(s.prices.took, 0.02)
    assert _behaviour.symmetry(s, "scale").outcome == "skipped"


def test_slow_code_is_called_less_often_and_the_report_says_so(monkeypatch):
    calls = []

    def slow(v, rng):
        calls.append(1)
        return v * (rng.random(v.shape) < 0.5)

    monkeypatch.setattr(Prices, "time", lambda self, d, call: self.took.update({d: 0.02}))
    report = check_compressor(slow, delta=0.5)
    assert report.passed and len(calls) < 350, len(calls)
    assert report["sizes"].detail == "d = 1, 2, 3, 10, 1000"
    assert "at d = 1000: elsewhere" in report["contraction"].detail and TOO_SLOW in report["contraction"].detail
    assert "note: a call takes about 0.02 s at d = 1000: 1/512 of" in str(report) and report.to_json()["notes"]
    assert "note: for the same reason only `sizes` tries d = 2, 10" in str(report)
    assert Subject(slow, thorough=True).dims == (1, 2, 3, 10, 1000)
    monkeypatch.setattr(Prices, "time", lambda self, d, call: self.took.update({d: 2.0}))
    assert check_named("contraction", slow, delta=0.5, dims=(3,)).outcome == "skipped"
    found = check_named("unbiased", slow, unbiased=True, dims=(3,))
    assert found.outcome == "skipped" and found.detail == TOO_SLOW


def test_an_error_on_purpose_is_told_from_a_slip():
    def raised(f):
        try:
            f()
        except Exception as error:
            return error

    def purpose():
        raise ValueError("no")

    def check():
        assert [] != []

    assert refused(raised(purpose)) and refused(raised(check)) and refused(raised(lambda: TopK(3)([1.0])))
    assert not refused(raised(lambda: np.partition([1.0], -2))) and not refused(raised(lambda: {}["x"]))
    assert not refused(raised(lambda: np.max(np.array([])))) and not refused(raised(lambda: np.linalg.cholesky(-np.eye(2))))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dims": ()}, "`dims` must name at least one"),
        ({"dims": (0,)}, "`dims` must be an integer >= 1"),
        ({"dims": 3}, "`dims` must be a sequence"),
        ({"seed": -1}, "`seed` must be an integer >= 0"),
        ({"expected_failed": {"speed": "slow"}}, "`expected_failed` must name checks"),
        ({"expected_failed": ["finite"]}, "`expected_failed` must be a mapping of check to reason"),
    ],
)
def test_bad_arguments_are_one_line(arguments, words):
    with pytest.raises(ArgumentError, match=words):
        check_compressor(ScaledSign(), **arguments)


def test_a_class_or_a_number_is_no_compressor():
    for c in (ScaledSign, 3, None):
        with pytest.raises(ArgumentError, match="`c` must be a compressor"):
            check_compressor(c)


def test_expected_failures_are_strict():
    known = {"contraction": "an upper bound of somebody else's"}
    assert check_compressor(ScaledSign(), delta=0.9, dims=(3,), expected_failed=known).passed
    assert not check_compressor(ScaledSign(), delta=0.3, dims=(3,), expected_failed=known).passed


def test_equal_seeds_give_equal_results():
    def plain(report):
        return [(r.name, r.outcome, r.detail, r.number, r.reproduce) for r in report]

    for c in (ScaledSign(), LowRank(1, (2, 2)), RandomK(0.5, unbiased=True)):
        assert plain(check_compressor(c, dims=(2, 4))) == plain(check_compressor(c, dims=(2, 4)))


def test_global_generators_are_as_before():
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002
    check_compressor(PLANTED["seeds the global generator"][0], dims=(2,))
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002


def test_the_tightest_d_is_told_also_where_nothing_is_lost_in_the_first():
    found = check_named("contraction", TopK(1), delta=0.01, dims=(1, 100))
    assert found.outcome == "passed" and found.detail.endswith("at d = 100")
