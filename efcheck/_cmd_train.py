"""`efcheck train`: parses, calls. Torch is imported when a run starts, not before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

_MODELS = ("vgg19", "resnet18", "cnn")
_ALGORITHMS = ("sgdm", "scaled-signsgd", "signsgdm", "ef-signsgd")
_DATA = ("cifar10", "cifar100", "fashion-mnist", "cifar10-jpeg")
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.option("--data", type=click.Choice(_DATA), required=True)
@click.option("--data-dir", type=_FOLDER, required=True, metavar="DIR", help="Where the data set's own files are.")
@click.option("--model", type=click.Choice(_MODELS), required=True)
@click.option("--algorithm", type=click.Choice(_ALGORITHMS), required=True)
@click.option("--batch-size", type=int, default=128, show_default=True)
@click.option("--epochs", type=int, default=200, show_default=True)
@click.option("--lr", type=float, help="The first learning rate; the paper's, times batch size / 128, by default.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=_FOLDER, required=True, help="metrics.jsonl, last.pt and previous.pt go there.")
@click.option("--resume", is_flag=True, help="Go on with the run in OUT; starts anew where there is none.")
@click.option(
    "--checkpoint-every", type=float, default=2.0, show_default=True, metavar="SECONDS", help="At most a tenth of the time."
)
@click.option("--download", is_flag=True, help="Fetch the data into DIR where it is absent.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True)
@click.option("--channels-last", is_flag=True, help="Memory order of images and weights; faster on GPUs.")
@click.option("--compile", is_flag=True, help="torch.compile the network and the optimizer; needs a C++ compiler.")
@click.option("--graphs", is_flag=True, help="On a GPU: many steps by one launch, as CUDA graphs.")
@click.option("--dropout", type=float, default=0.0, show_default=True, help="Section 6.1 names it; the authors' code has none.")
@click.option("--threads", type=int, default=1, show_default=True, help="CPU threads; another number, other last bits.")
@click.option("--augment/--no-augment", default=None, help="Crops and flips; by default for CIFAR.")
@click.option("--limit-train", type=int, metavar="N", help="Only N training images: the first, or spread ones if sorted.")
@click.option("--limit-test", type=int, metavar="N", help="Only N test images, chosen alike.")
@click.option("--constant-lr", is_flag=True, help="No drops of the learning rate: A.3's tuning.")
@click.option(
    "--official-resume",
    is_flag=True,
    help="At each drop go back to the weights with the best test accuracy and forget momentum and memory, as the authors did.",
)
def train(data_dir: Path, out: Path, resume: bool, checkpoint_every: float, download: bool, **options: Any) -> int:
    """Train a network of the paper with one of its four algorithms.

    \b
    efcheck train --data fashion-mnist --data-dir DIR --model cnn --algorithm ef-signsgd --epochs 1 --out OUT

    The learning rate falls to a tenth after half and after three quarters of the steps. Ctrl-C and SIGTERM save the
    state; with --resume a run ends with the same bits as one that was never stopped.

    Exit codes: 0 trained, 1 a loss or gradient was not finite, 2 wrong usage or bad input, 130 Ctrl-C, 143 SIGTERM.
    """
    from efcheck.train.command import run

    return run(options, data_dir, out, resume=resume, every=checkpoint_every, download=download)


_PASS_ON: dict[str, Any] = {"ignore_unknown_options": True}  # options, --help too, belong to the command passed on to


@click.command("tables", context_settings=_PASS_ON, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def tables(arguments: tuple[str, ...]) -> Any:
    """Tables 1 to 4 of the paper, from the files of training runs."""
    from efcheck.train._cmd_tables import tables as command  # efcheck.train needs torch; `efcheck --help` must not

    return command.main(list(arguments), prog_name="efcheck tables", standalone_mode=False)


@click.command("diagnose", context_settings=_PASS_ON, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def diagnose(arguments: tuple[str, ...]) -> Any:
    """Which of the paper's bounds apply to a training run, and how loose they are."""
    from efcheck.train._cmd_diagnose import diagnose as command

    return command.main(list(arguments), prog_name="efcheck diagnose", standalone_mode=False)
