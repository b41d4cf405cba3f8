"""The learning rate of each epoch, and where the paper's runs start (Sections 6.1, A.3).

    lr_t = lr / 10^(number of milestones before epoch t),   milestones (E/2, 3E/4) of E epochs, rounded up
"""

from __future__ import annotations

from efcheck.errors import argument_error, integer

TUNED_AT = 128  # the batch size at which A.3 tuned

_TUNED = {  # Table 2; the small network is not in the paper: tuned on the same grid
    "vgg19": {"sgdm": 1e-2, "scaled-signsgd": 5.6e-2, "signsgdm": 5.6e-5, "ef-signsgd": 5.6e-2},
    "resnet18": {"sgdm": 1e-2, "scaled-signsgd": 5.6e-2, "signsgdm": 3.2e-4, "ef-signsgd": 5.6e-2},
    "cnn": {"sgdm": 5.6e-2, "scaled-signsgd": 3.2e-1, "signsgdm": 3.2e-4, "ef-signsgd": 3.2e-1},
}


def milestones(epochs: int) -> tuple[int, int]:
    """The last epoch of each of the first two learning rates, counted from 1: half and three quarters, rounded up.

    A run of one epoch never drops its learning rate.

    >>> milestones(200), milestones(5), milestones(1)
    ((100, 150), (3, 4), (1, 1))
    """
    epochs = integer("epochs", epochs, 1)
    return -(-epochs // 2), -(-3 * epochs // 4)


def learning_rate(lr: float, epoch: int, epochs: int, constant: bool = False) -> float:
    """The learning rate of an epoch in 1..epochs; `constant` is A.3's tuning.

    >>> [learning_rate(1.0, t, 200) for t in (1, 100, 101, 150, 151, 200)]
    [1.0, 1.0, 0.1, 0.1, 0.01, 0.01]
    """
    drops = 0 if constant else sum(epoch > last for last in milestones(epochs))
    return lr / 10**drops


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
