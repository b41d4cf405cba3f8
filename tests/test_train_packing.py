"""Signs as bits, and the paper's messages as real bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from efcheck.errors import ArgumentError  # noqa: E402
from efcheck.train import EFSGD, models, packing  # noqa: E402

entries = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 3e38, -3e38, float("inf"), float("nan")])


@given(v=st.lists(entries, max_size=40), dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_packing_is_numpys_and_comes_back(v: list[float], dtype: Any) -> None:
    t = torch.tensor(v, dtype=dtype)
    bits = packing.pack_signs(t)
    assert bits.tolist() == np.packbits(t.double().numpy() >= 0).tolist()
    assert packing.unpack_signs(bits, t.shape).tolist() == [1.0 if x >= 0 else -1.0 for x in t.tolist()]


def test_packing_is_by_row_whatever_the_layout() -> None:
    torch.manual_seed(0)
    t = torch.randn(3, 4, 5, 2)
    for other in (t.to(memory_format=torch.channels_last), t.transpose(0, 3).contiguous().transpose(0, 3)):
        assert torch.equal(packing.pack_signs(other), packing.pack_signs(t))


@pytest.mark.parametrize(("network", "classes", "size"), [("vgg19", 10, 2_505_330), ("resnet18", 100, 1_402_765)])
def test_the_papers_networks_send_exactly_so_many_bytes(network: str, classes: int, size: int) -> None:
    torch.manual_seed(0)
    params = list(models.MODELS[network](classes).parameters())
    for p in params:
        p.grad = torch.randn(p.shape)
    optimizer = EFSGD(params, 0.05, weight_decay=5e-4)
    deltas = [delta for _, _, found in optimizer.messages() for delta in found]
    message = packing.encode(deltas)
    assert len(message) == optimizer.message_bytes() == packing.message_bytes([p.shape for p in params]) == size
    for delta, back in zip(deltas, packing.decode(message, [p.shape for p in params]), strict=True):
        assert torch.equal(delta, back)
    before = [p.detach().clone() for p in params]
    optimizer.step()
    sent = [x - p.detach() for x, p in zip(before, params, strict=True)]
    flipped = sum(int((a * b < 0).sum()) for a, b in zip(sent, deltas, strict=True))
    assert flipped <= 1e-5 * sum(p.numel() for p in params)  # the message is that of the step; p within rounding of 0 may flip


def test_a_vector_is_not_a_message_of_signs() -> None:
    with pytest.raises(
        ArgumentError, match="`deltas` must be float32 tensors of one finite size each; got another in tensor 1"
    ):
        packing.encode([torch.ones(3), torch.tensor([1.0, -2.0])])
    with pytest.raises(ArgumentError, match="`message` must be 11 bytes long; got 10 bytes"):
        packing.decode(b"0" * 10, [(3,), (4, 4)])


@pytest.mark.parametrize(("u", "shape", "text"), [
    (torch.zeros(2, dtype=torch.uint8), (3,), "`u` must be a uint8 vector of length 1; got shape"),
    (torch.zeros(1), (3,), "`u` must be a uint8 vector of length 1; got shape"),
    (torch.zeros(1, dtype=torch.uint8), (-1,), "`shape` must have sides >= 0"),
])  # fmt: skip
def test_wrong_bits_are_refused(u: Any, shape: Any, text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        packing.unpack_signs(u, shape)


def test_integers_have_no_signs_to_pack() -> None:
    with pytest.raises(ArgumentError, match="`t` must be a floating-point tensor; got"):
        packing.pack_signs(torch.zeros(3, dtype=torch.int64))
