"""The learning rate of each step, and where the paper's runs start (Sections 6.1, A.3).

    lr_t = lr / 10^(how many of S/2, 3S/4 are <= t),   step t = 0..S-1 of the run's S

With 200 epochs that is after epochs 100 and 150, as in the paper. A shorter run has the same shape, down to a single epoch,
whose rate falls within it.
"""

from __future__ import annotations

from efcheck.errors import argument_error, integer

TUNED_AT = 128  # the batch size at which A.3 tuned

_TUNED = {  # Table 2; the small network is not in the paper: tuned on the same grid
    "vgg19": {"sgdm": 1e-2, "scaled-signsgd": 5.6e-2, "signsgdm": 5.6e-5, "ef-signsgd": 5.6e-2},
    "resnet18": {"sgdm": 1e-2, "scaled-signsgd": 5.6e-2, "signsgdm": 3.2e-4, "ef-signsgd": 5.6e-2},
    "cnn": {"sgdm": 5.6e-2, "scaled-signsgd": 3.2e-1, "signsgdm": 3.2e-4, "ef-signsgd": 3.2e-1},
}


def milestones(epochs: int) -> tuple[float, float]:
    """After how many epochs the learning rate falls: half and three quarters of them, whole numbers or not.

    >>> milestones(200), milestones(5), milestones(1)
    ((100, 150), (2.5, 3.75), (0.5, 0.75))
    """
    half, three_quarters = integer("epochs", epochs, 1) / 2, 3 * epochs / 4
    return _whole(half), _whole(three_quarters)


def falls(steps: int) -> tuple[int, int]:
    """The first steps, counted from 0, of the second and of the third learning rate of a run of `steps` steps.

    >>> falls(8), falls(3), falls(1)
    ((4, 6), (2, 3), (1, 1))
    """
    return -(-steps // 2), -(-3 * steps // 4)


def learning_rate(lr: float, step: int, steps: int, constant: bool = False) -> float:
    """The learning rate of a step in 0..steps-1; `constant` is A.3's tuning.

    >>> [learning_rate(1.0, t, 20) for t in (0, 9, 10, 14, 15, 19)]
    [1.0, 1.0, 0.1, 0.1, 0.01, 0.01]
    """
    return lr if constant else lr / 10.0 ** sum(step >= first for first in falls(steps))


def _whole(value: float) -> float:
    """An int where it is one, as it is then written in a run's first line."""
    return int(value) if value == int(value) else value


def default_rate(algorithm: str, model: str, batch_size: int) -> float:
    """A.3's learning rate, tuned at batch size 128 and scaled by batch_size / 128.

    >>> default_rate("ef-signsgd", "vgg19", 32)
    0.014

    Raises
    ------
    ArgumentError
        If the model or the algorithm has none.
    """
    if model not in _TUNED:
        raise argument_error("model", f"be one of {', '.join(_TUNED)}", model)
    if algorithm not in _TUNED[model]:
        raise argument_error("algorithm", f"be one of {', '.join(_TUNED[model])}", algorithm)
    return _TUNED[model][algorithm] * integer("batch_size", batch_size, 1) / TUNED_AT
