r"""Signs as bits, and whole messages as bytes.

Entry i of a tensor, in row-major order, is bit 7 - i % 8 of byte i // 8: the most significant bit first, as numpy.packbits
does it; what is left of the last byte is 0. The bit is 1 where v >= 0 (so for 0.0 and -0.0 too, sign(0) = 1), and 0 where
v < 0 or v is NaN.

A layer-wise message is one piece for each tensor, in order: the scale s as little-endian float32, then the bits of d signs
in ceil(d / 8) bytes. It means s where the bit is 1 and -s where it is 0. VGG19 (10 classes) takes 2,505,330 bytes, ResNet18
(100 classes) 1,402,765.

Source: Section 6.1, sum over layers of d_i + 32 bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from efcheck.errors import argument_error

_SCALE_BYTES = 4


def pack_signs(t: Tensor) -> Tensor:
    """The signs of t as ceil(d / 8) bytes, a new uint8 tensor on t's device; bits as said above.

    t has any shape and any floating dtype. Raises ArgumentError for another dtype.

    >>> pack_signs(torch.tensor([3.0, -1.0, 0.0])).tolist()
    [160]
    """
    if not isinstance(t, Tensor) or not t.is_floating_point():
        raise argument_error("t", "be a floating-point tensor", str(getattr(t, "dtype", type(t).__name__)))
    bits = t.detach().reshape(-1) >= 0
    if bits.device.type == "cpu":  # packbits reads the bool tensor's own memory, eight entries a load
        return torch.from_numpy(np.packbits(bits.numpy()))
    whole = torch.nn.functional.pad(bits, (0, -bits.numel() % 8)).view(-1, 8).to(torch.uint8)
    weights = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8, device=t.device)
    return (whole * weights).sum(dim=1, dtype=torch.uint8)


def unpack_signs(u: Tensor, shape: Sequence[int] | int) -> Tensor:
    """The signs +1.0 and -1.0 that `pack_signs` put into u, a new float32 tensor of this shape on u's device.

    Raises ArgumentError if u has not exactly ceil(d / 8) bytes, or the shape a negative side.

    >>> unpack_signs(torch.tensor([160], dtype=torch.uint8), (3,))
    tensor([ 1., -1.,  1.])
    """
    size = torch.Size((shape,) if isinstance(shape, int) else shape)
    if any(side < 0 for side in size):
        raise argument_error("shape", "have sides >= 0", str(tuple(size)))
    d = size.numel()
    if not isinstance(u, Tensor) or u.dtype != torch.uint8 or u.dim() != 1 or u.numel() != -(-d // 8):
        got = f"shape {tuple(u.shape)}, {u.dtype}" if isinstance(u, Tensor) else type(u).__name__
        raise argument_error("u", f"be a uint8 vector of length {-(-d // 8)}", got, f"{d} signs take that many bytes.")
    if u.device.type == "cpu":
        bits = torch.from_numpy(np.unpackbits(u.contiguous().numpy(), count=d))
    else:
        shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=u.device)
        bits = (u[:, None] >> shifts).bitwise_and_(1).reshape(-1)[:d]
    return bits.to(torch.float32).mul_(2).sub_(1).view(size)


def encode(deltas: Sequence[Tensor]) -> bytes:
    """The layer-wise message of tensors that each are s times signs, such as the Delta of a scaled-sign step.

    Raises ArgumentError for a tensor that is not: entries of two sizes, or not finite.
    """
    pieces = []
    for i, delta in enumerate(deltas):
        scale = _scale_of(i, delta)
        pieces += [np.float32(scale).astype("<f4").tobytes(), pack_signs(delta).cpu().numpy().tobytes()]
    return b"".join(pieces)


def decode(message: bytes, shapes: Sequence[Sequence[int]]) -> list[Tensor]:
    """The tensors, float32, that `encode` was given. Raises ArgumentError for a wrong length."""
    sizes = [torch.Size(shape) for shape in shapes]
    wanted = message_bytes(sizes)
    if len(message) != wanted:
        raise argument_error("message", f"be {wanted} bytes long", f"{len(message)} bytes", "Shapes must be the sender's.")
    raw, start, found = np.frombuffer(message, np.uint8), 0, []
    for size in sizes:
        scale = float(raw[start : start + _SCALE_BYTES].view("<f4")[0])
        start += _SCALE_BYTES
        end = start + -(-size.numel() // 8)
        found.append(unpack_signs(torch.from_numpy(raw[start:end].copy()), size).mul_(scale))
        start = end
    return found


def message_bytes(shapes: Sequence[Sequence[int]]) -> int:
    """Bytes of a layer-wise message: sum of 4 + ceil(d / 8).

    >>> message_bytes([(3,), (4, 4)])
    11
    """
    return sum(_SCALE_BYTES + -(-torch.Size(shape).numel() // 8) for shape in shapes)


def _scale_of(i: int, delta: Tensor) -> float:
    """s of a tensor that is s times signs."""
    if delta.numel() == 0:
        return 0.0
    sizes = delta.detach().abs()
    scale = sizes.reshape(-1)[0]
    if delta.dtype != torch.float32 or not bool(torch.isfinite(scale)) or not bool((sizes == scale).all()):
        raise argument_error("deltas", "be float32 tensors of one finite size each", f"another in tensor {i}")
    return float(scale)
