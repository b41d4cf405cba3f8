"""The networks: parameters to the last, shapes, dropout, and what is refused. Their messages: test_train_packing.py."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from efcheck.errors import ArgumentError  # noqa: E402
from efcheck.train import models  # noqa: E402


def on_paper(name: str, *args: Any, **options: Any) -> nn.Module:
    """A network without memory for its numbers."""
    with torch.device("meta"):
        return models.MODELS[name](*args, **options)


def of_kind(model: nn.Module, kind: type[nn.Module]) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, kind)]


@pytest.mark.parametrize(("name", "args", "parameters", "tensors"), [
    ("vgg19", (10,), 20_040_522, 66), ("vgg19", (100,), 20_040_522 + 90 * 513, 66),
    ("resnet18", (100,), 11_220_132, 62), ("resnet18", (10,), 11_220_132 - 90 * 513, 62),
    ("cnn", (10, 1, 28), 33_658, 11), ("cnn", (10,), 33_658 + 2 * 9 * 16, 11),
])  # fmt: skip
def test_a_network_has_exactly_so_many_parameters(name: str, args: tuple[int, ...], parameters: int, tensors: int) -> None:
    found = list(on_paper(name, *args).parameters())
    assert (sum(p.numel() for p in found), len(found)) == (parameters, tensors)


@pytest.mark.parametrize(("name", "args"), [("vgg19", ()), ("resnet18", ()), ("cnn", (10, 1, 28))])
def test_parameters_are_counted_by_hand(name: str, args: tuple[int, ...]) -> None:
    """Sums of products of the papers' tables, not of the code's."""
    pairs = {
        "vgg19": [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), *[(256, 256)] * 3, (256, 512), *[(512, 512)] * 7],
        "resnet18": [(3, 64), *[(64, 64)] * 4, (64, 128), *[(128, 128)] * 3, (128, 256), *[(256, 256)] * 3, (256, 512),
                     *[(512, 512)] * 3],
        "cnn": [(1, 16), (16, 32), (32, 64)],
    }[name]  # fmt: skip
    classes, width = {"vgg19": (10, 512), "resnet18": (100, 512), "cnn": (10, 64 * 16)}[name]
    bias = name == "vgg19"
    total = sum(9 * a * b + (2 + bias) * b for a, b in pairs) + classes * (width + 1)
    if name == "resnet18":
        total += sum(a * b + 2 * b for a, b in [(64, 128), (128, 256), (256, 512)])  # 1x1 convolutions where the shape changes
    assert sum(p.numel() for p in on_paper(name, *args).parameters()) == total


@pytest.mark.parametrize(("name", "args", "shape"), [
    ("vgg19", (7,), (2, 3, 32, 32)), ("resnet18", (7,), (2, 3, 32, 32)),
    ("cnn", (7,), (2, 3, 32, 32)), ("cnn", (7, 1, 28), (2, 1, 28, 28)), ("cnn", (7, 2, 17), (2, 2, 17, 17)),
])  # fmt: skip
def test_a_forward_pass_gives_a_row_of_classes_for_each_image(name: str, args: tuple[int, ...], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = models.MODELS[name](*args)
    out = model(torch.randn(shape))
    assert out.shape == (2, 7) and bool(torch.isfinite(out).all())
    out.square().sum().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.parameters())
    model.eval()
    x = torch.randn(shape)
    torch.testing.assert_close(model(x)[1:], model(x[1:]), rtol=1e-4, atol=1e-5)  # images do not see each other


@pytest.mark.parametrize(("name", "sides"), [
    ("vgg19", [32, 32, 16, 16, *[8] * 4, *[4] * 4, *[2] * 4]),
    ("resnet18", [32] * 5 + [16] * 5 + [8] * 5 + [4] * 5),
    ("cnn", [16, 8, 4]),
])  # fmt: skip
def test_the_image_shrinks_where_the_papers_say(name: str, sides: list[int]) -> None:
    model, seen = on_paper(name), []
    for module in of_kind(model, nn.Conv2d):
        module.register_forward_hook(lambda module, inputs, out: seen.append(out.shape[-1]))
    model(torch.empty(1, 3, 32, 32, device="meta"))
    assert seen == sides


def test_a_residual_block_adds_its_input() -> None:
    block = models._Block(4, 4, 1)
    for p in block.path.parameters():
        nn.init.zeros_(p)
    x = torch.randn(2, 4, 8, 8)
    assert torch.equal(block(x), torch.relu(x))


@pytest.mark.parametrize("name", ["vgg19", "resnet18"])
def test_dropout_is_only_where_it_is_asked_for_and_before_the_last_layer(name: str) -> None:
    assert not of_kind(on_paper(name), nn.Dropout) and not of_kind(on_paper(name, dropout=0.0), nn.Dropout)
    model = on_paper(name, dropout=0.25)
    (found,) = of_kind(model, nn.Dropout)
    assert found.p == 0.25 and list(model.children())[-2] is found and isinstance(list(model.children())[-1], nn.Linear)
    assert [tuple(p.shape) for p in model.parameters()] == [tuple(p.shape) for p in on_paper(name).parameters()]


def test_weights_come_from_the_seed() -> None:
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(torch.cat([p.detach().reshape(-1) for p in models.cnn().parameters()]))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(("name", "options", "told"), [
    *((name, {"num_classes": 0}, "`num_classes` must be an integer >= 1; got 0.") for name in ("vgg19", "resnet18", "cnn")),
    ("cnn", {"num_classes": 2.5}, "`num_classes` must be an integer >= 1; got 2.5."),
    ("vgg19", {"dropout": 1.0}, r"`dropout` must be in \[0, 1\); got 1.0."),
    ("resnet18", {"dropout": -0.1}, r"`dropout` must be in \[0, 1\); got -0.1."),
    ("resnet18", {"dropout": float("nan")}, r"`dropout` must be in \[0, 1\); got nan."),
], ids=lambda value: "" if isinstance(value, str) and "`" in value else str(value))  # fmt: skip
def test_wrong_arguments_are_one_line(name: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ArgumentError, match=told) as caught:
        on_paper(name, **options)
    assert "\n" not in str(caught.value)
