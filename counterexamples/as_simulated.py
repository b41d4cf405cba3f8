r"""The problems and algorithms that are simulated are those of the paper, number for number in exact arithmetic.

Statement   f, g and E[g] of Counterexamples 1 to 3, of A.1 and of Section 5.2; "the best possible step-size" as a line search;
            SGD, SIGNSGD, Algorithms 1 and 2.
Source      Sections 3, 4, 5.2, 6.1; A.1, A.6
Idea        What a simulation supports is about the problem in the program. Here the program's floats are compared with the
            printed formulas on Fractions, at points and steps where floats do not round: dyadic numbers of few digits.
Conventions sign(0) = -1, 0 and 1, each by itself; ties of top-k go to the lower index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.compressors import ScaledSign, Sign, TopK
from efcheck.evidence import Evidence, exact
from efcheck.methods import EF21, EFSGD, SGD, CompressedSGD, SignSGD
from efcheck.problems import LeastSquares, LeastSquares2D, Linear1D, NonSmooth2D, SparseNoise, wilson_data
from efcheck.simulate import simulate

F = Fraction
second, third = (content.load(Path(__file__).with_name(f"counterexample_{i}.py")) for i in (2, 3))
GRID = (F(-2), F(-1), F(-1, 2), F(0), F(1, 2), F(1), F(3, 2))
PLANE = tuple(product(GRID, repeat=2))
Pairs = Iterable[tuple[str, Any, Any]]


def compared(pairs: Pairs, covers: str) -> Evidence:
    """(what, printed, computed): every number equal, none rounded."""
    count = 0
    for what, printed, computed in pairs:
        wanted = [float(v) for v in np.ravel(np.array(printed, dtype=object))]
        found = [float(v) for v in np.ravel(np.asarray(computed))]
        if wanted != found:
            detail = f"{what}: {wanted} by the formula, {found} by the program"
            return Evidence("witness", "refuted", detail, {"formula": wanted, "program": found}, covers)
        count += len(wanted)
    return Evidence("exact", "proved", f"{covers}: {count} numbers, all equal", {"numbers": count}, covers)


def floats(points: Iterable[Iterable[Fraction]]) -> np.ndarray:
    return np.array([[float(c) for c in point] for point in points])


problems = Claim(
    "as-simulated-problems",
    "Section 3, Counterexamples 1 to 3; Section 5.2, A.1, A.6 (as the program has them)",
    "f(x), g(x) for each draw, and E[g(x)] in the program are the printed ones, at dyadic points x",
)


@problems.printed
def counterexample_1() -> Evidence:
    """f = x/4; g = 4 for a quarter of the draws, -1 for the others; [-1, 1]."""

    def pairs() -> Iterator[tuple[str, Any, Any]]:
        p, xs = Linear1D(), [(c,) for c in GRID]
        yield "f", [c / 4 for (c,) in xs], p.f(floats(xs))
        yield "E[g]", [F(1, 4)] * len(xs), p.mean_gradient(floats(xs))
        draws = np.arange(16) / 16
        yield "g", [4] * 4 + [-1] * 12, p.gradient_given(np.zeros((16, 1)), draws)
        yield "project", [max(min(c, 1), -1) for (c,) in xs], p.project(floats(xs))

    return compared(pairs(), "Counterexample 1")


@problems.printed
def counterexample_2() -> Evidence:
    """f = eps |x1 + x2| + |x1 - x2|; g = eps sign(x1 + x2) (1, 1) + sign(x1 - x2) (1, -1)."""

    def pairs() -> Iterator[tuple[str, Any, Any]]:
        for e, zero in product((F(1, 2), F(1, 4)), (-1, 0, 1)):
            p = NonSmooth2D(float(e), zero)
            yield "f", [e * abs(a + b) + abs(a - b) for a, b in PLANE], p.f(floats(PLANE))
            signs = [(exact.sign(a + b, zero), exact.sign(a - b, zero)) for a, b in PLANE]
            yield "g", [(e * u + v, e * u - v) for u, v in signs], p.gradient(floats(PLANE))

    return compared(pairs(), "Counterexample 2")


@problems.printed
def counterexample_3() -> Evidence:
    """a_1, a_2 = +-(1, -1) + eps (1, 1); f = <a_1, x>^2 + <a_2, x>^2; g = 2 a_i <a_i, x>, i = 1 or 2 for half of the draws."""

    def pairs() -> Iterator[tuple[str, Any, Any]]:
        for e in (F(1, 2), F(1, 4)):
            p, rows = LeastSquares2D(float(e)), ((1 + e, e - 1), (e - 1, 1 + e))
            values = [[r * a + s * b for r, s in rows] for a, b in PLANE]
            yield "f", [u * u + v * v for u, v in values], p.f(floats(PLANE))
            gradients = [[(2 * r * u, 2 * s * u) for (r, s), u in zip(rows, pair, strict=True)] for pair in values]
            for draw, i in ((0.0, 0), (0.4375, 0), (0.5, 1), (0.9375, 1)):
                noise = np.full(len(PLANE), draw)
                yield f"g, i = {i + 1}", [pair[i] for pair in gradients], p.gradient_given(floats(PLANE), noise)
            mean = [tuple((a + b) / 2 for a, b in zip(*pair, strict=True)) for pair in gradients]
            yield "E[g]", mean, p.mean_gradient(floats(PLANE))

    return compared(pairs(), "Counterexample 3")


@problems.printed
def sparse_noise() -> Evidence:
    """A.1: f = ||x||^2/2, noise of standard deviation 8 in the first coordinate alone, here d = 3."""

    def pairs() -> Iterator[tuple[str, Any, Any]]:
        p, points = SparseNoise(3, 8.0), tuple(product(GRID[::3], repeat=3))
        yield "f", [sum(c * c for c in x) / 2 for x in points], p.f(floats(points))
        yield "E[g]", points, p.mean_gradient(floats(points))
        noise = [F(1, 4), F(-3, 2)]
        wanted = [(points[i][0] + 8 * z, *points[i][1:]) for i, z in enumerate(noise)]
        yield "g", wanted, p.gradient_given(floats(points[:2]), np.array([float(z) for z in noise]))

    return compared(pairs(), "A.1")


@problems.printed
def least_squares() -> Evidence:
    """Section 5.2: f = ||A x - y||^2, g = 2 A^T (A x - y); with `mean`, both over 2n."""

    def pairs() -> Iterator[tuple[str, Any, Any]]:
        rows, y = ((1, -2), (3, 1)), (1, -1)
        for share, mean in ((F(1), False), (F(1, 4), True)):
            p = LeastSquares(rows, y, mean=mean)
            rest = [[r * a + s * b - t for (r, s), t in zip(rows, y, strict=True)] for a, b in PLANE]
            yield "f", [share * (u * u + v * v) for u, v in rest], p.f(floats(PLANE))
            wanted = [[2 * share * sum(r[j] * u for r, u in zip(rows, pair, strict=True)) for j in (0, 1)] for pair in rest]
            yield "g", wanted, p.gradient(floats(PLANE))

    return compared(pairs(), "Section 5.2")


@problems.printed
def the_data_of_a_6(seed: int = 0) -> Evidence:
    """x_1 = y, x_2 = x_3 = 1, then 1 private column for y = 1 and 5 for y = -1, in columns of no other point; halves."""

    def pairs() -> Iterator[tuple[str, Any, Any]]:
        n = 40
        A_train, y_train, A_test, y_test = wilson_data(n, np.random.default_rng(seed))
        A, y = np.concatenate([A_train, A_test]), np.concatenate([y_train, y_test])
        yield "halves", (n // 2, n // 2), (len(y_train), len(y_test))
        yield "both labels occur", (-1, 1), np.unique(y)  # a draw of 40 equal ones has the chance 2^-39
        yield "shared columns", [(label, 1, 1) for label in y], A[:, :3]
        yield "private ones", [1 if label > 0 else 5 for label in y], A[:, 3:].sum(axis=1)
        yield "no column is shared", [1] * n, A[:, 3:].max(axis=1)
        yield "by no other point", (A[:, 3:].sum(),), ((A[:, 3:] != 0).any(axis=0).sum(),)

    return compared(pairs(), "A.6")


@problems.printed
def the_exact_runs_have_the_same() -> Evidence:
    """f and g on Fractions in the files on Counterexamples 2 and 3, whose exact runs often need no more than their signs."""

    def pairs() -> Iterator[tuple[str, Any, Any]]:
        for e in (F(1, 2), F(1, 4)):
            yield "f of 2", [second.fractional_f(e, x) for x in PLANE], NonSmooth2D(float(e)).f(floats(PLANE))
            yield "f of 3", [third.fractional_f(e, x) for x in PLANE], LeastSquares2D(float(e)).f(floats(PLANE))
            for zero in (-1, 0, 1):
                wanted = [second.fractional_subgradient(e, zero)(0, x) for x in PLANE]
                yield "g of 2", wanted, NonSmooth2D(float(e), zero).gradient(floats(PLANE))
            for i in (0, 1):
                noise = np.full(len(PLANE), i / 2)
                wanted = [third.fractional(e, (i,))(0, x) for x in PLANE]
                yield "g of 3", wanted, LeastSquares2D(float(e)).gradient_given(floats(PLANE), noise)

    return compared(pairs(), "exact runs")


search = Claim(
    "as-simulated-line-search",
    "Section 3, Counterexamples 2 and 3 ('even with the best possible step-size'; as the program has it)",
    "the program's best step is the smallest gamma >= 0 that minimises f(x - gamma v), over [-1, 1] with the projection",
)
CASES = ((F(1), F(-1)), (F(1), F(1)), (F(-1), F(1)), (F(1), F(0)), (F(1, 2), F(-3, 2)))


@search.printed
def quadratic() -> Evidence:
    """gamma = max(<r, s>, 0)/||s||^2, r and s the residuals of x and v; eps = 1/2, rounded to 1e-12."""

    def pairs() -> Iterator[tuple[str, Any, Any]]:
        rows = ((F(3, 2), F(-1, 2)), (F(-1, 2), F(3, 2)))
        for v in CASES:
            s = [a * v[0] + b * v[1] for a, b in rows]
            for x in PLANE:
                r = [a * x[0] + b * x[1] for a, b in rows]
                best = max(sum(c * d for c, d in zip(r, s, strict=True)), F(0)) / sum(c * c for c in s)
                found = LeastSquares2D(0.5).line_search(floats([x]), floats([v]))
                yield f"x = {x}, v = {v}", (round(float(best), 12),), np.round(found, 12)

    return compared(pairs(), "Counterexample 3")


@search.printed
def piecewise_linear() -> Evidence:
    """A convex piecewise linear function is least at a kink or at 0: the first of the best; eps = 1/2."""

    def f(x: tuple[Fraction, ...], v: tuple[Fraction, ...], step: Fraction) -> Fraction:
        a, b = (p - step * q for p, q in zip(x, v, strict=True))
        return abs(a + b) / 2 + abs(a - b)

    def pairs() -> Iterator[tuple[str, Any, Any]]:
        for x, v in product(PLANE, CASES):
            sums = ((x[0] + x[1], v[0] + v[1]), (x[0] - x[1], v[0] - v[1]))
            kinks = [F(0), *(p / q for p, q in sums if q and p / q > 0)]
            best = min(kinks, key=lambda step: (f(x, v, step), step))
            found = NonSmooth2D(0.5).line_search(floats([x]), floats([v]))
            yield f"x = {x}, v = {v}", (round(float(best), 12),), np.round(found, 12)

    return compared(pairs(), "Counterexample 2")


@search.printed
def on_the_interval() -> Evidence:
    """f = x/4 on [-1, 1]: the least step that reaches -1 if v > 0, else none."""

    def pairs() -> Iterator[tuple[str, Any, Any]]:
        for x, v in product((F(-1), F(0), F(1, 2), F(1)), (F(-1), F(1), F(4))):
            best = (x + 1) / v if v > 0 else F(0)
            yield f"x = {x}, v = {v}", (best,), Linear1D().line_search(floats([(x,)]), floats([(v,)]))

    return compared(pairs(), "Counterexample 1")


algorithms = Claim(
    "as-simulated-algorithms",
    "Algorithms 1 and 2, equation (SIGNSGD), Section 6.1 (as the program has them)",
    "the program's SGD, momentum, SIGNSGD, Algorithms 1 and 2 give the iterates of the printed lines, without rounding",
)
# f = ||A x - y||^2 in R^4: d is a power of 2, so that ||p||_1/d does not round
ROWS, LABELS, STEPS = ((1, -1, 2, 0), (0, 1, 1, -2)), (1, -3), (F(1, 8), F(1, 4), F(1, 16), F(1, 8))


def gradient(t: int, x: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
    rest = [sum(a * c for a, c in zip(row, x, strict=True)) - y for row, y in zip(ROWS, LABELS, strict=True)]
    return tuple(2 * sum(row[j] * r for row, r in zip(ROWS, rest, strict=True)) for j in range(4))


def by_program(method: Any, record: str = "x") -> np.ndarray:
    return simulate(LeastSquares(ROWS, LABELS), method, len(STEPS), record=(record,))[record][:, 0]


def rule(t: int) -> float:
    return float(STEPS[min(t, len(STEPS) - 1)])


@algorithms.printed
def with_feedback() -> Evidence:
    """p = gamma g + e, x <- x - C(p), e <- p - C(p): iterates and memories; scaled sign and top-k."""

    def pairs() -> Iterator[tuple[str, Any, Any]]:
        rules = [(ScaledSign(zero), lambda p, zero=zero: exact.scaled_sign(p, zero)) for zero in (-1, 0, 1)]
        rules += [(TopK(k), lambda p, k=k: exact.top_k(p, k)) for k in (1, 2, 4)]
        for compressor, by_hand in rules:
            xs, es = [(F(0),) * 4], [(F(0),) * 4]
            for t, step in enumerate(STEPS):
                p = [step * a + b for a, b in zip(gradient(t, xs[-1]), es[-1], strict=True)]
                sent = by_hand(p)
                xs.append(tuple(a - b for a, b in zip(xs[-1], sent, strict=True)))
                es.append(tuple(a - b for a, b in zip(p, sent, strict=True)))
            yield f"x, {compressor}", xs, by_program(EFSGD(rule, compressor))
            yield f"e, {compressor}", es, by_program(EFSGD(rule, compressor), "e")
            found = exact.ef_sgd(gradient, xs[0], STEPS, by_hand)
            yield f"exact x and e, {compressor}", [*xs, *es], [*found[0], *found[1]]

    return compared(pairs(), "Algorithms 1 and 2")


@algorithms.printed
def without_feedback() -> Evidence:
    """x <- x - gamma v: v = g, sign(g), (||g||_1/d) sign(g), top-1 of g, g + m/2 and its sign, h of EF21."""

    def moved(direction: Any) -> list[tuple[Fraction, ...]]:
        xs, kept = [(F(0),) * 4], (F(0),) * 4
        for t, step in enumerate(STEPS):
            v, kept = direction(gradient(t, xs[-1]), kept)
            xs.append(tuple(a - step * b for a, b in zip(xs[-1], v, strict=True)))
        return xs

    def signs(v: Any, zero: int) -> tuple[Fraction, ...]:
        return tuple(F((q > 0) - (q < 0)) if q else F(zero) for q in v)

    def momentum(g: Any, m: Any) -> Any:
        return tuple(a + b / 2 for a, b in zip(g, m, strict=True))

    def estimate(g: Any, h: Any) -> Any:
        sent = exact.top_k([a - b for a, b in zip(g, h, strict=True)], 1)
        return tuple(a + b for a, b in zip(h, sent, strict=True))

    def pairs() -> Iterator[tuple[str, Any, Any]]:
        yield "SGD", moved(lambda g, _: (g, _)), by_program(SGD(rule))
        yield "SGD with momentum", moved(lambda g, m: (momentum(g, m),) * 2), by_program(SGD(rule, 0.5))
        yield "top-1", moved(lambda g, _: (exact.top_k(g, 1), _)), by_program(CompressedSGD(rule, TopK(1)))
        yield "EF21", moved(lambda g, h: (estimate(g, h),) * 2), by_program(EF21(rule, TopK(1)))
        for zero in (-1, 0, 1):
            plain = moved(lambda g, _, z=zero: (signs(g, z), _))
            yield "SIGNSGD", plain, by_program(SignSGD(rule, zero=zero))
            yield "SIGNSGD, exact", plain, exact.sign_sgd(gradient, plain[0], STEPS, zero)
            yield "sign as a compressor", plain, by_program(CompressedSGD(rule, Sign(zero)))
            heavy = moved(lambda g, m, z=zero: (signs(momentum(g, m), z), momentum(g, m)))
            yield "SIGNSGD with momentum", heavy, by_program(SignSGD(rule, 0.5, zero=zero))
            scaled = moved(lambda g, _, z=zero: (tuple(sum(map(abs, g)) / 4 * s for s in signs(g, z)), _))
            yield "scaled SIGNSGD", scaled, by_program(SignSGD(rule, scaled=True, zero=zero))

    return compared(pairs(), "without feedback")


@algorithms.printed
def compressors_by_hand() -> Evidence:
    """(||p||_1/d) sign(p) and the k largest entries, ties to the lower index, on {-2, -1, 0, 1}^4; delta = 1/d and k/d."""

    def pairs() -> Iterator[tuple[str, Any, Any]]:
        vectors = tuple(product((F(-2), F(-1), F(0), F(1)), repeat=4))
        for zero in (-1, 0, 1):
            size = [sum(map(abs, v)) / 4 for v in vectors]
            sent = [tuple(s * ((q > 0) - (q < 0) if q else zero) for q in v) for s, v in zip(size, vectors, strict=True)]
            yield "scaled sign", sent, ScaledSign(zero)(floats(vectors))
            yield "exact scaled sign", sent, [exact.scaled_sign(v, zero) for v in vectors]
        for k in (1, 2, 3):
            ranks = [[sum((abs(w), -j) > (abs(q), -i) for j, w in enumerate(v)) for i, q in enumerate(v)] for v in vectors]
            sent = [
                tuple(q if r < k else F(0) for q, r in zip(v, rank, strict=True))
                for v, rank in zip(vectors, ranks, strict=True)
            ]
            yield f"top-{k}", sent, TopK(k)(floats(vectors))
            yield f"exact top-{k}", sent, [exact.top_k(v, k) for v in vectors]
        dims = (1, 2, 4, 8)
        yield (
            "delta",
            [F(1, d) for d in dims] + [F(2, d) for d in dims[1:]],
            [ScaledSign().delta(d) for d in dims] + [TopK(2).delta(d) for d in dims[1:]],
        )

    return compared(pairs(), "compressors")


if __name__ == "__main__":
    main(__file__)
