r"""Remark 10 is false with [t] = {1, ..., t} and true with {0, ..., t-1}; a smaller step need not reduce the distance.

Statement   Algorithm 2 from x_0 = 0: "Theorem IV along with Lemma 3 implies that the iterates of Algorithm 2 are always close
            to the linear span of the gradients": ||x_t - Pi x_t||^2 <= 4 gamma^2 (1 - delta)/delta^2 max_{i in [t]} ||g_i||^2.
            "This distance further reduces as the algorithm progresses since the step-size gamma is typically reduced."
Source      Section 5.1, Remark 10
Idea        Lemma 3 is about expectations and a constant sigma; the displayed bound is about one path and its largest gradient.
            For C that contracts on every path, q = sqrt(1 - delta): ||e_{t+1}|| <= q (||e_t|| + gamma_t ||g_t||), hence
            ||e_t|| <= sum_{i<t} q^{t-i} gamma_i ||g_i|| <= gamma q (1 - q^t)/(1 - q) max_{i<t} ||g_i||; squared this is
            (1 + q)^2 (1 - q^t)^2/4 <= 1 of the printed bound. Its gradients are g_0, ..., g_{t-1}: g_t is not used yet. The
            distance itself attains it, for every t, in R^2: let C(p) = (1 - q) p, which lets e grow in the span, and turn the
            last error by 90 degrees. (With C(p) = (1 - q) p alone e is as long, but in the span: distance 0.)
Conventions [t] = {1, ..., t}, as usual; e in the unit of x; sign(0) = 1 in the scaled sign, which never meets a 0 here.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from sympy import And, Eq, Symbol, symbols

from efcheck.claims import Claim, main
from efcheck.compressors import LowRank, ScaledSign, TopK
from efcheck.evidence import Evidence, exact, prove
from efcheck.methods import EFSGD
from efcheck.problems import LeastSquares, SignAligned, wilson_data
from efcheck.simulate import simulate

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


def norm2(v: Vector) -> Fraction:
    return sum((c * c for c in v), Fraction(0))


def distance2(v: Vector, a: Vector) -> Fraction:
    """From the line of a, which holds all gradients of the instances below."""
    return norm2(v) - sum((b * c for b, c in zip(v, a, strict=True)), Fraction(0)) ** 2 / norm2(a)


def one_row(a: Vector) -> Callable[[int, Vector], Vector]:
    """The gradient of f = (<a, x> - 1)^2."""

    def gradient(t: int, x: Vector) -> Vector:
        r = 2 * (sum((b * c for b, c in zip(a, x, strict=True)), Fraction(0)) - 1)
        return tuple(r * c for c in a)

    return gradient


def top_one(p: Vector) -> Vector:
    return exact.top_k(p, 1)


def late_turn(share: Fraction, threshold2: Fraction) -> Callable[[Vector], Vector]:
    """C(p) = (1 - q) p below the threshold, p - q p' from it on (p' = p turned by 90 degrees): ||C(p) - p|| = q ||p||."""

    def compress(p: Vector) -> Vector:
        if norm2(p) < threshold2:
            return tuple((1 - share) * c for c in p)
        return (p[0] + share * p[1], p[1] - share * p[0])

    return compress


# -- the displayed bound -------------------------------------------------------------------------------------------------------

remark = Claim(
    "remark-10",
    SECTION,
    "||x_t - Pi x_t||^2 <= 4 gamma^2 (1 - delta)/delta^2 max_{i in [t]} ||g_i||^2, [t] = {1, ..., t}",
    repaired="with the maximum over i = 0, ..., t-1, if C contracts on every path; sharper: ||x_t - Pi x_t|| <= "
    "gamma q (1 - q^t)/(1 - q) max_{i<t} ||g_i||, q = sqrt(1 - delta)",
    expect="refuted",
)


@remark.printed
def the_first_gradient_counts() -> Evidence:
    """f = (2 x_1 + x_2 - 1)^2, top-1 (delta = 1/2), gamma = 1/8, t = 1: x_1 has loss 0, so max_{i in {1}} ||g_i|| = 0."""
    a = (Fraction(2), Fraction(1))
    g, step = one_row(a), Fraction(1, 8)
    xs, _ = exact.ef_sgd(g, (0, 0), [step], top_one)
    left, right = distance2(xs[1], a), printed(HALF, step, norm2(g(1, xs[1])))
    detail = (
        f"f = (2 x_1 + x_2 - 1)^2, top-1, gamma = 1/8: x_1 = ({xs[1][0]}, {xs[1][1]}), distance^2 = {left}, right side {right}"
    )
    return Evidence("witness", "refuted" if left > right else "supported", detail, {"x": xs[1], "left": left, "right": right})


@remark.repaired
def one_step_of_the_memory() -> Evidence:
    """||e_{t+1}||^2 <= q^2 ||e_t + gamma g_t||^2 <= q^2 (||e_t|| + gamma ||g_t||)^2; c = <e_t, g_t>, Cauchy-Schwarz."""
    m, n, c = Symbol("m", nonnegative=True), Symbol("n", nonnegative=True), Symbol("c", real=True)
    square = q**2 * (m**2 + 2 * gamma * c + gamma**2 * n**2)
    return prove(square <= q**2 * (m + gamma * n) ** 2, [c <= m * n], covers="one step")


@remark.repaired
def solved_by_induction() -> Evidence:
    """m <= gamma G q (1 - q^t)/(1 - q) and ||g_t|| <= G give the same at t + 1; at t = 0 both are 0; w = q^t."""
    m, n, G = symbols("m n G", nonnegative=True)
    after = q * (m + gamma * n) <= gamma * G * sharp(q * w)
    start = Eq(sharp(1), 0)
    return prove(And(start, after), [q < 1, w <= 1, n <= G, m <= gamma * G * sharp(w)], covers="induction over t")


@remark.repaired
def at_most_as_printed() -> Evidence:
    """delta = 1 - q^2; the ratio is (1 + q)^2 (1 - q^t)^2/4 <= 1."""
    ratio = Eq(sharp(w) ** 2 * 4, (1 + q) ** 2 * (1 - w) ** 2 * printed(1 - q**2, 1, 1))
    return prove(And(sharp(w) ** 2 <= printed(1 - q**2, 1, 1), ratio), [q < 1, w <= 1], covers="the printed constant")


@remark.repaired
def the_memory_bounds_the_distance() -> Evidence:
    """Theorem IV: x_t - e_t is in the span (theorem_4.py), and the nearest point of the span is not farther than it."""
    x, e, g, sent, total = symbols("x e g Delta S", real=True)
    p = gamma * g + e
    after, memory = x - sent, p - sent
    return prove(Eq((after - memory).subs(x, e - total), -(total + gamma * g)), kind="identity", covers="Theorem IV")


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
    return prove(And(recursion, grows), [q > 0, q < 1, w > 0, w <= 1])


@tight.printed
def exact_runs_attain_it() -> Evidence:
    """f = -<g, x>, g = (-3, -4), gamma = 1/5 (gamma ||g|| = 1); q = 1/4, 1/2, 3/4; t = 1, ..., 7."""
    g, count = (Fraction(-3), Fraction(-4)), 0
    for share in (Fraction(1, 4), HALF, Fraction(3, 4)):
        for T in range(1, 8):
            limit = (1 - share**T) / (1 - share)  # ||p_{T-1}||
            xs, es = exact.ef_sgd(lambda t, x: g, (0, 0), [Fraction(1, 5)] * T, late_turn(share, limit**2))
            if not distance2(xs[T], g) == norm2(es[T]) == (share * limit) ** 2:
                return Evidence("witness", "refuted", f"q = {share}, t = {T}: distance^2 = {distance2(xs[T], g)}")
            count += 1
    return Evidence("exact", "supported", f"attained in {count} exact runs")


random = Claim(
    "remark-10-random",
    "Section 5.1, Remark 10 with Assumption A (randomized compressors are allowed, in expectation)",
    "for a randomized compressor, too: ||x_t - Pi x_t||^2 <= 4 gamma^2 (1 - delta)/delta^2 max ||g_i||^2",
    repaired="in expectation: E||x_t - Pi x_t||^2 <= (gamma q (1 - q^t)/(1 - q))^2 sigma^2 if E||g_i||^2 <= sigma^2; on a path "
    "there is no bound",
    expect="refuted",
)


def unlucky_path(T: int) -> Fraction:
    """distance^2 of x_T for f = x_1 + x_2, gamma = 1, and random-1 (delta = 1/2) that keeps entry 2 each time, w.p. 2^-T."""
    g = (Fraction(1), Fraction(1))
    xs, _ = exact.ef_sgd(lambda t, x: g, (0, 0), [1] * T, lambda p: (Fraction(0), p[1]))
    return distance2(xs[T], g)


@random.printed
def an_unlucky_path_goes_beyond() -> Evidence:
    T = 6
    left, right = unlucky_path(T), printed(HALF, 1, Fraction(2))
    detail = f"f = x_1 + x_2, random-1, gamma = 1, entry 1 never sent, chance 2^-{T}: distance^2 = {left} > {right}"
    return Evidence("witness", "refuted" if left > right else "supported", detail, {"T": T, "left": left, "right": right})


@random.repaired
def in_root_mean_squares_it_is_the_same_step() -> Evidence:
    """m^2 = E||e_t||^2, n^2 = E||g_t||^2, c = E<e_t, g_t> <= m n; E over C given the past is q^2 ||p_t||^2 at most."""
    return one_step_of_the_memory()


@random.repaired
def and_the_same_induction() -> Evidence:
    return solved_by_induction()


@random.repaired
def the_unlucky_path_has_no_bound() -> Evidence:
    """Entry 1 of p grows by gamma each time: p = (s + 1, 1) after s steps, distance^2 = s^2/2 from the line of (1, 1)."""
    s = Symbol("s", nonnegative=True)
    closed = Eq(s**2 - s**2 / 2, s**2 / 2)
    exact_values = all(unlucky_path(T) == Fraction(T * T, 2) for T in range(1, 12))
    return prove(And(closed, exact_values), kind="identity", covers="no path bound")


# -- "always close", "further reduces" -----------------------------------------------------------------------------------------

close = Claim(
    "remark-10-close",
    SECTION,
    "the iterates of Algorithm 2 are always close to the linear span of the gradients [relative to ||x_t||: 0 is in the span]",
    repaired="close in units of the step: within gamma q/(1 - q) max ||g_i|| for all t, while x_t may be orthogonal to it; "
    "SIGNSGD has no such bound: on f = -2 x_1 - x_2 its distance is t gamma/sqrt(5)",
    expect="refuted",
)


@close.printed
def an_iterate_can_be_orthogonal_to_it() -> Evidence:
    """q = 1/2, C(p) = p - q p', gradients c_t (1, 0) with c = 1, -5/4, gamma = 1: all of x_2 is outside the span."""
    g, scale = (Fraction(1), Fraction(0)), (Fraction(1), Fraction(-5, 4))
    xs, _ = exact.ef_sgd(lambda t, x: (scale[t], Fraction(0)), (0, 0), [1, 1], late_turn(HALF, Fraction(0)))
    left, size = distance2(xs[2], g), norm2(xs[2])
    detail = (
        f"C(p) = p - p'/2, g = (1, 0), (-5/4, 0), gamma = 1: x_2 = ({xs[2][0]}, {xs[2][1]}), distance^2 = {left} = ||x_2||^2"
    )
    return Evidence("witness", "refuted" if left == size > 0 else "supported", detail, {"x": xs[2], "left": left})


