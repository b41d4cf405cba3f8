"""What the processes are asked to run, and the gradients that both they and the judge compute from it. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from efcheck.arrays import Array

# two matrices that low rank can compress, equal sizes that can be mistaken for one another, and odd ones
SHAPES: tuple[tuple[int, ...], ...] = ((6, 4), (4, 6), (5,), (5,), (3, 3), (24,), (1,))
LARGE: tuple[tuple[int, ...], ...] = ((64, 128), (128,), (96, 64), (64,))
ORDER = (3, 0, 6, 2, 5, 1, 4)  # of use in the forward pass: not that of registration, so that buckets are rebuilt
TINY_MB = 2e-6  # a bucket for each tensor


@dataclass(frozen=True)
class Scenario:
    """T steps of DDP with gradients that are given.

    world: 2, or 1 for each process alone. same: all workers have worker 0's gradients. varying: new gradients at each step.
    burst: {t: factor}. dead: a tensor whose gradient is 0. bad: the step at which worker 0 has inf. cap: bucket_cap_mb.
    resume: the step before which model and state are saved, and loaded into fresh ones. plain: no hook, for comparison.
    """

    name: str
    T: int
    world: int = 2
    same: bool = False
    varying: bool = False
    burst: dict[int, float] = field(default_factory=dict)
    dead: int | None = None
    bad: int | None = None
    cap: float | None = None
    resume: int | None = None
    plain: bool = False
    shapes: tuple[tuple[int, ...], ...] = SHAPES
    seed: int = 0

    def gradient(self, rank: int, t: int, tensor: int) -> Array:
        """float32; entries of size 0.2 to 2, of the same sign for all workers, so that their mean is of that size too."""
        shape = self.shapes[tensor]
        common = np.random.default_rng([self.seed, 1, tensor, t if self.varying else 0])
        own = np.random.default_rng([self.seed, 2, tensor, t if self.varying else 0, 0 if self.same else rank])
        sign = common.choice([-1.0, 1.0], size=shape)
        g = sign * (common.uniform(0.5, 1.7, size=shape) + own.uniform(-0.3, 0.3, size=shape)) * self.burst.get(t, 1.0)
        if self.dead == tensor or (self.dead is not None and t == self.T // 2):
            g = np.zeros(shape)
        if self.bad == t and rank == 0 and tensor == 0:
            g.flat[0] = np.inf
        return np.asarray(g, np.float32)

    def expected(self, tensor: int) -> Array:
        """Sum over the steps of the workers' mean gradient, float64."""
        total = np.zeros(self.shapes[tensor])
        for t in range(self.T):
            for rank in range(self.world):
                total += self.gradient(rank, t, tensor).astype(np.float64) / self.world
        return total


def scenarios(seed: int) -> list[Scenario]:
    """All of them, in the order in which they run: the plain one first."""
    return [
        Scenario("plain", 6, varying=True, seed=seed),
        Scenario("twins", 6, varying=True, same=True, seed=seed),
        Scenario("alone", 6, world=1, varying=True, same=True, seed=seed),
        Scenario("small-buckets", 128, burst={0: 1000.0}, cap=TINY_MB, seed=seed),
        Scenario("rebuild", 128, burst={0: 1000.0}, seed=seed),
        Scenario("constant", 128, seed=seed),
        Scenario("resume", 132, burst={3: 1000.0}, resume=4, seed=seed),
        Scenario("zeros", 8, varying=True, dead=0, seed=seed),
        Scenario("overflow", 128, bad=3, seed=seed),
        Scenario("bytes", 8, varying=True, shapes=LARGE, seed=seed),
        Scenario("bytes-plain", 8, varying=True, shapes=LARGE, plain=True, seed=seed),
    ]


@dataclass
class Seen:
    """What one worker saw in one scenario; arrays are NumPy's, so that the judge needs no torch."""

    total: list[Array] = field(default_factory=list)  # sum of the gradients that came out of the hook, for each tensor
    half: list[Array] = field(default_factory=list)  # the same over the first half of the steps
    params: list[Array] = field(default_factory=list)
    finite: list[bool] = field(default_factory=list)  # of what came out, for each step
    norms: list[float] = field(default_factory=list)  # of all tensors in the state, after T/4, T/2 and T steps
    sent: int | None = None  # bytes in the second half of the steps, as the kernel counts them
    steps: int = 0
    error: str = ""
    where: str = ""


@dataclass(frozen=True)
class Subject:
    """What is checked; all of it can be pickled."""

    hook: Any
    state: Any
    save: Any = None
    load: Any = None


@dataclass(frozen=True)
class Job:
    """One scenario of one subject, for one worker."""

    subject: Subject
    rank: int
    folder: str
    number: int
