r"""Theorem IV is true from x_0 = 0; its identity has two signs wrong in the text at hand, and x_0 is essential.

Statement   Algorithm 2 from x_0 = 0, G_t = [g_0, ..., g_{t-1}]: ||x_t - Pi x_t||^2 <= ||e_t||^2, Pi the projection onto Im G_t.
            "The theorem follows directly from observing that (x_{t+1} + e_{t+1}) = (x_0 + sum gamma g_i), and hence lies in
            the linear span of the gradients."
Source      Section 5.1, Theorem IV and the sentences after it
Idea        With e in the unit of x, x_{t+1} - e_{t+1} = (x_t - D) - (p_t - D) = x_t - e_t - gamma_t g_t, whatever D = C(p_t)
            and gamma_t are: by induction x_t - e_t = x_0 - sum_{i<t} gamma_i g_i. For x_0 = 0 this is a point s of Im G_t, and
            no point of a subspace is nearer to x_t than Pi x_t: x_t - Pi x_t is orthogonal to Pi x_t - s. More is true: the
            parts of x_t and e_t outside Im G_t are *equal*, so equality holds if and only if e_t is orthogonal to Im G_t.
            At t = 0 the span is {0} and both sides are 0. No step uses what C is, not even a contraction.
Conventions e in the unit of x; the compressors of the witnesses are exact top-k, scaled sign (sign(0) = 1), and q-turns.
            The text at hand was read by a machine and loses some signs: what rests on one sign or letter says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
from sympy import And, Eq, Implies, Matrix, Symbol, symbols

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.compressors import LowRank, ScaledSign, TopK
from efcheck.evidence import Evidence, exact, prove
from efcheck.methods import EFSGD
from efcheck.problems import LeastSquares, SignAligned, wilson_data
from efcheck.simulate import simulate

SECTION = "Section 5.1, Theorem IV"
span = content.load(Path(__file__).with_name("_span.py"))
x, e, g, sent, x0, total, gamma = span.x, span.e, span.g, span.sent, span.x0, span.total, span.gamma
delta = Symbol("delta", positive=True)
Vector = tuple[Fraction, ...]


def turn(q: Fraction) -> Callable[[Vector], Vector]:
    """C(p) = p - q p', p' = p turned by 90 degrees: ||C(p) - p|| = q ||p||, a compressor with delta = 1 - q^2 in R^2."""
    return lambda p: (p[0] + q * p[1], p[1] - q * p[0])


def script(gradients: Sequence[Sequence[int]]):
    """A stochastic gradient that answers g_t whatever x is."""
    return lambda t, x: gradients[t]


def same(left, right):
    return And(*(Eq((a - b).expand(), 0) for a, b in zip(left, right, strict=True)))


# -- the identity, and the theorem -----------------------------------------------------------------------------------------

identity = Claim(
    "theorem-4-identity",
    SECTION,
    "(x_{t+1} + e_{t+1}) = (x_0 + sum_{i=0}^t gamma g_i) [as in the text at hand: both signs are +]",
    repaired="x_{t+1} - e_{t+1} = x_0 - sum_{i=0}^t gamma_i g_i, for every compressor and every step sequence",
    expect="refuted",
)


@identity.printed
def not_even_after_one_step() -> Evidence:
    """t = 0, e_0 = 0, with a message that respects Assumption A."""
    first, memory = span.begin()
    after, left, p = (v.subs({x: first, e: memory}) for v in span.step())
    contraction = [delta <= 1, (sent - p) ** 2 <= (1 - delta) * p**2]
    text = "x_1 + e_1 = x_0 + gamma g_0, as in the text at hand: both signs are +"
    return span.named(text, prove(Eq(after + left, x0 + gamma * g), contraction))


@identity.repaired
def it_starts_at_x_0() -> Evidence:
    """e_0 = 0 and the empty sum; the first step is that of the induction."""
    return span.base_case()


@identity.repaired
def and_each_step_adds_its_gradient() -> Evidence:
    return span.induction_step("induction over t")


theorem = Claim(
    "theorem-4",
    SECTION,
    "Algorithm 2 from x_0 = 0, for t iterations: ||x_t - Pi x_t||^2 <= ||e_t||^2, Pi the projection onto the range of G_t",
    repaired="sharper, for any steps gamma_t and any map C: the parts of x_t and e_t outside the span are equal, x_t - Pi x_t "
    "= e_t - Pi e_t; so ||x_t - Pi x_t|| <= ||e_t||, with equality iff e_t is orthogonal to the span",
)


@theorem.printed
@theorem.repaired
def x_minus_e_stays_in_the_span() -> Evidence:
    return span.induction_step("x_t - e_t in the span")


@theorem.printed
@theorem.repaired
def it_starts_in_the_span() -> Evidence:
    """x_0 = 0 and e_0 = 0: the span of no gradient is {0}."""
    return span.base_case("x_0 - e_0 in the span")


@theorem.printed
def no_point_of_the_span_is_nearer() -> Evidence:
    return span.nearest_point()


@theorem.repaired
def projecting_the_identity_leaves_the_parts_outside() -> Evidence:
    """I - Pi is linear and kills the span. On the line of g: (I - Pi)(e - S g) = (I - Pi) e, in R^2; also Pythagoras."""
    e1, e2, g1, g2, s = symbols("e1 e2 g1 g2 s", real=True)
    E, G = Matrix([e1, e2]), Matrix([g1, g2])

    def outside(v):
        return v * G.dot(G) - G * v.dot(G)

    equal = same(outside(E - s * G), outside(E))
    pythagoras = Eq((G.dot(G) * E.dot(E) - E.dot(G) ** 2 - outside(E).dot(outside(E)) / G.dot(G)).simplify(), 0)
    text = "(I - Pi)(e - S g) = (I - Pi) e and ||e||^2 - ||Pi e||^2 = ||(I - Pi) e||^2"
    return span.named(text, prove(And(equal, pythagoras), kind="identity", covers="projection"))


def exact_runs(holds) -> Evidence:
    """All scripts of two gradients from {-1, 0, 1}^3 \\ {0} up to sign, steps 1 and 1/2, exact top-1, top-2 and scaled sign."""
    choices = [v for v in product((-1, 0, 1), repeat=3) if v > (0, 0, 0)]
    rules = (lambda p: exact.top_k(p, 1), lambda p: exact.top_k(p, 2), exact.scaled_sign)
    checked = 0
    for picks, rule in product(product(choices, repeat=2), rules):
        xs, es = exact.ef_sgd(script(picks), (0, 0, 0), [1, Fraction(1, 2)], rule)
        for t in range(3):
            checked += 1
            if not holds(span.off_span(xs[t], picks[:t]), es[t], picks[:t]):
                data = {"x": xs[t], "e": es[t], "g": picks[:t]}
                return Evidence("witness", "refuted", f"fails at t = {t}: x = {xs[t]}, e = {es[t]}, g = {picks[:t]}", data)
    return Evidence("exact", "supported", f"holds in {checked} exact points of runs in R^3")


@theorem.printed
def exact_runs_agree() -> Evidence:
    return exact_runs(lambda rest, memory, _: span.dot(rest, rest) <= span.dot(memory, memory)).covering("nearest point")


@theorem.repaired
def the_parts_outside_coincide_in_exact_runs() -> Evidence:
    return exact_runs(lambda rest, memory, gs: rest == span.off_span(memory, gs)).covering("projection")


def instances(seed: int):
    """(name, problem, compressor, step): small versions of the paper's problems."""
    rng = np.random.default_rng(seed)
    A, y, _, _ = wilson_data(8, rng)
    over = LeastSquares(rng.standard_normal((4, 12)), np.sign(rng.standard_normal(4)), mean=True)
    aligned = SignAligned(np.abs(rng.standard_normal((3, 12))) + 0.1, b=np.array([1.0, -1.0, 1.0]))
    compressors = (ScaledSign(), TopK(2), LowRank(1, (3, 4)))
    yield from ((f"least squares, {c}", over, c, 0.2 / over.L) for c in compressors)
    yield from ((f"sign-aligned, {c}", aligned, c, 0.02 / aligned.L) for c in compressors)
    for wide in (ScaledSign(), TopK(3), LowRank(1, (6, 8))):
        problem = LeastSquares(A, y, mean=True)
        yield f"Wilson data, {wide}", problem, wide, 0.2 / problem.L


