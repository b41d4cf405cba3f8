"""What check_compressor is made of: bets, inputs, pytest glue and Hypothesis strategies."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings

from efcheck.checks import CHECKS, parametrize_with_checks, strategies
from efcheck.checks._clock import Clock, Prices
from efcheck.checks._inputs import Input, families
from efcheck.checks._random import Bet, at_most, bounded, differs, play, spread
from efcheck.checks._source import subject_of
from efcheck.checks._unbiased import _radius
from efcheck.compressors import ScaledSign, TopK
from efcheck.errors import ArgumentError


def test_bets_win_against_false_claims_and_hardly_ever_against_true_ones():
    """Each claim at its very edge, 300 times each: a win has chance 5e-9."""
    rng, clock = np.random.default_rng(0), Clock(1.0, lambda: 0.0)
    rare = lambda n: (rng.random(n) < 1e-3) * 1e3  # noqa: E731 - mean 1, variance 999
    for _ in range(300):
        assert not play(lambda n: rng.exponential(size=n), at_most(1.0), 1.0, 1000, clock).won
        assert not play(rare, at_most(1.0), 1.0, 1000, clock).won
        assert not play(lambda n: rare(n) - 1, spread(999.0), 0.0, 1000, clock).won
        assert not play(lambda n: 1 - rare(n), bounded(1000.0), 0.0, 1000, clock).won
    assert play(lambda n: np.full(n, 1.01), at_most(1.0), 1.0, 5000, clock).won
    assert play(lambda n: rng.standard_normal(n) + 0.1, spread(1.0), 0.0, 10_000, clock).won
    assert play(lambda n: np.full(n, 0.5), bounded(1000.0), 0.0, 100_000, clock).won
    assert isinstance(play(lambda n: np.zeros(n), at_most(1.0), 1.0, 9000, clock), Bet)


def test_a_bet_stops_early_where_it_cannot_win():
    assert play(lambda n: np.zeros(n), at_most(1.0), 1.0, 100_000, Clock(1.0, lambda: 0.0)).n < 1000


def test_a_bet_stops_where_too_few_draws_are_left_for_so_small_an_excess():
    """0.01 over the claim with deviation 1 takes some 400,000 draws: of 4,000 not all are made."""
    rng = np.random.default_rng(0)
    bet = play(lambda n: rng.standard_normal(n) + 0.01, spread(1.0), 0.0, 4000, Clock(1.0, lambda: 0.0))
    assert not bet.won and bet.n < 3000


def test_slow_calls_are_priced_in_steps_and_told():
    prices = Prices()
    prices.took = {1: 1e-5, 2: 9e-5, 3: 3e-4, 10: 1e-3, 1000: 0.02}
    assert [prices.pace(d) for d in prices.took] == [1, 1, 8, 32, 512] and prices.price(1000) >= 0.02
    assert [prices.stride(d) for d in prices.took] == [1, 1, 1, 2, 32] and prices.cheapest([1, 2, 1000]) == [2, 1, 1000]
    (note,) = prices.notes()
    assert note.startswith("a call takes about 0.02 s at d = 1000: 1/512 of the draws and steps of search, one input of 32")
    prices.took = {1: 1e-5}
    assert prices.notes() == ()


@pytest.mark.parametrize(
    ("seconds", "tried"),
    [(6e-3, (1, 2, 3, 10, 1000)), (0.02, (1, 3, 1000)), (0.05, (1000,)), (0.2, (1000,)), (30.0, (1000,))],
)
def test_slow_code_is_tried_in_fewer_d(seconds, tried):
    prices, dims = Prices(), (1, 2, 3, 10, 1000)
    prices.took = dict.fromkeys(dims, seconds)
    assert prices.tried(dims) == tried
    prices.took = dict.fromkeys(dims, 1e-5) | {1000: seconds}
    assert prices.tried(dims) == dims
    assert prices.tried(()) == ()


@pytest.mark.parametrize(("seconds", "tried"), [(6e-3, (1, 2, 3, 10, 1000)), (0.02, (1, 2, 10, 1000)), (0.05, (1, 1000))])
def test_one_slow_d_leaves_the_largest_of_the_dear_ones(seconds, tried):
    prices, dims = Prices(), (1, 2, 3, 10, 1000)
    prices.took = dict.fromkeys(dims, 7e-3) | {1: 1e-5, 3: seconds}
    assert prices.tried(dims) == tried


def test_a_clock_counts_calls_and_its_parts_are_shares_of_what_is_left():
    prices = Prices()
    clock = Clock(2 * prices.price(1), lambda: prices.spent)
    prices.count(1)
    half = clock.part(0.5)
    assert clock.more() and half.more() and prices.calls == 1
    prices.count(1)
    assert not clock.more() and not half.more()


def test_two_laws_are_told_apart_and_one_is_not():
    rng = np.random.default_rng(0)
    for _ in range(300):
        assert not differs(rng.standard_normal(500), rng.standard_normal(500))
        assert not differs(rng.integers(0, 2, 500) * 1.0, rng.integers(0, 2, 500) * 1.0)
    assert differs(rng.standard_normal(500), rng.standard_normal(500) + 1)


def test_without_omega_a_seldom_event_that_the_pilot_missed_is_allowed_for():
    same, varied = np.ones((288, 2)), np.random.default_rng(0).standard_normal((288, 2))
    assert _radius(same) == 1000 and 20 < _radius(varied) < 200 and _radius(varied[:48]) == 1000
    assert _radius(100 * same) == pytest.approx(20 * 100 * np.sqrt(2))


@pytest.mark.parametrize("d", [1, 2, 3, 10, 1000])
def test_the_fixed_inputs_contain_what_they_promise(d):
    values = [one.value for one in families(d)]
    assert all(v.shape == (d,) and np.isfinite(v).all() and v.any() for v in values)
    assert any((v == 1).all() for v in values) and any((v < 0).all() for v in values)
    assert any((v != 0).sum() == 1 for v in values)
    if d > 2:
        assert any((v == 0).any() and (v != 0).sum() > 1 for v in values)
        assert any(0 < np.ptp(v) < 1e-5 for v in values)
        assert any(np.abs(v[v != 0]).min() < 1e-4 * np.abs(v).max() for v in values)


def test_an_input_is_what_its_text_says():
    one = Input("np.arange(3.0)").times(1e-200).typed("float32")
    assert one.value.dtype == np.float32 and np.array_equal(one.value, eval(one.code, {"np": np}))


def test_an_object_whose_text_is_an_address_has_the_same_title_in_every_run():
    class Plain:
        __module__ = "mine"

        def __call__(self, v):
            return v

    assert (
        " at 0x" not in subject_of(Plain()) and subject_of(Plain()).startswith("mine:") and subject_of(TopK(2)) == "TopK(k=2)"
    )


def test_parametrized_checks_run_fail_skip_and_xfail(tmp_path):
    (tmp_path / "test_mine.py").write_text(
        "import numpy as np\n"
        "from efcheck.checks import parametrize_with_checks\n"
        "from efcheck.compressors import ScaledSign\n"
        "def doubled(v):\n    return 2 * v\n"
        "@parametrize_with_checks([ScaledSign()], dims=(1, 4))\n"
        "def test_good(compressor, check):\n    check(compressor)\n"
        "@parametrize_with_checks([doubled], {'nonfinite': 'it is not', 'contraction': 'known'}, delta=0.5, dims=(4,))\n"
        "def test_bad(compressor, check):\n    check(compressor)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rfs", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False)
    last = done.stdout.splitlines()[-1]
    assert "1 failed" in last and "1 xfailed" in last and done.returncode == 1, done.stdout
    assert "[doubled-nonfinite]" in done.stdout and "XPASS(strict)" in done.stdout and "not claimed" in done.stdout


def test_parametrizing_refuses_a_check_that_does_not_exist_and_tells_twins_apart():
    with pytest.raises(ArgumentError, match="`expected_failed` must name checks"):
        parametrize_with_checks([ScaledSign()], {"speed": "slow"})
    mark = parametrize_with_checks([TopK(1), TopK(1)])
    ids = [case.id for case in mark.args[1]]
    assert len(set(ids)) == len(ids) == 2 * len(CHECKS)


EVERYTHING = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@EVERYTHING
@given(v=strategies.vectors(2, 9), w=strategies.vectors(dtype=np.float32), b=strategies.batches(max_d=4, scaled=False))
def test_strategies_draw_finite_vectors_of_their_sizes_and_dtypes(v, w, b):
    assert v.shape[0] in range(2, 10) and v.dtype == np.float64 and np.isfinite(v).all()
    assert w.shape[0] in range(1, 51) and w.dtype == np.float32 and np.isfinite(w).all()
    assert b.ndim == 2 and b.shape[0] in range(1, 6) and b.shape[1] in range(1, 5)


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("one-hot", lambda v: (v != 0).sum() == 1),
        ("equal", lambda v: np.ptp(v) == 0 and v.all()),
        ("tied", lambda v: np.ptp(np.abs(v)) == 0 and np.ptp(v) > 0),
        ("near-tied", lambda v: 0 < np.ptp(np.abs(v)) < 1e-7 * np.abs(v).max()),
        ("two-scale", lambda v: np.abs(v).min() < 1e-4 * np.abs(v).max()),
        ("heavy", lambda v: np.abs(v).max() > 20 * np.median(np.abs(v))),
        ("sparse", lambda v: v.any() and (v == 0).sum() > v.size / 2),
        ("negative", lambda v: (v < 0).all()),
        ("integers", lambda v: (v == np.round(v)).all() and np.ptp(v) > 9),
        ("zero", lambda v: not v.any()),
        ("generic", lambda v: np.unique(np.abs(v)).size == v.size),
    ],
)
def test_each_kind_of_vector_is_drawn_and_is_what_it_says(kind, seen):
    assert find(strategies.vectors(8, 20, kinds=(kind,), scaled=False), seen).size >= 8


@pytest.mark.parametrize("scale", [1e-200, 1e-4, 1.0, 1e4, 1e150])
def test_each_scale_is_drawn(scale):
    find(strategies.vectors(3, 3, kinds=("equal",)), lambda v: abs(v[0]) == scale)


@pytest.mark.parametrize("arguments", [{"min_d": 0}, {"min_d": 3, "max_d": 2}, {"dtype": np.int64}, {"kinds": ("odd",)}])
def test_strategies_refuse_what_does_not_exist(arguments):
    @settings(max_examples=1, database=None)
    @given(v=strategies.vectors(**arguments))
    def draw(v):
        raise AssertionError("drawn")

    with pytest.raises(ArgumentError):
        draw()


def test_the_plugin_runs_each_check_of_an_object_as_a_test(tmp_path):
    (tmp_path / "mine.py").write_text("def half(v):\n    return v / 2\n\ndef cut(v):\n    return v[:-1]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "efcheck.checks.plugin", "--efcheck"]
    done = [
        subprocess.run([*command, target], capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False)
        for target in ("mine:half", "mine:cut", "mine:absent")
    ]
    assert [d.returncode for d in done] == [0, 1, 4], done
    assert " passed" in done[0].stdout and "FAILED" in done[1].stdout and "mine:cut[sizes]" in done[1].stdout
    assert "has no attribute 'absent'" in done[2].stderr + done[2].stdout and "Traceback" not in done[2].stderr
