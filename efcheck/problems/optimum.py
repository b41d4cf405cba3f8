"""Minimisers of sum_i phi(<a_i, x> - b_i): Newton for smooth losses, vertex exchange for |r|."""

from __future__ import annotations

import numpy as np

from efcheck.arrays import Array
from efcheck.errors import argument_error
from efcheck.problems.losses import Loss
from efcheck.problems.steps import convex_step

EPS = float(np.finfo(np.float64).eps)


def minimise(A: Array, b: Array, loss: Loss) -> Array:
    """A minimiser (d,) of sum_i phi(<a_i, x> - b_i), A (n, d), b (n,).

    >>> from efcheck.problems.losses import LOSSES
    >>> minimise(np.array([[1.0], [1.0], [1.0]]), np.array([0.0, 2.0, 9.0]), LOSSES["absolute"])
    array([2.])
    """
    if loss.name == "squared":
        return np.asarray(np.linalg.lstsq(A, b, rcond=None)[0])
    if loss.curvature is not None:
        return _newton(A, b, loss)
    if loss.name == "absolute":
        return _vertex_exchange(A, b)
    raise argument_error("loss", "be one whose minimiser is known", loss.name, "Pass `x_star`.")


def _newton(A: Array, b: Array, loss: Loss) -> Array:
    """Newton steps with an exact line search; a ridge of 1e-9 A^T A keeps flat pieces of the loss solvable."""
    x = np.asarray(np.linalg.lstsq(A, b, rcond=None)[0])
    scale = np.abs(A).sum(axis=0).max()
    best, best_norm = x, np.inf
    for _ in range(300):
        r = A @ x - b
        g = A.T @ loss.derivative(r)
        size = float(np.abs(g).max())
        if size < best_norm:
            best, best_norm = x, size
        if size <= 8 * EPS * scale:
            break
        H = A.T @ ((loss.second(r) + 1e-9)[:, None] * A)
        step = np.asarray(np.linalg.lstsq(H, g, rcond=None)[0])
        gamma = float(convex_step(r, np.asarray(A @ step), loss.derivative))
        if gamma == 0:
            break
        x = x - gamma * step
    if best_norm > 1e-10 * scale:
        raise argument_error(
            "b",
            "have a minimiser that Newton's method finds to a relative gradient of 1e-10",
            f"{best_norm / scale:.1e}",
            "Pass `x_star`.",
        )
    return best


def _vertex_exchange(A: Array, b: Array) -> Array:
    """Least absolute deviations: exchange one basis row per step until every multiplier lies in [-1, 1].

    With basis B (residual 0) and signs of the others, A_B^T lam = -sum sign(r_i) a_i. If |lam_k| > 1, leave row k in
    the direction that keeps the other basis rows at 0, as far as the weighted median of the kinks; Bland's order.
    """
    top = np.linalg.svd(A, full_matrices=False)
    rank = int((top.S[0] * max(A.shape) * EPS < top.S).sum())
    V = top.Vh[:rank].T
    M = A @ V
    basis = _independent_rows(M)
    out = np.ones(len(b), dtype=bool)
    out[basis] = False
    z = np.linalg.solve(M[basis], b[basis])
    signs = np.where(M @ z - b >= 0, 1.0, -1.0)
    for _ in range(200 + 50 * len(b) * rank):
        z = np.linalg.solve(M[basis], b[basis])
        lam = -np.linalg.solve(M[basis].T, M[out].T @ signs[out])
        bad = [(basis[k], k) for k in np.flatnonzero(np.abs(lam) > 1 + 1e-10)]
        if not bad:
            return np.asarray(V @ z)
        k = min(bad)[1]
        unit = np.zeros(rank)
        unit[k] = np.sign(lam[k])
        s = M @ np.linalg.solve(M[basis], unit)
        rows = np.flatnonzero(out & (signs * s < -EPS * np.abs(s).max()))
        t = np.maximum(0, -(M[rows] @ z - b[rows]) / s[rows])
        order = np.lexsort((rows, t))
        after = 1 - abs(lam[k]) + 2 * np.cumsum(np.abs(s[rows][order]))
        stop = min(int(np.searchsorted(after, -1e-12)), len(order) - 1)
        signs[rows[order[:stop]]] *= -1
        leaving, entering = basis[k], int(rows[order[stop]])
        signs[leaving], out[leaving], out[entering], basis[k] = unit[k], True, False, entering
    raise argument_error("b", "have a minimiser that the vertex exchange reaches", "no end", "Pass `x_star`.")


def _independent_rows(M: Array) -> list[int]:
    """Rows of a basis, by Gram-Schmidt with the largest remainder first."""
    rest, rows = M.copy(), []
    for _ in range(M.shape[1]):
        i = int(np.argmax(np.square(rest).sum(axis=1)))
        q = rest[i] / np.linalg.norm(rest[i])
        rest = rest - np.outer(rest @ q, q)
        rest[i] = 0
        rows.append(i)
    return rows


def multipliers(A: Array, r: Array, loss: Loss, tolerance: float) -> tuple[Array, float]:
    """Subgradients u_i of phi at r_i with sum u_i a_i nearest to 0, and the relative size of that sum."""
    u = np.array(loss.derivative(r))
    scale = float(np.abs(A).sum(axis=0).max())
    free = np.abs(r) <= tolerance
    if loss.name == "absolute" and free.any():
        u[free] = 0
        Z, g = A[free], A.T @ u
        box = np.clip(np.linalg.lstsq(Z.T, -g, rcond=None)[0], -1, 1)
        step = 1 / float(np.linalg.norm(Z, 2)) ** 2
        for _ in range(20000):  # projected gradient: needed only where more rows than d are at their kink
            remainder = Z.T @ box + g
            if np.abs(remainder).max() <= 1e-10 * scale:
                break
            box = np.clip(box - step * (Z @ remainder), -1, 1)
        u[free] = box
    return u, float(np.abs(A.T @ u).max()) / scale
