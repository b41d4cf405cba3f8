"""What the reports of two workers mean: one check a question, each scenario run once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from efcheck.arrays import Array
from efcheck.checks._comm_pool import Hang, Pool
from efcheck.checks._comm_scenario import Scenario, Seen, Subject
from efcheck.checks.report import Result, failed, passed, skipped

# A gradient of 1000 at one step and of 1 at all others: a tenth of it may still be missing at the end, and more if it still
# shrinks. A scaled sign that forgets loses 0.4, top-k and random-k nearly all; one that does not is at 0.05 or shrinks.
_LOST, _SHRINKS = 0.1, 0.75


class Judge:
    """Runs each scenario once, when a check first asks for it, and says what it means."""

    again = ""  # Python that repeats one check, with {only} for its name

    def __init__(
        self, pool: Pool, subject: Subject, known: Sequence[Scenario], ratio: float | None, feedback: bool, random: bool
    ) -> None:
        self.pool, self.subject, self.known = pool, subject, {s.name: s for s in known}
        self.ratio, self.feedback, self.random = ratio, feedback, random
        self.seen: dict[str, Sequence[Seen]] = {}
        self.hangs: dict[str, str] = {}

    def checks(self) -> list[tuple[str, Callable[[], Result]]]:
        """In the order of reading; `no_deadlock` comes after the scenarios in which a hook may wait for itself."""
        found = [
            self.runs, self.no_deadlock, self.replicas_identical, self.one_equals_many, self.nothing_is_lost,
            self.memory_stays_bounded, self.bucket_rebuild, self.small_buckets, self.save_and_load, self.zero_gradient,
            self.overflow, self.bytes_sent,
        ]  # fmt: skip
        return [(check.__name__, functools.partial(self._with_script, check)) for check in found]

    def _with_script(self, check: Callable[[], Result]) -> Result:
        try:
            found = check()
        except _Unavailable as reason:
            return reason.result
        if found.outcome != "failed" or found.reproduce:
            return found
        return replace(found, reproduce=self.again.format(only=check.__name__))

    def get(self, name: str, own: bool = False) -> Sequence[Seen]:
        """The scenario's reports. Raises _Unavailable where there are none, or errors that are not the check's `own` matter."""
        seen = self._run(name)
        errors = [s.error + (f" at {s.where}" if s.where else "") for s in seen if s.error]
        telling = next((e for e in errors if "waits for" not in e), errors[0] if errors else "")
        if errors and name != "plain" and any(s.error and telling.startswith(s.error) for s in self.seen.get("plain", ())):
            raise _Unavailable(skipped("the same error; see runs"))
        if errors and not own:
            at = min(s.steps for s in seen)
            raise _Unavailable(failed(f"scenario {name}, step {at}: {telling}", self.again.format(only=self._owner(name))))
        return seen

    def _run(self, name: str) -> Sequence[Seen]:
        """Run the scenario unless it has been run; after two that hang none is."""
        if name in self.hangs:
            raise _Unavailable(skipped(f"scenario {name} hangs; see {self._owner(next(iter(self.hangs)), True)}"))
        if name not in self.seen and len(self.hangs) >= 2:
            raise _Unavailable(
                skipped(f"two scenarios hang, this one was not tried; see {self._owner(next(iter(self.hangs)), True)}")
            )
        if name not in self.seen:
            try:
                self.seen[name] = self.pool.run(self.known[name], self.subject)
            except Hang as hang:
                self.hangs[name] = str(hang)
                raise _Unavailable(failed(str(hang), number=self.pool.seconds, bound=self.pool.seconds, count=1)) from None
        return self.seen[name]

    def _owner(self, name: str, hangs: bool = False) -> str:
        """The check that a scenario is for."""
        if hangs and name in ("plain", "small-buckets"):
            return "no_deadlock"
        names = {"plain": "runs", "twins": "one_equals_many", "alone": "one_equals_many", "constant": "nothing_is_lost"}
        names |= {"rebuild": "bucket_rebuild", "resume": "save_and_load", "zeros": "zero_gradient", "bytes": "bytes_sent"}
        return names.get(name, name.replace("-", "_"))

    def runs(self) -> Result:
        """Six steps of different gradients: no error, and gradients of the tensors' shape and dtype come out, finite."""
        seen = self.get("plain")
        if not all(all(s.finite) for s in seen):
            return failed(f"finite gradients went in at step {seen[0].finite.index(False)}, and what came out is not finite")
        return passed("6 steps, 2 workers", count=6)

    def no_deadlock(self) -> Result:
        """Every step of a bucket for each tensor, and of one bucket for all, ends in time."""
        for name in ("plain", "small-buckets"):
            try:
                self.get(name, own=True)
            except _Unavailable as found:
                if name in self.hangs:
                    return replace(found.result, outcome="failed", detail=self.hangs[name])
        return passed(f"no step took longer than {self.pool.seconds:g} s", count=2)

    def replicas_identical(self) -> Result:
        """After six steps with different data all workers have bitwise the same parameters."""
        one, two = self.get("plain")
        off = max(float(np.abs(a - b).max()) for a, b in zip(one.params, two.params, strict=True))
        if off != 0:
            return failed(f"after 6 steps the workers' parameters differ by {off:.3g}", number=off, bound=0.0, count=6)
        return passed("bitwise, after 6 steps", count=6)

    def one_equals_many(self) -> Result:
        """Two workers with the same data end where one worker does."""
        if self.random:
            return skipped("declared to draw random numbers of its own")
        first = self.get("alone")[0]
        if self._draws():
            return skipped("two runs of one worker differ: the hook draws random numbers; declare random=True")
        twin = self.get("twins")[0]
        offs = [float(np.abs(a - b).max()) for a, b in zip(first.total, twin.total, strict=True)]
        size = max(float(np.abs(a).max()) for a in first.total)
        off, bound = max(offs), 1e-5 * size  # float32 sums over two equal workers
        if not off <= bound:
            factor = _factor(twin.total, first.total)
            text = f"the gradients of two equal workers and of one differ by {off:.3g} after 6 steps{factor}"
            return failed(text, number=off, bound=bound, count=6)
        return passed("bitwise" if off == 0 else f"to {off:.1g}", number=off, bound=bound, count=6)

    def nothing_is_lost(self) -> Result:
        """Constant gradients: over the second half of the steps the mean of what comes out is the mean of what went in."""
        if not self.feedback:
            return skipped("declared to lose something")
        scenario, seen = self.known["constant"], self.get("constant")[0]
        off, told = _second_half(scenario, seen)
        if not off <= 0.5:
            return failed(f"constant gradients, {told}", number=off, bound=0.5, count=scenario.T)
        text = f"constant gradients come out, to {off:.2g} over {scenario.T // 2} steps"
        return passed(text, number=off, bound=0.5, count=scenario.T)

    def memory_stays_bounded(self) -> Result:
        """Constant gradients that differ between workers: the state's norm does not grow in proportion to the steps."""
        worst = max(self.get("constant"), key=lambda s: s.norms[-1])
        quarter, middle, end = worst.norms
        T = self.known["constant"].T
        steps = f"{T // 4}, {T // 2}, {T}"
        if end == 0:
            return skipped("the state holds no tensors")
        if end > 1.6 * middle > 1.6 * 1.6 * quarter:
            text = f"the norm of what is in the state is {quarter:.3g}, {middle:.3g}, {end:.3g} after {steps} equal steps"
            return failed(f"{text}: it grows with the number of steps", number=end / middle, bound=1.6, count=T)
        text = f"norm {quarter:.3g}, {middle:.3g}, {end:.3g} after {steps} steps"
        return passed(text, number=end / max(middle, 1e-300), bound=1.6, count=T)

    def bucket_rebuild(self) -> Result:
        """What is pending when DDP rebuilds its bucket after the first step still reaches its own parameter."""
        return self._burst("rebuild", "DDP reorders its bucket after the first step")

    def small_buckets(self) -> Result:
        """The same with one bucket that is rebuilt as a bucket for each tensor."""
        return self._burst("small-buckets", "a bucket for each tensor from the second step on")

    def save_and_load(self) -> Result:
        """Model and state saved after step 3, each worker's by itself, and loaded into fresh ones: nothing pending is lost."""
        return self._burst("resume", "each worker's state saved after step 3 and loaded into a fresh DDP")

    def _burst(self, name: str, told: str) -> Result:
        if not self.feedback:
            return skipped("declared to lose something")
        scenario, both = self.known[name], self.get(name)
        if not all(all(s.finite) for s in both):
            return failed(f"{told}: what comes out is not finite", count=scenario.T)
        ends, halves = self._missing(scenario, both[0].total, 1.0), self._missing(scenario, both[0].half, 0.5)
        lost = [end if end > _SHRINKS * half else 0.0 for end, half in zip(ends, halves, strict=True)]
        off, i = _worst(lost)
        if not off <= _LOST:
            which = f"tensor {i}, shape {scenario.shapes[i]}" if len(ends) > 1 else "all tensors"
            text = f"{told}: {off:.0%} of a large gradient of {which}, never arrives"
            return failed(text, number=off, bound=_LOST, count=scenario.T)
        off = max(ends)
        return passed(f"{told}: all but {off:.1%} arrives in {scenario.T} steps", number=off, bound=_LOST, count=scenario.T)

    def _missing(self, scenario: Scenario, came: Sequence[Array], share: float) -> list[float]:
        """What has not come out after that share of the steps, over the burst, for each tensor; for all of them where
        workers draw at random, as the turn of a few entries may not have come."""
        size = max(scenario.burst.values())
        at = scenario.T if share == 1 else scenario.T // 2
        wanted = [replace(scenario, T=at).expected(i) for i in range(len(scenario.shapes))]
        offs = [np.abs(c - w).ravel() / size for c, w in zip(came, wanted, strict=True)]
        return [float(np.concatenate(offs).mean())] if self._draws() else [float(off.mean()) for off in offs]

    def _draws(self) -> bool:
        """Whether the hook is declared to draw random numbers, or two runs of one worker differ."""
        if self.random:
            return True
        first, other = self.get("alone")
        return any((a != b).any() for a, b in zip(first.params, other.params, strict=True))

    def zero_gradient(self) -> Result:
        """A tensor whose gradient is always zero, and one step in which all are: nothing becomes NaN."""
        seen = self.get("zeros")
        bad = [t for s in seen for t, finite in enumerate(s.finite) if not finite]
        if bad:
            return failed(f"a gradient of zeros went in, and from step {min(bad)} on NaN or inf comes out", count=8)
        return passed("finite with a gradient of zeros", count=8)

    def overflow(self) -> Result:
        """inf in worker 0's gradient at step 3: an error, or one skipped step; later steps are finite and the same for all.

        And what goes in at the later steps comes out again, as it does without an overflow.
        """
        T = self.known["overflow"].T
        seen = self.get("overflow", own=True)
        if any(s.error for s in seen):
            at, error = min((s.steps, s.error) for s in seen if s.error and "waits for" not in s.error)
            if at == self.known["overflow"].bad and "exit code" not in error:
                return passed(f"stops at the step of the overflow: {error}", count=4)
            return failed(f"step {at}: {error}", count=T)
        later = [t for s in seen for t, finite in enumerate(s.finite) if not finite and t > 3]
        if later:
            count = len(set(later))
            text = f"inf in one gradient at step 3, and {count} of the {T - 4} later steps are not finite"
            return failed(text, number=count, bound=0.0)
        off = max(float(np.abs(a - b).max()) for a, b in zip(seen[0].params, seen[1].params, strict=True))
        if off != 0:
            return failed(f"after an overflow the workers' parameters differ by {off:.3g}", number=off, bound=0.0, count=T)
        return self._goes_on(seen[0]) or passed("one step is lost, the later ones are finite", count=T)

    def _goes_on(self, seen: Seen) -> Result | None:
        """A failure, if less comes out long after an overflow than without one: the same gradients, the same bound."""
        scenario = self.known["constant"]
        try:
            without = self.get("constant")[0]
        except _Unavailable:
            return None  # nothing to compare with, and nothing_is_lost says why
        if self.feedback and _second_half(scenario, without)[0] <= 0.5:
            off, told = _second_half(scenario, seen)
            if not off <= 0.5:
                return failed(f"inf in one gradient at step 3, {told}", number=off, bound=0.5, count=scenario.T)
        for i, parts in enumerate(zip(seen.total, seen.half, without.total, without.half, strict=True)):
            total, half, other, other_half = parts
            if (total == half).all() and (other != other_half).any():
                text = f"inf in one gradient at step 3, and of tensor {i} nothing comes out in the last {scenario.T // 2} steps"
                return failed(text, number=0.0, count=scenario.T)
        return None

    def bytes_sent(self) -> Result:
        """Bytes on the process group's sockets in 4 steps, against DDP without a hook."""
        one, plain = self.get("bytes"), self.get("bytes-plain")
        sent, full = ([s.sent for s in both] for both in (one, plain))
        if None in (*sent, *full):
            return skipped("this system does not count a socket's bytes (Linux does, in TCP_INFO)")
        most, least = max(s or 0 for s in sent), min(f or 0 for f in full)
        claim = self.ratio or 1.0
        text = f"{most / 4:,.0f} bytes a step and worker, {least / 4:,.0f} without the hook: a ratio of {least / most:.3g}"
        if most > 1.1 * least / claim:  # a tenth for the headers of small messages
            return failed(f"{text}, claimed is {claim:g}", number=least / most, bound=claim, count=8)
        return passed(text, number=least / most, bound=claim, count=8)


