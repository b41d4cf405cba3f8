r"""The sign operator is no compressor in the sense of Assumption A; top-k and k-PCA are, for k/d and k/min(m, n).

Statement   C is a delta-approximate compressor over Q, delta in (0, 1], if ||C(x) - x||^2 <= (1 - delta) ||x||^2 for x in Q.
            "delta = 1 implies that C(x) = x. Examples of compressors include: i) the sign operator, ii) top-k [...], iii) k-PCA
            which approximates a matrix X with its top k eigenvectors."
Source      Section 4, Assumption A and the text after it
Idea        ||sign(x) - x||^2 = ||x||^2 - 2 ||x||_1 + n(x), n = the number of entries with sign +-1. On a ray s x this is at
            least ||s x||^2 for s <= n/(2 ||x||_1): no delta > 0, for any d, x, sign(0); for large s the best delta tends to 0.
            Top-k: with m the k-th largest square, the kept ones sum to A >= k m, the others to B <= (d - k) m. For the matrix
            the same with singular values (Eckart-Young). Eigenvectors of X itself will not do: X need not have any.
Conventions Q = R^d where none is named. sign(0) is 0 or +-1, both are decided.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product

import numpy as np
from sympy import Abs, And, Eq, Implies, Matrix, Piecewise, Rational, Symbol, symbols

from efcheck.claims import Claim, main
from efcheck.compressors import LowRank, TopK, realised_delta
from efcheck.evidence import Evidence, exact, prove

SECTION = "Section 4, Assumption A"
delta = Symbol("delta", positive=True)
q = Symbol("q", nonnegative=True)  # sqrt(1 - delta)
x = Symbol("x", real=True)
Vector = tuple[Fraction, ...]


def error2(sent: Vector, v: Vector) -> Fraction:
    """||C(v) - v||^2."""
    return sum(((a - b) ** 2 for a, b in zip(sent, v, strict=True)), Fraction(0))


def norm2(v: Vector) -> Fraction:
    return error2((Fraction(0),) * len(v), v)


def library(cases, covers: str) -> Evidence:
    """(compressor, v, delta): the library's delta is this one, and v attains it."""
    worst = max(max(abs(c.delta(v.size) - want), abs(float(realised_delta(c, v)) - want)) for c, v, want in cases)
    outcome = "supported" if worst < 1e-12 else "refuted"
    return Evidence("exact", outcome, f"{len(cases)} constants of the library agree to {worst:.1g}", covers=covers)


# -- delta = 1 -----------------------------------------------------------------------------------------------------------------

identity = Claim(
    "assumption-a-identity",
    SECTION,
    "delta = 1 implies that C(x) = x [for x in Q; almost surely where C is random]",
)


@identity.printed
def no_error_is_left() -> Evidence:
    """r = ||C(x) - x||: r^2 <= 0, or E r^2 <= 0 with r >= 0; conversely the identity meets A with every delta."""
    r, size = symbols("r n", nonnegative=True)
    back = Implies(And(Eq(r, 0), delta <= 1), r**2 <= (1 - delta) * size**2)
    return prove(And(Implies(r**2 <= (1 - 1) * size**2, Eq(r, 0)), back))


# -- the sign operator ---------------------------------------------------------------------------------------------------------

sign = Claim(
    "assumption-a-sign",
    SECTION,
    "Examples of compressors include: i) the sign operator [C(x) = sign(x), over R^d, for some delta in (0, 1]]",
    repaired="C(x) = sign(x) has no delta over any Q with a whole ray {s x: s > 0}; over Q it has delta iff 2 ||x||_1 - n(x) "
    ">= delta ||x||^2 on Q, n(x) the number of entries with sign +-1: as where each |x_i| is in [1/(1+q), 1/(1-q)], q = "
    "sqrt(1-delta). Scaled by ||x||_1/d it is one over R^d (Lemma 8)",
    expect="refuted",
)


def sign_of(v, zero):
    """sign(v) with sign(0) = zero."""
    return Piecewise((1, v > 0), (-1, v < 0), (zero, True))


def sign_error2(one, two, entries):
    """||sign(x) - x||^2 from ||x||_1, ||x||^2 and the number of entries with sign +-1."""
    return two - 2 * one + entries