@close.repaired
def the_sharp_bound_has_a_limit() -> Evidence:
    """With remark-10: q (1 - q^t)/(1 - q) <= q/(1 - q) for all t."""
    return prove(sharp(w) <= q / (1 - q), [q < 1, w <= 1], covers="for all t")


@close.repaired
def the_orthogonal_iterate_is_exact() -> Evidence:
    found = an_iterate_can_be_orthogonal_to_it()
    return Evidence("witness", "proved" if found.outcome == "refuted" else "undecided", found.detail, covers="orthogonal")


@close.repaired
def signsgd_drifts_away() -> Evidence:
    """sign(g) = -(1, 1) at g = -(2, 1): x_t = t gamma (1, 1)."""
    t = Symbol("t", nonnegative=True)
    off = 2 * (t * gamma) ** 2 - (3 * t * gamma) ** 2 / 5
    a = (Fraction(-2), Fraction(-1))
    runs = [distance2(x, a) for x in exact.sign_sgd(lambda s, x: a, (0, 0), [1] * 9)]
    same = all(run == Fraction(s * s, 5) for s, run in enumerate(runs))
    return prove(And(Eq(off.expand(), (t * gamma) ** 2 / 5), same), kind="identity", covers="SIGNSGD")


reduces = Claim(
    "remark-10-reduces",
    SECTION,
    "this distance further reduces as the algorithm progresses since the step-size gamma is typically reduced",
    repaired="its bound follows the step with a delay: B_{t+1} = q (B_t + gamma_t G) >= q B_t, from s on B_t <= q^{t-s} B_s + "
    "q/(1-q) max_{i>=s} gamma_i G, and gamma_t -> 0 makes it tend to 0; the distance itself may rise when gamma falls",
    expect="refuted",
)


