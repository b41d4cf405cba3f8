"""Which form computes a step: torch's own SGD, one of the forms for signs, or the general one.

    eager       in place, tensor by tensor; the fastest without a compiler on a CPU
    compiled    torch.compile over the whole list of tensors
    foreach     torch._foreach operations, few launches; slower than eager on a CPU
    triton      two fused kernels over all tensors, on a GPU
    auto        eager on a CPU; on a GPU triton where it is installed, else foreach
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from efcheck.compressors import Identity, ScaledSign, Sign
from efcheck.train import _compiled, _eager, _foreach, _general
from efcheck.train._slot import Unit

NAMES = ("auto", "eager", "compiled", "foreach", "triton")


class Forms:
    """One optimizer's way to step, with what it keeps between steps to be fast."""

    def __init__(self, form: str) -> None:
        self.form = form
        self._scratch = _eager.Scratch()
        self._skipped: Tensor | None = None

    def name(self, compressors: Sequence[Any], params: Sequence[Tensor]) -> str:
        """The form in force: "fused sgd" and "general" for what is no sign."""
        if all(isinstance(c, Identity) for c in compressors):
            return "fused sgd"
        if not all(isinstance(c, (Sign, ScaledSign)) for c in compressors):
            return "general"
        if self.form != "auto":
            return self.form
        if not any(p.device.type != "cpu" for p in params):
            return "eager"
        return "triton" if importlib.util.find_spec("triton") else "foreach"

    def step(self, units: Sequence[Unit], rngs: Sequence[np.random.Generator]) -> None:
        """One step of all units."""
        if not units:
            return
        name = self.name([unit[0].group["compressor"] for unit in units], [unit[0].x for unit in units])
        slots = [slot for unit in units for slot in unit]
        if name == "fused sgd" and all(map(_general.plain, slots)):
            for group in {id(slot.group): slot.group for slot in slots}.values():
                _general.plain_step([slot for slot in slots if slot.group is group])
        elif name in ("fused sgd", "general"):
            _general.step(units, rngs)
        elif name == "eager":
            _eager.step(units, self._scratch)
        elif name == "compiled":
            _compiled.step(units, lambda: _eager.step(units, self._scratch))
        else:
            self._count(_foreach.step(units))

    def _count(self, ok: Tensor | None) -> None:
        if ok is not None:
            bad = (~ok).to(torch.int64)
            self._skipped = bad if self._skipped is None else self._skipped.add_(bad)

    def skipped(self) -> int:
        """Steps that changed nothing on an accelerator, because something was not finite; waits for the device."""
        return 0 if self._skipped is None else int(self._skipped)
