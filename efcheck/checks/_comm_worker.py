"""One of the two processes: torch's DDP over gloo on 127.0.0.1, with gradients that are given."""

from __future__ import annotations

import faulthandler
import gc
import importlib
import inspect
import logging
import math
import os
import signal
import socket
import struct
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from efcheck.checks._comm_scenario import ORDER, Job, Scenario, Seen

_GAMMA = 0.01
_SENT, _RESENT = 200, 208  # offsets of tcpi_bytes_sent and tcpi_bytes_retrans in Linux's struct tcp_info


def serve(rank: int, folder: str, pipe: Any, progress: Any) -> None:
    """Run the scenarios that come through the pipe until None comes; progress holds (scenario, step) of each worker."""
    names = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]
    os.environ.update({"GLOO_SOCKET_IFNAME": names[0]} if names else {})
    stacks = open(stack_file(folder, rank), "w")  # noqa: SIM115  open as long as the process lives
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1, stacks, all_threads=True)
    os.dup2(os.open(last_words(folder, rank), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)  # C++ says there why it aborts
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    importlib.import_module("torch").set_num_threads(1)
    logging.disable(logging.WARNING)
    pipe.send("ready")
    while True:
        seen = Seen()
        try:
            asked = pipe.recv()
            if asked is None:
                return
            number, scenario, subject = asked
            progress[2 * rank], progress[2 * rank + 1] = number, -1
            _run(Job(subject, rank, folder, number), scenario, seen, progress)
        except EOFError:
            return  # the parent is gone
        except Exception as error:
            lines = str(error).splitlines()
            seen.error, seen.where = f"{type(error).__name__}: {lines[0] if lines else ''}", _place(error)
        finally:
            with suppress(Exception):
                importlib.import_module("torch.distributed").destroy_process_group()
        pipe.send(seen)


def stack_file(folder: str, rank: int) -> Path:
    """Where a worker writes its stacks when it is asked for them."""
    return Path(folder) / f"stacks-{rank}"


def last_words(folder: str, rank: int) -> Path:
    """Where a worker's standard error goes."""
    return Path(folder) / f"stderr-{rank}"


def _run(job: Job, scenario: Scenario, seen: Seen, progress: Any) -> None:
    torch, dist = importlib.import_module("torch"), importlib.import_module("torch.distributed")
    rank = job.rank if scenario.world > 1 else 0
    name = f"store-{job.number}" + ("" if scenario.world > 1 else f"-{job.rank}")
    store = dist.FileStore(str(Path(job.folder) / name), scenario.world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=scenario.world, timeout=timedelta(hours=1))
    torch.manual_seed(job.rank)  # workers that share a generator's state would hide a hook that relies on it
    model = _model(torch, scenario)
    ddp, state = _wrap(job, scenario, model, rank)
    optimizer = torch.optim.SGD(model.parameters(), lr=_GAMMA)
    seen.total = [np.zeros(shape) for shape in scenario.shapes]
    marks = {scenario.T // 4, scenario.T // 2, scenario.T}
    before = None
    for t in range(scenario.T):
        progress[2 * job.rank + 1] = t
        if t == scenario.resume:
            model, ddp, state = _saved_and_loaded(job, scenario, model, state, rank)
            optimizer = torch.optim.SGD(model.parameters(), lr=_GAMMA)
        _step(torch, scenario, model, ddp, optimizer, rank, t, seen)
        seen.steps = t + 1
        if t + 1 in marks:
            seen.norms.append(_norm(torch, state))
        if t + 1 == scenario.T // 2:
            seen.half = [part.copy() for part in seen.total]
            dist.barrier()
            before = bytes_sent()
    if scenario.world > 1:
        dist.barrier()
    after = bytes_sent()
    seen.sent = None if before is None or after is None else after - before
    seen.params = [p.detach().numpy().copy() for p in model.tensors]
    del ddp, state
    gc.collect()  # DDP's reducer holds the process group


def _step(torch: Any, scenario: Scenario, model: Any, ddp: Any, optimizer: Any, rank: int, t: int, seen: Seen) -> None:
    """One step; an optimizer step that would write NaN is left out, as a loss scaler would."""
    given = [torch.from_numpy(scenario.gradient(rank, t, i)) for i in range(len(scenario.shapes))]
    optimizer.zero_grad(set_to_none=True)
    ddp(given).backward()
    out = [p.grad for p in model.tensors]
    for g, p in zip(out, model.tensors, strict=True):
        if g is None or g.shape != p.shape or g.dtype != p.dtype:
            raise TypeError(f"the gradient of a float32 tensor {tuple(p.shape)} came back as {g if g is None else g.dtype}")
    finite = all(bool(torch.isfinite(g).all()) for g in out)
    seen.finite.append(finite)
    if finite:
        for total, g in zip(seen.total, out, strict=True):
            total += g.double().numpy()
        optimizer.step()


def _model(torch: Any, scenario: Scenario) -> Any:
    class Linear(torch.nn.Module):  # type: ignore[misc]
        """loss = sum <w_i, g_i>, in an order of its own: the gradient of w_i is g_i."""

        def __init__(self) -> None:
            super().__init__()
            self.tensors = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(s)) for s in scenario.shapes])

        def forward(self, given: list[Any]) -> Any:
            order = [i for i in ORDER if i < len(given)]
            return sum((self.tensors[i] * given[i]).sum() for i in order)

    return Linear()


