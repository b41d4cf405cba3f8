r"""SGD keeps x_t - x_0, not x_t, in the span; compression leaves it: with bias also on average, without bias on each path.

Statement   "The key property that SGD (with or without momentum) trivially satisfies is that the iterates always lie in the
            linear span of the gradients. [...] If we instead use a biased compressor (e.g. SIGNSGD), it is clear that the
            iterate may not lie in the span of the gradients. In fact it is easy to construct examples where this happens for
            SIGNSGD as well as top-k sparsification, perhaps explaining the poor generalization."
Source      Section 5.1, around Lemma 9; Section 5, first part, "related to the biased nature of the sign operator"
Idea        x_t - x_0 = -sum_i c_i g_i with c_i = sum_{j=i}^{t-1} gamma_j beta^{j-i}, for any steps and momentum: induction. On
            one row a the part of x_0 orthogonal to a never moves: off the span at the start is off for ever. A compressed
            first step is -gamma C(g_0), on the line of g_0 if and only if C(g_0) is a multiple of g_0: a property of the
            direction of C, not of its mean. Random-k is unbiased and leaves; v/2 is biased and stays. What no bias gives is the
            mean: E x_{t+1} = E x_t - gamma E g_t, and gradients are in the row space, so the mean of the iterates is. The mean
            of signSGD's is not: here bias is the reason.
Conventions f = (<a, x> - 1)^2, a = (2, 1); no gradient has a zero entry where its sign is used.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from sympy import And, Eq, Symbol, symbols

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, exact, prove

span = content.load(Path(__file__).with_name("_span.py"))
SECTION = "Section 5.1, before and after Lemma 9"
ROW = (Fraction(2), Fraction(1))
LEAST = Fraction(1, 5)  # ||A^+ y||^2 = 1/||a||^2
M0 = Fraction(0)  # momentum starts at 0
beta = Symbol("beta", nonnegative=True)
Vector = tuple[Fraction, ...]


def momentum_step(x, m, g, gamma):
    """Heavy ball on one coordinate (or any vector): m' = g + beta m, x' = x - gamma m'."""
    after = g + beta * m
    return x - gamma * after, after


def gradient(t: int, x: Vector) -> Vector:
    r = 2 * (sum(a * b for a, b in zip(ROW, x, strict=True)) - 1)
    return (r * ROW[0], r * ROW[1])


def cross(x: Vector, a: Vector) -> Fraction:
    """0 if and only if x is on the line of a."""
    return x[0] * a[1] - x[1] * a[0]


def first_step(compress: Callable[[Vector], Vector], gamma: Fraction) -> tuple[Vector, Vector]:
    """x_1 = -gamma C(g_0) from x_0 = 0, and g_0."""
    g = gradient(0, (Fraction(0), Fraction(0)))
    return tuple(-gamma * c for c in compress(g)), g


def text_of(v: Vector) -> str:
    return f"({', '.join(map(str, v))})"


def signs(v: Vector) -> Vector:
    return tuple(exact.sign(c, zero=0) for c in v)


def random_one(kept: int) -> Callable[[Vector], Vector]:
    """RandomK(1, unbiased) in R^2 when it keeps entry `kept`, which happens w.p. 1/2: 2 v_kept there, else 0."""
    return lambda v: tuple(2 * c if i == kept else Fraction(0) for i, c in enumerate(v))


# -- SGD -----------------------------------------------------------------------------------------------------------------------

sgd = Claim(
    "lemma-9-span-sgd",
    SECTION,
    "SGD (with or without momentum) [from any x_0] trivially satisfies that the iterates always lie in the linear span of the "
    "gradients",
    repaired="x_t - x_0 does, for any steps and any momentum; so x_t does if x_0 = 0 or in the span, and for one row only then",
    expect="refuted",
)


