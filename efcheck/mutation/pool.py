"""The processes that run the checks; none is left behind, whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeAlias

from efcheck import content
from efcheck.errors import EfcheckError

Task: TypeAlias = dict[str, Any]  # see `worker`
Answer: TypeAlias = dict[str, Any]


class Pool:
    """Workers, each in a session of its own: Ctrl-C reaches the parent alone, and killing the session kills its check."""

    def __init__(self, jobs: int, modules: Sequence[str]) -> None:
        source = [str(content.PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        fixed = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        environment = {**os.environ, **fixed, "PYTHONPATH": os.pathsep.join(source)}
        command = [sys.executable, "-m", "efcheck.mutation.worker", *modules]
        self.workers: list[subprocess.Popen[bytes]] = []
        self._free: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        for _ in range(jobs):
            pipe = subprocess.PIPE
            worker = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, start_new_session=True)
            self.workers.append(worker)
            self._free.put(worker)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
        for worker in self.workers:
            for pipe in (worker.stdin, worker.stdout):
                assert pipe is not None
                with suppress(BrokenPipeError):
                    pipe.close()

    def ask(self, tasks: list[Task], done: Callable[[int, Answer], None]) -> None:
        """Run all tasks; done(i, answer) is called as the answers come."""
        threads = ThreadPoolExecutor(len(self.workers))
        try:
            futures = {threads.submit(self._one, task): i for i, task in enumerate(tasks)}
            for future in as_completed(futures):
                done(futures[future], future.result())
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            self.__exit__()  # a thread that waits for an answer sees the end of the pipe
            raise
        threads.shutdown()

    def _one(self, task: Task) -> Answer:
        worker = self._free.get()
        assert worker.stdin is not None and worker.stdout is not None
        try:
            worker.stdin.write(json.dumps(task).encode() + b"\n")
            worker.stdin.flush()
            line = worker.stdout.readline()
        except (OSError, ValueError):
            line = b""
        finally:
            self._free.put(worker)
        if not line:
            raise EfcheckError("a worker died while it ran a check")
        answer: Answer = json.loads(line)
        return answer
