"""The over-parametrised data of section 5.2, after Wilson et al. 2017."""

from __future__ import annotations

import numpy as np

from efcheck.arrays import Array, Generator
from efcheck.errors import argument_error, integer


def wilson_data(n: int, rng: Generator) -> tuple[Array, Array, Array, Array]:
    """Draw n labelled points of dimension d = 6n and split them into equal halves.

        A_ij = y_i if j = 1;  1 if j = 2, 3;  1 if j = 4 + 5(i-1), ..., 4 + 5(i-1) + 2(1 - y_i);  0 otherwise

    Columns and rows count from 1; a point has one private column if y = 1 and five if y = -1.

    Parameters
    ----------
    n : even int >= 4
        Points in all. The last private column is 5n + 3 <= 6n, which needs n >= 3; halves need n even.
    rng : numpy Generator
        Draws y first, then the permutation of the points.

    Returns
    -------
    A_train (n/2, 6n), y_train (n/2,), A_test, y_test : float64 arrays, pure numbers.

    Examples
    --------
    >>> A_train, y_train, A_test, y_test = wilson_data(4, np.random.default_rng(0))
    >>> A_train.shape, bool((A_train[:, 0] == y_train).all())
    ((2, 24), True)

    Source
    ------
    Karimireddy et al. 2019, appendix A.6; Wilson et al. 2017, section 3.3.
    """
    n = integer("n", n, 4, hint="The columns 5n + 3 must fit into d = 6n, and the halves be equal.")
    if n % 2:
        raise argument_error("n", "be even", n, "It is split into equal halves.")
    if not isinstance(rng, np.random.Generator):
        raise argument_error("rng", "be a numpy Generator", rng, "Pass np.random.default_rng(seed).")
    y = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    A = np.zeros((n, 6 * n))
    A[:, 0] = y
    A[:, 1:3] = 1
    for i in range(n):
        A[i, 3 + 5 * i : 3 + 5 * i + (1 if y[i] > 0 else 5)] = 1
    order = rng.permutation(n)
    train, test = order[: n // 2], order[n // 2 :]
    return A[train], y[train], A[test], y[test]
