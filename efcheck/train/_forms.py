"""Which form computes a step: torch's own SGD, one of the forms for signs, or the general one.

eager       BLAS in place, tensor by tensor, on one thread; the fastest without a compiler; foreach where BLAS cannot go
compiled    torch.compile over the whole list of tensors, on all of torch's threads
foreach     torch._foreach operations, few launches; slower than eager on a CPU
triton      fused kernels over all tensors, on a GPU; foreach where tensors differ in layout, dtype, momentum or decay
auto        eager on a CPU; on a GPU triton where it is installed, else foreach
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from efcheck.compressors import Identity, ScaledSign, Sign
from efcheck.errors import MissingExtraError
from efcheck.train import _compiled, _eager, _foreach, _general
from efcheck.train._slot import Slot, Unit

NAMES = ("auto", "eager", "compiled", "foreach", "triton")


class Forms:
    """One optimizer's way to step, with what it keeps between steps to be fast."""

    def __init__(self, form: str) -> None:
        if form == "triton" and importlib.util.find_spec("triton") is None:
            raise MissingExtraError("form 'triton' needs triton, which is not installed: pip install triton")
        self.form = form
        self._tables: Any = None  # of _triton
        self._places = _eager.Places()
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

    def step(self, units: Sequence[Unit], rngs: Callable[[], Sequence[np.random.Generator]]) -> None:
        """One step of all units; `rngs` makes a generator for each, for the general form."""
        if not units:
            return
        name = self.name([unit[0].group["compressor"] for unit in units], [unit[0].x for unit in units])
        slots = [slot for unit in units for slot in unit]
        if name == "fused sgd" and all(map(_general.plain, slots)):
            for group in {id(slot.group): slot.group for slot in slots}.values():
                self._count(_general.plain_step([slot for slot in slots if slot.group is group]))
        elif name in ("fused sgd", "general"):
            self._count(_general.step(units, rngs()))
        elif name == "compiled":
            _compiled.step(units, self._uncompiled)
        elif name == "eager":
            self._uncompiled(units)
        else:
            kernels = _kernels(slots) if name == "triton" else None
            self._count(_foreach.step(units) if kernels is None else self._fused(kernels, units))

    def _uncompiled(self, units: Sequence[Unit]) -> None:
        """BLAS on a CPU; elsewhere nobody waits for the device."""
        if units[0][0].x.device.type == "cpu":
            _eager.step(units, self._places)
        else:
            self._count(_foreach.step(units))

    def _fused(self, kernels: Any, units: Sequence[Unit]) -> Tensor | None:
        self._tables = self._tables or kernels.Tables()
        ok: Tensor | None = kernels.step(units, self._tables)
        return ok

    def _count(self, ok: Tensor | None) -> None:
        if ok is not None:
            bad = (~ok).to(torch.int64)
            self._skipped = bad if self._skipped is None else self._skipped.add_(bad)

    def counters(self) -> list[Tensor]:
        """What is counted on the device; written by steps."""
        return [] if self._skipped is None else [self._skipped]

    def skipped(self) -> int:
        """Steps that changed nothing on an accelerator, because something was not finite; waits for the device."""
        return 0 if self._skipped is None else int(self._skipped)


def _kernels(slots: Sequence[Slot]) -> Any:
    """The module of Triton's kernels, if they can take these tensors, else None; on a CPU only Triton's interpreter can."""
    if any(slot.x.device.type == "cpu" for slot in slots) and os.environ.get("TRITON_INTERPRET") != "1":
        return None
    module = importlib.import_module("efcheck.train._triton")
    return module if module.fits(slots) else None
