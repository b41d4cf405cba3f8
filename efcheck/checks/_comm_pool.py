"""Two worker processes, what they report, and what is known of them when they do not."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from efcheck.checks._comm_scenario import Scenario, Seen, Subject
from efcheck.checks._comm_worker import last_words, serve, stack_file
from efcheck.errors import EfcheckError, argument_error

WORKERS = 2
_START_SECONDS = 300.0  # importing torch on a busy machine
_GRACE_SECONDS = 10.0  # for the other worker, once one has stopped with an error


class Hang(Exception):
    """A scenario in which nothing moved for too long; the message says where each worker was."""


class Pool:
    """The two processes; they are started when needed, and killed when they hang or at the end.

    seconds: a step that takes longer hangs.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.folder = tempfile.TemporaryDirectory(prefix="efcheck-hook-")
        self.context = multiprocessing.get_context("spawn")
        self.processes: list[Any] = []
        self.pipes: list[Any] = []
        self.number = 0

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self.pipes:
            with suppress(OSError, ValueError):
                pipe.send(None)
        for process in self.processes:
            process.join(5)
        self.kill()
        self.folder.cleanup()

    def kill(self) -> None:
        """End the processes now."""
        for process in self.processes:
            if process.is_alive():
                process.kill()
            process.join()
        for pipe in self.pipes:
            pipe.close()
        self.processes, self.pipes = [], []

    def run(self, scenario: Scenario, subject: Subject) -> Sequence[Seen]:
        """What each worker saw. Raises Hang if no step ends for too long."""
        if not all(process.is_alive() for process in self.processes):
            self.kill()
        if not self.processes:
            self._start()
        self.number += 1
        for pipe in self.pipes:
            pipe.send((self.number, scenario, subject))
        found: list[Seen | None] = [None] * WORKERS
        last, since, ended = None, time.monotonic(), 0.0
        while any(seen is None for seen in found):
            for i, pipe in enumerate(self.pipes):
                if found[i] is None:
                    found[i] = self._receive(i, pipe, scenario)
            state = (list(self.progress), sum(seen is not None for seen in found))
            if state != last:
                last, since = state, time.monotonic()
            stopped = any(seen is not None and seen.error for seen in found)
            ended = ended or (time.monotonic() if stopped else 0.0)
            if stopped and time.monotonic() - ended > _GRACE_SECONDS:  # it waits for the one that stopped
                break
            if time.monotonic() - since > self.seconds:
                text = self._where(scenario)
                self.kill()
                raise Hang(text)
        if any(seen is None for seen in found):
            self.kill()
        return [seen or Seen(error="waits for the other worker") for seen in found]

    def _receive(self, i: int, pipe: Any, scenario: Scenario) -> Seen | None:
        try:
            if pipe.poll(0.005):
                seen: Seen = pipe.recv()
                return seen
        except (EOFError, OSError):
            self.processes[i].join(5)
            text = f"worker {i} ended with exit code {self.processes[i].exitcode}"
            said = last_words(self.folder.name, i).read_text(errors="replace").split("what():")
            text += f": {' '.join(said[-1].split())[:160]}" if len(said) > 1 else ""
            return Seen(error=text, steps=max(self.progress[2 * i + 1], 0))
        return None

    def _start(self) -> None:
        if getattr(multiprocessing.process.current_process(), "_inheriting", False):
            raise EfcheckError("check_comm_hook starts processes: call it under `if __name__ == '__main__':`")
        self.progress = self.context.Array("i", [0] * (2 * WORKERS), lock=False)
        threads = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS",)}
        os.environ["OMP_NUM_THREADS"] = "1"
        for rank in range(WORKERS):
            mine, theirs = self.context.Pipe()
            arguments = (rank, self.folder.name, theirs, self.progress)
            process = self.context.Process(target=serve, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self.processes.append(process)
            self.pipes.append(mine)
        for name, value in threads.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        for rank, pipe in enumerate(self.pipes):
            self._wait_for(rank, pipe)

    def _wait_for(self, rank: int, pipe: Any) -> None:
        try:
            ready = pipe.poll(_START_SECONDS) and pipe.recv() == "ready"
        except (EOFError, OSError):
            ready = False
        if not ready:
            self.kill()
            raise EfcheckError(
                "a worker process did not start; a script calls check_comm_hook under `if __name__ == '__main__':`"
            )

    def _where(self, scenario: Scenario) -> str:
        """The step at which each worker is, and the line, outside torch, on which it is."""
        parts = []
        for rank, process in enumerate(self.processes):
            t = self.progress[2 * rank + 1]
            line = _line(process, stack_file(self.folder.name, rank))
            parts.append(f"worker {rank} at step {t}" + (f" ({line})" if line else ""))
        return f"nothing moved for {self.seconds:g} s in scenario {scenario.name}: {', '.join(parts)}"


def _line(process: Any, stacks: Path) -> str:
    """Ask the process for its stacks; the first frame outside torch, Python's library and these checks."""
    if not hasattr(signal, "SIGUSR1") or not process.is_alive():
        return ""
    with suppress(OSError):
        os.kill(process.pid, signal.SIGUSR1)
    time.sleep(0.5)
    for line in stacks.read_text().splitlines() if stacks.exists() else []:
        file, _, rest = line.strip().removeprefix('File "').partition('", line ')
        if rest and not any(
            part in file for part in ("/torch/", "/multiprocessing/", "/threading.py", "/efcheck/checks/", "<")
        ):
            number, _, function = rest.partition(" in ")
            return f"{Path(file).name}:{number} in {function}"
    return ""


def check_picklable(name: str, value: Any) -> None:
    """ArgumentError if `value` cannot be handed to another process."""
    try:
        pickle.dumps(value)
    except Exception:
        hint = "Name a function at the top of a module, 'module:function', or functools.partial of one."
        raise argument_error(name, "be importable in another process", repr(value)[:60], hint) from None
