"""The paper's four algorithms (Sections 1 and 6.1) as settings of EFSGD, layer-wise, with weight decay 5e-4 on all tensors.

    sgdm             x - gamma m,                     m = beta m + g
    scaled-signsgd   x - gamma (||g||_1 / d) sign(g)
    signsgdm         x - gamma sign(m),               m = beta m + g; sign(0) = 0
    ef-signsgd       Algorithm 1: no momentum

beta = 0.9 where there is momentum. Weight decay is added to the gradient, so g above is g + lambda x.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from efcheck.compressors import Identity, ScaledSign, Sign
from efcheck.errors import argument_error
from efcheck.train._compress import describe as words
from efcheck.train.optimizer import EFSGD

MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4
ALGORITHMS: dict[str, dict[str, Any]] = {
    "sgdm": {"compressor": Identity(), "feedback": False, "momentum": MOMENTUM},
    "scaled-signsgd": {"compressor": ScaledSign(), "feedback": False},
    "signsgdm": {"compressor": Sign(), "feedback": False, "momentum": MOMENTUM},
    "ef-signsgd": {"compressor": ScaledSign(), "feedback": True},
}


def make(name: str, params: Any, lr: float | Tensor, **overrides: Any) -> EFSGD:
    """EFSGD as the named algorithm; `overrides` are any of EFSGD's keywords.

    Raises ArgumentError for an unknown name or a setting out of range.

    >>> import torch
    >>> describe(make("ef-signsgd", [torch.nn.Parameter(torch.zeros(3))], lr=0.056))["compressor"]
    'ScaledSign(zero=1)'
    """
    if name not in ALGORITHMS:
        raise argument_error("algorithm", f"be one of {', '.join(ALGORITHMS)}", name)
    made = EFSGD(params, lr, **{"weight_decay": WEIGHT_DECAY, **ALGORITHMS[name], **overrides})
    made.algorithm = name
    return made


def describe(optimizer: EFSGD) -> dict[str, Any]:
    """The hyper-parameters in force, of the first group, and of the others where they differ ("groups"); plain values."""
    first, *others = [_settings(group) for group in optimizer.param_groups]
    found = {
        "algorithm": optimizer.algorithm, **first, "granularity": optimizer.granularity, "form": optimizer.form_in_force(),
    }  # fmt: skip
    different = [{k: v for k, v in other.items() if v != first[k]} for other in others]
    if any(different):
        found["groups"] = different
    return found


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    """Momentum's and decay's places are named only where there is momentum or decay."""
    found: dict[str, Any] = {
        "lr": float(group["lr"]), "compressor": words(group["compressor"]), "feedback": group["feedback"],
        "momentum": group["momentum"], "momentum_at": group["momentum_at"] if group["momentum"] else None,
        "weight_decay": group["weight_decay"],
        "weight_decay_at": group["weight_decay_at"] if group["weight_decay"] else None,
    }  # fmt: skip
    return found
