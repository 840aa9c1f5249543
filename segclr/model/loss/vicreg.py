"""VICReg: variance, invariance and covariance (Bardes, Ponce and LeCun, ICLR 2022). It needs no negatives.

For projections ``a`` and ``b`` [n, d] of the two views, as in the authors' published code::

    invariance  mean over rows and dimensions of (a - b)^2
    variance    mean over dimensions, and over a and b, of max(0, 1 - sqrt(var + 1e-4))
    covariance  for a and for b, sum of the squared covariances off the diagonal, divided by d
    loss        25 * invariance + 25 * variance + 1 * covariance

The paper's equation 6 sums the variance term over the two views where the code takes its mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from segclr.model.loss.gather import gather_rows

__all__ = ["VicReg"]

_EPSILON = 1e-4  # paper, equation 2


@dataclass(frozen=True)
class VicReg:
    """The loss as a function of two aligned sets of views.

    In a distributed run variances and covariances are those of all processes' rows: every process returns
    the loss of the whole batch.

    Attributes:
        invariance: weight of partners being equal.
        variance: weight of every dimension spreading by 1 or more.
        covariance: weight of dimensions being uncorrelated.
    """

    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0

    def __call__(
        self, view_a: torch.Tensor, view_b: torch.Tensor, groups: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Loss of n pairs: row i of [n, d] ``view_a`` and of ``view_b`` show the same cell; 2 or more rows.

        ``groups`` changes nothing: there are no negatives.
        """
        (a, b), _ = gather_rows(torch.stack([view_a, view_b]))
        invariance = (a - b).square().mean()
        variance = (_lack_of_spread(a) + _lack_of_spread(b)) / 2
        covariance = _redundancy(a) + _redundancy(b)
        return self.invariance * invariance + self.variance * variance + self.covariance * covariance


def _lack_of_spread(rows: torch.Tensor) -> torch.Tensor:
    return torch.relu(1 - (rows.var(dim=0) + _EPSILON).sqrt()).mean()


def _redundancy(rows: torch.Tensor) -> torch.Tensor:
    n, d = rows.shape
    centred = rows - rows.mean(dim=0)
    squared = (centred.T @ centred / (n - 1)).square()
    return (squared.sum() - squared.diagonal().sum()) / d
