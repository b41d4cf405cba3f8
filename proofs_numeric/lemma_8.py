r"""Lemma 8 holds vector by vector; over R^d the constant is 1/d. By layer it is 1/max d_i, and never less than phi.

Statement   C(v) = (||v||_1/d) sign(v) is a phi(v) = ||v||_1^2/(d ||v||_2^2) compressor; "if v had only one non-zero element,
            the value of delta for EF-SIGNSGD could be as bad as 1/d"; what matters is "the density of the error-corrected
            gradient g_t + e_t"; the experiments apply C layer by layer.
Source      Section 4.1, Lemma 8 and after it; Figure 2, caption; Section 6.1
Idea        With N1 = ||v||_1, N2 = ||v||^2, z zeros: <C(v), v> = N1^2/d, ||C(v)||^2 = N1^2/d for sign(0) = +-1, and (d - z)/d
            of it for sign(0) = 0. So ||C(v) - v||^2 = (1 - phi) N2, less z N1^2/d^2 in the second case. phi is in [1/d, 1], no
            constant, and 0/0 at v = 0. By layer sum_b N1_b^2/d_b >= N1^2/d (Cauchy-Schwarz): the same phi is valid there.
            C acts on gamma g_t + e_t: with e in the unit of x, g_t + e_t adds different units.
Conventions sign(0) = +-1 or 0, as said in each claim; C(0) = 0.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
from sympy import Abs, And, Eq, Implies, Ne, Piecewise, Symbol, symbols

from efcheck.claims import Claim, main
from efcheck.compressors import Blockwise, ScaledSign, density, realised_delta
from efcheck.evidence import Evidence, exact, prove

SECTION = "Section 4.1, Lemma 8"
one, two = symbols("N1 N2", positive=True)  # ||v||_1 and ||v||_2^2, v != 0
d = Symbol("d", positive=True)
z = Symbol("z", nonnegative=True)  # the zeros of v
delta = Symbol("delta", positive=True)
# what Cauchy-Schwarz and the cross terms say (lemma-8-range), and that v has a nonzero entry
VECTOR = (d >= 1, one**2 >= two, one**2 <= d * two, z <= d - 1)
Vector = tuple[Fraction, ...]


def phi(n1, n2, size):
    """The density."""
    return n1**2 / (size * n2)


def error2(n1, n2, size, zeros=0):
    """||C(v) - v||^2; zeros = 0 for sign(0) = +-1, else the number of zeros of v: ||v||^2 - 2 <C(v), v> + ||C(v)||^2."""
    scale = n1 / size
    return n2 - 2 * scale * n1 + (size - zeros) * scale**2


def exact_share(v: Vector, zero: int) -> Fraction:
    """1 - ||C(v) - v||^2/||v||^2 by the definition, on Fractions."""
    rest = sum(((a - b) ** 2 for a, b in zip(exact.scaled_sign(v, zero), v, strict=True)), Fraction(0))
    return 1 - rest / sum(c * c for c in v)


def exact_phi(v: Vector) -> Fraction:
    return phi(sum(map(abs, v)), sum(c * c for c in v), Fraction(len(v)))


def fractions(*values) -> Vector:
    return tuple(map(Fraction, values))


# -- the lemma -----------------------------------------------------------------------------------------------------------------

lemma = Claim(
    "lemma-8",
    SECTION,
    "C(v) = (||v||_1/d) sign(v) is a phi(v) = ||v||_1^2/(d ||v||_2^2) compressor [for each v != 0: ||C(v) - v||^2 <= "
    "(1 - phi(v)) ||v||^2]",
    repaired="with equality for every v if sign(0) = +-1; if sign(0) = 0 the left side is smaller by z ||v||_1^2/d^2, z the "
    "number of zeros: the realised delta is phi(v) (1 + z/d)",
)


@lemma.printed
@lemma.repaired
def entry_by_entry() -> Evidence:
    """(c s - x)^2 = x^2 - 2 c |x| + c^2 s^2 for s = sign(x), sign(0) = 0, 1, -1; the sum over entries is `error2`."""
    x, c = Symbol("x", real=True), Symbol("c", nonnegative=True)

    def sign(zero: int):
        return Piecewise((1, x > 0), (-1, x < 0), (zero, True))

    each = (Eq((c * sign(s) - x) ** 2, x**2 - 2 * c * Abs(x) + c**2 * sign(s) ** 2) for s in (0, 1, -1))
    ones = Implies(Ne(x, 0), And(*(Eq(sign(s) ** 2, 1) for s in (0, 1, -1))))
    return prove(And(*each, ones), covers="the error")


@lemma.printed
def both_conventions() -> Evidence:
    limit = (1 - phi(one, two, d)) * two
    return prove(And(error2(one, two, d) <= limit, error2(one, two, d, z) <= limit), VECTOR, covers="the bound")


@lemma.printed
def vectors_meet_the_hypotheses() -> Evidence:
    """VECTOR excludes none of these, in small numbers and large."""
    vectors = ((Fraction(1, 10), Fraction(-1, 10)), (300, 0, -100), (0, Fraction(1, 7)), (5,))
    met = []
    for v in vectors:
        at = {d: len(v), one: sum(map(abs, v)), two: sum(x * x for x in v), z: v.count(0)}
        met += [bool(hypothesis.subs(at)) for hypothesis in VECTOR]
    return Evidence("exact", "supported" if all(met) else "refuted", f"{sum(met)} of {len(met)} hold", covers="the bound")


@lemma.repaired
def how_much_smaller() -> Evidence:
    limit = (1 - phi(one, two, d)) * two
    plus = Eq(error2(one, two, d), limit)
    none = Eq(error2(one, two, d, z), limit - z * one**2 / d**2)
    realised = Eq(error2(one, two, d, z), (1 - phi(one, two, d) * (1 + z / d)) * two)
    return prove(And(plus, none, realised), VECTOR, covers="the bound")


@lemma.repaired
def all_small_integer_vectors() -> Evidence:
    """Entries in {-2, ..., 2}, d = 1, ..., 4, three conventions, by the definition."""
    count = 0
    for size in range(1, 5):
        for v in map(lambda w: fractions(*w), product(range(-2, 3), repeat=size)):
            for zero in (-1, 0, 1) if any(v) else ():
                more = 0 if zero else Fraction(v.count(0), size)
                count += 1
                if exact_share(v, zero) != exact_phi(v) * (1 + more):
                    return Evidence("exact", "refuted", f"v = {v}, sign(0) = {zero}", covers="the error")
    return Evidence("exact", "supported", f"equality in {count} exact cases", covers="the error")


@lemma.picture
def the_realised_delta_in_the_plane(ax):
    angle = np.linspace(0, 90, 181)
    v = np.stack([np.cos(np.radians(angle)), np.sin(np.radians(angle))], axis=1)
    v[[0, -1]] = np.eye(2)  # no rounding on the axes
    ax.plot(angle, density(v), label=r"$\varphi(v)$")
    ax.plot(angle[::15], [realised_delta(ScaledSign(), w) for w in v[::15]], "o", color="#0072B2", label="sign(0) = 1")
    ax.plot(angle[::90], [realised_delta(ScaledSign(zero=0), w) for w in v[::90]], "^", color="#D55E00", label="sign(0) = 0")
    ax.set(xlabel="angle of $v$ (degrees)", ylabel=r"$1 - \|C(v) - v\|^2/\|v\|^2$", ylim=(0, 1.05), xticks=[0, 30, 60, 90])
    ax.legend(loc="lower center")
    return (
        "d = 2: the density phi(v) over the angle of v, and what the scaled sign realises. Both are 1 on the diagonal and "
        "1/2 = 1/d on the axes, where sign(0) = 0 does better."
    )


constant = Claim(
    "lemma-8-constant",
    "Section 4.1, Lemma 8 with Assumption A",
    "the operator is a phi(v) compressor [in the sense of Assumption A, which all theorems use: one delta for all v in R^d]",
    repaired="over R^d delta = 1/d, the best constant for either sign(0), attained iff sign(0) = +-1 (or d = 1); over Q = {v: "
    "phi(v) >= c} and 0 it is c. phi(v) itself depends on v, and is 0/0 at v = 0",
    expect="refuted",
)


@constant.printed
def two_vectors_two_numbers() -> Evidence:
    """phi = 1 at (1, 1): a delta of 1 is contradicted by (1, 0), where sign(0) = 1 leaves half."""
    flat, single = fractions(1, 1), fractions(1, 0)
    values = exact_phi(flat), exact_phi(single), exact_share(single, 1)
    detail = f"phi(1, 1) = {values[0]} > {values[2]} = the delta realised at (1, 0), where phi = {values[1]}; phi(0, 0) = 0/0"
    return Evidence("witness", "refuted" if values[0] > values[2] else "supported", detail, {"values": values})


@constant.repaired
def one_over_d_is_guaranteed() -> Evidence:
    limit = (1 - 1 / d) * two
    return prove(And(error2(one, two, d) <= limit, error2(one, two, d, z) <= limit), VECTOR, covers="guaranteed")


@constant.repaired
def and_nothing_larger() -> Evidence:
    """v = (1, s, ..., s) has no zeros, so any sign(0): it realises phi = (1 + m s)^2/((1 + m)(1 + m s^2)), m = d - 1.

    For every r in (0, 1] that is below 1/d + r at s = r/(4 d); and phi = 1/d at the one-hot vector itself.
    """
    m, r = Symbol("m", nonnegative=True), Symbol("r", positive=True)
    size = 1 + m
    s = r / (4 * size)
    realised = phi(1 + m * s, 1 + m * s**2, size)
    exactly = Eq(phi(1, 1, size), 1 / size)
    return prove(And(realised < 1 / size + r, exactly), [r <= 1], covers="best constant")


@constant.repaired
def attained_only_with_a_bit_for_zero() -> Evidence:
    """sign(0) = +-1: at one-hot v. sign(0) = 0: phi (1 + z/d) = 1/d would need phi = 1/d, so N1^2 = N2, and z = 0: d = 1.

    N1^2 = N2 means that no two entries are nonzero: z = d - 1.
    """
    hot = Eq(error2(1, 1, d), 1 - 1 / d)
    realised = phi(one, two, d) * (1 + z / d)
    needs = Implies(Eq(realised, 1 / d), And(Eq(one**2, two), Eq(z, 0)))
    alone = Implies(And(Eq(z, 0), Eq(z, d - 1)), Eq(d, 1))
    single = And(*(hypothesis.subs({d: 1, one: 1, two: 1, z: 0}) for hypothesis in VECTOR))  # d = 1 is not excluded
    return prove(And(hot, needs, alone, single), VECTOR, covers="attained")


@constant.repaired
def over_the_dense_vectors() -> Evidence:
    """phi(v) >= c gives (1 - phi) N2 <= (1 - c) N2, for both conventions with lemma-8."""
    c = Symbol("c", positive=True)
    return prove(error2(one, two, d) <= (1 - c) * two, [*VECTOR, phi(one, two, d) >= c], covers="over Q")


span = Claim(
    "lemma-8-range",
    "Section 4.1, after Lemma 8",
    "phi(v) is in [1/d, 1] for v != 0 [density: implied by 'as bad as 1/d' and 'much larger']",
)


@span.printed
def adding_an_entry() -> Evidence:
    """N2 <= N1^2 <= d N2 with one more entry a = |v_{d+1}|: N1 + a, N2 + a^2, d + 1. At d = 1 both are equalities."""
    n1, n2, a = symbols("n1 n2 a", nonnegative=True)
    after = And((n1 + a) ** 2 <= (d + 1) * (n2 + a**2), (n1 + a) ** 2 >= n2 + a**2)
    return prove(after, [d >= 1, n1**2 <= d * n2, n1**2 >= n2], covers="induction over d")


@span.printed
def which_is_the_range() -> Evidence:
    inside = And(phi(one, two, d) >= 1 / d, phi(one, two, d) <= 1)
    return prove(inside, [d >= 1, one**2 <= d * two, one**2 >= two], covers="range")


hot = Claim(
    "lemma-8-one-hot",
    "Section 4.1, after Lemma 8",
    "If the vector v had only one non-zero element, the value of delta for EF-SIGNSGD could be as bad as 1/d",
    repaired="it is exactly 1/d for sign(0) = +-1 (one bit a coordinate); for sign(0) = 0 it is (2d - 1)/d^2, almost twice",
)


@hot.printed
@hot.repaired
def with_a_sign_for_zero() -> Evidence:
    """v = a e_i: N1 = |a|, N2 = a^2: 1 - 1/d of it is left."""
    a = Symbol("a", positive=True)
    return prove(Eq(error2(a, a**2, d), (1 - 1 / d) * a**2), [d >= 1], kind="identity", covers="sign(0) = +-1")


@hot.repaired
def without_one() -> Evidence:
    """z = d - 1 zeros; (2d - 1)/d^2 = (2 - 1/d)/d."""
    a = Symbol("a", positive=True)
    left = Eq(error2(a, a**2, d, d - 1), (1 - (2 * d - 1) / d**2) * a**2)
    return prove(And(left, Eq((2 * d - 1) / d**2, (2 - 1 / d) / d)), [d >= 1], kind="identity", covers="sign(0) = 0")


# -- layer by layer ------------------------------------------------------------------------------------------------------------

layers = Claim(
    "lemma-8-layers",
    "Section 4.1, Lemma 8 with Section 6.1 (we apply our compression layer-wise)",
    "the layer-wise operator is a phi(v) compressor, with the density phi of the whole vector [for each v != 0]",
    repaired="sharper: its delta at v is sum_b phi(v_b) ||v_b||^2/||v||^2 >= phi(v) (sign(0) = +-1), between the least and the "
    "largest phi(v_b); over R^d it is 1/max_b d_b, the best constant, instead of 1/d",
)
a1, a2, n1, n2, d1, d2 = symbols("a1 a2 n1 n2 d1 d2", positive=True)  # ||v_b||_1, ||v_b||^2 and d_b of two blocks


@layers.printed
@layers.repaired
def blocks_share_no_worse() -> Evidence:
    """(a1 + a2)^2/(d1 + d2) <= a1^2/d1 + a2^2/d2: kept by layer, at least as much as at once; joining blocks one by one."""
    together = error2(a1 + a2, n1 + n2, d1 + d2)
    apart = error2(a1, n1, d1) + error2(a2, n2, d2)
    zeros = error2(a1, n1, d1, z) <= error2(a1, n1, d1)  # sign(0) = 0 in a layer: less error
    return prove(
        And(apart <= together, zeros, Eq(together, (1 - phi(a1 + a2, n1 + n2, d1 + d2)) * (n1 + n2))), covers="at least phi"
    )


@layers.printed
def a_silent_layer_does_not_matter() -> Evidence:
    """v_2 = 0: C(0) = 0, kept 0 of 0; at once its d2 entries receive a1/(d1 + d2)."""
    return prove(error2(a1, n1, d1) <= error2(a1, n1, d1 + d2), covers="at least phi, zero layers")


@layers.repaired
def the_weighted_mean() -> Evidence:
    """delta (n1 + n2) = phi_1 n1 + phi_2 n2; a mean lies between the two; more layers by induction."""
    p, r = phi(a1, n1, d1), phi(a2, n2, d2)
    kept = Eq(n1 + n2 - error2(a1, n1, d1) - error2(a2, n2, d2), p * n1 + r * n2)
    u, w = symbols("u w", nonnegative=True)
    between = Implies(u <= w, And(u * (n1 + n2) <= u * n1 + w * n2, u * n1 + w * n2 <= w * (n1 + n2)))
    return prove(And(kept, between), covers="mean")


@layers.repaired
def the_largest_layer_decides() -> Evidence:
    """1/d_b >= 1/D for D = max d_b: kept >= (n1 + n2)/D; a one-hot vector in the largest layer keeps exactly 1/D."""
    D = Symbol("D", positive=True)
    kept = n1 / d1 + n2 / d2 >= (n1 + n2) / D
    hot_there = Eq(1 - error2(1, 1, D), 1 / D)
    return prove(And(kept, hot_there), [d1 <= D, d2 <= D], covers="over R^d")


@layers.repaired
def random_networks_agree(seed: int = 0) -> Evidence:
    """Blocks of 1 to 50 entries on scales 1e-3 to 1e3; 1e-12 is far above the rounding of sums of 200 squares."""
    rng, least = np.random.default_rng(seed), np.inf
    for _ in range(50):
        sizes = tuple(int(s) for s in rng.integers(1, 51, 4))
        v = np.concatenate([rng.standard_normal(s) ** 3 * 10 ** rng.uniform(-3, 3) for s in sizes])
        by_layer, at_once = Blockwise(ScaledSign(), sizes), ScaledSign()
        margin = float(realised_delta(by_layer, v) - max(density(v), by_layer.delta(v.size)))
        good = abs(float(realised_delta(at_once, v) - density(v))) < 1e-12 and by_layer.delta(v.size) == 1 / max(sizes)
        least = min(least, margin)
        if margin < -1e-12 or not good:
            return Evidence("search", "refuted", f"sizes {sizes}: the margin is {margin:.3g}", covers="at least phi")
    return Evidence("search", "supported", f"50 networks: by layer at least {least:.2g} more", covers="at least phi")


# -- which vector's density ----------------------------------------------------------------------------------------------------

which = Claim(
    "lemma-8-which-density",
    "Section 4.1, after Lemma 8; Figure 2, caption",
    "it is not the density of the gradient g_t which matters but the density of the error-corrected gradient g_t + e_t",
    repaired="of p_t = gamma g_t + e_t, with e in the unit of x as Algorithm 1 keeps it: phi(p_t) is exactly the delta that is "
    "realised. For a constant gamma that is phi(g_t + e_t/gamma): the printed form is right for a memory in the unit of g",
    expect="refuted",
)


def two_steps(step: Fraction, gradients) -> tuple[Vector, Vector, Vector]:
    """e_1, p_1 and g_1 + e_1 of Algorithm 1 from given gradients."""
    _, es = exact.ef_sgd(lambda t, x: gradients[t], (0, 0), [step, step], exact.scaled_sign)
    g = fractions(*gradients[1])
    p, wrong = (tuple(s * a + b for a, b in zip(g, es[1], strict=True)) for s in (step, Fraction(1)))
    return es[1], p, wrong


@which.printed
def another_density_is_realised() -> Evidence:
    """gamma = 1/10, g_0 = (10, 0), g_1 = (5, 5): e_1 = (1/2, -1/2), p_1 = (1, 0), g_1 + e_1 = (11/2, 9/2)."""
    e, p, wrong = two_steps(Fraction(1, 10), ((10, 0), (5, 5)))
    printed, realised = exact_phi(wrong), exact_share(p, 1)
    detail = (
        f"gamma = 1/10, g = (10, 0), (5, 5): p_1 = ({p[0]}, {p[1]}) realises {realised}, phi(g_1 + e_1) = "
        f"{printed} = {float(printed):.3f}"
    )
    outcome = "refuted" if printed != realised else "supported"
    return Evidence("witness", outcome, detail, {"e": e, "p": p, "printed": printed, "realised": realised})


@which.repaired
def the_density_of_p_is_realised() -> Evidence:
    """lemma-8 at v = p_t, sign(0) = +-1."""
    return how_much_smaller().covering("phi(p_t)")


@which.repaired
def phi_has_no_unit() -> Evidence:
    """phi(gamma u) = phi(u), u = g + e/gamma."""
    gamma = Symbol("gamma", positive=True)
    return prove(Eq(phi(gamma * one, gamma**2 * two, d), phi(one, two, d)), kind="identity", covers="memory in the unit of g")


magnitude = Claim(
    "lemma-8-magnitude",
    "Section 1, after Algorithm 1",
    "the signed vector is again scaled by ||p_t||_1 and hence does not lose information about the magnitude [||p_t||_1 is d "
    "times the scale of the message]",
    repaired="C(s p) = s C(p), and ||C(p)||_1 = ||p||_1 if sign(0) = +-1, (1 - z/d) ||p||_1 if sign(0) = 0; the 2-norm "
    "shrinks, ||C(p)||^2 = phi(p) ||p||^2 (sign(0) = +-1), so the length itself is lost",
)


def norm_one(size, zeros=0):
    """||C(p)||_1 for ||p||_1 = N1."""
    return (size - zeros) * one / size


@magnitude.printed
def the_scale_says_it() -> Evidence:
    """scale = ||p||_1/d; SIGNSGD's message, sign(p), is the same for p and 2 p, this one is not."""
    scale = one / d
    return prove(And(Eq(d * scale, one), Ne(2 * one / d, scale)), [d >= 1])


@magnitude.repaired
def with_a_sign_for_zero_it_is_kept() -> Evidence:
    kept, lost = Eq(norm_one(d), one), Eq(norm_one(d, z), (1 - z / d) * one)
    squared = Eq(d * (one / d) ** 2, phi(one, two, d) * two)
    return prove(And(kept, lost, squared), VECTOR, kind="identity")


@magnitude.repaired
def it_scales() -> Evidence:
    """sign(s p) = sign(p) for s > 0 and ||s p||_1 = s ||p||_1; on exact vectors, three conventions."""
    grid = [fractions(*v) for v in product((-2, 0, 1), repeat=3)]
    scaled = [(exact.scaled_sign(tuple(7 * c for c in v), s), exact.scaled_sign(v, s)) for v in grid for s in (-1, 0, 1)]
    good = all(left == tuple(7 * c for c in right) for left, right in scaled)
    s, c = symbols("s c", positive=True)
    return prove(And(good, Eq(s * c / d, s * (c / d))), kind="identity", covers="C(s p) = s C(p)")


if __name__ == "__main__":
    main(__file__)