@theorem.printed
def simulated_runs_agree(seed: int = 0) -> Evidence:
    """Every step of every run; 1e-9 of the largest iterate is far above rounding and far below the distances."""
    closest, checked = 0.0, 0
    for name, problem, compressor, size in instances(seed):
        trace = simulate(problem, EFSGD(size, compressor), 60, runs=2, seed=seed, record=("span_distance", "e_norm", "x"))
        tolerance = 1e-9 * np.linalg.norm(trace["x"], axis=-1).max()
        excess = float((trace["span_distance"] - trace["e_norm"]).max()) / float(tolerance)
        if excess > 1:
            detail = f"{name}: the distance exceeds ||e_t|| by {excess:.3g} times the tolerance of 1e-9 max ||x||"
            return Evidence("search", "refuted", detail, {"excess": excess}, covers="nearest point")
        ratio = trace["span_distance"][1:] / np.maximum(trace["e_norm"][1:], tolerance)
        closest, checked = max(closest, float(ratio.max())), checked + ratio.size
    detail = f"distance <= ||e_t|| at {checked} steps of 9 instances, at most {closest:.3f} ||e_t||"
    return Evidence("search", "supported", detail, {"closest": closest}, covers="nearest point")


tight = Claim(
    "theorem-4-tight",
    "Section 5.1, Theorem IV (ours: is the constant 1 needed?)",
    "the bound of Theorem IV is attained with e_t != 0, for every delta in (0, 1)",
)


