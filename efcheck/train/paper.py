"""The paper's experiments, and in what a run of ours differs from them.

The printed numbers have one source, proofs_numeric/_printed.py, from which the claims about the tables are decided too.

    Tables 1, 3; Figures 4, 6   ResNet18, CIFAR-100     200 epochs, rate / 10 after 100 and 150, batch sizes 128, 32, 8,
    Table 4;     Figures 2, 7   VGG19,    CIFAR-10      three replications (Sections 6.1, A.3 to A.5)
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

from efcheck import content
from efcheck.errors import EfcheckError
from efcheck.train.logs import ALGORITHMS

EPOCHS, MILESTONES, TUNING_EPOCHS, SEEDS, TUNED_AT = 200, [100, 150], 100, 3, 128
MODELS = {"resnet18": "ResNet18", "vgg19": "VGG19", "cnn": "a small CNN"}
DATA = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "fashion-mnist": "Fashion-MNIST",
    "cifar10-jpeg": "CIFAR-10, JPEG copy",
}
_COLUMNS = dict(zip(ALGORITHMS, ("SGDM", "SIGNSGD", "SIGNSGDM", "EF-SIGNSGD"), strict=True))


@dataclass(frozen=True)
class Experiment:
    """One of the paper's two: where it is printed, its network and its data."""

    tables: str
    source: str  # the key of _printed.TABLES
    model: str
    data: str
    column: int  # of Table 2

    @property
    def label(self) -> str:
        """ "ResNet18 on CIFAR-100"."""
        return f"{MODELS[self.model]} on {DATA[self.data]}"


EXPERIMENTS = (
    Experiment("Tables 1 and 3", "Table 3", "resnet18", "cifar100", 0),
    Experiment("Table 4", "Table 4", "vgg19", "cifar10", 1),
)


def printed() -> ModuleType:
    """proofs_numeric/_printed.py.

    Raises
    ------
    EfcheckError
        If neither a checkout nor an installed copy has it.
    """
    place = content.folder("proofs_numeric")
    if place is None:
        raise EfcheckError("the folder proofs_numeric must be there; got neither a checkout nor an installed copy")
    return content.load(place / "_printed.py")


def numbers(experiment: Experiment, batch_size: int, algorithm: str) -> tuple[float, float] | None:
    """The printed test accuracy in percent and its difference to SGDM; None for a batch size that is not printed."""
    module = printed()
    if batch_size not in module.SIZES:
        return None
    base = float(module.word(experiment.source, batch_size, "SGDM"))
    gap = 0.0 if algorithm == "sgdm" else float(module.word(experiment.source, batch_size, _COLUMNS[algorithm]))
    return base + gap, gap


def best_rate(experiment: Experiment, algorithm: str) -> float:
    """Table 2: the best initial learning rate at batch size 128, to two digits."""
    return float(printed().RATES[_COLUMNS[algorithm]][experiment.column])


def nearest(run: dict[str, Any]) -> Experiment | None:
    """The paper's experiment with this network, on this data or on the JPEG copy of it; None if there is none."""
    data = run["data"].removesuffix("-jpeg")
    return next((e for e in EXPERIMENTS if e.model == run["model"] and e.data == data), None)


def label(run: dict[str, Any]) -> str:
    """ "VGG19 on CIFAR-10, JPEG copy"."""
    data = run.get("data_label") or DATA.get(run["data"], run["data"])
    return f"{MODELS.get(run['model'], run['model'])} on {data}"


def described(run: dict[str, Any], seeds: str) -> str:
    """ "A small CNN on Fashion-MNIST, 4 epochs, 3 seeds, the first 15,000 training images only"."""
    shown = label(run)
    epochs = f"{run['epochs']} epoch{'s' * (run['epochs'] != 1)}"
    return ", ".join([shown[:1].upper() + shown[1:], epochs, f"{seeds} seed{'s' * (seeds != '1')}", *limits(run)])


def limits(run: dict[str, Any]) -> list[str]:
    """Of how few images it is, in words."""
    parts = (("limit_train", "training"), ("limit_test", "test"))
    return [f"{run[key]:,} {images} images only" for key, images in parts if isinstance(run.get(key), int)]


def differences(run: dict[str, Any], epochs: int = EPOCHS) -> list[str]:
    """In what this run departs from the nearest of the paper's, in words; empty if in nothing that the log can tell."""
    found = []
    if run["data"].endswith("-jpeg"):
        found.append("images re-encoded as JPEG")
    if run["epochs"] != epochs:
        found.append(f"{run['epochs']} epochs instead of {epochs}")
    elif epochs == EPOCHS and list(run.get("milestones") or []) != MILESTONES:
        found.append(f"the rate drops after {run.get('milestones')} instead of {MILESTONES}")
    found += limits(run)
    if run.get("augment") is False:
        found.append("no crops and flips")
    if run.get("official_resume"):
        found.append("goes back to the best epoch at each drop, as the authors' code did")
    if run.get("precision", "float32") not in ("float32", "fp32", None):
        found.append(f"precision {run['precision']}")
    return found
