"""Batches of images from uint8 data on the device: crops with padding, flips, normalisation; no image is looked at twice.

The padded images and their mirror images have a window for each crop (as_strided), so that a batch is one indexing; mirroring
each batch instead would cost half of the speed. Draws for a whole epoch are made at its beginning from their own generator, one
for each image, so what an image looks like depends on (seed, epoch, image) alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from efcheck.errors import argument_error
from efcheck.train.data import Data

PAD = 4


class Batches:
    """(b, C, H, W) float32 batches of a data set.

        train: ((window at (dy, dx) of the image padded by 4 zeros, mirrored or not) / 255 - mean) / std
        test:  (image / 255 - mean) / std

    Parameters
    ----------
    data : Data
    augment : bool
        Crop and flip; else training images are as test images. Takes 2 (H+8)(W+8)/(H W) times the memory of the images.
    """

    def __init__(self, data: Data, augment: bool = True) -> None:
        self.data, self.augment = data, augment
        device = data.train_images.device
        mean = torch.tensor(data.mean, device=device).reshape(1, -1, 1, 1)
        std = torch.tensor(data.std, device=device).reshape(1, -1, 1, 1)
        self._scale, self._shift = 1 / (255 * std), -mean / std
        self._draws: Tensor | None = None
        if augment:
            padded = F.pad(torch.cat([data.train_images, data.train_images.flip(-1)]), (PAD, PAD, PAD, PAD))
            n, channels, height, width = padded.shape
            side = (n, 2 * PAD + 1, 2 * PAD + 1, channels, height - 2 * PAD, width - 2 * PAD)
            s = padded.stride()
            self._windows = padded.as_strided(side, (s[0], s[2], s[3], s[1], s[2], s[3]))

    def begin_epoch(self, n: int, generator: torch.Generator) -> None:
        """Draw crop and flip for each of the n training images; they go by image, so a resumed epoch has the same ones."""
        if not self.augment:
            return
        if n != len(self.data.train_images):
            raise argument_error("n", f"be the {len(self.data.train_images)} training images", n)
        draws = torch.randint(2 * (2 * PAD + 1) ** 2, (n,), generator=generator)
        self._draws = draws.to(self.data.train_images.device)

    def __call__(self, index: Tensor) -> Tensor:
        """(b, C, H, W): the training images at `index`, augmented with the draws of this epoch."""
        if not self.augment:
            return self._normalised(self.data.train_images[index])
        if self._draws is None:
            raise argument_error("begin_epoch", "be called before the first batch", "no call")
        draws, side = self._draws[index], 2 * PAD + 1
        place, mirrored = draws // 2, draws % 2
        return self._normalised(self._windows[index + mirrored * len(self._draws), place // side, place % side])

    def test(self, part: slice) -> Tensor:
        """(b, C, H, W): test images, normalised only."""
        return self._normalised(self.data.test_images[part])

    def _normalised(self, images: Tensor) -> Tensor:
        return images.to(torch.float32).mul_(self._scale).add_(self._shift)
