"""DDP communication hooks: right ones, and variants with one bug each. A module of its own, so that workers can import it."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist


class Memory:
    """One worker's error memory, kept by parameter name, in the unit of the gradient."""

    def __init__(self, process_group: Any, model: Any) -> None:
        self.group = process_group
        self.world = process_group.size()
        self.names = {p: name for name, p in model.named_parameters()}
        self.e: dict[str, torch.Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"e": self.e}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.e = state["e"]

    def get(self, bucket: Any, i: int, g: torch.Tensor) -> torch.Tensor:
        return self.e.setdefault(self.names[bucket.parameters()[i]], torch.zeros_like(g))

    def put(self, bucket: Any, i: int, e: torch.Tensor) -> None:
        self.e[self.names[bucket.parameters()[i]]] = e


def scaled_sign(v: torch.Tensor) -> torch.Tensor:
    return torch.where(v >= 0, 1.0, -1.0) * v.abs().mean()


def corrected(state: Any, bucket: Any) -> list[torch.Tensor]:
    return [g + state.get(bucket, i, g) for i, g in enumerate(bucket.gradients())]


def remember(state: Any, bucket: Any, vs: list[torch.Tensor], deltas: list[torch.Tensor]) -> None:
    for i, (v, delta) in enumerate(zip(vs, deltas, strict=True)):
        state.put(bucket, i, v - delta)


