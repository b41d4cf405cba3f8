"""Solving a `Model`, and judging the answer from its numbers: a solver's own label is reported, not trusted.

The dual is what is handed to the solver: fewer unknowns, one for each row.

    minimise -c'y   subject to   A'y = a,   sum_i y_i W_i - w >= 0 (semidefinite),   y >= 0
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from efcheck.arrays import Array
from efcheck.evidence._worst_case_model import Model, smat

TOLERANCE = 1e-6  # of gap and residuals, for an answer to count
_LEAST = 0.01  # values below it are judged as if they were so large
_ASKED, _ASKED_AGAIN = 1e-9, 1e-12  # of Clarabel
_ASKED_SCS = 1e-7  # first order: more would take too long


@dataclass(frozen=True)
class Solution:
    """An answer and what it is worth.

    gram (n, n) is semidefinite, values (m,), multipliers (k,) are >= 0: the solver's numbers, cut to these cones.
    primal <= worst case <= dual, each up to its residual. "Relative" is to the value, or to 1/100 of its unit if that is more.
    gap: |dual - primal|, relative. primal_residual: the largest excess of a row over the sum of the magnitudes in it (1 at
    least), and what the excesses are worth, sum_i y_i excess_i, relative. dual_residual: the violations of A'y = a over the
    largest y, and of the semidefinite slack over its largest eigenvalue (1 at least), and what they are worth at this Gram
    matrix and these values, relative.
    """

    gram: Array
    values: Array
    multipliers: Array
    primal: float
    dual: float
    gap: float
    primal_residual: float
    dual_residual: float
    status: str
    seconds: float

    @property
    def error(self) -> float:
        """The largest of the three."""
        found = max(self.gap, self.primal_residual, self.dual_residual)
        return math.inf if math.isnan(self.gap + self.primal_residual + self.dual_residual) else found

    @property
    def accuracy(self) -> float:
        """How far primal and dual may be from the worst case, in its unit: what gap and residuals are worth together."""
        return (self.gap + self.primal_residual + self.dual_residual) * max(abs(self.primal), abs(self.dual), _LEAST)

    @property
    def counts(self) -> bool:
        """All three below 1e-6."""
        return self.error < TOLERANCE


def solve(model: Model, solver: str = "CLARABEL") -> Solution:
    """The worst case by CLARABEL or SCS: of their ways to solve it, the first with an answer that counts, or the best one."""
    start, found = time.perf_counter(), []
    for way in SOLVERS[solver]:
        gram, values, multipliers, status = way(model)
        found.append(judge(model, gram, values, multipliers, status, time.perf_counter() - start))
        if found[-1].counts:
            break
    return min(found, key=lambda some: some.error)


def judge(model: Model, gram: Array, values: Array, multipliers: Array, status: str, seconds: float = 0.0) -> Solution:
    """Primal and dual value, gap and residuals, recomputed from the model's rows."""
    if not all(np.isfinite(a).all() for a in (gram, values, multipliers)):
        nan = math.nan
        return Solution(gram, values, multipliers, nan, nan, nan, nan, nan, status, seconds)
    gram, y = _semidefinite(gram), np.maximum(multipliers, 0.0)
    rows, aim = model.rows, model.objective
    primal, dual = float(aim.at(gram, values)[0]), float(aim.c[0] - y @ rows.c)
    scale = max(abs(dual), abs(primal), _LEAST)
    excess = np.maximum(rows.at(gram, values), 0.0)
    slack, linear = np.linalg.eigvalsh(smat(y @ rows.W - aim.W[0])), np.abs(y @ rows.A - aim.A[0])
    least = max(0.0, -float(slack[0]))
    worth = least * float(np.trace(gram)) + float(linear @ np.abs(values))
    share = max(least / max(1.0, float(slack[-1])), float(linear.max(initial=0.0)) / max(1.0, float(y.max(initial=0.0))))
    return Solution(
        gram, values, y, primal, dual,
        gap=abs(dual - primal) / scale,
        primal_residual=max(float((excess / np.maximum(1.0, rows.size(gram, values))).max()), float(y @ excess) / scale),
        dual_residual=max(share, worth / scale),
        status=status, seconds=seconds,
    )  # fmt: skip


def _semidefinite(gram: Array) -> Array:
    """The nearest semidefinite matrix."""
    size, vectors = np.linalg.eigh((gram + gram.T) / 2)
    return np.asarray((vectors * np.maximum(size, 0.0)) @ vectors.T)


Answer = tuple[Array, Array, Array, str]  # gram, values, multipliers, status


def _clarabel(model: Model, again: bool = False, scaled: bool = True) -> Answer:
    """Clarabel cuts a sparse semidefinite cone into overlapping small ones, faster but less exact: `again` keeps it whole.

    `scaled`: it scales rows and columns first, which loses digits where the program is in good units already.
    """
    import clarabel

    settings = clarabel.DefaultSettings()
    settings.verbose, settings.chordal_decomposition_enable = False, not again
    settings.direct_solve_method, settings.equilibrate_enable = "faer", scaled
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = _ASKED_AGAIN if again else _ASKED
    matrix, b, cost = _dual_program(model)
    (k, m), none = model.rows.A.shape, sparse.csc_matrix((len(cost), len(cost)))
    cones = [clarabel.ZeroConeT(m), clarabel.NonnegativeConeT(k), clarabel.PSDTriangleConeT(model.n)]
    found = clarabel.DefaultSolver(none, cost, matrix, b, cones, settings).solve()
    z = np.array(found.z)
    return smat(z[m + k :]), -z[:m], np.array(found.x), str(found.status)


def _scs(model: Model) -> Answer:
    import scs

    matrix, b, cost = _dual_program(model)
    k, m = model.rows.A.shape
    order = _lower_triangle(model.n)  # SCS goes down the columns of the lower triangle
    rows = np.concatenate([np.arange(m + k), m + k + order])
    data = {"A": matrix[rows], "b": b[rows], "c": cost}
    settings = {"eps_abs": _ASKED_SCS, "eps_rel": _ASKED_SCS, "max_iters": 200_000, "verbose": False}
    found = scs.SCS(data, {"z": m, "l": k, "s": [model.n]}, **settings).solve()
    gram = np.empty(len(order))
    gram[order] = found["y"][m + k :]
    return smat(gram), -found["y"][:m], found["x"], str(found["info"]["status"])


SOLVERS: dict[str, tuple[Callable[[Model], Answer], ...]] = {
    "CLARABEL": (_clarabel, partial(_clarabel, again=True), partial(_clarabel, scaled=False)),
    "SCS": (_scs,),
}


def _dual_program(model: Model) -> tuple[Any, Array, Array]:
    """min cost'y with matrix y + s = b, s in {0}^m x R_+^k x the semidefinite cone; s's multipliers are (-F, ., G)."""
    rows, aim = model.rows, model.objective
    blocks = [[sparse.csc_matrix(rows.A.T)], [-sparse.identity(len(rows.c))], [sparse.csc_matrix(-rows.W.T)]]
    b = np.concatenate([aim.A[0], np.zeros(len(rows.c)), -aim.W[0]])
    return sparse.csc_matrix(sparse.bmat(blocks)), b, -rows.c


def _lower_triangle(n: int) -> Array:
    """Where the entries of the lower triangle, column after column, stand in `svec`."""
    i, j = np.triu_indices(n)  # row i <= column j, row after row: the lower triangle's columns
    return np.asarray(j * (j + 1) // 2 + i)
