"""Stops a run whose loss or gradient is no longer finite, and names the step and the layer."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from efcheck.errors import EfcheckError

_EVERY = 16  # steps between two looks on a GPU, where each look waits for it


class DivergedError(EfcheckError):
    """The loss or a gradient of a run is infinite or not a number."""


class Watch:
    """Sees the first step whose loss or gradient is not finite.

    On a CPU the loss of each step is looked at before the step changes a weight; the gradients are the optimizer's to
    refuse. On a GPU both are only noted there, and `look` reads the notes now and then, so that the GPU is not waited for;
    call it before each checkpoint, so that none is spoilt.

    Parameters
    ----------
    named : pairs (name, parameter)
        The parameters whose gradients are watched.
    defer : bool
        Note and look later; by default on a GPU.
    """

    def __init__(self, named: Iterable[tuple[str, torch.nn.Parameter]], defer: bool | None = None) -> None:
        self._pairs = list(named)
        self._defer = self._pairs[0][1].device.type != "cpu" if defer is None else defer
        self._notes: list[tuple[int, torch.Tensor]] = []

    def step(self, step: int, loss: torch.Tensor) -> None:
        """Look at a step between backward() and the optimizer; steps count from 1.

        Raises
        ------
        DivergedError
            Naming the step and the first layer whose gradient is not finite.
        """
        if self._defer:
            gradients = [p.new_zeros(()) if p.grad is None else p.grad for _, p in self._pairs]
            largest = torch._foreach_norm(gradients, math.inf)
            self._notes.append((step, torch.stack([loss.detach().to(largest[0].dtype), *largest])))
            if len(self._notes) >= _EVERY:
                self.look()
        elif not math.isfinite(loss.item()):
            bad = (i for i, (_, p) in enumerate(self._pairs) if p.grad is not None and not p.grad.isfinite().all())
            raise self.diverged(step, loss.item(), next(bad, None))

    def look(self) -> None:
        """Read the notes; raises as `step` does."""
        notes, self._notes = self._notes, []
        if notes:
            rows = torch.stack([note for _, note in notes]).tolist()
            for (step, _), (loss, *largest) in zip(notes, rows, strict=True):
                bad = next((i for i, value in enumerate(largest) if not math.isfinite(value)), None)
                if bad is not None or not math.isfinite(loss):
                    raise self.diverged(step, loss, bad)

    def weights(self, step: int) -> None:
        """Raise DivergedError if the step that was the last left a weight that is not finite; waits for the device."""
        largest = torch._foreach_norm([p.detach() for _, p in self._pairs], math.inf)
        bad = next((i for i, value in enumerate(torch.stack(largest).tolist()) if not math.isfinite(value)), None)
        if bad is not None:
            name = self._pairs[bad][0]
            raise DivergedError(f"stopped after step {step}: the weights of {name} are not finite. A smaller --lr may help")

    def diverged(self, step: int, loss: float, index: int | None) -> DivergedError:
        """The error about a step; `index` is that of the first parameter whose gradient is not finite."""
        first = "every gradient is finite"
        if index is not None:
            first = f"the first gradient that is not finite is that of {self._pairs[index][0]}"
        return DivergedError(f"stopped at step {step}: the loss is {loss:g}; {first}. A smaller --lr may help")