@tight.printed
def a_turned_message_attains_it() -> Evidence:
    """t = 1, C = turn(q): e_1 is q gamma g_0 turned by 90 degrees, orthogonal to the span of g_0; delta = 1 - q^2."""
    g1, g2 = symbols("g1 g2", real=True)
    q = Symbol("q", positive=True)
    p = (gamma * g1, gamma * g2)
    memory = [a - b for a, b in zip(p, turn(q)(p), strict=True)]
    length = memory[0] ** 2 + memory[1] ** 2
    orthogonal = Eq((memory[0] * g1 + memory[1] * g2).expand(), 0)
    contraction = Eq((length - q**2 * (p[0] ** 2 + p[1] ** 2)).expand(), 0)
    nonzero = Implies(And(gamma > 0, g1 > 0), length > 0)
    text = "<e_1, g_0> = 0, ||p_0 - C(p_0)|| = q ||p_0|| and e_1 != 0 for gamma, g_1 > 0"
    return span.named(text, prove(And(orthogonal, contraction, nonzero), [q < 1]))


# -- what the theorem needs ------------------------------------------------------------------------------------------------

start = Claim(
    "theorem-4-start",
    "Section 5.1, Theorem IV (ours: without x_0 = 0)",
    "from any x_0: x_0 + sum gamma g_i lies in the linear span of the gradients",
    repaired="x_t - e_t - x_0 does; so ||(I - Pi)(x_t - x_0)|| <= ||e_t||, and ||x_t - Pi x_t|| <= ||e_t|| + ||x_0 - Pi x_0||",
    expect="refuted",
)


def after_one_step(start_at: Sequence[int], rule) -> tuple[Vector, Vector, Vector]:
    """f = (x_1 - 1)^2 on R^2, gamma = 1/2: x_1, e_1 and g_0 of Algorithm 2."""

    def gradient(t: int, z: Vector) -> Vector:
        return (2 * (z[0] - 1), Fraction(0))

    xs, es = exact.ef_sgd(gradient, start_at, [Fraction(1, 2)], rule)
    return xs[1], es[1], gradient(0, xs[0])


@start.printed
def not_from_elsewhere() -> Evidence:
    """Without compression: x_1 = (1, 1) from x_0 = (0, 1), the span is the first axis, e_1 = 0."""
    after, memory, gradient = after_one_step((0, 1), lambda p: p)
    off = span.distance2(after, gradient)
    outcome = "refuted" if off > span.dot(memory, memory) else "supported"
    detail = f"f = (x_1 - 1)^2, A = (1, 0), no compression, x_0 = (0, 1): distance^2 = {off} after one step, ||e_1||^2 = 0"
    return Evidence("witness", outcome, detail, {"x": after, "e": memory, "g": gradient})


@start.repaired
def nothing_is_displaced_at_first() -> Evidence:
    return span.base_case("x_0 - e_0 - x_0 = 0")


@start.repaired
def the_displacement_is_in_it() -> Evidence:
    return span.induction_step("x_t - e_t - x_0 in the span")