@sgd.printed
def a_start_off_the_span_stays_off() -> Evidence:
    """One SGD step on f = (<a, x> - 1)^2 in R^2: is x_1 on the line of g_0?"""
    a1, a2, u, v = symbols("a1 a2 u v", real=True)
    gamma = Symbol("gamma", positive=True)
    r = 2 * (a1 * u + a2 * v - 1)
    x1, x2 = (momentum_step(c, 0, r * a, gamma)[0] for c, a in ((u, a1), (v, a2)))
    found = prove(Eq(x1 * a2 - x2 * a1, 0), [r**2 * (a1**2 + a2**2) > 0])  # g_0 is not 0
    return span.named("x_1 is on the line of g_0 = 2 (<a, x_0> - 1) a, x_0 = (u, v)", found)


@sgd.repaired
def the_coefficients_by_induction() -> Evidence:
    """x - x_0 = -c G - ..., m = mu G + ... in one earlier gradient G; next c + gamma beta mu, beta mu, and gamma, 1 of g."""
    x0, c, mu, G, g = symbols("x_0 c mu G g", real=True)
    gamma = Symbol("gamma", nonnegative=True)
    x, m = momentum_step(x0 - c * G, mu * G, g, gamma)
    kept = Eq((x - (x0 - (c + gamma * beta * mu) * G - gamma * g)).expand(), 0)
    found = prove(And(kept, Eq((m - (beta * mu * G + g)).expand(), 0)), kind="identity", covers="x_t - x_0 in the span")
    return span.named("x_t - x_0 = -c G, m_t = mu G goes on with c + gamma beta mu, beta mu, and gamma, 1 of g_t", found)


@sgd.repaired
def momentum_starts_in_the_span() -> Evidence:
    """m_0 = 0: the first step is -gamma g_0, whatever beta is."""
    x0, g = symbols("x_0 g", real=True)
    gamma = Symbol("gamma", nonnegative=True)
    x, m = momentum_step(x0, M0, g, gamma)
    found = prove(And(Eq((x - x0 + gamma * g).expand(), 0), Eq(m, g)), kind="identity", covers="x_1 - x_0 in the span")
    return span.named("x_1 = x_0 - gamma g_0, m_1 = g_0", found)


@sgd.repaired
def four_steps_have_the_closed_form() -> Evidence:
    """c_i = sum_{j >= i} gamma_j beta^{j-i} for T = 4, from the recursion, with every symbol free."""
    x0 = Symbol("x_0", real=True)
    gs, steps = symbols("g0:4", real=True), symbols("gamma0:4", nonnegative=True)
    x, m = x0, M0
    for g, gamma in zip(gs, steps, strict=True):
        x, m = momentum_step(x, m, g, gamma)
    closed = x0 - sum(steps[j] * beta ** (j - i) * gs[i] for i in range(4) for j in range(i, 4))
    found = prove(Eq((x - closed).expand(), 0), kind="identity", covers="x_t - x_0 in the span")
    return span.named("x_4 = x_0 - sum_i g_i sum_{j>=i} gamma_j beta^{j-i}", found)


@sgd.repaired
def on_one_row_the_orthogonal_part_never_moves() -> Evidence:
    """All gradients are multiples of a, and so is m: the cross product of x with a never changes, so x_0 must have 0."""
    a1, a2, u, v, s, mu = symbols("a1 a2 u v s mu", real=True)
    gamma = Symbol("gamma", nonnegative=True)
    x1, x2 = (momentum_step(c, mu * a, s * a, gamma)[0] for c, a in ((u, a1), (v, a2)))
    found = prove(Eq((x1 * a2 - x2 * a1 - (u * a2 - v * a1)).expand(), 0), kind="identity", covers="only then")
    return span.named("the part of x_{t+1} orthogonal to a is that of x_t", found)


# -- compression ---------------------------------------------------------------------------------------------------------------

biased = Claim(
    "lemma-9-span-biased",
    SECTION,
    "with a biased compressor the iterate may not lie in the span of the gradients; it is easy to construct examples for "
    "SIGNSGD and for top-k; [and it may end at a solution of larger norm]",
)


