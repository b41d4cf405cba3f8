"""The problems of the paper: counterexamples 1 to 3, Theorem I's family, the toy noise and the least squares data."""

from efcheck.problems.base import Problem
from efcheck.problems.least_squares import LeastSquares
from efcheck.problems.leastsquares2d import LeastSquares2D
from efcheck.problems.linear1d import Linear1D
from efcheck.problems.losses import LOSSES, Loss
from efcheck.problems.nonsmooth2d import NonSmooth2D
from efcheck.problems.sign_aligned import SignAligned
from efcheck.problems.sparse_noise import SparseNoise
from efcheck.problems.wilson import wilson_data

__all__ = [
    "LOSSES",
    "LeastSquares",
    "LeastSquares2D",
    "Linear1D",
    "Loss",
    "NonSmooth2D",
    "Problem",
    "SignAligned",
    "SparseNoise",
    "wilson_data",
]