@start.repaired
def and_the_start_adds_its_own_distance() -> Evidence:
    """r = (I - Pi)(x_t - x_0), z = (I - Pi) x_0: (||r + z||)^2 <= (||e|| + ||z||)^2 if ||r|| <= ||e||; c = <r, z>."""
    r, z, m = symbols("r z m", nonnegative=True)
    c = Symbol("c", real=True)
    text = "||(I - Pi)(x_t - x_0) + (I - Pi) x_0|| <= ||e_t|| + ||x_0 - Pi x_0||"
    return span.named(text, prove(r**2 + 2 * c + z**2 <= (m + z) ** 2, [r <= m, c**2 <= r**2 * z**2], covers="triangle"))


domain = Claim(
    "theorem-4-domain",
    SECTION,
    "Pi_{G_t}: R^n -> Im(G_t), applied to x_t [as in the text at hand: the letter is n]",
    repaired="Pi: R^d -> Im(G_t), G_t = [g_0, ..., g_{t-1}] with the gradients as columns (n, the rows of A, plays no part)",
    expect="refuted",
)


def shape_of_projection(n: int, d: int) -> tuple[int, int]:
    """The matrix of Pi for one gradient of a least-squares problem with n rows in R^d: G G^+."""
    A = Matrix(n, d, lambda i, j: 1 + i * d + j)
    G = A.T * (A * Matrix.zeros(d, 1) - Matrix.ones(n, 1))
    projection = G * (G.T * G).inv() * G.T
    return projection.shape


@domain.printed
def it_takes_vectors_of_length_d() -> Evidence:
    rows, columns = shape_of_projection(1, 2)
    outcome = "refuted" if columns != 1 else "supported"
    return Evidence("witness", outcome, f"as in the text at hand, R^n; n = 1, d = 2: Pi is {rows} x {columns}, x_t in R^2")


@domain.repaired
def for_every_small_shape() -> Evidence:
    """G is d x t by definition, so G G^+ is d x d: here for t = 1."""
    shapes = {(n, d): shape_of_projection(n, d) for n in (1, 2, 3) for d in (2, 3, 4)}
    good = all(shape == (d, d) for (_, d), shape in shapes.items())
    return Evidence("exact", "proved" if good else "refuted", "G G^+ is d x d for n = 1, 2, 3 and d = 2, 3, 4")


constrained = Claim(
    "theorem-4-constrained",
    "Section 5.1, Theorem IV (ours: with the projections of Section 3's constrained examples)",
    "||x_t - Pi x_t|| <= ||e_t|| also for x_{t+1} = project(x_t - C(p_t)) onto a convex set, from x_0 = 0",
    repaired="with r_i = x_{i+1} - (x_i - C(p_i)), what the projections moved: ||x_t - Pi x_t|| <= ||e_t + sum_{i<t} r_i||",
    expect="refuted",
)


@constrained.printed
def a_box_pulls_the_iterate_out() -> Evidence:
    """f = -2 x_1 - x_2 on [-1, 1]^2, no compression, gamma = 1."""
    gradient = (Fraction(-2), Fraction(-1))
    after = tuple(min(max(-c, Fraction(-1)), Fraction(1)) for c in gradient)
    off = span.distance2(after, gradient)
    detail = (
        f"f = -2 x_1 - x_2 on the box [-1, 1]^2, gamma = 1: x_1 = ({after[0]}, {after[1]}), distance^2 = {off} > 0 = ||e_1||^2"
    )
    return Evidence("witness", "refuted" if off > 0 else "supported", detail, {"x": after, "g": gradient})


@constrained.repaired
def nothing_is_moved_at_first() -> Evidence:
    return span.base_case("x_0 - e_0 in the span")


@constrained.repaired
def what_the_projection_moved_joins_the_memory() -> Evidence:
    """x_t - e_t - R = -S with R = sum r_i: the induction step, in each coordinate; then the nearest point as in Theorem IV."""
    moved, sum_moved = symbols("r R", real=True)
    after, memory, _ = span.step()
    left = (after + moved - memory - (sum_moved + moved)).subs(x, e + sum_moved - total)
    found = prove(Eq(left, -(total + gamma * g)), kind="identity", covers="x_t - e_t - R in the span")
    return span.named("x_t - e_t - R = -S gives x_{t+1} - e_{t+1} - (R + r_t) = -S - gamma_t g_t", found)


@constrained.repaired
def and_that_point_is_not_nearer() -> Evidence:
    return span.nearest_point()


if __name__ == "__main__":
    main(__file__)
