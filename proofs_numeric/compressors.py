r"""The constants of the compressors: all hold; QSGD's omega = min(d/s^2, sqrt(d)/s) is never attained, the others are.

Statement   For each compressor of this package: delta(d) with E||C(v) - v||^2 <= (1 - delta) ||v||^2, and, if it is unbiased,
            omega(d) with E||C(v)||^2 <= (1 + omega) ||v||^2; and the wrapper (1/k) U of Remark 5.
Source      Section 4, Assumption A and Remark 5; B.5; the works named in the compressors' files. Top-k and low rank are in
            assumption_a.py, scaled sign in lemma_8.py
Idea        Each error is a function of a few numbers: ||v||_1, ||v||_2^2, max |v_i|, or one entry's fraction f, whose random
            rounding has the variance f (1 - f). The inequality between those numbers is what is proved; the rest is linear.
Conventions v != 0; k = the second-moment factor 1 + omega where it is the paper's.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product

import numpy as np
from sympy import Abs, And, Eq, Implies, Rational, Symbol, symbols

from efcheck.claims import Claim, main
from efcheck.compressors import QSGD, Blockwise, OneBit, RandomK, Scaled, ScaledSign, Sign, TernGrad, TopK
from efcheck.evidence import Evidence, exact, prove

OURS = "Section 4, Assumption A (ours: efcheck.compressors)"
one, two = symbols("N1 N2", positive=True)  # ||v||_1 and ||v||_2^2
d = Symbol("d", positive=True)
s = Symbol("s", positive=True)  # levels
r = Symbol("r", positive=True)  # sqrt(d)
QUARTER = Rational(1, 4)
delta, omega = symbols("delta omega", nonnegative=True)


def numbers_agree(pairs, covers: str) -> Evidence:
    """The library's constants against those of the claim, to 1e-12: one or two roundings of numbers up to 10."""
    pairs = list(pairs)
    wrong = [(name, found, want) for name, found, want in pairs if found is None or abs(found - want) > 1e-12]
    detail = f"{len(pairs)} constants of the library agree" if not wrong else f"{wrong[0]}"
    return Evidence("exact", "refuted" if wrong else "supported", detail, covers=covers)


# -- random-k ------------------------------------------------------------------------------------------------------------------

random_k = Claim(
    "compressor-random-k",
    OURS,
    "random-k has E||C(v) - v||^2 = (1 - k/d) ||v||^2 for every v; times d/k it is unbiased, E||C(v)||^2 = (d/k) ||v||^2: "
    "delta = k/d and omega = d/k - 1 are attained by every v",
)


@random_k.printed
def one_entry_at_a_time() -> Evidence:
    """An entry x is kept with chance p = k/d: E(C - x)^2 = (1 - p) x^2; times 1/p: mean x, second moment x^2/p."""
    x, p = Symbol("x", real=True), Symbol("p", positive=True)
    error = Eq(p * (x - x) ** 2 + (1 - p) * (0 - x) ** 2, (1 - p) * x**2)
    unbiased = And(Eq(p * (x / p), x), Eq(p * (x / p) ** 2, x**2 / p))
    return prove(And(error, unbiased), [p <= 1], kind="identity", covers="one entry")


@random_k.printed
def all_subsets_in_small_dimensions() -> Evidence:
    """Symbolic v in R^d, d = 1, ..., 4, all subsets of size k with equal chances: the mean error is as claimed."""
    good = []
    for size in range(1, 5):
        v = symbols(f"v1:{size + 1}", real=True)
        whole = sum(c**2 for c in v)
        for k in range(1, size + 1):
            subsets = list(combinations(range(size), k))
            left = sum(sum(v[i] ** 2 for i in range(size) if i not in kept) for kept in subsets) / Rational(len(subsets))
            good.append(Eq((left - (1 - Rational(k, size)) * whole).expand(), 0))
    return prove(And(*good), kind="identity", covers="one entry")


@random_k.printed
def random_k_in_the_library() -> Evidence:
    def pairs():
        for size in range(1, 9):
            for k in range(1, size + 1):
                yield "delta", RandomK(k).delta(size), k / size
                yield "omega", RandomK(k, unbiased=True).omega(size), size / k - 1

    return numbers_agree(pairs(), "one entry")


# -- QSGD ----------------------------------------------------------------------------------------------------------------------

qsgd = Claim(
    "compressor-qsgd",
    OURS + "; Alistarh et al. 2017, Lemma 3.1",
    "QSGD with s levels has omega = min(d/s^2, sqrt(d)/s)",
    repaired="sharper: min(d/(4 s^2), sqrt(d)/s), its first part attained at equal entries where s/sqrt(d) is half an odd "
    "number; for s = 1 exactly sqrt(d) - 1, attained at equal entries. d/s^2 and sqrt(d)/s themselves are never attained",
)
level = Symbol("l", nonnegative=True)  # floor(s |v_i|/||v||)
f = Symbol("f", nonnegative=True)  # the rest, in [0, 1)


