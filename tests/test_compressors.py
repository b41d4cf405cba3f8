"""Compressors: their guarantees, their messages, one vector at a time, and what they refuse."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

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
    density,
    realised_delta,
)
from efcheck.errors import ArgumentError

sys.path.insert(0, str(Path(__file__).parent))
from strategies import SCALES, vectors

EPS = float(np.finfo(np.float64).eps)
DIMS = (1, 2, 3, 7, 64, 1000, 5000)


def halves(d):
    return (d - d // 2, d // 2) if d > 1 else (1,)


def matrix(d):
    return next((m, d // m) for m in range(math.isqrt(d), 0, -1) if d % m == 0)


MAKERS = {
    "identity": lambda d: Identity(),
    "sign": lambda d: Sign(zero=1),
    "scaled-sign": lambda d: ScaledSign(),
    "scaled-sign-minus": lambda d: ScaledSign(zero=-1),
    "top-one": lambda d: TopK(1),
    "top-share": lambda d: TopK(0.3),
    "random-share": lambda d: RandomK(0.3),
    "random-unbiased": lambda d: RandomK(0.6, unbiased=True),
    "low-rank": lambda d: LowRank(1, matrix(d)),
    "qsgd-1": lambda d: QSGD(1),
    "qsgd-16": lambda d: QSGD(16),
    "terngrad": lambda d: TernGrad(),
    "one-bit": lambda d: OneBit(),
    "scaled-random": lambda d: Scaled(RandomK(0.6, unbiased=True), 0.4),
    "scaled-top": lambda d: Scaled(TopK(0.5), 0.9),
    "blocks": lambda d: Blockwise(ScaledSign(), halves(d)),
    "random-blocks": lambda d: Blockwise([QSGD(3), TernGrad()][: len(halves(d))], halves(d)),
}
EVERY = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def rng(seed=0):
    return np.random.default_rng(seed)


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@EVERY
@QUICK
@given(v=vectors(1, 200))
def test_error_of_a_deterministic_compressor_is_within_delta(make, v):
    c = make(v.size)
    if not c.stochastic and c.delta(v.size) is not None:
        assert realised_delta(c, v) >= c.delta(v.size) - 64 * EPS  # pairwise sums of d products, and an SVD


@pytest.mark.parametrize("scale", SCALES)
@EVERY
def test_mean_and_spread_of_a_random_compressor_are_within_its_guarantees(make, scale):
    """20 000 draws; a bound fails by chance with 6 standard errors, about 1e-9 for each of some 300 comparisons."""
    runs = 20_000
    for base in ([1.0], [3.0, -1.0], [1.0, 0.0, 0.0, 0.0], [1.0, 0.366, 0.366, -0.366], np.linspace(-1, 2, 7)):
        v = np.array(base)
        c = make(v.size)
        if not c.stochastic:
            continue
        out = c(np.broadcast_to(v * scale, (runs, v.size)), rng(1)) / scale
        square = float(v @ v)
        for bound, draws in (
            (None if c.delta(v.size) is None else (1 - c.delta(v.size)) * square, np.square(out - v).sum(-1)),
            (None if c.omega(v.size) is None else (1 + c.omega(v.size)) * square, np.square(out).sum(-1)),
        ):
            if bound is not None:
                assert draws.mean() <= bound + 6 * draws.std() / math.sqrt(runs) + 64 * EPS * square
        if c.omega(v.size) is not None:
            assert (abs(out.mean(0) - v) <= 6 * out.std(0) / math.sqrt(runs) + 64 * EPS * np.abs(v).max()).all()


def test_terngrad_omega_is_attained():
    d = 9
    v = np.r_[1.0, np.full(d - 1, 1 / (math.sqrt(d) + 1))]
    assert v.max() * v.sum() / (v @ v) == pytest.approx(1 + TernGrad().omega(d), rel=4 * EPS)


@EVERY
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@QUICK
@given(data=st.data())
def test_decoding_a_message_gives_the_dense_result(make, dtype, data):
    v = data.draw(vectors(1, 100, dtype))
    if dtype is np.float64:
        v = v / (np.abs(v).max() or 1.0)
    c = make(v.size)
    if isinstance(c, Sign) and not v.any():
        return
    payload = c.encode(v, rng(3))
    assert len(payload) == -(-c.bits(v.size) // 8)
    got, want = c.decode(payload, v.size), c(v, rng(3))
    assert got.dtype == np.float32
    if dtype is np.float32:
        assert np.array_equal(got, want) and same_bits(got + np.float32(0), want + np.float32(0))
    else:
        assert np.abs(got - want).max() <= 2e-6 * max(np.abs(want).max(), np.abs(v).max())


@EVERY
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", DIMS)
def test_a_batch_equals_its_vectors_one_by_one_and_inputs_are_kept(make, dtype, d):
    v = rng(d).standard_normal((2, 3, d)).astype(dtype)
    v[0, 1, : d // 2] = 0
    v[1, 2] = 0
    c, kept, one = make(d), v.copy(), rng(5)
    single = np.stack([c(row, one) for row in v.reshape(-1, d)]).reshape(v.shape)
    for batch in (c(v, rng(5)), c(np.asfortranarray(v), rng(5)), c.compress(v, rng(5))):
        assert same_bits(batch, single) and not np.shares_memory(batch, v)
    assert same_bits(v, kept)
    assert not single[1, 2].any()
    if not isinstance(c, Sign):
        row = v[0, 0]
        decoded, dense = c.decode(c.encode(row, rng(5)), d), c(row, rng(5))
        assert np.array_equal(decoded, dense) or np.abs(decoded - dense).max() <= 2e-6 * np.abs(dense).max()
        assert dtype == np.float64 or np.array_equal(decoded, dense)


@EVERY
@pytest.mark.parametrize("scale", [*SCALES, 1e300, 1e-300])
def test_results_follow_the_scale_and_stay_finite(make, scale):
    for d in (1, 3, 1000):
        v = rng(d).standard_normal(d)
        v[0] = 2.0
        c = make(d)
        out, want = c(v * scale, rng(2)), c(v, rng(2))
        assert np.isfinite(out).all()
        if not isinstance(c, Sign):
            assert np.abs(out / scale - want).max() <= 1e-12 * np.abs(want).max()  # sums of 1000 rounded terms
            assert realised_delta(c, v * scale, rng(2)) == pytest.approx(realised_delta(c, v, rng(2)), abs=1e-12)
        assert density(v * scale) == pytest.approx(density(v), rel=1e-12)


def test_mean_magnitude_does_not_overflow():
    v = np.array([1.7e308, -1.7e308, 1.7e308])
    assert np.allclose(ScaledSign()(v) / 1.7e308, [1, -1, 1], rtol=4 * EPS)
    assert np.allclose(OneBit()(v) / 1.7e308, [1, -1, 1], rtol=4 * EPS)


def test_zeros_of_both_signs_follow_the_stated_convention():
    v = np.array([0.0, -0.0, 3.0])
    for zero in (-1, 0, 1):
        assert Sign(zero)(v).tolist() == [zero, zero, 1]
        assert ScaledSign(zero)(v).tolist() == [zero, zero, 1]
        assert not Sign(zero)(np.zeros(2)).any()


def test_top_k_keeps_exactly_k_and_ties_in_index_order():
    assert TopK(2)([1.0, -1.0, 1.0, 0.0]).tolist() == [1, -1, 0, 0]
    assert TopK(2)([0.5, -1.0, 2.0, 1.0]).tolist() == [0, -1, 2, 0]
    assert TopK(1).bits(8) == 35 and TopK(1.0).bits(8) == 8 * 35 and TopK(0.1).bits(30) == 3 * 37


def test_one_bit_is_never_worse_than_scaled_sign():
    v = rng().standard_normal((500, 9))
    assert (realised_delta(OneBit(), v) >= realised_delta(ScaledSign(), v) - 16 * EPS).all()


@QUICK
@given(v=vectors(1, 300))
def test_error_of_scaled_sign_equals_one_minus_density(v):
    if v.any():
        assert realised_delta(ScaledSign(), v) == pytest.approx(density(v), abs=64 * EPS)  # sums of d products


def test_messages_have_the_stated_bits_and_join_without_padding():
    table = {Identity(): 320, Sign(1): 10, ScaledSign(): 42, OneBit(): 74, TernGrad(): 52, QSGD(1): 52, QSGD(4): 72}
    for c, bits in table.items():
        assert c.bits(10) == bits
    assert LowRank(2, (5, 2)).bits(10) == 32 * 2 * 7
    assert Blockwise(ScaledSign(), (3, 7)).bits(10) == 74
    assert len(Blockwise(ScaledSign(), (3, 7)).encode(np.ones(10))) == 10


def test_scaling_follows_remark_5_and_minkowski():
    inner = RandomK(1, unbiased=True)
    assert inner.omega(4) == 3 and inner.delta(4) is None
    assert Scaled(inner, 0.25).delta(4) == 0.25 and Scaled(inner, 1.0).delta(4) is None
    assert Scaled(TopK(1), 1.0).delta(4) == 0.25 and Scaled(TopK(1), 2.0).delta(4) is None
    assert Scaled(TopK(1), 0.5).delta(4) == pytest.approx(1 - (0.5 * math.sqrt(0.75) + 0.5) ** 2)
    assert Scaled(QSGD(9), 1.0).omega(4) == QSGD(9).omega(4) and Scaled(QSGD(9), 0.5).omega(4) is None


def test_a_plain_callable_has_no_guarantee_and_no_message():
    def noisy(v, rng=None):
        return v * rng.random(v.shape)

    for c in (Scaled(noisy, 0.5), Blockwise(noisy, (1, 2)), Blockwise([noisy, QSGD(2)], (1, 2))):
        assert c.delta(3) is None and c.omega(3) is None
        v, one = np.ones((4, 3)), rng(1)
        assert same_bits(c(v, rng(1)), np.stack([c(row, one) for row in v]))
        for call in (lambda c=c: c.bits(3), lambda c=c: c.encode(np.ones(3), rng())):
            with pytest.raises(ArgumentError, match="`inner` must be a compressor of efcheck"):
                call()


LOSING = {
    "mean-below": (ScaledSign(), [1e-39, 1e-39]),
    "mean-above": (ScaledSign(), [1e39]),
    "mean-subnormal-float32": (ScaledSign(), np.float32([1e-39])),
    "mean-to-zero": (OneBit(), [1.0, -1e-60]),
    "norm": (QSGD(2), np.float32([3e38, 3e38])),
    "largest": (TernGrad(), [1e-200]),
    "singular": (LowRank(1, (1, 2)), [1e150, 0.0]),
    "entry-above": (Identity(), [1.0, 1e39]),
    "entry-below": (TopK(1), [5e-39]),
    "factor": (Scaled(TopK(1), 1e-50), [1.0]),
    "product": (Scaled(TopK(1), 1e-10), [1e-35]),
}


@pytest.mark.parametrize("case", LOSING.values(), ids=LOSING.keys())
def test_what_float32_loses_is_refused_with_the_range(case):
    c, v = case
    with pytest.raises(ArgumentError, match=r"\[1.17549435e-38, 3.40282347e\+38\]"):
        c.encode(np.asarray(v), rng())


def test_exact_subnormal_entries_are_sent():
    v = np.float32([1e-40, 1.0])
    assert same_bits(Identity().decode(Identity().encode(v), 2), v)
    assert not ScaledSign().decode(ScaledSign().encode(np.zeros(3)), 3).any()


def bad(*rows):
    return pytest.mark.parametrize(("call", "text"), [pytest.param(c, t, id=t[:40]) for c, t in rows])


@bad(
    (lambda: TopK(0), "`k` must be an integer >= 1; got 0."),
    (lambda: TopK(True), "`k` must be an integer >= 1; got True."),
    (lambda: TopK(1.5), "`k` must be a number in [0, 1]; got 1.5."),
    (lambda: TopK(0.0), "`k` must be a share in (0, 1]; got 0.0."),
    (lambda: TopK(5)(np.ones(3)), "`k` must be in [1, 3]; got 5. Pass k = d for no compression."),
    (lambda: RandomK(2)(np.ones(3)), "`rng` must be a numpy Generator; got None."),
    (lambda: RandomK(2, unbiased=3), "`unbiased` must be True or False; got 3."),
    (lambda: QSGD(2)(np.ones(3), 7), "`rng` must be a numpy Generator; got int."),
    (lambda: QSGD(0), "`levels` must be"),
    (lambda: LowRank(3, (2, 5)), "`rank` must be an integer in [1, 2]; got 3."),
    (lambda: LowRank(1, 4), "`shape` must be two integers"),
    (lambda: LowRank(1, (2, 2))(np.ones(5)), "`shape` must have m * n = d = 5; got (2, 2)."),
    (lambda: Sign(2), "`zero` must be -1, 0 or 1; got 2."),
    (lambda: Sign().encode([1.0]), "`zero` must be -1 or 1 to encode; got 0."),
    (lambda: Sign(1).encode([0.0]), "`v` must have a nonzero entry; got the zero vector."),
    (lambda: Scaled(3, 1.0), "`inner` must be a compressor or a callable"),
    (lambda: Scaled(TopK(1), 0), "`factor` must be a finite number > 0; got 0."),
    (lambda: Blockwise(TopK(1), ()), "`sizes` must name at least one block"),
    (lambda: Blockwise(TopK(1), (2, 0)), "`sizes` must be an integer >= 1; got 0."),
    (lambda: Blockwise(TopK(3), (3, 2)), "`k` must be in [1, 2]; got 3."),
    (lambda: Blockwise([TopK(1)], (3, 2)), "`inner` must have 2 compressors"),
    (lambda: Blockwise(TopK(1), (3, 2))(np.ones(4)), "`sizes` must sum to d = 4; got a sum of 5."),
    (lambda: TopK(1)(3.0), "`v` must have shape (..., d); got a scalar."),
    (lambda: TopK(1)(np.ones((2, 0))), "`v` must have at least one entry"),
    (lambda: OneBit()([1.0, math.nan]), "`v` must be finite; got nan at index 1."),
    (lambda: ScaledSign().encode(np.ones((2, 2))), "`v` must be one vector, shape (d,); got shape (2, 2)."),
    (lambda: ScaledSign().decode(b"123", 3), "`payload` must be bytes of length 5; got 3 bytes."),
    (lambda: ScaledSign().decode("12345", 3), "`payload` must be bytes of length 5; got str."),
    (lambda: TopK(1).decode(b"\xff" * 5, 3), "`payload` must have indices below 3; got 3."),
    (lambda: TopK(1).delta(0), "`d` must be an integer >= 1; got 0."),
)
def test_bad_input_is_refused_in_one_line(call, text):
    with pytest.raises(ArgumentError) as caught:
        call()
    assert str(caught.value).startswith(text) and "\n" not in str(caught.value)


def test_a_delta_that_is_twenty_percent_too_large_is_caught_by_the_search():
    def violates(v):
        return bool(v.any()) and realised_delta(ScaledSign(), v) < 1.2 * ScaledSign().delta(v.size) - 16 * EPS

    worst = find(vectors(2, 5), violates)
    assert np.count_nonzero(worst) == 1 or density(worst) < 1.2 / worst.size


def test_a_top_k_that_keeps_the_first_entries_is_caught_by_the_search():
    def first(v, rng=None):
        return np.where(np.arange(v.shape[-1]) < 1, v, 0)

    find(vectors(2, 5), lambda v: realised_delta(first, v) < TopK(1).delta(v.size) - 16 * EPS)


OCCURS = {
    "zero": lambda v: not v.any(),
    "some zeros": lambda v: v.any() and (v == 0).any() and v.size > 2,
    "a negative zero": lambda v: (np.signbit(v) & (v == 0)).any(),
    "ties": lambda v: v.size > 3 and np.unique(np.abs(v[v != 0])).size < np.count_nonzero(v),
    "one-hot": lambda v: v.size > 3 and np.count_nonzero(v) == 1,
    "two scales": lambda v: v.all() and np.abs(v).max() > 1e4 * np.abs(v).min(),
    "d = 1": lambda v: v.size == 1,
    "tiny": lambda v: 0 < np.abs(v).max() < 1e-190,
    "huge": lambda v: np.abs(v).max() > 1e145,
}


@pytest.mark.parametrize("what", OCCURS.values(), ids=OCCURS.keys())
def test_the_strategy_produces(what):
    find(vectors(1, 10), lambda v: bool(what(v)), settings=settings(max_examples=2000, deadline=None))