@sign.printed
def a_short_vector() -> Evidence:
    """d = 1, so that sign(0) does not matter: 1/4 moves to 1, three times as far as 0 is; for every delta at once."""
    far = prove(((sign_of(x, 0) - x) ** 2 > (1 - delta) * x**2).subs(x, Rational(1, 4)), [delta <= 1])
    outcome = "refuted" if far.outcome == "proved" else "supported"
    detail = "d = 1, x = 1/4: (sign(x) - x)^2 = 9/16 > (1 - delta)/16 for every delta in (0, 1]"
    return Evidence("witness", outcome, detail, {"x": "1/4"})


@sign.picture
def the_error_along_a_ray(ax):
    scale = np.geomspace(0.2, 20, 300)
    for entries, n, look in (((1,) * 4, 4, "-"), ((1, 0, 0, 0), 1, "--"), ((1, 0, 0, 0), 4, ":")):
        size, square = sum(entries) * scale, sum(entries) * scale**2  # ||x||_1 and ||x||^2
        name = f"$x = s\\,({', '.join(map(str, entries))})$" + ("" if n == sum(entries) else ", sign(0) = 1")
        ax.plot(scale, sign_error2(size, square, n) / square, linestyle=look, label=name)
    ax.axhline(1, color="#6A6A6A", linewidth=0.8)
    ax.set(
        xscale="log", yscale="log", xlabel="$s$ (log)", ylabel=r"$\|\mathrm{sign}(x) - x\|^2/\|x\|^2$ (log)", ylim=(1e-2, 30)
    )
    ax.legend(loc="lower right", fontsize=6)
    return (
        "Along every ray the sign operator's relative error is above 1 for short vectors and tends to 1 for long ones, "
        "while Assumption A asks for at most 1 - delta < 1 everywhere."
    )


@sign.printed
def short_and_long_vectors_of_every_small_dimension() -> Evidence:
    """d = 1, ..., 6: (1/4, ..., 1/4) has the error 9 ||x||^2, (1000, ..., 1000) leaves delta <= 1 - (999/1000)^2."""
    errors = []
    for d in range(1, 7):
        for c in (Fraction(1, 4), Fraction(1000)):
            v = (c,) * d
            errors.append(error2(tuple(exact.sign(c, 1) for c in v), v) / norm2(v))
    detail = f"x = (1/4, ..., 1/4): ||sign(x) - x||^2 = {errors[0]} ||x||^2; x = (1000, ..., 1000): delta <= {1 - errors[1]}"
    outcome = "refuted" if min(errors[::2]) >= 1 else "supported"
    return Evidence("witness", outcome, detail, {"ratios": errors})


@sign.repaired
def the_error_in_three_numbers() -> Evidence:
    """Entry by entry: (sign(x) - x)^2 = x^2 - 2|x| + sign(x)^2, for sign(0) = 0, 1 and -1. Summed: sign_error2."""
    each = And(*(Eq((sign_of(x, z) - x) ** 2, sign_error2(Abs(x), x**2, sign_of(x, z) ** 2)) for z in (0, 1, -1)))
    one, two, n = symbols("N1 N2 n", positive=True)
    as_stated = Eq(two - sign_error2(one, two, n) - delta * two, 2 * one - n - delta * two)  # its sign decides A
    return prove(And(each, as_stated), covers="iff")


@sign.repaired
def no_ray_fits() -> Evidence:
    """N1 = ||x||_1 > 0, N2 = ||x||^2, n >= 1: at s = n/(2 N1) the error of s x is ||s x||^2 > (1-delta) ||s x||^2."""
    one, two, n = symbols("N1 N2 n", positive=True)
    s = n / (2 * one)
    return prove(sign_error2(s * one, s**2 * two, n) > (1 - delta) * s**2 * two, [delta <= 1], covers="no ray")


@sign.repaired
def a_band_fits() -> Evidence:
    """|x| = a: |1 - a| <= q a iff a is in [1/(1+q), 1/(1-q)] (q < 1); entries add up."""
    a = Symbol("a", positive=True)
    inside = And(a >= 1 / (1 + q), a <= 1 / (1 - q))
    fits = (1 - a) ** 2 <= (1 - (1 - q**2)) * a**2
    return prove(And(Implies(inside, fits), Implies(fits, inside)), [q < 1], covers="band")


@sign.repaired
def scaling_mends_it() -> Evidence:
    """c = ||x||_1/d, sign(0) = +-1: error = N2 - 2 c N1 + d c^2 = N2 - N1^2/d <= (1 - 1/d) N2, as N1^2 >= N2."""
    one, two = symbols("N1 N2", positive=True)
    d = Symbol("d", positive=True)
    c = one / d
    return prove(two - 2 * c * one + d * c**2 <= (1 - 1 / d) * two, [d >= 1, one**2 >= two], covers="scaled")


