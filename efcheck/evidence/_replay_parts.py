"""An explicit function and an explicit compressor through given points, in floats, for `simulate`.

MaxAffine    f(x) = max_i f_i + <g_i, x - x_i>: convex, its slopes are the g_i
Envelope     f(x) = min over weights w of sum_i w_i (c_i + L/4 ||y_i||^2) + L/4 ||y - 2x||^2 - L/2 ||x||^2, y = sum_i w_i y_i,
             y_i = x_i - g_i/L, c_i = f_i - ||g_i||^2/(2L): L-smooth, grad f(x) = L (x - y), f >= min c_i. It is the largest
             L-smooth interpolant: f + L/2 ||x||^2 is the convex hull of the paraboloids f_i + <g_i, x - x_i> + L/2 ||x -
             x_i||^2 + L/2 ||x||^2 (Taylor, Hendrickx, Glineur 2017; Drori, Shamir 2020)
Field        the gradient g_i of the nearest x_i: for statements about any gradients
Table        C(v) = v - (||v||/||p_i||) (p_i - C(p_i)), p_i the nearest: at p_i its message; ||C(v) - v|| <= q ||v||
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from efcheck.arrays import Array, Generator
from efcheck.problems.base import Problem, output


class _Through(Problem):
    """A deterministic function given by points x (n, d), gradients g (n, d) and values f (n,)."""

    def __init__(self, x: Array, g: Array, f: Array) -> None:
        self.points, self.slopes, self.values = x, g, f
        self.d, self.x0 = x.shape[1], x[0]

    def gradient_given(self, x: Array, noise: Array | None, out: Array | None = None) -> Array:
        found = output(x, out)
        found[...] = self._mean_gradient(x)
        return found


class MaxAffine(_Through):
    """The largest of the tangents."""

    def _tangents(self, x: Array) -> Array:
        return np.asarray(self.values - (self.slopes * self.points).sum(axis=1) + x @ self.slopes.T)

    def _f(self, x: Array) -> Array:
        return np.asarray(self._tangents(x).max(axis=-1))

    def _mean_gradient(self, x: Array) -> Array:
        return np.asarray(self.slopes[self._tangents(x).argmax(axis=-1)])


class Envelope(_Through):
    """The largest L-smooth function through the points."""

    def __init__(self, x: Array, g: Array, f: Array, L: float) -> None:
        super().__init__(x, g, f)
        self.L = self.curvature = L
        self.centres = x - g / L
        self.heights = f - np.square(g).sum(axis=1) / (2 * L) + L / 4 * np.square(self.centres).sum(axis=1)

    def _centre(self, x: Array) -> tuple[Array, float]:
        """y and the least value of the hull at one point."""
        weights = simplex_least(np.sqrt(self.curvature) / 2 * self.centres.T, np.sqrt(self.curvature) * x, self.heights)
        y = weights @ self.centres
        value = (
            weights @ self.heights + self.curvature / 4 * np.square(y - 2 * x).sum() - self.curvature / 2 * np.square(x).sum()
        )
        return y, float(value)

    def _f(self, x: Array) -> Array:
        rows = x.reshape(-1, self.d)
        return np.array([self._centre(row)[1] for row in rows]).reshape(x.shape[:-1])

    def _mean_gradient(self, x: Array) -> Array:
        rows = x.reshape(-1, self.d)
        return np.array([self.curvature * (row - self._centre(row)[0]) for row in rows]).reshape(x.shape)


class Field(_Through):
    """The gradient of the nearest point; no function."""

    def _f(self, x: Array) -> Array:
        return np.full(x.shape[:-1], np.nan)

    def _mean_gradient(self, x: Array) -> Array:
        far = np.square(x[..., None, :] - self.points).sum(axis=-1)
        return np.asarray(self.slopes[far.argmin(axis=-1)])


@dataclass(frozen=True, eq=False)
class Table:
    """p (n, d) and p - C(p) (n, d)."""

    p: Array
    residual: Array

    def __call__(self, v: Array, rng: Generator | None = None) -> Array:
        """C(v) of each vector on the last axis."""
        if len(self.p) == 0:
            return np.array(v)
        nearest = np.square(v[..., None, :] - self.p).sum(axis=-1).argmin(axis=-1)
        size = np.linalg.norm(self.p[nearest], axis=-1, keepdims=True)
        scale = np.linalg.norm(v, axis=-1, keepdims=True) / np.where(size > 0, size, 1)
        return np.asarray(v - scale * self.residual[nearest])


def simplex_least(matrix: Array, target: Array, cost: Array) -> Array:
    """The weights w >= 0, sum w = 1, with the least ||matrix w - target||^2 + cost.w; an active set method."""
    active = [int(np.argmin(np.square(matrix - target[:, None]).sum(axis=0) + cost))]
    weights = np.zeros(len(cost))
    weights[active] = 1.0
    for _ in range(20 * len(cost)):
        slope = 2 * matrix.T @ (matrix @ weights - target) + cost
        level = float(weights @ slope)
        best = int(np.argmin(slope))
        if slope[best] >= level - 1e-12 * (1 + abs(level)) or best in active:
            break
        active.append(best)
        while True:
            wanted = _on_face(matrix[:, active], target, cost[active])
            if (wanted > 0).all():
                break
            now = weights[active]
            shrinks = wanted <= 0
            step = float(np.min(now[shrinks] / (now[shrinks] - wanted[shrinks] + 1e-300)))
            weights[active] = moved = now + step * (wanted - now)
            gone = int(np.argmin(np.where(shrinks, moved, np.inf)))
            weights[active[gone]] = 0.0
            del active[gone]
        weights[:] = 0.0
        weights[active] = wanted
    return weights


def _on_face(matrix: Array, target: Array, cost: Array) -> Array:
    """The minimiser over sum w = 1, signs free; the shortest where there are several."""
    k = len(cost)
    system = np.zeros((k + 1, k + 1))
    system[:k, :k], system[:k, k], system[k, :k] = 2 * matrix.T @ matrix, 1.0, 1.0
    right: Any = np.append(2 * matrix.T @ target - cost, 1.0)
    return np.asarray(np.linalg.lstsq(system, right, rcond=None)[0][:k])