def halved():
    """EF-SIGNSGD on f = (x_1 + 2 x_2 - 1)^2, gamma = 1/4, 1/4, 1/8: distance^2 for t = 0, ..., 3, and f."""
    a = (Fraction(1), Fraction(2))
    steps = [Fraction(1, 4), Fraction(1, 4), Fraction(1, 8)]
    xs, _ = exact.ef_sgd(one_row(a), (0, 0), steps, exact.scaled_sign)
    return steps, [distance2(x, a) for x in xs]


@reduces.printed
def it_rises_when_the_step_is_halved() -> Evidence:
    steps, distances = halved()
    rises = distances[3] > distances[2] > 0 and steps[2] < steps[1]
    shown, gammas = (", ".join(map(str, values)) for values in (distances, steps))
    detail = f"EF-SIGNSGD on (x_1 + 2 x_2 - 1)^2, gamma = {gammas}: distance^2 = {shown}"
    return Evidence("witness", "refuted" if rises else "supported", detail, {"distance2": distances, "gamma": steps})


@reduces.repaired
def the_old_share_decays_and_the_new_one_is_small() -> Evidence:
    """B <= w B_s + q/(1-q) h with gamma_t G <= h gives q (B + gamma_t G) <= q w B_s + q/(1-q) h; at t = s w = 1."""
    now, then, new, h = symbols("B B_s n h", nonnegative=True)
    tail = q * h / (1 - q)
    slow = q * (now + new) >= q * now
    near = q * (now + new) <= q * w * then + tail
    return prove(And(slow, near), [q < 1, w <= 1, new <= h, now <= w * then + tail], covers="bound")


