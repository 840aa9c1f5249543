"""A family of 3-D residual networks: from a masked cube to a feature vector.

The layout follows He et al., Deep residual learning (CVPR 2016), with 3-D kernels; SegCLR uses depth 18.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from segclr.config import EncoderConfig
from segclr.model.input import CentredInput, n_input_channels
from segclr.model.stems import stem_layers

__all__ = ["BasicBlock", "BottleneckBlock", "ResNet3d", "norm_3d"]

Norm = Literal["batch", "group"]

_STAGE_CHANNELS = (64, 128, 256, 512)
_CHANNELS_PER_GROUP = 8
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


def _convolution(n_in: int, n_out: int, *, kernel: int, stride: int = 1) -> nn.Conv3d:
    return nn.Conv3d(n_in, n_out, kernel, stride=stride, padding=kernel // 2, bias=False)


def _shortcut(n_in: int, n_out: int, *, stride: int, norm: Norm) -> nn.Module:
    if stride == 1 and n_in == n_out:
        return nn.Identity()
    return nn.Sequential(_convolution(n_in, n_out, kernel=1, stride=stride), norm_3d(n_out, norm))


class BasicBlock(nn.Module):
    """Two 3^3 convolutions beside a shortcut (depths 10, 18 and 34)."""

    expansion = 1

    def __init__(self, n_in: int, channels: int, *, stride: int, norm: Norm) -> None:
        """Map ``n_in`` channels to ``channels``; ``stride`` acts on the first convolution."""
        super().__init__()
        self.main = nn.Sequential(
            _convolution(n_in, channels, kernel=3, stride=stride),
            norm_3d(channels, norm),
            nn.ReLU(inplace=True),
            _convolution(channels, channels, kernel=3),
            norm_3d(channels, norm),
        )
        self.shortcut = _shortcut(n_in, channels, stride=stride, norm=norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, n_in, z, y, x] -> [n, channels, z / stride, y / stride, x / stride], rounded up."""
        return torch.relu(self.main(x) + self.shortcut(x))


class BottleneckBlock(nn.Module):
    """1^3, 3^3 and 1^3 convolutions beside a shortcut (depth 50); four times the channels come out."""

    expansion = 4

    def __init__(self, n_in: int, channels: int, *, stride: int, norm: Norm) -> None:
        """Map ``n_in`` channels to ``4 * channels``; ``stride`` acts on the 3^3 convolution."""
        super().__init__()
        n_out = channels * self.expansion
        self.main = nn.Sequential(
            _convolution(n_in, channels, kernel=1),
            norm_3d(channels, norm),
            nn.ReLU(inplace=True),
            _convolution(channels, channels, kernel=3, stride=stride),
            norm_3d(channels, norm),
            nn.ReLU(inplace=True),
            _convolution(channels, n_out, kernel=1),
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
    """

    def __init__(self, config: EncoderConfig) -> None:
        """Build the layers with PyTorch's global random state (see ``Encoder.untrained`` for a seed)."""
        super().__init__()
        block = BottleneckBlock if config.depth == 50 else BasicBlock
        widths = [_scaled(channels, config.width) for channels in _STAGE_CHANNELS]
        self.input = CentredInput() if config.input == "centred" else nn.Identity()
        first = n_input_channels(config.input)
        self.stem = stem_layers(first, widths[0], kind=config.stem, norm=norm_3d(widths[0], config.norm))
        stages: list[nn.Module] = []
        n_in = widths[0]
        shape = list(zip(widths, _BLOCKS[config.depth], strict=True))[: config.stages]
        for stage, (channels, n_blocks) in enumerate(shape):
            blocks: list[nn.Module] = []
            for index in range(n_blocks):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(block(n_in, channels, stride=stride, norm=config.norm))
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