# -- top-k ---------------------------------------------------------------------------------------------------------------------

top = Claim(
    "assumption-a-top-k",
    SECTION,
    "Examples of compressors include: ii) top-k which selects k coordinates with the largest absolute value",
    repaired="it is a k/d-approximate compressor over R^d, and no delta > k/d will do: where all |x_i| are equal the error is "
    "exactly (1 - k/d) ||x||^2",
)


@top.printed
@top.repaired
def the_kept_squares_are_the_larger_ones() -> Evidence:
    """A = the kept squares' sum, B the others', m = the k-th largest square: A >= k m, B <= (d - k) m. B is the error."""
    A, B, m = symbols("A B m", nonnegative=True)
    k, d = symbols("k d", positive=True)
    return prove((1 - k / d) * (A + B) >= B, [k <= d, k * m <= A, (d - k) * m >= B], covers="delta = k/d")


@top.repaired
def equal_entries_attain_it() -> Evidence:
    """d entries of square m > 0: the error is (d - k) m, of d m."""
    m = Symbol("m", positive=True)
    k, d = symbols("k d", positive=True)
    attained = Eq((d - k) * m, (1 - k / d) * d * m)
    larger = (d - k) * m > (1 - delta) * d * m
    return prove(And(attained, Implies(delta > k / d, larger)), [k <= d], covers="no more")


@top.repaired
def all_small_integer_vectors() -> Evidence:
    """Entries 0, ..., 3 in R^1, ..., R^4, every k, exactly."""
    least: dict[tuple[int, int], Fraction] = {}
    for d in range(1, 5):
        for v in product((0, 1, 2, 3), repeat=d):
            point = tuple(map(Fraction, v))
            for k in range(1, d + 1):
                if any(v):
                    share = 1 - error2(exact.top_k(point, k), point) / norm2(point)
                    least[k, d] = min(least.get((k, d), share), share)
    wrong = {key: share for key, share in least.items() if share != Fraction(*key)}
    outcome = "refuted" if wrong else "supported"
    detail = f"the least delta on the grids is k/d for all {len(least)} pairs" if not wrong else f"{wrong}"
    return Evidence("exact", outcome, detail, covers="delta = k/d")


@top.repaired
def top_k_in_the_library() -> Evidence:
    """TopK's delta, and what it realises at equal entries, d = 1, ..., 6, to 1e-12: rounding of sums of 6 squares."""
    pairs = [(TopK(k), np.ones(d), k / d) for d in range(1, 7) for k in range(1, d + 1)]
    return library(pairs, "delta = k/d")


# -- k-PCA ---------------------------------------------------------------------------------------------------------------------

pca = Claim(
    "assumption-a-k-pca",
    SECTION,
    "Examples of compressors include: iii) k-PCA which approximates a matrix X with its top k eigenvectors [those of X^T X]",
    repaired="in the Frobenius norm, X of size m x n, it is a k/min(m, n)-approximate compressor, no larger delta will do; "
    "on matrices of rank at most r it is k/r",
)


@pca.printed
@pca.repaired
def the_kept_singular_values_are_the_larger_ones() -> Evidence:
    """X V V^T, V = the top k eigenvectors of X^T X, has the error sum_{i>k} s_i^2 (Eckart-Young): top-k on s, d -> r."""
    A, B, m = symbols("A B m", nonnegative=True)
    k, r = symbols("k r", positive=True)
    return prove((1 - k / r) * (A + B) >= B, [k <= r, k * m <= A, (r - k) * m >= B], covers="delta = k/min(m, n)")


@pca.repaired
def a_matrix_of_equal_singular_values_attains_it() -> Evidence:
    """The identity padded with zeros: X V V^T for any k unit vectors V drops r - k of its r ones; m, n <= 3, exactly."""
    good = []
    for m, n in product((1, 2, 3), repeat=2):
        r, X = min(m, n), Matrix(m, n, lambda i, j: int(i == j))
        for k in range(1, r + 1):
            for kept in combinations(range(r), k):
                V = Matrix(n, k, lambda i, j, kept=kept: int(i == kept[j]))
                rest = X - X * V * V.T
                good.append(sum(c * c for c in rest) == r - k)  # (1 - k/r) ||X||^2
    return prove(And(*map(bool, good)), kind="identity", covers="no more")


