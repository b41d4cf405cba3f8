r"""The two networks: VGG19 has 17 layers with weights; a density of 0.13 is far above 1/d, and says nothing of a layer.

Statement   "VGG19 architecture consisting in the following layers", "one convolution followed by four blocks and one dense
            layer"; "deep networks are almost always over-parameterized and are known to be able to fit arbitrary data and
            always achieve zero training error"; "phi(v) is much larger (see Fig. 2)".
Source      Appendix A.2; Section 2; Section 4.1 and Figure 2, caption
Idea        Everything is counted from the shapes (_networks.py). phi = ||v||_1^2/(d ||v||_2^2) of a vector that is one-hot in
            its largest layer and constant elsewhere is nearly that of the rest, while the layer has phi = 1/d_i. Any labels
            are fitted by one hidden layer: a unit for each image, which is 0 on the images before it.
Conventions phi > 0.13 is read off the caption of Figure 2: the number is the paper's, and is not checked here.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from sympy import And, Eq, Max, Ne, Not, symbols

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, prove

networks = content.load(Path(__file__).with_name("_networks.py"))
NAMES = tuple(networks.NETWORKS)


def told(name: str) -> str:
    sizes = networks.sizes(name)
    return f"{name}: {sum(sizes):,} parameters in {len(sizes)} tensors"


depth = Claim(
    "network-depth",
    "Appendix A.2 (ours: how many layers with weights are there?)",
    "VGG19 has 19 layers with weights, Resnet18 has 18 [those listed in A.2, and the dense one]",
    repaired="17 and 18: A.2 lists 16 convolutions for VGG19, and 10 classes take one dense layer, where the original has "
    "three; the four blocks of Resnet18 are groups of two, each of two convolutions; five max pools leave one pixel of 32 x 32",
    expect="refuted",
)


@depth.printed
def as_the_names_say() -> Evidence:
    found = {name: networks.weighted(name) for name in NAMES}
    good = list(found.values()) == [19, 18]
    return Evidence("exact", "proved" if good else "refuted", ", ".join(f"{name}: {k} layers" for name, k in found.items()))


@depth.repaired
def seventeen_and_eighteen() -> Evidence:
    found = [networks.weighted(name) for name in NAMES]
    listed = sum(isinstance(n, int) for n in networks.VGG_LAYERS)
    left = networks.IMAGE / 2 ** networks.VGG_LAYERS.count("M")
    good = found == [listed + 1, 1 + len(networks.WIDTHS) * networks.DEPTH * 2 + 1] == [17, 18] and listed == 16 and left == 1
    return Evidence("exact", "proved" if good else "refuted", f"{found}, {listed} convolutions listed, {left:g} pixel left")


over = Claim(
    "network-over-parameterized",
    "Section 2, Generalization of deep learning methods",
    "Deep networks are almost always over-parameterized [VGG19 and Resnet18 have more parameters than the 50,000 training "
    "images]",
    repaired="400 and 224 parameters an image; on CIFAR-100 more than two for each of the 100 outputs on each image",
)


@over.printed
def more_parameters_than_images() -> Evidence:
    good = all(sum(networks.sizes(name)) > networks.TRAIN_IMAGES for name in NAMES)
    detail = f"{'; '.join(map(told, NAMES))}; {networks.TRAIN_IMAGES:,} images"
    return Evidence("exact", "proved" if good else "refuted", detail)


@over.repaired
def for_each_image() -> Evidence:
    found = {name: Fraction(sum(networks.sizes(name)), networks.TRAIN_IMAGES) for name in NAMES}
    outputs = [found[name] / networks.CLASSES[name] for name in NAMES]
    good = [int(value) for value in found.values()] == [400, 224] and outputs[1] > 2
    told_outputs = ", ".join(f"{float(value):.1f}" for value in outputs)
    return Evidence(
        "exact", "proved" if good else "refuted", f"an image: {[*map(float, found.values())]}; an output: {told_outputs}"
    )


density = Claim(
    "network-density",
    "Section 4.1, after Lemma 8; Figure 2, caption",
    "in deep learning the gradients are usually dense and hence phi(v) is much larger [than 1/d: 1000 times or more, with the "
    "0.13 of Figure 2 and the d of VGG19]",
    repaired="2.6 million times 1/d; but 0.13 is for the whole vector: with phi = 0.882 a layer may still have 1/d_i",
)
LEAST_DENSITY = Fraction(13, 100)  # "Minimum value of phi(g_t + e_t) is greater than 0.13"


@density.printed
def a_thousand_times_and_more() -> Evidence:
    times = LEAST_DENSITY * sum(networks.sizes("VGG19"))
    return Evidence("exact", "proved" if times >= 1000 else "refuted", f"0.13 d = {float(times):,.0f} for VGG19")


@density.repaired
def in_millions() -> Evidence:
    times = LEAST_DENSITY * sum(networks.sizes("VGG19"))
    good = round(times / 10**6, 2) == Fraction("2.61")
    return Evidence("exact", "proved" if good else "refuted", f"0.13 d = {float(times):,.0f}", covers="times")


def split(sizes: Sequence[int], i: int) -> tuple[Fraction, Fraction]:
    """phi of v and of its layer i, if v is one-hot there, all entries elsewhere as large: ||v||_1 = ||v||_2^2 = 1 + n."""
    n = sum(sizes) - sizes[i]
    return Fraction((1 + n) ** 2, sum(sizes) * (1 + n)), Fraction(1, sizes[i])


@density.repaired
def a_sparse_layer_in_a_dense_vector() -> Evidence:
    """One-hot in VGG19's largest layer, 1 everywhere else."""
    sizes = networks.sizes("VGG19")
    i = sizes.index(max(sizes))
    whole, layer = split(sizes, i)
    good = whole > LEAST_DENSITY and round(whole, 3) == Fraction("0.882") and layer == Fraction(1, max(sizes))
    detail = f"1 in one entry of a layer of {sizes[i]:,} and in all other layers: phi = {float(whole):.3f}, of the layer 1/d_i"
    return Evidence("exact", "proved" if good else "refuted", detail, covers="layers")


