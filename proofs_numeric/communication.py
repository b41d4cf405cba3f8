r"""One bit a coordinate saves a factor below 32, not ~64, of single precision: 31.997 for VGG19, 31.994 for Resnet18.

Statement   "reducing communication by a factor of ~64x"; "the net communication [...] is sum_i (d_i + 32) bits"; "the extra 32l
            bits is negligible - usually the number of parameters is three orders of magnitude more than the number of layers".
Source      Section 1, contribution 4; Section 6.1
Idea        With D = sum d_i and l scales, 32 D/(D + 32 l) < 32, and it exceeds x iff D/l > 32 x/(32 - x). The d_i of the two
            networks are counted from A.2 (_networks.py); l counts what is compressed by itself, every tensor.
Conventions Without compression a coordinate takes 32 bits, as the scale does. sign(0) = 1 or -1: one bit has no third value.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
from sympy import And, Eq, Implies, limit, oo, symbols

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.compressors import Blockwise, ScaledSign
from efcheck.evidence import Evidence, prove

networks = content.load(Path(__file__).with_name("_networks.py"))
NAMES = tuple(networks.NETWORKS)
SETUP = "Section 6.1"
FLOAT = 32  # bits of a coordinate without compression, and of a scale
D, count, x = symbols("D l x", positive=True)


def message(sizes: Sequence[int]) -> int:
    """sum_i (d_i + 32)."""
    return sum(size + FLOAT for size in sizes)


def saving(sizes: Sequence[int], bits: int = FLOAT) -> Fraction:
    """Bits without compression over bits with it."""
    return Fraction(bits * sum(sizes), message(sizes))


def told(name: str) -> str:
    sizes = networks.sizes(name)
    return f"{name}: {sum(sizes):,} parameters in {len(sizes)} tensors"


# -- the factor ----------------------------------------------------------------------------------------------------------

factor = Claim(
    "communication-factor",
    "Section 1, contribution 4",
    "EF-SIGNSGD [...] matches SGD [...] while reducing communication by a factor of ~64x [more than 50 on VGG19 or Resnet18, "
    "by the formula of Section 6.1, beside numbers of 32 bits]",
    repaired="32 D/(D + 32 l), D = sum d_i: below 32 for every network, tending to 32 as D/l grows; 31.996 to 31.997 for "
    "VGG19, 31.994 to 31.995 for Resnet18. It is above 63, and below 64, beside numbers of 64 bits",
    expect="refuted",
)


@factor.printed
def of_the_two_networks() -> Evidence:
    found = {name: saving(networks.sizes(name)) for name in NAMES}
    detail = "; ".join(f"{told(name)}: a factor of {float(found[name]):.4f}" for name in NAMES)
    return Evidence("exact", "proved" if max(found.values()) > 50 else "refuted", detail, found)


@factor.repaired
def never_thirty_two() -> Evidence:
    return prove(FLOAT * D / (D + FLOAT * count) < 32, covers="below 32")


@factor.repaired
def but_as_close_as_one_likes() -> Evidence:
    """r = D/l: 32 r/(r + 32)."""
    found = limit(FLOAT * x / (x + FLOAT), x, oo)
    return Evidence("identity", "proved" if found == 32 else "refuted", f"32 r/(r + 32) -> {found}", covers="limit")


@factor.repaired
def in_numbers() -> Evidence:
    limits = {
        "VGG19": (Fraction(31996, 1000), Fraction(31997, 1000)),
        "Resnet18": (Fraction(31994, 1000), Fraction(31995, 1000)),
    }
    found = {name: saving(networks.sizes(name)) for name in NAMES}
    good = all(low < found[name] < high for name, (low, high) in limits.items())
    detail = ", ".join(f"{name} {float(found[name]):.6f}" for name in NAMES)
    return Evidence("exact", "proved" if good else "refuted", detail, found, "numbers")


@factor.repaired
def beside_double_precision() -> Evidence:
    found = {name: saving(networks.sizes(name), bits=2 * FLOAT) for name in NAMES}
    good = all(Fraction(63) < value < 64 for value in found.values())
    detail = ", ".join(f"{name} {float(found[name]):.3f}" for name in NAMES)
    return Evidence("exact", "proved" if good else "refuted", detail, found, "64 bits")


above = Claim(
    "communication-factor-above",
    "Section 6.1; Section 1, contribution 4 (ours: when is the factor above x?)",
    "for 0 < x < 32 the factor is above x iff D/l, the mean size of what is compressed by itself, is above 32 x/(32 - x): "
    "above 1 from 2 coordinates on, above 16 from 33, above 31 from 993, above 31.9 from 10209",
)
FIRST = {Fraction(1): 2, Fraction(16): 33, Fraction(31): 993, Fraction(319, 10): 10209}


@above.printed
def solved_for_the_mean_size() -> Evidence:
    exceeds, bound = FLOAT * D / (D + FLOAT * count) > x, D / count > 32 * x / (32 - x)
    return prove(And(Implies(exceeds, bound), Implies(bound, exceeds)), [x < 32], covers="iff")


@above.printed
def by_the_compressor() -> Evidence:
    """ScaledSign's own count of bits, for one vector of d coordinates: the first d above x."""
    firsts = {}
    for level in FIRST:
        d = int(32 * level / (32 - level))  # at most one below the first
        found = [n for n in (d - 1, d, d + 1, d + 2) if n >= 1 and Fraction(FLOAT * n, ScaledSign().bits(n)) > level]
        firsts[level] = min(found)
    detail = ", ".join(f"{float(level):g}: d = {d}" for level, d in firsts.items())
    return Evidence("exact", "proved" if firsts == FIRST else "refuted", f"first above {detail}", covers="numbers")


