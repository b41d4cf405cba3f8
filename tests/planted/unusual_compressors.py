"""More correct compressors of kinds that a check may take for wrong. UNUSUAL: name -> (object, claims)."""

from __future__ import annotations

import numpy as np
from planted.parts import count, scaled_sign, top


class DrawsAtTies:
    """Half of the entries, the largest; among equal ones by chance, and only then does it draw."""

    def delta(self, d):
        return (d + 1) // 2 / d

    def __call__(self, v, rng):
        if not np.isfinite(v).all():
            raise ValueError("v must be finite")
        a, k = np.abs(v), (v.shape[-1] + 1) // 2
        least = -np.sort(-a, axis=-1)[..., k - 1 : k]
        tied, above = a == least, a > least
        need = (k - above.sum(-1, keepdims=True)) / tied.sum(-1, keepdims=True)
        keep = above | tied
        if (need < 1).any():
            keep = above | tied & (rng.random(v.shape) < need)
        return np.where(keep, v, 0)


def contiguous_only(v):
    if not v.flags.c_contiguous:
        raise ValueError("v must be contiguous")
    return scaled_sign(v)


class SeedAndEntries:
    """A random quarter of the entries as float32, and the seed that chose them, drawn from what others call rng."""

    def delta(self, d):
        return max(1, d // 4) / d

    def bits(self, d):
        return 64 + 32 * max(1, d // 4)

    def kept(self, seed, d):
        return np.random.default_rng(seed).permutation(d)[: max(1, d // 4)]

    def __call__(self, v, random_state):
        out = np.full_like(v, 0)
        for row, sent in zip(out.reshape(-1, v.shape[-1]), v.reshape(-1, v.shape[-1]), strict=True):
            i = self.kept(random_state.integers(2**63), v.shape[-1])
            row[i] = sent[i]
        return out

    def encode(self, v, random_state):
        seed = random_state.integers(2**63)
        return seed.tobytes() + v[self.kept(seed, v.size)].astype(np.float32).tobytes()

    def decode(self, payload, d):
        out = np.zeros(d, np.float32)
        out[self.kept(np.frombuffer(payload[:8], np.int64)[0], d)] = np.frombuffer(payload[8:], np.float32)
        return out


class Autoencoder:
    """Its encode and decode are no message and its inverse: decode needs no d."""

    def encode(self, v):
        return v[..., ::2]

    def decode(self, z):
        return np.repeat(z, 2, axis=-1)

    def __call__(self, v):
        return self.decode(self.encode(v))[..., : v.shape[-1]] + 0 * v


class NaNOnTheWire:
    """Nothing is refused: of a vector with NaN all that arrives is NaN."""

    def delta(self, d):
        return count(d) / d

    def __call__(self, v):
        return top(v, count(v.shape[-1])) + 0 * v

    def encode(self, v):
        out = self(v)
        at = np.argsort(-np.abs(out), kind="stable")[: count(v.size)].astype(np.int32)
        whole = np.isfinite(v).all()
        return at.tobytes() + (out[at] if whole else np.full(at.size, np.nan)).astype(np.float32).tobytes()

    def decode(self, payload, d):
        out, (at, values) = np.zeros(d, np.float32), np.frombuffer(payload, np.int32).reshape(2, -1)
        out[at] = values.view(np.float32)
        return out


UNUSUAL = {
    "draws at ties alone": (DrawsAtTies(), {}),
    "contiguous vectors only": (contiguous_only, {"delta": lambda d: 1 / d}),
    "a generator of another name in encode": (SeedAndEntries(), {"dims": (1, 7, 100)}),
    "an autoencoder": (Autoencoder(), {}),
    "NaN on the wire": (NaNOnTheWire(), {}),
}