@qsgd.printed
@qsgd.repaired
def rounding_one_entry() -> Evidence:
    """l + 1 with chance f, else l: mean l + f, variance f (1 - f), at most 1/4 and at most l + f."""
    mean = f * (level + 1) + (1 - f) * level
    second = f * (level + 1) ** 2 + (1 - f) * level**2
    moments = And(Eq(mean, level + f), Eq((second - mean**2).expand(), (f * (1 - f)).expand()))
    return prove(And(moments, f * (1 - f) <= QUARTER, f * (1 - f) <= level + f), [f < 1], covers="variance")


def variances(x):
    """Bounds on the sum of the variances over s^2 ||v||^2: by 1/4 each, by the sum of r_i = s |v_i|/||v||; x = N1/sqrt(N2)."""
    return QUARTER * d / s**2, x / s


@qsgd.printed
@qsgd.repaired
def summed_over_the_entries() -> Evidence:
    """||v||^2/s^2 sum f_i (1 - f_i) with sum r_i = s N1/||v||, N1 <= sqrt(d) ||v||; d = r^2."""
    x = Symbol("x", positive=True)  # N1/||v||
    first, second = (v.subs(d, r**2) for v in variances(x))
    return prove(And(first <= r**2 / s**2, first <= r**2 / (4 * s**2), second <= r / s), [x <= r], covers="sum")


@qsgd.repaired
def halves_attain_the_first() -> Evidence:
    """d equal entries: r_i = s/sqrt(d) = l + 1/2, so that each variance is 1/4 and omega = d/(4 s^2). As d = 4, s = 1 or 3."""
    half = Rational(1, 2)
    sums = And(*(Eq(4 * (half * (1 - half)) / levels**2, Rational(4, 4 * levels**2)) for levels in (1, 3)))
    return prove(And(sums, Eq(d * half * (1 - half) / s**2, d / (4 * s**2))), kind="identity", covers="attained")


@qsgd.repaired
def one_level_exactly() -> Evidence:
    """s = 1: r_i = f_i <= 1 (or l = 1, f = 0), variance r_i - r_i^2, sum N1/||v|| - 1 <= sqrt(d) - 1; equal entries: x = r."""
    x = Symbol("x", positive=True)
    each = And(Eq(f - f**2, f * (1 - f)), Eq(1 - 1**2, 0))
    return prove(And(each, x - 1 <= r - 1, Implies(Eq(x, r), Eq(x - 1, r - 1))), [x <= r], covers="one level")


@qsgd.repaired
def neither_part_is_attained() -> Evidence:
    """f (1 - f) <= 1/4 < 1; and sum f_i (1 - f_i) = sum r_i needs every f_i (1 - f_i) = l_i + f_i, so l_i = f_i = 0: v = 0."""
    strict = And(f * (1 - f) < 1, Implies(Eq(f * (1 - f), level + f), And(Eq(f, 0), Eq(level, 0))))
    return prove(strict, [f < 1], covers="not attained")


@qsgd.printed
def qsgd_in_the_library() -> Evidence:
    cases = product(range(1, 10), (1, 2, 3, 7))
    return numbers_agree((("omega", QSGD(n).omega(m), min(m / n**2, m**0.5 / n)) for m, n in cases), "sum")


# -- TernGrad and one-bit ------------------------------------------------------------------------------------------------------

terngrad = Claim(
    "compressor-terngrad",
    OURS + "; Wen et al. 2017",
    "TernGrad has omega = (sqrt(d) - 1)/2, attained: one entry 1, d - 1 entries 1/(sqrt(d) + 1)",
)


def terngrad_moment(rest, squares):
    """E||C(v)||^2/||v||^2 = max|v| ||v||_1/||v||^2 with max|v| = 1, the others of sum `rest`, of squares' sum `squares`."""
    return (1 + rest) / (1 + squares)


@terngrad.printed
def scaling_to_the_largest_entry() -> Evidence:
    """An entry x with |x| <= M becomes M sign(x) with chance |x|/M: mean x, second moment M |x|."""
    x, M = Symbol("x", nonnegative=True), Symbol("M", positive=True)
    p = x / M
    return prove(And(Eq(p * M, x), Eq(p * M**2, M * x), p <= 1), [x <= M], covers="moments")