@pca.repaired
def random_matrices_agree(seed: int = 0) -> Evidence:
    """The library's LowRank against numpy's eigenvectors of X^T X, 200 random 3 x 4 matrices, to 1e-9: far above rounding."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((200, 3, 4)) * 10.0 ** rng.integers(-3, 4, (200, 1, 4))
    found = realised_delta(LowRank(1, (3, 4)), X.reshape(200, 12))
    V = np.linalg.eigh(np.swapaxes(X, 1, 2) @ X)[1][:, :, -1:]
    rest = np.square(X - X @ V @ np.swapaxes(V, 1, 2)).sum((1, 2)) / np.square(X).sum((1, 2))
    good = (found >= 1 / 3 - 1e-9).all() and np.allclose(found, 1 - rest, atol=1e-9)
    detail = f"LowRank(1, (3, 4)) is X v v^T, v the top eigenvector of X^T X; least delta {found.min():.3f}"
    return Evidence("search", "supported" if good else "refuted", detail, covers="delta = k/min(m, n)")


@pca.repaired
def rank_k_in_the_library() -> Evidence:
    """LowRank's delta, and what it realises at the padded identity, m, n = 1, ..., 5."""
    sizes = [(m, n) for m in range(1, 6) for n in range(1, 6)]
    cases = [(k, m, n) for m, n in sizes for k in range(1, min(m, n) + 1)]
    return library([(LowRank(k, (m, n)), np.eye(m, n).ravel(), k / min(m, n)) for k, m, n in cases], "delta = k/min(m, n)")


eigen = Claim(
    "assumption-a-eigenvectors",
    SECTION,
    "k-PCA which approximates a matrix X with its top k eigenvectors [its own: sum_{i<=k} lambda_i u_i u_i^T, X square]",
    repaired="true for symmetric X if 'top' means the largest |lambda_i|, with delta = k/d; else take singular vectors",
    expect="refuted",
)


def largest(values, key):
    """The largest eigenvalue by `key`, and the squared error when its rank-1 part approximates diag(values)."""
    best = max(values, key=key)
    return best, sum(c * c for c in values) - best * best


@eigen.printed
def a_matrix_whose_eigenvalues_are_zero() -> Evidence:
    """X = ((0, 1), (0, 0)): characteristic polynomial lambda^2, so its approximation is 0 and the error ||X||^2 = 1."""
    X = Matrix([[0, 1], [0, 0]])
    values = X.eigenvals()
    approximation = sum((value * Matrix.ones(2, 2) for value in values), Matrix.zeros(2, 2))  # 0 whatever u_i is
    rest = X - approximation
    left, size = sum(c * c for c in rest), sum(c * c for c in X)
    detail = f"X = ((0, 1), (0, 0)): all eigenvalues are 0, the approximation is 0, the error {left} of ||X||^2 = {size}"
    return Evidence("witness", "refuted" if left >= size else "supported", detail, {"error": left, "norm2": size})


@eigen.printed
def a_negative_eigenvalue() -> Evidence:
    """X = diag(0, -1), symmetric: the largest eigenvalue is 0."""
    values = (Fraction(0), Fraction(-1))
    best, left = largest(values, lambda value: value)
    detail = f"X = diag(0, -1), k = 1: the largest eigenvalue is {best}, the approximation 0, the error {left} of ||X||^2 = 1"
    return Evidence("witness", "refuted" if left >= 1 else "supported", detail)


@eigen.repaired
def by_magnitude_they_are_singular_values() -> Evidence:
    """X symmetric: s_i = |lambda_i| with the same vectors, so the error is the sum of the smaller squares: top-k on lambda."""
    return the_kept_singular_values_are_the_larger_ones().covering("symmetric")


@eigen.repaired
def on_small_diagonals() -> Evidence:
    """diag(a, b), a, b in {-3, ..., 3}: by magnitude the error is at most half of ||X||^2."""
    pairs = [(Fraction(a), Fraction(b)) for a, b in product(range(-3, 4), repeat=2) if a or b]
    good = all(2 * largest(pair, abs)[1] <= norm2(pair) for pair in pairs)
    return Evidence("exact", "supported" if good else "refuted", f"{len(pairs)} diagonals", covers="symmetric")


if __name__ == "__main__":
    main(__file__)