def example(name: str, compress: Callable[[Vector], Vector], gamma: Fraction) -> Evidence:
    """One step to loss 0 and off the line of g_0."""
    x, g = first_step(compress, gamma)
    solved, off, length = gradient(1, x) == (0, 0), cross(x, g) != 0, x[0] ** 2 + x[1] ** 2
    shortest = gradient(0, tuple(LEAST * a for a in ROW)) == (0, 0)  # the solution on the line of a, of square LEAST
    shown = solved and off and shortest and length > LEAST
    detail = (
        f"f = (2 x_1 + x_2 - 1)^2, {name}, gamma = {gamma}: x_1 = ({x[0]}, {x[1]}), "
        f"f = {'0' if solved else 'not 0'}, {'off' if off else 'on'} the line of (2, 1), ||x||^2 = {length}, least {LEAST}"
    )
    return Evidence("witness", "proved" if shown else "undecided", detail, {"x": x, "g": g}, covers=name)


@biased.printed
def signsgd_leaves() -> Evidence:
    return example("SIGNSGD", signs, Fraction(1, 3))


@biased.printed
def scaled_signsgd_leaves() -> Evidence:
    return example("scaled SIGNSGD", exact.scaled_sign, Fraction(1, 9))


@biased.printed
def top_one_leaves() -> Evidence:
    return example("top-1", lambda v: exact.top_k(v, 1), Fraction(1, 8))


reason = Claim(
    "lemma-9-span-bias",
    "Section 5, first part; Section 5.1",
    "the issues of SIGNSGD with generalization turn out to be related to the biased nature of the sign operator [an unbiased "
    "compressor keeps the mean of the iterates in the row space, as SGD does, from x_0 = 0; the sign operator is biased and "
    "does not]",
)


def mean_step(compress: Callable[[Vector], Vector], law: list[tuple[Fraction, Vector]], gamma: Fraction):
    """The law of x_{t+1} from that of x_t, with the draws that compress returns for a gradient."""
    return [
        (share * chance, tuple(a - gamma * b for a, b in zip(x, c, strict=True)))
        for share, x in law
        for chance, c in compress(gradient(0, x))
    ]


def both_draws(v: Vector) -> list[tuple[Fraction, Vector]]:
    return [(Fraction(1, 2), random_one(i)(v)) for i in (0, 1)]


def average(law: list[tuple[Fraction, Vector]]) -> Vector:
    return tuple(sum((share * x[i] for share, x in law), Fraction(0)) for i in (0, 1))


@reason.printed
def without_bias_the_mean_stays() -> Evidence:
    """C(g) = c w.p. p and (g - p c)/(1 - p) else, any unbiased law of two values; g = r a: E cross(x', a) = cross(x, a)."""
    u, v, a1, a2, r, c1, c2 = symbols("u v a1 a2 r c1 c2", real=True)
    p, gamma = symbols("p gamma", positive=True)
    g = (r * a1, r * a2)
    other = tuple((b - p * c) / (1 - p) for b, c in zip(g, (c1, c2), strict=True))

    def after(c):
        return cross((u - gamma * c[0], v - gamma * c[1]), (a1, a2))

    relation = Eq(p * after((c1, c2)) + (1 - p) * after(other), cross((u, v), (a1, a2)))
    found = prove(relation, [p < 1], kind="identity", covers="unbiased")
    return span.named("E cross(x_{t+1}, a) = cross(x_t, a): the mean stays on the line of a from x_0 = 0", found)