figure = Claim(
    "network-density-figure",
    "Figure 2, caption",
    "Minimum value of phi(g_t + e_t) is greater than 0.13 [VGG19 on CIFAR10, batchsize 128]",
    expect="undecided",
)


@figure.printed
def either_is_possible() -> Evidence:
    """phi is in [1/d, 1], and takes both ends (lemma-8-range, lemma-8-one-hot)."""
    low, high = Fraction(1, sum(networks.sizes("VGG19"))), Fraction(1)
    outcome = "proved" if low > LEAST_DENSITY else "refuted" if high <= LEAST_DENSITY else "undecided"
    detail = "phi lies between 1/d and 1, on either side of 0.13: this needs training runs, not part of this audit yet"
    return Evidence("search", outcome, detail, {"least": low, "largest": high})


fits = Claim(
    "network-fits-any-labels",
    "Section 2, Generalization of deep learning methods (attributed to Zhang et al., 2017)",
    "Deep networks are [...] able to fit arbitrary data [for any n images that differ and any labels there are weights: one "
    'hidden layer of n rectified units is enough; that training finds them and "always achieve[s] zero training error" is '
    "another matter]",
    repaired="2 n + d parameters, the theorem of Zhang et al.: 103,072 for the 50,000 images of CIFAR, 194 times fewer than "
    "VGG19 has; if two images are equal and their labels differ, no network has zero training error",
)
Point, Labels = tuple[int, ...], Sequence[int]


def projected(image: Point) -> int:
    """<a, x>, a = (1, 256, 256^2, ...): pixels from 0 to 255 as the digits of a number, so that no two images share it."""
    return sum(pixel * 256**i for i, pixel in enumerate(image))


def fitted(images: Sequence[Point], labels: Labels) -> list[tuple[Fraction, Fraction]]:
    """(b_j, w_j) with sum_j w_j max(<a, x> - b_j, 0) = y on the images: b_1 < z_1 < b_2 < z_2 < ..., one by one."""
    units: list[tuple[Fraction, Fraction]] = []
    before = -1
    for z, y in sorted((projected(x), y) for x, y in zip(images, labels, strict=True)):
        b = Fraction(before + z, 2)
        units.append((b, (y - network(units, z)) / (z - b)))
        before = z
    return units


def network(units: Sequence[tuple[Fraction, Fraction]], z: int) -> Fraction:
    return sum((w * max(z - b, Fraction(0)) for b, w in units), Fraction(0))


@fits.printed
def a_new_unit_corrects_one_image() -> Evidence:
    """Behind all earlier z, before its own: it is 0 on earlier images, and z - b > 0 on its own, so that w can be found."""
    earlier, z, b = symbols("z0 z b", real=True)
    return prove(And(Eq(Max(earlier - b, 0), 0), Max(z - b, 0) > 0), [earlier < b, b < z], covers="step")


@fits.printed
def thirty_images() -> Evidence:
    """3 pixels each, from a linear congruence, or next to each other as numbers: (0, 0), (255, 0), (0, 1); labels 0 to 9."""
    drawn = [0, 255, 256, *((75 * k + 74) % 65537 for k in range(1, 28))]
    images, labels = [(v % 256, v // 256 % 256, v // 256**2) for v in drawn], [(v + 3) % 10 for v in drawn]
    units = fitted(images, labels)
    good = [network(units, projected(x)) for x in images] == labels and len({*images}) == len(images)
    return Evidence(
        "exact", "proved" if good else "refuted", f"{len(images)} images, {len(units)} units, exact", covers="example"
    )


@fits.repaired
def how_many_parameters() -> Evidence:
    n, d = networks.TRAIN_IMAGES, networks.CHANNELS * networks.IMAGE**2
    enough, ours = 2 * n + d, sum(networks.sizes("VGG19"))
    good = enough == 103_072 and ours // enough == 194
    detail = f"2 n + d = {enough:,}, VGG19 has {ours:,}: {ours / enough:.1f} times as many"
    return Evidence("exact", "proved" if good else "refuted", detail, covers="parameters")


@fits.repaired
def not_if_images_are_equal() -> Evidence:
    """f(x) = y and f(x) = y' for the same x."""
    f, y, other = symbols("f y y2", real=True)
    return prove(Not(And(Eq(f, y), Eq(f, other))), [Ne(y, other)], covers="equal images")


if __name__ == "__main__":
    main(__file__)
