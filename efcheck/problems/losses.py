"""Scalar losses phi(r), convex and even, with phi(0) = 0: the l_i of Theorem I."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from efcheck.arrays import Array, sign
from efcheck.errors import argument_error


@dataclass(frozen=True)
class Loss:
    """A convex even loss: value, (sub)derivative with derivative(0) = 0, and second derivative, elementwise.

    `lipschitz` bounds |phi'|, `curvature` bounds phi''; None where there is no bound.

    >>> LOSSES["huber"].value(np.array([0.5, 3.0]))
    array([0.125, 2.5  ])
    """

    name: str
    value: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    second: Callable[[Array], Array]
    lipschitz: float | None = None
    curvature: float | None = None


def _logistic(r: Array) -> Array:
    # 2 log cosh(r/2) by two forms: the first does not cancel near 0, the second does not overflow.
    a = np.abs(r)
    near = 2 * np.log1p(2 * np.square(np.sinh(np.minimum(a, 2) / 4)))
    return np.asarray(np.where(a < 2, near, a + 2 * np.log1p(np.exp(-a)) - 2 * math.log(2)))


def _logistic_second(r: Array) -> Array:
    t = np.tanh(r / 2)
    return np.asarray((1 - t) * (1 + t) / 2)


LOSSES = {
    loss.name: loss
    for loss in (
        Loss("squared", lambda r: r * r, lambda r: 2 * r, lambda r: np.full_like(r, 2), None, 2.0),
        Loss("logistic", _logistic, lambda r: np.tanh(r / 2), _logistic_second, 1.0, 0.5),
        Loss(
            "huber",
            lambda r: np.where(np.abs(r) <= 1, np.square(np.minimum(np.abs(r), 1)) / 2, np.abs(r) - 0.5),
            lambda r: np.clip(r, -1, 1),
            lambda r: (np.abs(r) <= 1).astype(r.dtype),
            1.0,
            1.0,
        ),
        Loss("absolute", np.abs, lambda r: sign(r, 0), np.zeros_like, 1.0, None),
    )
}


def as_loss(loss: Loss | str) -> Loss:
    """A Loss, or one by name: squared r^2, logistic log(1+e^r) + log(1+e^-r) - 2 log 2, huber, absolute |r| (slope 0 at 0)."""
    if isinstance(loss, Loss):
        return loss
    if not isinstance(loss, str) or loss not in LOSSES:
        raise argument_error("loss", f"be a Loss or one of {', '.join(LOSSES)}", loss)
    return LOSSES[loss]
