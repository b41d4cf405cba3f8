r"""Remark 10 is true of compressors that contract on every path; g_0 is needed, g_t is not, and the constant can be sharpened.

Statement   Algorithm 2 from x_0 = 0: "Theorem IV along with Lemma 3 implies that the iterates of Algorithm 2 are always close
            to the linear span of the gradients": ||x_t - Pi x_t||^2 <= 4 gamma^2 (1 - delta)/delta^2 max_{i in [t]} ||g_i||^2.
            (The sentences around the display: remark_10_close.py.)
Source      Section 5.1, Remark 10
Idea        Lemma 3 is about expectations and a constant sigma; the displayed bound is about one path and its largest gradient.
            For C that contracts on every path, q = sqrt(1 - delta): ||e_{t+1}|| <= q (||e_t|| + gamma_t ||g_t||), hence
            ||e_t|| <= sum_{i<t} q^{t-i} gamma_i ||g_i|| <= gamma q (1 - q^t)/(1 - q) max_{i<t} ||g_i||; squared this is
            (1 + q)^2 (1 - q^t)^2/4 <= 1 of the printed bound. Its gradients are g_0, ..., g_{t-1}: g_t is not used yet. The
            distance itself attains it, for every t, in R^2: let C(p) = (1 - q) p, which lets e grow in the span, and turn the
            last error by 90 degrees. (With C(p) = (1 - q) p alone e is as long, but in the span: distance 0.)
Conventions [t] = {0, ..., t}: the paper does not define it; its Theorem II takes the minimum over [T] of T + 1 iterates and
            divides by T + 1. e in the unit of x; sign(0) = 1 in the scaled sign, which never meets a 0 here.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from sympy import And, Eq, Max, Symbol, expand, symbols

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.compressors import LowRank, ScaledSign, TopK
from efcheck.evidence import Evidence, exact, prove
from efcheck.methods import EFSGD
from efcheck.problems import LeastSquares, SignAligned, wilson_data
from efcheck.simulate import simulate

span = content.load(Path(__file__).with_name("_span.py"))
SECTION = "Section 5.1, Remark 10"
q = Symbol("q", nonnegative=True)  # sqrt(1 - delta)
w = Symbol("w", nonnegative=True)  # q^t, in [0, 1]
gamma = Symbol("gamma", nonnegative=True)
Vector = tuple[Fraction, ...]
HALF = Fraction(1, 2)


def printed(delta, step, largest2):
    """The displayed right-hand side; largest2 = max ||g_i||^2."""
    return 4 * step**2 * (1 - delta) / delta**2 * largest2


def sharp(power):
    """||e_t|| <= gamma max ||g|| times this, power = q^t."""
    return q * (1 - power) / (1 - q)


def one_row(a: Vector) -> Callable[[int, Vector], Vector]:
    """The gradient of f = (<a, x> - 1)^2."""

    def gradient(t: int, x: Vector) -> Vector:
        r = 2 * (span.dot(a, x) - 1)
        return tuple(r * c for c in a)

    return gradient


def top_one(p: Vector) -> Vector:
    return exact.top_k(p, 1)


def late_turn(share: Fraction, threshold2: Fraction) -> Callable[[Vector], Vector]:
    """C(p) = (1 - q) p below the threshold, p - q p' from it on (p' = p turned by 90 degrees): ||C(p) - p|| = q ||p||."""

    def compress(p: Vector) -> Vector:
        if span.norm2(p) < threshold2:
            return tuple((1 - share) * c for c in p)
        return (p[0] + share * p[1], p[1] - share * p[0])

    return compress


# -- the displayed bound -------------------------------------------------------------------------------------------------------

remark = Claim(
    "remark-10",
    SECTION,
    "||x_t - Pi x_t||^2 <= 4 gamma^2 (1 - delta)/delta^2 max_{i in [t]} ||g_i||^2 [[t] = {0, ..., t}, as [T] in Theorem II; C "
    "contracts on every path]",
    repaired="sharper: ||x_t - Pi x_t|| <= gamma q (1 - q^t)/(1 - q) max_{i<t} ||g_i||, q = sqrt(1 - delta), if C contracts on "
    "every path",
)


@remark.printed
@remark.repaired
def one_step_of_the_memory() -> Evidence:
    """||e_{t+1}||^2 <= q^2 ||e_t + gamma g_t||^2 <= q^2 (||e_t|| + gamma ||g_t||)^2; c = <e_t, g_t>, Cauchy-Schwarz."""
    m, n, c = Symbol("m", nonnegative=True), Symbol("n", nonnegative=True), Symbol("c", real=True)
    square = q**2 * (m**2 + 2 * gamma * c + gamma**2 * n**2)
    found = prove(square <= q**2 * (m + gamma * n) ** 2, [c <= m * n], covers="one step")
    return span.named("q ||e_t + gamma g_t|| <= q (||e_t|| + gamma ||g_t||)", found)


@remark.printed
@remark.repaired
def solved_by_induction() -> Evidence:
    """m <= gamma G q (1 - q^t)/(1 - q) and ||g_t|| <= G give the same at t + 1; at t = 0 e_0 is 0, and so is it; w = q^t."""
    m, n, G = symbols("m n G", nonnegative=True)
    after = q * (m + gamma * n) <= gamma * G * sharp(q * w)
    start = span.begin()[1] ** 2 <= (gamma * G * sharp(1)) ** 2
    found = prove(And(start, after), [q < 1, w <= 1, n <= G, m <= gamma * G * sharp(w)], covers="induction over t")
    return span.named("||e_t|| <= gamma G q (1 - q^t)/(1 - q), t = 0 and step", found)


@remark.printed
@remark.repaired
def it_starts_in_the_span() -> Evidence:
    return span.base_case("Theorem IV, t = 0")


@remark.printed
@remark.repaired
def the_memory_bounds_the_distance() -> Evidence:
    return span.nearest_point()


@remark.printed
@remark.repaired
def x_minus_e_stays_in_the_span() -> Evidence:
    """Any C and any steps."""
    return span.induction_step("Theorem IV")


@remark.printed
def at_most_as_printed() -> Evidence:
    """delta = 1 - q^2; the ratio is (1 + q)^2 (1 - q^t)^2/4 <= 1."""
    ratio = Eq(sharp(w) ** 2 * 4, (1 + q) ** 2 * (1 - w) ** 2 * printed(1 - q**2, 1, 1))
    found = prove(And(sharp(w) ** 2 <= printed(1 - q**2, 1, 1), ratio), [q < 1, w <= 1], covers="the printed constant")
    return span.named("(q (1 - q^t)/(1 - q))^2 <= 4 (1 - delta)/delta^2", found)


@remark.printed
def one_more_gradient_does_no_harm() -> Evidence:
    """{0, ..., t} holds i < t and t; n = ||g_t||."""
    n, G, delta = symbols("n G delta", positive=True)
    found = prove(printed(delta, gamma, G**2) <= printed(delta, gamma, Max(G, n) ** 2), [delta <= 1], covers="the maximum")
    return span.named("max_{i<t} ||g_i|| <= max_{i in [t]} ||g_i||", found)


def instances(seed: int):
    """(name, problem, compressor, delta): delta is the guaranteed one, 1/d, k/d or r/min(m, n)."""
    rng = np.random.default_rng(seed)
    A, y, _, _ = wilson_data(8, rng)
    over = LeastSquares(rng.standard_normal((4, 12)), np.sign(rng.standard_normal(4)))
    aligned = SignAligned(np.abs(rng.standard_normal((3, 12))) + 0.1, b=np.array([1.0, -1.0, 1.0]))
    problems = (("least squares", over), ("sign-aligned", aligned), ("Wilson data", LeastSquares(A, y)))
    for name, problem in problems:
        for compressor in (ScaledSign(), TopK(3), LowRank(1, (3, problem.d // 3))):
            yield f"{name}, {compressor}", problem, compressor, compressor.delta(problem.d)


@remark.repaired
def simulated_runs_agree(seed: int = 0) -> Evidence:
    """Both sides at every step; the sharper bound, with a tolerance of 1e-9 of itself plus 1e-9 of the largest step."""
    closest, checked = 0.0, 0
    for name, problem, compressor, delta in instances(seed):
        step, share = 0.02 / problem.L, float(np.sqrt(1 - delta))
        trace = simulate(problem, EFSGD(step, compressor), 60, runs=2, seed=seed, record=("span_distance", "g_norm"))
        largest = np.maximum.accumulate(trace["g_norm"][:-1], axis=0)
        bound = step * largest * share * ((1 - share ** trace.t[1:]) / (1 - share))[:, None]
        distance = trace["span_distance"][1:]
        if (distance > bound * (1 + 1e-9) + 1e-9 * step * largest.max()).any():
            return Evidence("search", "refuted", f"{name}: the bound is exceeded", covers="Theorem IV")
        closest, checked = max(closest, float((distance / bound).max())), checked + distance.size
    detail = f"distance <= sharp bound at {checked} steps of 9 instances, at most {closest:.2f} of it"
    return Evidence("search", "supported", detail, {"closest": closest}, covers="Theorem IV")


@remark.picture
def distances_over_the_displayed_bound(ax):
    _, problem, _, _ = next(iter(instances(0)))
    looks = (("-", "o", ScaledSign()), ("--", "s", TopK(3)), ("-.", "^", LowRank(1, (3, problem.d // 3))))
    for look, mark, compressor in looks:
        step, delta = 0.02 / problem.L, compressor.delta(problem.d)
        trace = simulate(problem, EFSGD(step, compressor), 60, seed=0, record=("span_distance", "g_norm"))
        largest = np.maximum.accumulate(trace["g_norm"][:-1, 0])
        ratio = trace["span_distance"][1:, 0] ** 2 / printed(delta, step, largest**2)
        ax.plot(
            trace.t[1:],
            ratio,
            linestyle=look,
            marker=mark,
            markevery=12,
            label=f"{compressor.__class__.__name__}, $\\delta$ = {delta:.2g}",
        )
        share = np.sqrt(1 - delta)
        ax.plot(trace.t[1:], sharp_ratio(share, trace.t[1:]), color="#6A6A6A", linestyle=look, linewidth=0.7)
    ax.axhline(1, color="#6A6A6A", linewidth=0.8)
    ax.set(yscale="log", xlabel="$t$", ylabel=r"$\|x_t - \Pi x_t\|^2$ over the bound (log)", ylim=(1e-5, 2))
    ax.legend(loc="lower right", fontsize=6)
    return (
        f"EF-SGD on random least squares ({problem.d} unknowns, 4 points, x_0 = 0): squared distance to the span over Remark "
        "10's right side, at the guaranteed delta. It stays far below 1; the thin grey lines are the sharper bound, which "
        "other runs attain."
    )


def sharp_ratio(share, t):
    """The sharper bound, squared, over the printed one: (1 + q)^2 (1 - q^t)^2/4."""
    return (share * (1 - share**t) / (1 - share)) ** 2 / printed(1 - share**2, 1, 1)


first = Claim(
    "remark-10-first",
    "Section 5.1, Remark 10 (ours: is the first gradient needed?)",
    "the display of Remark 10 holds with [t] = {1, ..., t}, too",
    repaired="it holds with i = 0, ..., t-1, if C contracts on every path: g_0 is needed, g_t is not",
    expect="refuted",
)


@first.printed
def the_first_gradient_counts() -> Evidence:
    """f = (2 x_1 + x_2 - 1)^2, top-1 (delta = 1/2), gamma = 1/8, t = 1: x_1 has loss 0, so max_{i in {1}} ||g_i|| = 0."""
    a = (Fraction(2), Fraction(1))
    g, step = one_row(a), Fraction(1, 8)
    xs, _ = exact.ef_sgd(g, (0, 0), [step], top_one)
    left, right = span.distance2(xs[1], a), printed(HALF, step, span.norm2(g(1, xs[1])))
    detail = (
        f"f = (2 x_1 + x_2 - 1)^2, top-1, gamma = 1/8: x_1 = ({xs[1][0]}, {xs[1][1]}), distance^2 = {left}, right side {right}"
    )
    return Evidence("witness", "refuted" if left > right else "supported", detail, {"x": xs[1], "left": left, "right": right})


for part in (it_starts_in_the_span, x_minus_e_stays_in_the_span, the_memory_bounds_the_distance):
    first.repaired(part)
for part in (one_step_of_the_memory, solved_by_induction, at_most_as_printed):
    first.repaired(part)


tight = Claim(
    "remark-10-tight",
    "Section 5.1, Remark 10 (ours: the best constant)",
    "for every t >= 1 and q in (0, 1) a run in R^2 has the distance gamma q (1 - q^t)/(1 - q) ||g|| to the span at t",
)


@tight.printed
def the_memory_grows_as_fast_as_it_can() -> Evidence:
    """C = (1 - q) p on a constant gradient, unit gamma ||g||: E_{t+1} = q (E_t + 1) has E_t = sharp(q^t).

    p_t = E_t + 1 grows strictly, so the threshold ||p_{T-1}|| is first met at T - 1; the last error, turned, is q p_{T-1} long.
    """
    recursion = Eq(q * (sharp(w) + 1), sharp(q * w))
    grows = sharp(q * w) > sharp(w)
    found = prove(And(recursion, grows), [q > 0, q < 1, w > 0, w <= 1])
    return span.named("q (E_t + 1) = E_{t+1} > E_t for E_t = q (1 - q^t)/(1 - q)", found)


@tight.printed
def exact_runs_attain_it() -> Evidence:
    """f = -<g, x>, g = (-3, -4), gamma = 1/5 (gamma ||g|| = 1); q = 1/4, 1/2, 3/4; t = 1, ..., 7."""
    g, count = (Fraction(-3), Fraction(-4)), 0
    for share in (Fraction(1, 4), HALF, Fraction(3, 4)):
        for T in range(1, 8):
            limit = (1 - share**T) / (1 - share)  # ||p_{T-1}||
            xs, es = exact.ef_sgd(lambda t, x: g, (0, 0), [Fraction(1, 5)] * T, late_turn(share, limit**2))
            if not span.distance2(xs[T], g) == span.norm2(es[T]) == (share * limit) ** 2:
                return Evidence("witness", "refuted", f"q = {share}, t = {T}: distance^2 = {span.distance2(xs[T], g)}")
            count += 1
    return Evidence("exact", "supported", f"attained in {count} exact runs")


random = Claim(
    "remark-10-random",
    "Section 5.1, Remark 10 with Assumption A (randomized compressors are allowed, in expectation)",
    "for a randomized compressor, too: ||x_t - Pi x_t||^2 <= 4 gamma^2 (1 - delta)/delta^2 max ||g_i||^2",
    repaired="in expectation: E||x_t - Pi x_t||^2 <= (gamma q (1 - q^t)/(1 - q))^2 sigma^2 if E||g_i||^2 <= sigma^2; on paths "
    "there is no bound: f = x_1 + x_2, gamma = 1, random-1 has distance^2 = t^2/2 with probability 2^-t at least, for every t",
    expect="refuted",
)


UNLUCKY = (Fraction(1), Fraction(1))  # the gradient of f = x_1 + x_2


def keep_second(p):
    """Random-1 in R^2 (delta = 1/2) when it keeps entry 2, w.p. 1/2; the entries may be symbols."""
    return (Fraction(0), p[1])


def unlucky_path(T: int) -> Fraction:
    """distance^2 of x_T, gamma = 1, when entry 2 is kept each time."""
    xs, _ = exact.ef_sgd(lambda t, x: UNLUCKY, (0, 0), [1] * T, keep_second)
    return span.distance2(xs[T], UNLUCKY)


@random.printed
def an_unlucky_path_goes_beyond() -> Evidence:
    T = 6
    left, right = unlucky_path(T), printed(HALF, 1, Fraction(2))
    detail = f"f = x_1 + x_2, random-1, gamma = 1, entry 1 never sent, chance 2^-{T}: distance^2 = {left} > {right}"
    return Evidence("witness", "refuted" if left > right else "supported", detail, {"T": T, "left": left, "right": right})


@random.repaired
def theorem_4_starts() -> Evidence:
    return it_starts_in_the_span()


@random.repaired
def theorem_4_holds_for_any_map() -> Evidence:
    return x_minus_e_stays_in_the_span()


@random.repaired
def and_the_nearest_point_is_that_of_each_path() -> Evidence:
    return the_memory_bounds_the_distance()


@random.repaired
def in_root_mean_squares_it_is_the_same_step() -> Evidence:
    """m^2 = E||e_t||^2, n^2 = E||g_t||^2, c = E<e_t, g_t> <= m n; E over C given the past is q^2 ||p_t||^2 at most."""
    return one_step_of_the_memory()


@random.repaired
def and_the_same_induction() -> Evidence:
    return solved_by_induction()


@random.repaired
def the_unlucky_path_has_no_bound() -> Evidence:
    """Induction: x = (0, -s), e = (s, 0) after s steps; one step leads to s + 1, and the distance^2 from (1, 1) is s^2/2."""
    s = Symbol("s", nonnegative=True)
    at, memory, after = (0, -s), (s, 0), ((0, -s - 1), (s + 1, 0))
    p = [a + b for a, b in zip(memory, UNLUCKY, strict=True)]
    moved = [a - b for old in (at, p) for a, b in zip(old, keep_second(p), strict=True)]
    stays = [Eq(expand(a - b), 0) for a, b in zip(moved, [*after[0], *after[1]], strict=True)]
    long = Eq(expand(span.distance2(at, UNLUCKY)), s**2 / 2)
    engine = all(unlucky_path(T) == Fraction(T * T, 2) for T in range(1, 12))
    found = prove(And(*stays, long, engine), kind="identity", covers="no path bound")
    return span.named("x = (0, -s), e = (s, 0) goes on to s + 1; distance^2 = s^2/2; 11 exact runs agree", found)


if __name__ == "__main__":
    main(__file__)