class _Unavailable(Exception):
    """A scenario gave nothing to judge; `result` says so."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.detail)
        self.result = result


def _worst(offs: Sequence[Any]) -> tuple[float, int]:
    values = [float(v) if np.isfinite(v) else float("inf") for v in offs]
    i = int(np.argmax(values))
    return values[i], i


def _second_half(scenario: Scenario, seen: Seen) -> tuple[float, str]:
    """Of constant gradients: the largest error over the second half of the steps, over their size there, and its words."""
    half = [scenario.expected(i) / 2 for i in range(len(scenario.shapes))]
    came = [a - b for a, b in zip(seen.total, seen.half, strict=True)]
    off, i = _worst([np.abs(c - h).max() / np.abs(h).mean() for c, h in zip(came, half, strict=True)])
    text = f"last {scenario.T // 2} of {scenario.T} steps: tensor {i} gets {_mean_ratio(came[i], half[i])}"
    return off, f"{text}; the largest error of an entry is {off:.3g} of its size"


def _factor(ours: Sequence[Array], theirs: Sequence[Array]) -> str:
    a, b = (np.concatenate([np.ravel(v) for v in part]) for part in (ours, theirs))
    with np.errstate(all="ignore"):
        ratio = a / b
    if np.isfinite(ratio).all() and np.ptp(ratio) < 1e-4 * np.abs(ratio).max():
        return f": a factor of {ratio[0]:.4g}"
    return ""


def _mean_ratio(came: Array, wanted: Array) -> str:
    return f"{float(np.sum(came * wanted) / np.sum(wanted * wanted)):.3g} of what it should"
