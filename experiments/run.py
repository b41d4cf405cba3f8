"""Runs a manifest's runs one after another: finished ones are skipped, half-done ones resumed.

    python experiments/run.py experiments/fashion-mnist-cnn.toml --data-dir DIR --out OUT [--only 'ef-*-b128-*'] [--keep DIR]

OUT/EXPERIMENT/RUN/ gets a run's files. --keep copies each finished run's metrics to DIR/EXPERIMENT/RUN.jsonl, as they are
committed under results/. A run whose loss is not finite is over: its first line gets "stopped", and the next one starts.
Ctrl-C and SIGTERM save the run at hand; the same command goes on. Several GPUs or processes: split by --only.
"""

from __future__ import annotations

import argparse
import fnmatch
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from efcheck.errors import EfcheckError, argument_error
from efcheck.train import logs
from efcheck.train.manifest import Run, load


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0 if every run is over, 130 or 143 when stopped, 2 on bad input."""
    parser = argparse.ArgumentParser(description="Runs a manifest's runs one after another.")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="where the data set's files are")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="a folder for the runs' folders")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="names of runs, as a shell would match them")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="copy the metrics of finished runs there")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="instead of the manifest's")
    parser.add_argument("--list", action="store_true", help="name the runs and how far they are, and stop")
    options = parser.parse_args(argv)
    try:
        return _all(options)
    except (EfcheckError, OSError) as error:
        print(f"run: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # between two runs; within one it is a Stopped
        print("stopped by Ctrl-C; the same command goes on", file=sys.stderr)
        return 130


def _all(options: argparse.Namespace) -> int:
    manifest = load(options.manifest)
    runs = [run for run in manifest.runs() if fnmatch.fnmatch(run.name, options.only)]
    if not runs:
        raise EfcheckError(f"`only` must match a run; got {options.only}. There are {manifest.runs()[0].name} and others.")
    states = [finished(options.out / run.experiment / run.name, run) for run in runs]
    data: Any = None
    if not options.list:
        from efcheck.report import make_folder

        if not all(states):
            from efcheck.train.data import load as load_data

            data = load_data(manifest.data, options.data_dir)
        for name, folder in (("out", options.out), ("keep", options.keep)):
            if folder is not None:
                try:
                    make_folder(folder / manifest.name)
                except EfcheckError:
                    raise argument_error(f"--{name}", "be a folder that can be written to", str(folder)) from None
    for i, (run, done) in enumerate(zip(runs, states, strict=True), start=1):
        out = options.out / run.experiment / run.name
        print(f"{i}/{len(runs)} {run.name}: {done or 'to do'}", flush=True)
        if options.list:
            continue
        if not done and (code := one(run, data, out, options.device)):
            return code
        if options.keep is not None:
            shutil.copyfile(out / "metrics.jsonl", options.keep / run.experiment / f"{run.name}.jsonl")
    return 0


def finished(out: Path, run: Run) -> str:
    """ "done", or why it stopped; empty if there is something left to do. An EfcheckError for a run that is not this one."""
    path = out / "metrics.jsonl"
    if not path.is_file():
        return ""
    log = logs.read(path)
    if wrong := run.differences(log.run):
        raise EfcheckError(f"{path}:1: must be {run.name} of {run.experiment}; got {'; '.join(wrong)}. Use another --out.")
    return str(log.run.get("stopped", "done" if log.complete else ""))


def one(run: Run, data: Any, out: Path, device: str | None) -> int:
    """Train or resume a run; 0 when it is over, 128 + the signal's number when stopped."""
    from efcheck.train import checkpoint
    from efcheck.train._settings import Settings
    from efcheck.train._setup import device_named, model_options
    from efcheck.train._stop import Stopped
    from efcheck.train._watch import DivergedError
    from efcheck.train.loop import train

    told = run.settings()
    settings = Settings(**{**told, "device": device_named(device or told.get("device", "cpu"))})
    model_options(settings, data)  # refuses what does not fit, before the folder is made
    out.mkdir(parents=True, exist_ok=True)
    try:
        with checkpoint.only_one_run(out):
            train(settings, data, out, resume=checkpoint.holds_run(out), tell=lambda line: print(f"  {line}", flush=True))
    except Stopped as stop:
        print(f"stopped by {stop} in {run.name}; the same command goes on", file=sys.stderr)
        return 128 + stop.signum
    except DivergedError as error:
        print(f"  {error}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
