"""The paper's networks, VGG19 with batch norm and ResNet18 for 32 x 32 images, and a small CNN for tests.

VGG19-BN (Simonyan and Zisserman 2014, configuration E, with Ioffe and Szegedy 2015): 20,040,522 parameters in 66 tensors for 10
classes. ResNet18 (He et al. 2016, its first convolution 3x3 and no max pooling): 11,220,132 in 62 tensors for 100 classes.
Weights are drawn by torch's defaults from the global generator: seed it first.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from efcheck.errors import argument_error, integer

WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512, 0)  # 0: 2x2 max pooling
STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # width and first stride, two blocks each


def cnn(num_classes: int = 10, channels: int = 3, size: int = 32) -> nn.Module:
    """Three 3x3 convolutions of stride 2 with batch norm and ReLU, 16-32-64 channels, and one linear layer.

    28 x 28 images of one channel: 33,658 parameters. `size`: height and width; 28 and 32 both leave 4 x 4.
    """
    layers: list[nn.Module] = []
    for width in (16, 32, 64):
        layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        channels, size = width, -(-size // 2)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * size * size, integer("num_classes", num_classes, 1)))


def vgg19(num_classes: int = 10, dropout: float = 0.0) -> nn.Module:
    """16 convolutions with bias, batch norm and ReLU, five poolings, one linear layer; `dropout` before that layer."""
    layers: list[nn.Module] = []
    channels = 3
    for width in WIDTHS:
        if width == 0:
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.Flatten(), *_dropout(dropout), nn.Linear(512, integer("num_classes", num_classes, 1)))


class _Block(nn.Module):
    """relu(F(x) + x): two 3x3 convolutions; a 1x1 convolution on the other path where the shape changes."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip
        self.other: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            self.other = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.path(x) + self.other(x))


def resnet18(num_classes: int = 100, dropout: float = 0.0) -> nn.Module:
    """A 3x3 stem, four stages of two blocks, the mean over the image, one linear layer; `dropout` before that layer."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    channels = 64
    for width, stride in STAGES:
        layers += [_Block(channels, width, stride), _Block(width, width, 1)]
        channels = width
    head = nn.Linear(512, integer("num_classes", num_classes, 1))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), *_dropout(dropout), head)


def _dropout(share: float) -> list[nn.Module]:
    if not 0 <= share < 1:
        raise argument_error("dropout", "be in [0, 1)", share)
    return [nn.Dropout(share)] if share else []


MODELS: dict[str, Callable[..., nn.Module]] = {"vgg19": vgg19, "resnet18": resnet18, "cnn": cnn}
