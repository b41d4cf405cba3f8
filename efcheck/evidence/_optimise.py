"""Global and local minimisers on the unit cube that only compare values, within a given number of evaluations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from efcheck.arrays import Array, Generator

Objective = Callable[[Array], Array]
_WORST = 1e300  # stands for a value that is not finite, since SciPy subtracts them


def starts(u: Array, values: Array, n: int) -> Array:
    """Indices of up to n points, best first: the best of each quarter of each axis, and the best of all.

    Where gap shrinks with a scale, the smallest gaps all lie at the smallest scale; the quarters keep the others.
    """
    quarter = np.minimum((4 * u).astype(int), 3)
    chosen = {int(np.argmin(values))}
    for i in range(u.shape[1]):
        for q in range(4):
            inside = np.flatnonzero(quarter[:, i] == q)
            if inside.size:
                chosen.add(int(inside[np.argmin(values[inside])]))
    order = np.argsort(values, kind="stable")
    fill = (int(i) for i in order if int(i) not in chosen)
    ranked = sorted(chosen, key=lambda i: (values[i], i))[:n]
    return np.array([*ranked, *(i for i, _ in zip(fill, range(n - len(ranked)), strict=False))])


def differential_evolution(f: Objective, u: Array, values: Array, budget: int, rng: Generator) -> None:
    """current-to-best/1/bin from the population u; steps that leave the cube end on its edge."""
    u, values = u.copy(), _comparable(values)
    n, d = u.shape
    while budget > 0 and n >= 4:
        best = u[int(np.argmin(values))]
        a, b = u[rng.integers(0, n, n)], u[rng.integers(0, n, n)]
        step = rng.uniform(0.3, 1.0, (n, 1))
        trial = u + step * (best - u) * rng.integers(0, 2, (n, 1)) + step * (a - b)
        crossed = rng.random((n, d)) < rng.choice([0.3, 0.9], size=(n, 1))
        crossed[np.arange(n), rng.integers(0, d, n)] = True
        trial = np.clip(np.where(crossed, trial, u), 0.0, 1.0)[:budget]
        found = _comparable(f(trial))
        budget -= len(trial)
        better = np.flatnonzero(found <= values[: len(trial)])
        u[better], values[better] = trial[better], found[better]


def nelder_mead(f: Objective, start: Array, size: float, budget: int) -> int:
    """One local search from a simplex of edge `size`; returns the evaluations that it used."""
    from scipy.optimize import minimize

    d = len(start)
    if budget < d + 2:
        return 0
    step = np.where(start + size <= 1, size, -size)
    simplex = np.clip(np.concatenate([start[None], start + np.diag(step)]), 0.0, 1.0)
    options = {"initial_simplex": simplex, "maxfev": budget, "xatol": 1e-13, "fatol": np.inf, "adaptive": d > 4}
    result = minimize(
        lambda x: float(_comparable(f(x[None]))[0]), start, method="Nelder-Mead", bounds=[(0.0, 1.0)] * d, options=options
    )
    return int(result.nfev)


def _comparable(values: Array) -> Array:
    return np.where(np.isfinite(values), np.clip(values, -_WORST, _WORST), _WORST)