@terngrad.printed
def the_worst_rest() -> Evidence:
    """squares >= S^2/(d - 1) (Cauchy-Schwarz), d = r^2 > 1: at most (r + 1)/2; the remainder is (S - (r - 1))^2."""
    S, Q = symbols("S Q", nonnegative=True)
    return prove(terngrad_moment(S, Q) <= 1 + (r - 1) / 2, [r > 1, Q * (r**2 - 1) >= S**2], covers="omega")


@terngrad.printed
def which_is_attained() -> Evidence:
    """r^2 - 1 entries 1/(r + 1): S = r - 1, Q = (r - 1)/(r + 1). d = 1: the identity, omega = 0."""
    count, entry = r**2 - 1, 1 / (r + 1)
    attained = Eq(terngrad_moment(count * entry, count * entry**2), 1 + (r - 1) / 2)
    return prove(And(attained, Eq(terngrad_moment(0, 0), 1)), kind="identity", covers="attained")


@terngrad.printed
def terngrad_in_the_library() -> Evidence:
    return numbers_agree((("omega", TernGrad().omega(m), (m**0.5 - 1) / 2) for m in range(1, 30)), "omega")


one_bit = Claim(
    "compressor-one-bit",
    OURS + "; Seide et al. 2014",
    "OneBit has delta = 1/d, attained at one-hot v > 0, and realises at least phi(v) for every v",
)


@one_bit.printed
def two_groups_are_finer_than_one() -> Evidence:
    """||C(v)||^2 = a^2/p + b^2/n for groups of p + n = d entries of sums a, b, is >= (a + b)^2/d; with one group a^2/p."""
    a, b = symbols("a b", nonnegative=True)
    p, n = symbols("p n", positive=True)
    return prove(And(a**2 / p + b**2 / n >= (a + b) ** 2 / (p + n), a**2 / p >= a**2 / (p + n)), covers="at least phi")


@one_bit.printed
def the_error_is_orthogonal() -> Evidence:
    """A group of n entries with sum a, squares' sum Q: sum (x - a/n)^2 = Q - a^2/n. And phi >= 1/d as N1^2 >= N2."""
    a, Q = symbols("a Q", real=True)
    n = Symbol("n", positive=True)
    group = Eq((Q - 2 * (a / n) * a + n * (a / n) ** 2).expand(), (Q - a**2 / n).expand())
    return prove(And(group, one**2 / (d * two) >= 1 / d), [one**2 >= two, d >= 1], covers="delta = 1/d")


@one_bit.printed
def a_single_positive_entry() -> Evidence:
    """v = e_1: all d entries are >= 0, the mean is 1/d, ||C(v)||^2 = 1/d. The library says the same for d = 1, ..., 12."""
    found = numbers_agree((("delta", OneBit().delta(m), 1 / m) for m in range(1, 13)), "attained")
    return found if found.outcome == "refuted" else prove(Eq(d * (1 / d) ** 2, 1 / d), kind="identity", covers="attained")


# -- built from others ---------------------------------------------------------------------------------------------------------

wrapper = Claim(
    "compressor-remark-5",
    "Section 4, Remark 5; B.5",
    "(1/k) U is a 1/k-approximate compressor if E U(v) = v and E||U(v)||^2 <= k ||v||^2",
    repaired="with equality iff E||U(v)||^2 = k ||v||^2; k >= 1 by itself; and 1/k is the best factor: a U has 2 a - a^2 k, "
    "largest at a = 1/k",
)


def wrapped(a, m):
    """E||a U(v) - v||^2/||v||^2 with E||U(v)||^2 = m ||v||^2."""
    return a**2 * m - 2 * a + 1


k = Symbol("k", positive=True)
m = Symbol("m", positive=True)


@wrapper.printed
@wrapper.repaired
def its_error() -> Evidence:
    """B.5: m <= k."""
    return prove(wrapped(1 / k, m) <= 1 - 1 / k, [m <= k], covers="1/k")


@wrapper.repaired
def when_it_is_attained() -> Evidence:
    """E||U||^2 >= ||E U||^2 = ||v||^2: m >= 1; the error is less than 1 - 1/k by (k - m)/k^2."""
    slack = Eq(1 - 1 / k - wrapped(1 / k, m), (k - m) / k**2)
    only = Implies(Eq(wrapped(1 / k, m), 1 - 1 / k), Eq(m, k))
    return prove(And(slack, only, k >= 1), [m >= 1, m <= k], covers="attained")


@wrapper.repaired
def the_best_factor() -> Evidence:
    a = Symbol("a", positive=True)
    return prove(And(wrapped(a, k) >= wrapped(1 / k, k), Eq(wrapped(1 / k, k), 1 - 1 / k)), covers="best factor")