@reason.printed
def exact_means_agree() -> Evidence:
    """All paths of four steps of unbiased random-1, gamma = 1/16: their mean is SGD's iterate, as the gradient is affine."""
    x, gamma = (Fraction(0), Fraction(0)), Fraction(1, 16)
    law = [(Fraction(1), x)]
    for t in range(4):
        law = mean_step(both_draws, law, gamma)
        x = tuple(a - gamma * b for a, b in zip(x, gradient(t, x), strict=True))
        if average(law) != x or not any(x) or cross(x, ROW) != 0:
            return Evidence("witness", "refuted", f"random-1: E x_{t + 1} = {text_of(average(law))}", covers="unbiased")
    return Evidence("exact", "supported", f"{len(law)} paths of random-1: E x_4 = {text_of(average(law))}", covers="unbiased")


@reason.printed
def the_sign_operator_is_biased_and_leaves() -> Evidence:
    """SIGNSGD draws nothing: its iterate is its mean. No multiple of g = (2, 1) is sign(g)."""
    found = example("SIGNSGD", signs, Fraction(1, 3))
    biased_too = cross(signs(ROW), ROW) != 0
    outcome = "proved" if found.outcome == "proved" and biased_too else "undecided"
    return Evidence("witness", outcome, f"sign(2, 1) = (1, 1) is no multiple of (2, 1); {found.detail}", found.data, "sign")


unbiased = Claim(
    "lemma-9-span-unbiased",
    "Section 5, first part; Section 5.1 (ours: is bias the reason, path by path?)",
    "an unbiased compressor keeps the iterates in the span of the gradients",
    repaired="x_1 = -gamma C(g_0) is in the span if and only if C(g_0) is a multiple of g_0: unbiased random-1 leaves it on "
    "both of its draws and ends at a solution of larger norm, the biased C(v) = v/2 stays",
    expect="refuted",
)


def mean(v: Vector) -> Vector:
    """E C(v) of random_one."""
    return tuple((a + b) / 2 for a, b in zip(random_one(0)(v), random_one(1)(v), strict=True))


def random_examples() -> list[Evidence]:
    steps = ((0, Fraction(1, 16)), (1, Fraction(1, 4)))
    return [example(f"unbiased random-1 keeping entry {i + 1}", random_one(i), gamma) for i, gamma in steps]


@unbiased.printed
def an_unbiased_compressor_leaves_too() -> Evidence:
    probe = (Fraction(3), Fraction(-5))
    found = random_examples()
    shown = mean(probe) == probe and all(e.outcome == "proved" for e in found)
    detail = "; ".join(e.detail for e in found)
    return Evidence("witness", "refuted" if shown else "supported", detail, {"x": [e.data["x"] for e in found]})


@unbiased.repaired
def its_draws_leave() -> Evidence:
    good = all(e.outcome == "proved" for e in random_examples())
    return Evidence(
        "witness", "proved" if good else "undecided", "both draws end off the span at a solution", covers="random-1"
    )


@unbiased.repaired
def it_is_unbiased() -> Evidence:
    """C is linear in v on each draw, so the two unit vectors decide."""
    units = [(Fraction(1), Fraction(0)), (Fraction(0), Fraction(1))]
    good = all(mean(v) == v for v in units)
    return Evidence("exact", "proved" if good else "refuted", "E C(v) = v on a basis", covers="random-1, unbiased")


@unbiased.repaired
def the_direction_decides() -> Evidence:
    """In R^2: -gamma c is on the line of g if and only if c is; with c = g/2 it is."""
    c1, c2, g1, g2 = symbols("c1 c2 g1 g2", real=True)
    gamma = Symbol("gamma", positive=True)
    on_line = (-gamma * c1) * g2 - (-gamma * c2) * g1
    half = on_line.subs({c1: g1 / 2, c2: g2 / 2}, simultaneous=True).expand()
    relation = And(Eq((on_line + gamma * (c1 * g2 - c2 * g1)).expand(), 0), Eq(half, 0))
    text = "cross(-gamma c, g) = -gamma cross(c, g), and 0 for c = g/2"
    return span.named(text, prove(relation, kind="identity", covers="direction"))


if __name__ == "__main__":
    main(__file__)
