"""Compressors: maps R^d -> R^d with a contraction delta or a variance factor omega, and a message on the wire."""

from efcheck.compressors.base import Compressor, density, realised_delta
from efcheck.compressors.blockwise import Blockwise
from efcheck.compressors.identity import Identity
from efcheck.compressors.lowrank import LowRank
from efcheck.compressors.onebit import OneBit
from efcheck.compressors.qsgd import QSGD
from efcheck.compressors.randomk import RandomK
from efcheck.compressors.scaled import Scaled
from efcheck.compressors.scaled_sign import ScaledSign
from efcheck.compressors.signs import Sign
from efcheck.compressors.terngrad import TernGrad
from efcheck.compressors.topk import TopK

__all__ = [  # noqa: RUF022 -- by topic
    # without a scale, or with one
    "Identity",
    "Sign",
    "ScaledSign",
    "OneBit",
    # sparse, low rank
    "TopK",
    "RandomK",
    "LowRank",
    # random rounding
    "QSGD",
    "TernGrad",
    # built from others
    "Scaled",
    "Blockwise",
    # measures, base
    "Compressor",
    "density",
    "realised_delta",
]
