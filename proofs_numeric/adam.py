r"""ADAM is not identical to SIGNSGDM: it moves in the same direction, by less wherever the gradients have differed.

Statement   "the behavior of ADAM is in fact identical to that of SIGNSGD with momentum"
Source      Section 2, Relation to adaptive methods (attributed to Balles and Hennig, 2018)
Idea        With beta_1 = beta_2 = beta, both averages have the same weights: m is a weighted mean of the gradients, v of their
            squares, and v - m^2 is their variance. The step is gamma m/sqrt(v) = gamma sign(m)/sqrt(1 + variance/m^2).
Conventions ADAM with bias correction and without its small constant: x moves by -gamma m/sqrt(v), coordinate by coordinate;
            w = beta (1 - beta^t)/(1 - beta^(t+1)) weighs the past. SIGNSGDM: M = g + beta M, x moves by -gamma sign(M).
"""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

from sympy import And, Eq, Implies, Ne, Symbol, sqrt, symbols
from sympy import sign as sgn

from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, prove

identical = Claim(
    "adam-identical",
    "Section 2, Relation to adaptive methods",
    "the behavior of ADAM is in fact identical to that of SIGNSGD with momentum [from the same gradients the same updates, up "
    "to a step size; beta_1 = beta_2 = beta]",
    repaired="for beta = 0 it is SIGNSGD. For beta in (0, 1) each coordinate whose gradients were not all 0 moves in "
    "SIGNSGDM's direction, by gamma |m|/sqrt(v) <= gamma, with equality iff they were all equal: v - m^2 is their variance "
    "under ADAM's weights",
    expect="refuted",
)


def adam_squared(gradients: list[int], beta: Fraction) -> list[Fraction]:
    """m^2/v after each gradient: the square of ADAM's step over gamma."""
    m = v = Fraction(0)
    steps = []
    for t, g in enumerate(gradients, 1):
        m, v = beta * m + (1 - beta) * g, beta * v + (1 - beta) * g * g
        correction = 1 - beta**t
        steps.append((m / correction) ** 2 / (v / correction))
    return steps


def momentum_signs(gradients: list[int], beta: Fraction) -> list[int]:
    """SIGNSGDM's steps over -gamma."""
    m, steps = Fraction(0), []
    for g in gradients:
        m = g + beta * m
        steps.append((m > 0) - (m < 0))
    return steps


@identical.printed
def two_coordinates() -> Evidence:
    """Gradients (5, 1), (1, 1) with beta = 1/2. First coordinate: m = 7/3, v = 9. The second one moves by gamma in both
    methods, so that no step size for an iteration makes them equal."""
    beta, columns = Fraction(1, 2), ([5, 1], [1, 1])
    squared = [adam_squared(gradients, beta)[-1] for gradients in columns]
    steps = [Fraction(isqrt(s.numerator), isqrt(s.denominator)) for s in squared]
    rooted = all(step**2 == s for step, s in zip(steps, squared, strict=True))
    signs = [momentum_signs(gradients, beta)[-1] for gradients in columns]
    ratios = {step / sign for step, sign in zip(steps, signs, strict=True)}
    told = ", ".join(map(str, steps))
    detail = (
        f"gradients (5, 1), (1, 1), beta = 1/2: the second step of ADAM is -gamma ({told}), that of SIGNSGDM -gamma {signs}"
    )
    return Evidence("witness", "refuted" if rooted and len(ratios) > 1 else "supported", detail, {"steps": steps})


@identical.repaired
def without_averages_it_is_signsgd() -> Evidence:
    g = Symbol("g", real=True)
    return prove(Eq(g / sqrt(g**2), sgn(g)), [Ne(g, 0)], kind="identity", covers="beta = 0")


@identical.repaired
def the_same_direction() -> Evidence:
    """ADAM's m is (1 - beta) M, by induction: beta (1 - beta) M + (1 - beta) g = (1 - beta)(g + beta M)."""
    beta, M, g = Symbol("beta", positive=True), *symbols("M g", real=True)
    m = (1 - beta) * M
    after = beta * m + (1 - beta) * g
    same = Eq((after - (1 - beta) * (g + beta * M)).expand(), 0)
    return prove(And(same, Implies(M > 0, m > 0), Implies(M < 0, m < 0)), [beta < 1], covers="direction")


@identical.repaired
def the_corrected_averages_have_weights_w_and_the_rest() -> Evidence:
    """a = beta^t: (beta (1 - a) m + (1 - beta) g)/(1 - beta a) = w m + (1 - w) g, 0 <= w < 1, and w > 0 from t = 1 on."""
    beta, a = symbols("beta a", positive=True)
    m, g = symbols("m g", real=True)
    w = beta * (1 - a) / (1 - beta * a)
    mean = Eq((beta * (1 - a) * m + (1 - beta) * g) / (1 - beta * a), w * m + (1 - w) * g)
    return prove(And(mean, w > 0, w < 1), [beta < 1, a < 1], covers="weights")


@identical.repaired
def what_is_left_is_a_variance() -> Evidence:
    """V = v - m^2: V' = w V + w (1 - w) (m - g)^2. It starts at 0, stays >= 0, and is 0 again iff V = 0 and g = m."""
    w, V, m, g = symbols("w V m g", real=True)
    v = V + m**2
    after = (w * v + (1 - w) * g**2) - (w * m + (1 - w) * g) ** 2
    step = Eq((after - w * V - w * (1 - w) * (m - g) ** 2).expand(), 0)
    still = And(Implies(Eq(after, 0), And(Eq(V, 0), Eq(g, m))), Implies(And(Eq(V, 0), Eq(g, m)), Eq(after, 0)))
    return prove(And(step, after >= 0, still), [V >= 0, w > 0, w < 1], covers="variance")


@identical.repaired
def the_step_is_at_most_gamma() -> Evidence:
    v, m = Symbol("v", positive=True), Symbol("m", real=True)
    return prove(And(m / sqrt(v) <= 1, m / sqrt(v) >= -1), [v >= m**2], covers="size")


if __name__ == "__main__":
    main(__file__)