def flat(parts: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([part.reshape(-1) for part in parts])


def averaged(state: Any, message: torch.Tensor) -> Any:
    """The mean over workers as a future tensor."""
    future = dist.all_reduce(message, group=state.group, async_op=True).get_future()
    return future.then(lambda done: done.value()[0] / state.world)


def finite_everywhere(state: Any, bucket: Any) -> bool:
    """Whether all workers' gradients are finite: they must agree on whether to skip."""
    bad = torch.tensor([0.0 if torch.isfinite(bucket.buffer()).all() else 1.0])
    dist.all_reduce(bad, group=state.group)
    return bad.item() == 0


def skip(bucket: Any) -> Any:
    """A step without values that can be used; the memory is left alone."""
    future: Any = torch.futures.Future()
    future.set_result(torch.full_like(bucket.buffer(), float("nan")))
    return future


def right(state, bucket):
    """Scaled sign of each tensor, averaged; sent in full precision."""
    if not finite_everywhere(state, bucket):
        return skip(bucket)
    vs = corrected(state, bucket)
    deltas = [scaled_sign(v) for v in vs]
    remember(state, bucket, vs, deltas)
    return averaged(state, flat(deltas))


# --- right, in other ways ---------------------------------------------------------------------------------------------


def packed(state, bucket):
    """The same in one bit an entry and one float32 a tensor: one all_gather for each bucket, decoded in `then`."""
    vs = corrected(state, bucket)
    if not torch.isfinite(flat(vs)).all():
        raise FloatingPointError("a gradient is not finite")
    deltas = [scaled_sign(v) for v in vs]
    remember(state, bucket, vs, deltas)
    sizes = [v.numel() for v in vs]
    message = torch.cat([pack(flat(vs) >= 0), torch.stack([v.abs().mean() for v in vs]).view(torch.uint8)])
    gathered = [torch.empty_like(message) for _ in range(state.world)]
    future = dist.all_gather(gathered, message, group=state.group, async_op=True).get_future()

    def decode(done: Any) -> torch.Tensor:
        done.wait()
        return sum(unpack(m, sizes) for m in gathered) / state.world

    return future.then(decode)


def pack(bits: torch.Tensor) -> torch.Tensor:
    padded = torch.zeros(-(-bits.numel() // 8) * 8, dtype=torch.uint8)
    padded[: bits.numel()] = bits.to(torch.uint8)
    weights = torch.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=torch.uint8)
    return (padded.reshape(-1, 8) * weights).sum(dim=1).to(torch.uint8)


def unpack(message: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    count = -(-sum(sizes) // 8)
    weights = torch.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=torch.uint8)
    bits = ((message[:count, None] & weights) != 0).reshape(-1)[: sum(sizes)]
    scales = message[count:].clone().view(torch.float32)
    return torch.where(bits, 1.0, -1.0) * torch.repeat_interleave(scales, torch.tensor(sizes))


def top(state, bucket):
    """The two largest entries of each tensor; NaN is sent as it is, and not remembered."""
    vs = corrected(state, bucket)
    deltas = []
    for v in vs:
        delta = torch.zeros_like(v)
        chosen = v.reshape(-1).abs().topk(min(2, v.numel())).indices
        delta.view(-1)[chosen] = v.reshape(-1)[chosen]
        deltas.append(delta)
    if not finite_everywhere(state, bucket):
        return averaged(state, flat(vs))
    remember(state, bucket, vs, deltas)
    return averaged(state, flat(deltas))


def random_half(state, bucket):
    """Each worker sends a random half, of its own choosing."""
    if not finite_everywhere(state, bucket):
        return skip(bucket)
    vs = corrected(state, bucket)
    deltas = [v * (torch.rand(v.shape) < 0.5) for v in vs]
    remember(state, bucket, vs, deltas)
    return averaged(state, flat(deltas))


def whole_bucket(state, bucket):
    """One scale for each bucket, so that results depend on how DDP cuts them; the memory is kept by parameter."""
    if not finite_everywhere(state, bucket):
        return skip(bucket)
    vs = corrected(state, bucket)
    scale = flat(vs).abs().mean()
    deltas = [torch.where(v >= 0, scale, -scale) for v in vs]
    remember(state, bucket, vs, deltas)
    return averaged(state, flat(deltas))


def every_fourth(state, bucket):
    """Nothing at three steps, everything at the fourth."""
    if not finite_everywhere(state, bucket):
        return skip(bucket)
    count = state.e.setdefault(f"count {bucket.index()}", torch.zeros(1, dtype=torch.int64))
    count += 1
    vs = corrected(state, bucket)
    deltas = [v.clone() if count.item() % 4 == 0 else torch.zeros_like(v) for v in vs]
    remember(state, bucket, vs, deltas)
    return averaged(state, flat(deltas))


def divided_before(state, bucket):
    """Divides by the number of workers before it compresses; the sum is the mean. The memory has what was divided."""
    if not finite_everywhere(state, bucket):
        return skip(bucket)
    vs = [g / state.world + state.get(bucket, i, g) for i, g in enumerate(bucket.gradients())]
    deltas = [scaled_sign(v) for v in vs]
    remember(state, bucket, vs, deltas)
    return dist.all_reduce(flat(deltas), group=state.group, async_op=True).get_future().then(lambda done: done.value()[0])


def stateless_sign(state, bucket):
    """Scaled sign without feedback, and said to be so."""
    return averaged(state, flat([scaled_sign(g) for g in bucket.gradients()]))


# --- with one bug each ------------------------------------------------------------------------------------------------


def summed(state, bucket):
    """The division by the number of workers is missing."""
    if not finite_everywhere(state, bucket):
        return skip(bucket)
    vs = corrected(state, bucket)
    deltas = [scaled_sign(v) for v in vs]
    remember(state, bucket, vs, deltas)
    return dist.all_reduce(flat(deltas), group=state.group, async_op=True).get_future().then(lambda done: done.value()[0])


def memory_of_sum(state, bucket):
    """The memory misses what all workers sent together instead of its own share: it is not divided by their number."""
    if not finite_everywhere(state, bucket):
        return skip(bucket)
    vs = corrected(state, bucket)
    total = flat([scaled_sign(v) for v in vs])
    dist.all_reduce(total, group=state.group)
    parts = total.split([v.numel() for v in vs])
    remember(state, bucket, vs, [part.reshape(v.shape) for part, v in zip(parts, vs, strict=True)])
    future: Any = torch.futures.Future()
    future.set_result(total / state.world)
    return future


def memory_unused(state, bucket):
    """Filled, never added."""
    if not finite_everywhere(state, bucket):
        return skip(bucket)
    vs = [g.clone() for g in bucket.gradients()]
    deltas = [scaled_sign(v) for v in vs]
    remember(state, bucket, vs, deltas)
    return averaged(state, flat(deltas))


def local(state, bucket):
    """Nothing is averaged: the replicas drift apart."""
    vs = corrected(state, bucket)
    deltas = [scaled_sign(v) for v in vs]
    remember(state, bucket, vs, deltas)
    future: Any = torch.futures.Future()
    future.set_result(flat(deltas))
    return future


def poisoned(state, bucket):
    """No look at what is finite."""
    vs = corrected(state, bucket)
    deltas = [scaled_sign(v) for v in vs]
    remember(state, bucket, vs, deltas)
    return averaged(state, flat(deltas))


def zero_divides(state, bucket):
    """Normalises by ||v||, which may be zero."""
    if not finite_everywhere(state, bucket):
        return skip(bucket)
    vs = corrected(state, bucket)
    deltas = [scaled_sign(v) * (v.norm() / v.norm()) for v in vs]
    remember(state, bucket, vs, deltas)
    return averaged(state, flat(deltas))


def waits_for_last(state, bucket):
    """Holds every bucket back until the last one is there. But hooks are called one after the other."""
    if not hasattr(state, "last") or state.last.done():
        state.last = torch.futures.Future()
    if bucket.is_last():
        state.last.set_result(None)
    state.last.wait()
    return right(state, bucket)


def one_waits(state, bucket):
    """Worker 0 joins a collective that worker 1 never enters."""
    if dist.get_rank() == 0 and bucket.index() == 2:
        dist.barrier(group=state.group)
    return right(state, bucket)


def drifting(state, bucket):
    """The memory misses the mean of all workers instead of its own share: each worker's grows with what sets it apart."""
    if not finite_everywhere(state, bucket):
        return skip(bucket)
    vs = corrected(state, bucket)
    mean = flat([scaled_sign(v) for v in vs])
    dist.all_reduce(mean, group=state.group)
    mean /= state.world
    parts = mean.split([v.numel() for v in vs])
    remember(state, bucket, vs, [part.reshape(v.shape) for part, v in zip(parts, vs, strict=True)])
    future: Any = torch.futures.Future()
    future.set_result(mean)
    return future


def half_shape(state, bucket):
    """Raises where buckets hold more than three tensors."""
    if len(bucket.gradients()) > 3:
        raise RuntimeError("too many tensors in a bucket")
    return right(state, bucket)


def divided_twice(state, bucket):
    """Divides by the number of workers before it compresses, and again after."""
    if not finite_everywhere(state, bucket):
        return skip(bucket)
    vs = [v / state.world for v in corrected(state, bucket)]
    deltas = [scaled_sign(v) for v in vs]
    remember(state, bucket, vs, deltas)
    return averaged(state, flat(deltas))


def values_alone(state, bucket):
    """A random half of the values is sent, their places are not: each worker puts the mean where its own were."""
    if not finite_everywhere(state, bucket):
        return skip(bucket)
    vs = corrected(state, bucket)
    v = flat(vs)
    places = torch.randperm(v.numel())[: v.numel() // 2 + 1]
    mine = torch.zeros_like(v).scatter(0, places, v[places])
    remember(state, bucket, vs, [d.reshape(u.shape) for d, u in zip(mine.split([u.numel() for u in vs]), vs, strict=True)])
    return averaged(state, v[places]).then(lambda done: torch.zeros_like(v).scatter(0, places, done.value()))


class FirstAlone(Memory):
    """Only worker 0 remembers."""

    def put(self, bucket: Any, i: int, e: torch.Tensor) -> None:
        super().put(bucket, i, e if dist.get_rank() == 0 else torch.zeros_like(e))


class ByShape(Memory):
    """One memory for all tensors of one shape."""

    def get(self, bucket: Any, i: int, g: torch.Tensor) -> torch.Tensor:
        return self.e.get(str(tuple(g.shape)), torch.zeros_like(g))

    def put(self, bucket: Any, i: int, e: torch.Tensor) -> None:
        self.e[str(tuple(e.shape))] = e


class ByIndex(Memory):
    """Memory kept by bucket index and place: another parameter's after DDP has rebuilt its buckets."""

    def get(self, bucket: Any, i: int, g: torch.Tensor) -> torch.Tensor:
        kept = self.e.get(f"{bucket.index()}.{i}")
        return torch.zeros_like(g) if kept is None or kept.shape != g.shape else kept

    def put(self, bucket: Any, i: int, e: torch.Tensor) -> None:
        self.e[f"{bucket.index()}.{i}"] = e


class ByPlace(ByIndex):
    """Memory kept by place, whatever fits: cut or filled with zeros."""

    def get(self, bucket: Any, i: int, g: torch.Tensor) -> torch.Tensor:
        out, kept = torch.zeros(g.numel()), self.e.get(f"{bucket.index()}.{i}", torch.zeros(0)).reshape(-1)
        count = min(out.numel(), kept.numel())
        out[:count] = kept[:count]
        return out.reshape(g.shape)


class Flat(Memory):
    """Memory kept as one vector for each bucket index, as torch's own does."""

    def get(self, bucket: Any, i: int, g: torch.Tensor) -> torch.Tensor:
        start = sum(part.numel() for part in bucket.gradients()[:i])
        kept = self.e.setdefault(str(bucket.index()), torch.zeros(bucket.buffer().numel()))
        return kept[start : start + g.numel()].reshape(g.shape).clone()

    def put(self, bucket: Any, i: int, e: torch.Tensor) -> None:
        start = sum(part.numel() for part in bucket.gradients()[:i])
        self.e[str(bucket.index())][start : start + e.numel()] = e.reshape(-1)


class ByAddress(Memory):
    """Memory kept by the address of the gradient in the bucket, which changes when buckets are rebuilt."""

    def get(self, bucket: Any, i: int, g: torch.Tensor) -> torch.Tensor:
        return self.e.get(str(g.data_ptr()), torch.zeros_like(g))

    def put(self, bucket: Any, i: int, e: torch.Tensor) -> None:
        self.e[str(bucket.gradients()[i].data_ptr())] = e


class Forgetful(Memory):
    """The memory is left out of the checkpoint."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class FirstWorkers(Memory):
    """Only worker 0's memory is loaded."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.e = state["e"] if dist.get_rank() == 0 else {}


class Unsavable(Memory):
    """state_dict gives what torch.save cannot write."""

    def state_dict(self) -> dict[str, Any]:
        return {"e": self.e, "group": (x for x in ())}


def silent_after(state, bucket):
    """After one overflow it sends zeros for ever."""
    state.stopped = getattr(state, "stopped", False) or not finite_everywhere(state, bucket)
    return averaged(state, torch.zeros_like(bucket.buffer())) if state.stopped else right(state, bucket)


def silent_sign(state, bucket):
    """The same without any memory."""
    state.stopped = getattr(state, "stopped", False) or not finite_everywhere(state, bucket)
    return averaged(state, flat([scaled_sign(torch.zeros_like(g) if state.stopped else g) for g in bucket.gradients()]))