@reduces.repaired
def the_bound_is_the_sum_of_all_old_steps() -> Evidence:
    """||e_t|| <= sum_{i<t} q^{t-i} gamma_i ||g_i|| = S_t: S_{t+1} = q (S_t + gamma_t ||g_t||), with remark-10's one step."""
    m, S, n = symbols("m S n", nonnegative=True)
    return prove(q * (m + gamma * n) <= q * (S + gamma * n), [q < 1, m <= S], covers="bound, one step")


@reduces.repaired
def it_may_rise() -> Evidence:
    found = it_rises_when_the_step_is_halved()
    return Evidence("witness", "proved" if found.outcome == "refuted" else "undecided", found.detail, covers="may rise")


current = Claim(
    "remark-10-current-step",
    SECTION,
    "with reduced steps: ||x_t - Pi x_t||^2 <= 4 gamma^2 (1 - delta)/delta^2 max ||g_i||^2, gamma the step in use at t",
    repaired="with gamma the largest step so far, max_{i<t} gamma_i",
    expect="refuted",
)


@current.printed
def the_memory_keeps_the_old_step() -> Evidence:
    """f = -4 x_1 - 2 x_2 - x_3, top-1 (delta = 1/3), gamma = 1, then 1/100."""
    a, steps = (Fraction(-4), Fraction(-2), Fraction(-1)), [Fraction(1), Fraction(1, 100)]
    xs, _ = exact.ef_sgd(lambda t, x: a, (0, 0, 0), steps, top_one)
    left, right = distance2(xs[2], a), printed(Fraction(1, 3), steps[-1], norm2(a))
    detail = f"f = -4 x_1 - 2 x_2 - x_3, top-1, gamma = 1, 1/100: distance^2 = {left} = {float(left):.3f}, right side {right}"
    return Evidence("witness", "refuted" if left > right else "supported", detail, {"x": xs[2], "left": left, "right": right})


@current.repaired
def the_largest_step_will_do() -> Evidence:
    """The induction of remark-10 with gamma_t <= gamma."""
    m, n, G, step = symbols("m n G gamma_t", nonnegative=True)
    after = q * (m + step * n) <= gamma * G * sharp(q * w)
    hypotheses = [q < 1, w <= 1, n <= G, step <= gamma, m <= gamma * G * sharp(w)]
    return prove(after, hypotheses, covers="induction over t")


@current.repaired
def and_that_is_at_most_as_printed() -> Evidence:
    return at_most_as_printed()


if __name__ == "__main__":
    main(__file__)