scaled = Claim(
    "compressor-scaled",
    OURS,
    "a C has delta = 2 a - a^2 (1 + omega) for unbiased C, and 1 - (a sqrt(1 - D) + |1 - a|)^2 for C with delta D, where "
    "that is > 0; both are attained",
)


@scaled.printed
def the_biased_case() -> Evidence:
    """a C(v) - v = a (C(v) - v) + (a - 1) v, lengths e <= q n and n, inner product c: Minkowski. q = sqrt(1 - D)."""
    a, e, n, q = symbols("a e n q", nonnegative=True)
    c = Symbol("c", real=True)
    square = a**2 * e**2 + 2 * a * (a - 1) * c + (a - 1) ** 2 * n**2
    return prove(square <= (a * q + Abs(1 - a)) ** 2 * n**2, [e <= q * n, c**2 <= e**2 * n**2], covers="biased")


@scaled.printed
def attained_by_shrinking_or_stretching() -> Evidence:
    """C(v) = (1 - q) v for a <= 1, C(v) = (1 + q) v for a >= 1: |C(v) - v| = q |v| in both."""
    a, q = symbols("a q", nonnegative=True)
    bound = (a * q + Abs(1 - a)) ** 2
    less = Implies(a <= 1, Eq((a * (1 - q) - 1) ** 2, bound))
    more = Implies(a >= 1, Eq((a * (1 + q) - 1) ** 2, bound))
    return prove(And(less, more), [q < 1], covers="attained")


@scaled.printed
def the_unbiased_case() -> Evidence:
    """compressor-remark-5 with k = 1 + omega; random-k attains omega at every v."""
    a = Symbol("a", positive=True)
    return prove(wrapped(a, m) <= 1 - (2 * a - a**2 * (1 + omega)), [m <= 1 + omega], covers="unbiased")


@scaled.printed
def scaled_in_the_library() -> Evidence:
    def pairs():
        for a in (0.25, 0.5, 1.0, 1.2):
            value = 2 * a - a * a * 2
            if value > 0:
                yield "unbiased", Scaled(RandomK(2, unbiased=True), a).delta(4), value
            yield "biased", Scaled(TopK(3), a).delta(4), 1 - (a * 0.5 + abs(1 - a)) ** 2
        yield "unbiased", RandomK(3, unbiased=True).delta(4), 1 - 1 / 3  # omega = 4/3 - 1

    return numbers_agree(pairs(), "unbiased")


blocks = Claim(
    "compressor-blockwise",
    OURS + "; Section 6.1 (layer-wise)",
    "Blockwise has delta = min_b delta_b and omega = max_b omega_b, attained if the worst block's own constant is",
)


@blocks.printed
def errors_add_up() -> Evidence:
    """Two blocks, by induction any number: (1 - D1) n1 + (1 - D2) n2 <= (1 - D)(n1 + n2) for D <= D1, D2; so for omega."""
    n1, n2, D1, D2, D, w1, w2, W = symbols("n1 n2 D1 D2 D w1 w2 W", nonnegative=True)
    smaller = (1 - D1) * n1 + (1 - D2) * n2 <= (1 - D) * (n1 + n2)
    larger = (1 + w1) * n1 + (1 + w2) * n2 <= (1 + W) * (n1 + n2)
    return prove(And(smaller, larger), [D <= D1, D <= D2, w1 <= W, w2 <= W], covers="bounds")


@blocks.printed
def one_block_alone() -> Evidence:
    """n2 = 0: what block 1 attains is the whole; C_2(0) = 0."""
    n1, D1 = symbols("n1 D1", nonnegative=True)
    return prove(Eq((1 - D1) * n1 + 0, (1 - D1) * (n1 + 0)), kind="identity", covers="attained")


@blocks.printed
def blockwise_in_the_library() -> Evidence:
    """Exact one-hot vectors in the largest block of scaled signs as well."""
    v = tuple(Fraction(int(i == 4)) for i in range(8))
    parts = exact.scaled_sign(v[:3]) + exact.scaled_sign(v[3:])
    rest = sum((a - b) ** 2 for a, b in zip(parts, v, strict=True))
    pairs = [
        ("delta", Blockwise(ScaledSign(), (3, 5)).delta(8), 1 / 5),
        ("one-hot", float(1 - rest), 1 / 5),
        ("C(0) = 0", float(np.abs(Sign(zero=1)(np.zeros(3))).sum()), 0.0),
        ("mixed", Blockwise((TopK(1), ScaledSign()), (2, 6)).delta(8), 1 / 6),
        ("omega", Blockwise(TernGrad(), (4, 9)).omega(13), 1.0),
    ]
    return numbers_agree(pairs, "bounds")


if __name__ == "__main__":
    main(__file__)