# -- the formula -----------------------------------------------------------------------------------------------------------

formula = Claim(
    "communication-formula",
    SETUP,
    "the net communication for the (scaled) SIGNSGD and EF-SIGNSGD is sum_{i=1}^l (d_i + 32) bits [layer by layer; a message "
    "of that length determines C(v), sign(0) = +-1]",
    repaired="and d bits are needed beside the scale: the 2^d sign vectors have 2^d different messages",
)


@formula.printed
def the_two_networks_by_the_compressor() -> Evidence:
    pairs = {}
    for name in NAMES:
        sizes = networks.sizes(name)
        pairs[name] = Blockwise(ScaledSign(), sizes).bits(sum(sizes)), message(sizes)
    good = all(ours == theirs for ours, theirs in pairs.values())
    detail = "; ".join(f"{name}: {ours:,} and {theirs:,} bits" for name, (ours, theirs) in pairs.items())
    return Evidence(
        "exact", "proved" if good else "refuted", f"the compressor's count and the formula: {detail}", covers="bits"
    )


@formula.printed
def it_is_enough() -> Evidence:
    """Each message of two layers is decoded to C(v), for both signs of 0; with random bits there is nothing else to send."""
    sizes, bad, told = (3, 2), [], 0
    for zero, v in product((1, -1), product((-2.0, 0.0, 1.0), repeat=sum(sizes))):
        part = Blockwise(ScaledSign(zero=zero), sizes)
        if np.count_nonzero(v[:3]) == 0 or np.count_nonzero(v[3:]) == 0:
            continue  # a scale of 0: nothing to tell
        told += 1
        sent = part.encode(np.array(v, np.float32))
        same = np.array_equal(part.decode(sent, sum(sizes)), part(np.array(v, np.float32)))
        if not same or len(sent) != -(-message(sizes) // 8):
            bad.append((zero, v))
    whole = told == 2 * (3 ** sizes[0] - 1) * (3 ** sizes[1] - 1)  # all vectors but those with a layer of zeros
    detail = f"layers of {sizes[0]} and {sizes[1]} coordinates from -2, 0, 1: {len(bad)} of {told} messages not decoded to C(v)"
    return Evidence("exact", "refuted" if bad else "proved" if whole else "undecided", detail, {"bad": bad[:1]}, "enough")


@formula.repaired
def and_needed() -> Evidence:
    """C(v) = v for a sign vector, whose scale is d/d = 1: 2^d values, which fewer than d bits cannot tell apart; the values are
    counted for d = 1, ..., 8."""
    counts = {d: len({tuple(ScaledSign()(np.array(v))) for v in product((-1.0, 1.0), repeat=d)}) for d in range(1, 9)}
    good = all(found == 2**d for d, found in counts.items())
    detail = f"values of C on sign vectors, d = 1, ..., 8: {[*counts.values()]}"
    return Evidence("exact", "proved" if good else "refuted", detail)


zero_bit = Claim(
    "communication-formula-zero",
    "Section 6.1 (ours: with sign(0) = 0)",
    "d bits and a scale determine C(v) also if sign(0) = 0",
    repaired="for d = 1 only: for d >= 2 one scale goes with 3^d - 1 > 2^d values",
    expect="refuted",
)


def patterns(d: int, zero: int) -> int:
    """How many sign(C(v)) there are, v != 0; C is homogeneous, so that each comes with any scale > 0."""
    part = ScaledSign(zero=zero)
    return len({tuple(np.sign(part(np.array(v))) + 0.0) for v in product((-1.0, 0.0, 1.0), repeat=d) if any(v)})


@zero_bit.printed
def three_values_a_coordinate() -> Evidence:
    found = patterns(2, 0)
    detail = f"d = 2: {found} values of C(v) with scale 1; 2 bits tell 4 apart"
    return Evidence("witness", "refuted" if found > 2**2 else "supported", detail, {"patterns": found})


@zero_bit.repaired
def three_to_the_d() -> Evidence:
    """Counted for d <= 7; the step: a = 3^d, b = 2^d, 3 a - 1 - 2 b = 2 (a - 1 - b) + a + 1 > 0 if a - 1 > b."""
    counts = {d: patterns(d, 0) for d in range(1, 8)}
    a, b = symbols("a b", positive=True)
    after = 3 * a - 1 - 2 * b
    step = prove(And(Eq(after, 2 * (a - 1 - b) + a + 1), after > 0), [a - 1 > b])
    good = counts == {d: 3**d - 1 for d in counts} and counts[1] == 2 and counts[2] > 2**2 and step.outcome == "proved"
    return Evidence("exact", "proved" if good else "refuted", f"values for d = 1, ..., 7: {[*counts.values()]}; and d -> d + 1")


# -- the scales ------------------------------------------------------------------------------------------------------------

negligible = Claim(
    "communication-negligible",
    SETUP,
    "If the total number of parameters is much larger than the number of layers [1000 times or more], then the cost of the "
    "extra 32l bits is negligible [at most 3.2 % of D]",
    repaired="32 l/D exactly: at most 3.2 % iff D >= 1000 l; 0.011 % for VGG19, 0.018 % for Resnet18",
)


@negligible.printed
def at_most_a_thirtieth() -> Evidence:
    return prove(FLOAT * count <= D * 32 / 1000, [1000 * count <= D])


@negligible.repaired
def only_then() -> Evidence:
    small, large = FLOAT * count <= D * 32 / 1000, 1000 * count <= D
    return prove(And(Implies(small, large), Implies(large, small)), covers="iff")


@negligible.repaired
def of_the_networks() -> Evidence:
    share = {name: Fraction(FLOAT * len(s), sum(s)) for name in NAMES for s in [networks.sizes(name)]}
    good = [round(float(100 * value), 3) for value in share.values()] == [0.011, 0.018]
    detail = ", ".join(f"{name} {float(100 * value):.4f} %" for name, value in share.items())
    return Evidence("exact", "proved" if good else "refuted", detail, share, "networks")


orders = Claim(
    "communication-orders",
    SETUP,
    "usually the number of parameters is three orders of magnitude more than the number of layers [or more; for the two "
    "networks of the paper]",
    repaired="more than five orders, for both ways to count layers: 303,644 parameters a tensor on VGG19, 180,970 on Resnet18",
)


def ratios() -> dict[str, list[Fraction]]:
    """Parameters over tensors, and over layers with weights."""
    return {n: [Fraction(sum(networks.sizes(n)), k) for k in (len(networks.sizes(n)), networks.weighted(n))] for n in NAMES}


@orders.printed
def at_least_three() -> Evidence:
    found = ratios()
    detail = "; ".join(f"{told(name)}: {float(values[0]):,.0f} a tensor" for name, values in found.items())
    return Evidence("exact", "proved" if min(map(min, found.values())) >= 10**3 else "refuted", detail)


@orders.repaired
def more_than_five() -> Evidence:
    found = ratios()
    good = min(map(min, found.values())) > 10**5 and [round(r[0]) for r in found.values()] == [303644, 180970]
    detail = ", ".join(f"{name}: {' and '.join(f'{float(v):,.0f}' for v in values)}" for name, values in found.items())
    return Evidence("exact", "proved" if good else "refuted", f"a tensor and a layer with weights: {detail}")


if __name__ == "__main__":
    main(__file__)
