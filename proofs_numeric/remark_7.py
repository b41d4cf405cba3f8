r"""Top-1 is a 1/d-approximate compressor, but EF-SGD with it is not greedy on the gradient: it picks by gamma g + e.

Statement   "It is obvious that top-1 is a 1/d-approximate compressor. Running EF-SGD with C as top-1 results in a greedy
            coordinate algorithm."
Source      Section 4, Remark 7
Idea        The largest square is at least the mean of the squares: delta = 1/d, attained at (1, ..., 1) and by no larger delta.
            The coordinate that moves is the largest of p_t = gamma g_t + e_t, which may be one where g_t is small or 0, and
            then x moves along it by p_i, not gamma g_i. It is greedy on what has not been sent yet.
Conventions Ties go to the lower index; e in the unit of x.
"""

from __future__ import annotations

from fractions import Fraction

from sympy import And, Eq, Implies, Symbol, symbols

from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, exact, prove

SECTION = "Section 4, Remark 7"
Vector = tuple[Fraction, ...]

compressor = Claim(
    "remark-7",
    SECTION,
    "top-1 is a 1/d-approximate compressor [over R^d]",
    repaired="and no larger delta will do: at (1, ..., 1) the error is exactly (1 - 1/d) ||x||^2; at one-hot x it is 0",
)


@compressor.printed
@compressor.repaired
def the_largest_square_is_at_least_the_mean() -> Evidence:
    """M = the largest square, S = the sum of all d: S <= d M, and the error is S - M."""
    M, S = symbols("M S", nonnegative=True)
    d = Symbol("d", positive=True)
    return prove((1 - 1 / d) * S >= S - M, [d >= 1, d * M >= S], covers="delta = 1/d")


@compressor.repaired
def equal_entries_attain_it() -> Evidence:
    """S = d M: the error (d - 1) M is (1 - 1/d) S, and above (1 - delta) S for delta > 1/d; one-hot: S = M."""
    M, d, delta = symbols("M d delta", positive=True)
    error = d * M - M
    larger = Implies(delta > 1 / d, error > (1 - delta) * d * M)
    return prove(And(Eq(error, (1 - 1 / d) * d * M), larger), [d >= 1], covers="no more")


@compressor.repaired
def exact_vectors_agree() -> Evidence:
    """(1, ..., 1) and (1, 0, ..., 0) for d = 1, ..., 8."""

    def share(v: Vector) -> Fraction:
        rest = sum(((a - b) ** 2 for a, b in zip(exact.top_k(v, 1), v, strict=True)), Fraction(0))
        return 1 - rest / sum(c * c for c in v)

    found = [(share((Fraction(1),) * d), share((Fraction(1),) + (Fraction(0),) * (d - 1))) for d in range(1, 9)]
    good = found == [(Fraction(1, d), Fraction(1)) for d in range(1, 9)]
    return Evidence("exact", "supported" if good else "refuted", "1/d and 1 for d = 1, ..., 8", covers="no more")


greedy = Claim(
    "remark-7-greedy",
    SECTION,
    "Running EF-SGD with C as top-1 results in a greedy coordinate algorithm [x_{t+1} differs from x_t in the coordinate where "
    "|g_t| is largest]",
    repaired="each step changes one coordinate at most: the largest of p_t = gamma g_t + e_t, by p_t's entry there; e_t holds "
    "what was not sent, so p_t is greedy on the sum of all gradients so far minus what each coordinate has moved. Without "
    "feedback it is greedy on g_t",
    expect="refuted",
)


def run(gradients: list[tuple[int, ...]]) -> tuple[list[Vector], list[Vector]]:
    """x_t and e_t from 0, gamma = 1, for gradients given in advance."""
    start = (0,) * len(gradients[0])
    return exact.ef_sgd(lambda t, x: gradients[t], start, [1] * len(gradients), lambda p: exact.top_k(p, 1))


def moved(before: Vector, after: Vector) -> list[int]:
    return [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]


@greedy.printed
def the_memory_overrules_the_gradient() -> Evidence:
    """f = -3 x_1 - 2 x_2, gamma = 1: p_1 = (-3, -4), so the second step moves x_2 by 4."""
    g = (-3, -2)
    xs, es = run([g, g])
    chosen, wanted = moved(xs[1], xs[2]), [max(range(2), key=lambda i: abs(g[i]))]
    e = ", ".join(map(str, es[1]))
    detail = (
        f"f = -3 x_1 - 2 x_2, gamma = 1: e_1 = ({e}), step 2 moves x_{chosen[0] + 1} though |g| is largest in x_{wanted[0] + 1}"
    )
    return Evidence("witness", "refuted" if chosen != wanted else "supported", detail, {"x": xs, "e": es})


@greedy.printed
def even_where_the_gradient_is_zero() -> Evidence:
    """g_0 = (3, 2), g_1 = (1, 0): p_1 = (1, 2)."""
    xs, _ = run([(3, 2), (1, 0)])
    chosen = moved(xs[1], xs[2])
    detail = f"g_0 = (3, 2), g_1 = (1, 0), gamma = 1: step 2 moves x_{chosen[0] + 1}, where g_1 is 0"
    return Evidence("witness", "refuted" if chosen == [1] else "supported", detail, {"x": xs})


@greedy.repaired
def one_coordinate_a_step() -> Evidence:
    """x_{t+1} - x_t = -C(p_t) has p_t's largest entry and zeros: all scripts of three gradients from a small set in R^3."""
    choices = [(1, 0, -2), (0, 3, 1), (-2, 2, 1), (1, 1, 1), (0, 0, 0)]
    count = 0
    for script in ([a, b, c] for a in choices for b in choices for c in choices):
        xs, es = run(script)
        for t, g in enumerate(script):
            p = tuple(a + b for a, b in zip(g, es[t], strict=True))
            step = tuple(a - b for a, b in zip(xs[t], xs[t + 1], strict=True))
            i = max(range(3), key=lambda j: abs(p[j]))
            if any(step[j] != (p[j] if j == i else 0) for j in range(3)):
                return Evidence("witness", "refuted", f"p = {p}, x moves by {step}", covers="largest entry of p")
            count += 1
    detail = f"in each of {count} exact steps; in general it is the definition of top-1 and line 7 of Algorithm 2"
    return Evidence("exact", "proved", detail, covers="largest entry of p")


@greedy.repaired
def p_is_what_was_not_sent() -> Evidence:
    """p_t = S_t + gamma g_t - (x_0 - x_t), S_t = the sum of the old gamma g_i: the induction step in one coordinate."""
    gamma = Symbol("gamma", positive=True)
    S, g, x, x0, sent = symbols("S g x x_0 Delta", real=True)
    e = S - (x0 - x)
    p = gamma * g + e
    after = (S + gamma * g) - (x0 - (x - sent))
    return prove(Eq((p - sent - after).expand(), 0), kind="identity", covers="not sent yet")


@greedy.repaired
def greedy_without_feedback() -> Evidence:
    """e_t = 0: p_t = gamma g_t, and |gamma g_i| >= |gamma g_j| iff |g_i| >= |g_j|."""
    gamma = Symbol("gamma", positive=True)
    a, b = symbols("a b", nonnegative=True)
    both = And(Implies(gamma * a >= gamma * b, a >= b), Implies(a >= b, gamma * a >= gamma * b))
    return prove(both, covers="without feedback")


if __name__ == "__main__":
    main(__file__)