def _wrap(job: Job, scenario: Scenario, model: Any, rank: int) -> tuple[Any, Any]:
    """(the model in DDP with the hook, the hook's state)."""
    parallel = importlib.import_module("torch.nn.parallel").DistributedDataParallel
    ddp = parallel(model) if scenario.cap is None else parallel(model, bucket_cap_mb=scenario.cap)
    if scenario.plain:
        return ddp, None
    group = importlib.import_module("torch.distributed").group.WORLD
    state = made(job.subject.state, {"process_group": group, "model": model, "rank": rank, "world_size": scenario.world})
    ddp.register_comm_hook(state, job.subject.hook)
    return ddp, state


def made(state: Any, known: dict[str, Any]) -> Any:
    """state itself, or what it makes of those of process_group, model, rank, world_size that it has arguments for."""
    if not callable(state):
        return state
    parameters = inspect.signature(state).parameters
    given = {name: known[name] for name in parameters if name in known}
    bare = [n for n, p in parameters.items() if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if not given and len(bare) == 1:
        return state(known["process_group"])
    return state(**given)


def _saved_and_loaded(job: Job, scenario: Scenario, model: Any, state: Any, rank: int) -> tuple[Any, Any, Any]:
    """A fresh model, DDP and state, loaded from files: the model's by all alike, each worker's state by itself."""
    torch = importlib.import_module("torch")
    path = Path(job.folder) / f"state-{job.number}-{rank}.pt"
    whole = job.subject.save is None and not hasattr(state, "state_dict")
    if whole:
        torch.save(state, path)
    else:
        torch.save(job.subject.save(state) if job.subject.save else state.state_dict(), path)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    fresh = _model(torch, scenario)
    fresh.load_state_dict(weights)
    if whole:
        loaded = torch.load(path, weights_only=False)  # the user's own state, written above by this very process
        ddp, _ = _wrap(_with_state(job, loaded), scenario, fresh, rank)
        return fresh, ddp, loaded
    ddp, loaded = _wrap(job, scenario, fresh, rank)
    content = torch.load(path)
    if job.subject.load:
        job.subject.load(loaded, content)
    else:
        loaded.load_state_dict(content)
    return fresh, ddp, loaded


def _with_state(job: Job, state: Any) -> Job:
    return replace(job, subject=replace(job.subject, state=lambda: state))


def _norm(torch: Any, state: Any) -> float:
    """||.||_2 over all float tensors of more than one entry that can be reached from the state."""
    squares = [float(t.detach().double().square().sum()) for t in _tensors(torch, state, set())]
    return math.sqrt(sum(squares))


def _tensors(torch: Any, value: Any, seen: set[int]) -> Iterator[Any]:
    if id(value) in seen or isinstance(value, (str, bytes, int, float, type(None))):
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        if value.is_floating_point() and value.numel() > 1 and not isinstance(value, torch.nn.Parameter):
            yield value
        return
    inner: list[Any] = []
    if isinstance(value, dict):
        inner = [*value.values()]
    elif isinstance(value, (list, tuple, set)):
        inner = list(value)
    elif not isinstance(value, (type, torch.nn.Module)) and not callable(value):
        slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        inner = [*getattr(value, "__dict__", {}).values(), *(getattr(value, name, None) for name in slots)]
    for part in inner:
        yield from _tensors(torch, part, seen)


def bytes_sent() -> int | None:
    """Bytes that this process has sent over its TCP connections, as the kernel counts them; None where it does not say.

    The only connections are the process group's: the store is a file. Retransmissions are not counted.
    """
    folder = Path("/proc/self/fd")
    if not folder.exists() or not hasattr(socket, "TCP_INFO"):
        return None
    total = 0
    for name in os.listdir(folder):
        with suppress(OSError):
            if not os.readlink(folder / name).startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as handle:
                if handle.family not in (socket.AF_INET, socket.AF_INET6) or handle.type != socket.SOCK_STREAM:
                    continue
                info = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            if len(info) < _RESENT + 8:
                return None
            total += struct.unpack_from("Q", info, _SENT)[0] - struct.unpack_from("Q", info, _RESENT)[0]
    return total


def _place(error: BaseException) -> str:
    """file:line of the innermost frame outside torch and this file."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__ and "/torch/" not in f.filename]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
