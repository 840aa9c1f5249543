"""A convolution with its norm taken into the weights, where the order of layers allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

__all__ = ["FoldedConvolution", "Relu", "fold"]

Relu = Literal["before", "behind", "none"]
"""Where the ReLU stands: before the norm, behind it, or nowhere."""


@dataclass(frozen=True, eq=False)
class FoldedConvolution:
    """``relu(x * weight + bias) * scale + shift``, float32; ReLU and what follows it are optional.

    Attributes:
        weight: [c_out, c_in, z, y, x].
        bias: [c_out].
        relu: whether negative sums become 0.
        scale: [c_out], None for 1.
        shift: [c_out], None for 0.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    relu: bool
    scale: torch.Tensor | None = None
    shift: torch.Tensor | None = None


def fold(convolution: nn.Conv3d, norm: nn.BatchNorm3d, *, relu: Relu) -> FoldedConvolution:
    """A convolution and its norm with stored statistics.

    A norm right behind the convolution is exact in its weights. One behind the ReLU is not: in the next
    convolution's weights it would also move that one's padding.
    """
    weight = convolution.weight.detach().double()
    bias = weight.new_zeros(len(weight)) if convolution.bias is None else convolution.bias.detach().double()
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
    shift = norm.bias.detach().double() - norm.running_mean.double() * scale
    if relu == "before":
        return FoldedConvolution(
            weight.float(), bias.float(), relu=True, scale=scale.float(), shift=shift.float()
        )
    weight = weight * scale[:, None, None, None, None]
    return FoldedConvolution(weight.float(), (bias * scale + shift).float(), relu=relu == "behind")
