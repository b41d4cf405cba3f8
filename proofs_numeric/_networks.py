"""The tensors of the paper's two networks, by A.2 and the library that its footnote 4 names, as shapes; sizes are integers.

VGG19 (CIFAR-10): 16 convolutions of 3 x 3 with bias, each with batch normalisation, and one dense layer. Resnet18 (CIFAR-100):
a convolution, four groups of two blocks of two convolutions, one dense layer; where a group changes the shape, a 1 x 1
convolution on the shortcut; no bias beside batch normalisation.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import prod

VGG_LAYERS = (64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512, 512, 512, 512, "M")  # A.2
WIDTHS, DEPTH = (64, 128, 256, 512), 2  # groups of Resnet18, blocks in each
CHANNELS, IMAGE, TRAIN_IMAGES = 3, 32, 50_000  # of CIFAR-10 and CIFAR-100
CLASSES = {"VGG19": 10, "Resnet18": 100}
Shapes = Iterator[tuple[int, ...]]


def convolution(inside: int, outside: int, kernel: int, bias: bool) -> Shapes:
    """A convolution and its batch normalisation: weights, bias if there is one, scale and shift."""
    yield (outside, inside, kernel, kernel)
    yield from [(outside,)] * (3 if bias else 2)


def dense(inside: int, outside: int) -> Shapes:
    yield (outside, inside)
    yield (outside,)


def vgg19() -> Shapes:
    widths = [CHANNELS, *(n for n in VGG_LAYERS if isinstance(n, int))]
    for inside, outside in pairwise(widths):
        yield from convolution(inside, outside, 3, bias=True)
    yield from dense(widths[-1], CLASSES["VGG19"])


def resnet18() -> Shapes:
    yield from convolution(CHANNELS, WIDTHS[0], 3, bias=False)
    inside = WIDTHS[0]
    for width in WIDTHS:
        for _ in range(DEPTH):
            yield from convolution(inside, width, 3, bias=False)
            yield from convolution(width, width, 3, bias=False)
            if inside != width:
                yield from convolution(inside, width, 1, bias=False)
            inside = width
    yield from dense(inside, CLASSES["Resnet18"])


NETWORKS = {"VGG19": vgg19, "Resnet18": resnet18}


def sizes(name: str) -> tuple[int, ...]:
    """d_i for each tensor: what is compressed by itself."""
    return tuple(prod(shape) for shape in NETWORKS[name]())


def weighted(name: str) -> int:
    """Layers with a matrix or a kernel wider than 1 x 1: the shortcuts are not counted, as in the name of the network."""
    return sum(len(shape) > 1 and shape[2:] != (1, 1) for shape in NETWORKS[name]())
