"""A family of 3-D residual networks: from a masked cube to a feature vector.

The layout follows He et al., Deep residual learning (CVPR 2016), with 3-D kernels; SegCLR uses depth 18.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from segclr.config import STEM_STRIDES, EncoderConfig
from segclr.geometry import Triple
from segclr.model.input import CentredInput, n_input_channels
from segclr.model.stems import convolution_3d, stem_layers
from segclr.model.strides import Strides

__all__ = ["BasicBlock", "BottleneckBlock", "ResNet3d", "norm_3d"]

Norm = Literal["batch", "group"]

_STAGE_CHANNELS = (64, 128, 256, 512)
_CHANNELS_PER_GROUP = 8
_NO_STRIDE: Triple = (1, 1, 1)
_BLOCKS: dict[int, tuple[int, int, int, int]] = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
}


def norm_3d(channels: int, kind: Norm) -> nn.Module:
    """Batch norm, or group norm with eight channels a group (independent of the batch)."""
    if kind == "group":
        return nn.GroupNorm(channels // _CHANNELS_PER_GROUP, channels)
    return nn.BatchNorm3d(channels)


def _shortcut(n_in: int, n_out: int, *, stride: Triple, norm: Norm) -> nn.Module:
    if stride == _NO_STRIDE and n_in == n_out:
        return nn.Identity()
    return nn.Sequential(convolution_3d(n_in, n_out, kernel=(1, 1, 1), stride=stride), norm_3d(n_out, norm))


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut (depths 10, 18 and 34)."""

    expansion = 1

    def __init__(
        self, n_in: int, channels: int, *, stride: Triple, kernels: tuple[Triple, Triple], norm: Norm
    ) -> None:
        """Map ``n_in`` channels to ``channels``; ``kernels`` before and behind ``stride``, all (z, y, x)."""
        super().__init__()
        self.main = nn.Sequential(
            convolution_3d(n_in, channels, kernel=kernels[0], stride=stride),
            norm_3d(channels, norm),
            nn.ReLU(inplace=True),
            convolution_3d(channels, channels, kernel=kernels[1]),
            norm_3d(channels, norm),
        )
        self.shortcut = _shortcut(n_in, channels, stride=stride, norm=norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, n_in, z, y, x] -> [n, channels, z / stride, y / stride, x / stride], rounded up."""
        return torch.relu(self.main(x) + self.shortcut(x))


class BottleneckBlock(nn.Module):
    """A convolution between two of 1^3 beside a shortcut (depth 50); four times the channels come out."""

    expansion = 4

    def __init__(
        self, n_in: int, channels: int, *, stride: Triple, kernels: tuple[Triple, Triple], norm: Norm
    ) -> None:
        """Map ``n_in`` channels to ``4 * channels``; the first of ``kernels`` strides, all (z, y, x)."""
        super().__init__()
        n_out = channels * self.expansion
        self.main = nn.Sequential(
            convolution_3d(n_in, channels, kernel=(1, 1, 1)),
            norm_3d(channels, norm),
            nn.ReLU(inplace=True),
            convolution_3d(channels, channels, kernel=kernels[0], stride=stride),
            norm_3d(channels, norm),
            nn.ReLU(inplace=True),
            convolution_3d(channels, n_out, kernel=(1, 1, 1)),
            norm_3d(n_out, norm),
        )
        self.shortcut = _shortcut(n_in, n_out, stride=stride, norm=norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, n_in, z, y, x] -> [n, 4 * channels, z / stride, y / stride, x / stride], rounded up."""
        return torch.relu(self.main(x) + self.shortcut(x))


class ResNet3d(nn.Module):
    """Stem, up to four stages of residual blocks, mean over space.

    Edge lengths of a cube of 33 voxels through the stems::

        patch    33 -> 17 (2^3 voxels to channels) -> 9 (3^3, stride 2) -> stages 9, 5, 3, 2
        large    33 -> 17 (7^3, stride 2) -> 9 (max-pool, stride 2) -> stages 9, 5, 3, 2
        medium   33 -> 17 (5^3, stride 2)                           -> stages 17, 9, 5, 3
        small    33 -> 33 (3^3)                                     -> stages 33, 17, 9, 5

    With ``flat_strides`` z is not divided by the first of these strides (:class:`Strides`).
    """

    def __init__(self, config: EncoderConfig) -> None:
        """Build the layers with PyTorch's global random state (see ``Encoder.untrained`` for a seed)."""
        super().__init__()
        block = BottleneckBlock if config.depth == 50 else BasicBlock
        widths = [_scaled(channels, config.width) for channels in _STAGE_CHANNELS]
        self.input = CentredInput() if config.input == "centred" else nn.Identity()
        first = n_input_channels(config.input)
        strides = Strides(config.flat_strides, config.flat_kernels)
        norm = norm_3d(widths[0], config.norm)
        self.stem = stem_layers(first, widths[0], kind=config.stem, norm=norm, strides=strides)
        n_strides = STEM_STRIDES[config.stem]
        stages: list[nn.Module] = []
        n_in = widths[0]
        shape = list(zip(widths, _BLOCKS[config.depth], strict=True))[: config.stages]
        for stage, (channels, n_blocks) in enumerate(shape):
            blocks: list[nn.Module] = []
            for index in range(n_blocks):
                before, stride = strides.kernel(3, n_strides), _NO_STRIDE
                if stage > 0 and index == 0:
                    stride = strides.stride(n_strides)
                    n_strides += 1
                kernels = (before, strides.kernel(3, n_strides))
                blocks.append(block(n_in, channels, stride=stride, kernels=kernels, norm=config.norm))
                n_in = channels * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.n_features = n_in
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Cubes [n, 1, z, y, x], grey 0 to 1 -> features [n, n_features]."""
        features: torch.Tensor = self.stages(self.stem(self.input(x)))
        return features.float().mean(dim=(2, 3, 4))


def _scaled(channels: int, width: float) -> int:
    """Channels times the width factor, to a multiple of eight: what vector units and groups need."""
    return max(_CHANNELS_PER_GROUP, round(channels * width / _CHANNELS_PER_GROUP) * _CHANNELS_PER_GROUP)
