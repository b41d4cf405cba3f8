"""Compressors whose message, or whose count of its bits, has one bug each. PLANTED as in compressors.py."""

from __future__ import annotations

import numpy as np
from planted.parts import count, scaled_sign, top


class ThreeValuesInOneBit:
    """sign(0) = 0, and a message of d bits and a scale."""

    def delta(self, d):
        return 1 / d

    def bits(self, d):
        return d + 32

    def __call__(self, v):
        return np.abs(v).mean(axis=-1, keepdims=True) * np.sign(v)


class Message:
    """A correct one-bit message, for the bugs below."""

    def delta(self, d):
        return 1 / d

    def bits(self, d):
        return d + 32

    def __call__(self, v):
        return scaled_sign(v)

    def encode(self, v):
        return np.float32(np.abs(v).mean()).tobytes() + np.packbits(v >= 0).tobytes()

    def decode(self, payload, d):
        bits = np.unpackbits(np.frombuffer(payload[4:], np.uint8), count=d)
        return np.frombuffer(payload[:4], np.float32)[0] * np.where(bits == 1, 1, -1)


class NaNLostOnTheWire(Message):
    """C(v) propagates NaN; the message's scale leaves it out."""

    def encode(self, v):
        return np.float32(np.nanmean(np.abs(v))).tobytes() + np.packbits(v >= 0).tobytes()


class CountsBytes:
    """Two bits an entry and a scale, their number given in bytes where bits are meant."""

    def omega(self, d):
        return d**0.5 - 1 if d > 1 else 0.0

    def bits(self, d):
        return -(-2 * d // 8) + 32

    def __call__(self, v, rng):
        m = np.abs(v).max(-1, keepdims=True)
        return np.where(rng.random(v.shape) * m < np.abs(v), np.sign(v) * m, 0 * v).astype(v.dtype) + 0 * v


class LosesTheLastByte(Message):
    """Whole bytes only: at sizes that are no multiple of eight the rest of the signs is lost."""

    def decode(self, payload, d):
        full = np.frombuffer(payload[4:], np.uint8)[: max(d // 8, 1)]
        bits = np.unpackbits(full)
        out = np.zeros(d, np.float32)
        n = min(d, bits.size)
        out[:n] = np.where(bits[:n] == 1, 1, -1)
        return np.frombuffer(payload[:4], np.float32)[0] * out


class OtherSignOfZero(Message):
    def encode(self, v):
        return np.float32(np.abs(v).mean()).tobytes() + np.packbits(v > 0).tobytes()


class ScaleInHalf(Message):
    def encode(self, v):
        return super().encode(np.float16(v))

    def __call__(self, v):
        return scaled_sign(v)


class NoScaleInTheCount(Message):
    def bits(self, d):
        return d


class BitsAsBytes(Message):
    def encode(self, v):
        return np.float32(np.abs(v).mean()).tobytes() + (v >= 0).astype(np.uint8).tobytes()

    def decode(self, payload, d):
        return np.frombuffer(payload[:4], np.float32)[0] * np.where(np.frombuffer(payload[4:], np.uint8) == 1, 1, -1)


class FloatsAnyway(Message):
    """The sparse vector is sent dense."""

    def delta(self, d):
        return count(d) / d

    def bits(self, d):
        return 32 * d

    def __call__(self, v):
        return top(v, count(v.shape[-1]))

    def encode(self, v):
        return self(v).astype(np.float32).tobytes()

    def decode(self, payload, d):
        return np.frombuffer(payload, np.float32)


class ValuesWithoutIndices:
    """k float32 numbers are counted, the places of the entries are not."""

    def bits(self, d):
        return 32 * count(d, 0.01)

    def __call__(self, v):
        return top(v, count(v.shape[-1], 0.01))


class MoreThanKAtTies:
    """Everything at or above the threshold is sent: more than k entries where there are ties."""

    def bits(self, d):
        return 64 * count(d)

    def __call__(self, v):
        threshold = -np.sort(-np.abs(v), axis=-1)[..., count(v.shape[-1]) - 1, None]
        return np.where((np.abs(v) >= threshold) & (v != 0), v, 0).astype(v.dtype)

    def encode(self, v):
        out = self(v)
        keep = np.flatnonzero(out)
        if keep.size < count(v.size):
            keep = np.argsort(-np.abs(out), kind="stable")[: count(v.size)]
        return keep.astype(np.int32).tobytes() + out[keep].astype(np.float32).tobytes()

    def decode(self, payload, d):
        n = len(payload) // 8
        out = np.zeros(d, np.float32)
        out[np.frombuffer(payload[: 4 * n], np.int32)] = np.frombuffer(payload[4 * n :], np.float32)
        return out


PLANTED = {
    "NaN lost on the wire": (NaNLostOnTheWire(), {}, "nonfinite"),
    "bytes for bits, at random": (CountsBytes(), {}, "bits"),
    "three values in one bit": (ThreeValuesInOneBit(), {}, "bits"),
    "places not counted": (ValuesWithoutIndices(), {}, "bits"),
    "scale not counted": (NoScaleInTheCount(), {}, "bits"),
    "one byte a bit": (BitsAsBytes(), {}, "bits"),
    "more than k entries at ties": (MoreThanKAtTies(), {}, "bits"),
    "last byte lost": (LosesTheLastByte(), {}, "encode"),
    "encode has another sign of zero": (OtherSignOfZero(), {}, "encode"),
    "scale of float16 numbers": (ScaleInHalf(), {}, "encode"),
    "dense message of a sparse vector": (FloatsAnyway(), {}, "smaller"),
}
