"""From a worst case in any dimension to one in few: the Gram matrix of least rank, then points in R^d.

The rank is lowered by the log-det heuristic (Fazel, Hindi, Boyd 2003): minimise <(G + r I)^-1, .> again and again, r falling.
It starts from a weight that pulls all free points together, since a matrix that a solver completed where no row looks has
full rank, and its inverse would keep it so. Points in R^d are then moved by sequential quadratic programming (SciPy's SLSQP).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from efcheck.arrays import Array
from efcheck.evidence import _worst_case_sdp as sdp
from efcheck.evidence._worst_case_model import Form, Model, smat, svec

_RIDGES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-6)


def tightened(model: Model, slack: float) -> Model:
    """Every inequality but those of the metric holds with so much to spare."""
    spare = np.array([0.0 if kind == "metric" else slack for kind in model.kinds])
    return replace(model, rows=replace(model.rows, c=model.rows.c + spare))


def low_rank(model: Model, level: float) -> tuple[Array, Array] | None:
    """Free points (n, rank) and values half-way between the level and the most; None if nothing is above the level."""
    best = sdp.solve(model)
    if not best.counts or best.primal <= level:
        return None
    joined = above(model, (level + best.primal) / 2)
    gram, values = best.gram, best.values
    weight = np.eye(model.n) - np.ones((model.n, model.n)) / model.n
    for ridge in _RIDGES:
        aim = Form(-svec(weight)[None], np.zeros_like(model.objective.A), np.zeros(1))
        found = sdp.solve(replace(joined, objective=aim))
        if not found.primal_residual < sdp.TOLERANCE:
            break
        gram, values = found.gram, found.values
        size, axes = np.linalg.eigh(gram)
        weight = (axes / (size / size[-1] + ridge)) @ axes.T
        weight /= np.abs(weight).max()
    return model.factor(gram), values


def excess(model: Model, free: Array, values: Array) -> float:
    """How far the worst row is above 0 at points (n, d) and values."""
    return float(model.rows.at(free @ free.T, values).max())


def above(model: Model, level: float) -> Model:
    """With one row more: the objective is at least `level`."""
    aim, rows = model.objective, model.rows
    joined = Form(np.vstack([rows.W, -aim.W]), np.vstack([rows.A, -aim.A]), np.append(rows.c, level - aim.c))
    return replace(model, rows=joined, kinds=(*model.kinds, "level"))


class _Moves:
    """The program on points in R^d: a point z holds free.ravel() and the values; the Gram matrix is free free'."""

    def __init__(self, model: Model, d: int) -> None:
        self.rows, self.aim, self.shape = model.rows, model.objective, (model.n, d)
        self.weights, self.goal = np.array([smat(row) for row in model.rows.W]), smat(model.objective.W[0])

    def parts(self, z: Array) -> tuple[Array, Array]:
        cut = self.shape[0] * self.shape[1]
        return z[:cut].reshape(self.shape), z[cut:]

    def room(self, z: Array) -> Array:
        """Minus the rows."""
        free, values = self.parts(z)
        products = np.einsum("kij,id,jd->k", self.weights, free, free, optimize=True)
        return np.asarray(-products - self.rows.A @ values - self.rows.c)

    def room_slope(self, z: Array) -> Array:
        free, _ = self.parts(z)
        return np.asarray(-np.hstack([2 * (self.weights @ free).reshape(len(self.weights), -1), self.rows.A]))

    def loss(self, z: Array) -> float:
        """Minus the objective."""
        free, values = self.parts(z)
        return -float(np.sum(self.goal * (free @ free.T)) + self.aim.A[0] @ values)

    def loss_slope(self, z: Array) -> Array:
        return np.asarray(-np.concatenate([2 * (self.goal @ self.parts(z)[0]).ravel(), self.aim.A[0]]))


def polished(model: Model, free: Array, values: Array, steps: int = 100) -> tuple[Array, Array]:
    """Points (n, d) and values near these with a larger objective within all rows, as far as SLSQP gets."""
    from scipy.optimize import minimize

    moves, start = _Moves(model, free.shape[1]), np.concatenate([free.ravel(), values])
    bound = {"type": "ineq", "fun": moves.room, "jac": moves.room_slope}
    options = {"maxiter": steps, "ftol": 1e-10}
    found = minimize(moves.loss, start, jac=moves.loss_slope, method="SLSQP", constraints=[bound], options=options)
    return moves.parts(found.x if np.isfinite(found.x).all() else start)
