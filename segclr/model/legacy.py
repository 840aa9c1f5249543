"""The network of the released SegCLR weights, layer by layer as published.

It departs from the usual residual network in three ways that decide every digit: convolutions carry a bias
and are followed by ReLU, *then* batch norm; there is no ReLU between the stem's norm and its max-pool; and
the first block of every stage has a shortcut convolution, also where the shape does not change. Padding is
TensorFlow's SAME, which depends on the size of what is padded.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from segclr.model.thin_input import convolve_by_taps, goes_by_taps

__all__ = ["POOL", "POOL_STRIDE", "LegacyBlock", "LegacyResNet3d", "SameConv3d", "same_padding"]

_STAGE_CHANNELS = (64, 128, 256, 512)
POOL, POOL_STRIDE = 3, 2


def same_padding(size: int, *, kernel: int, stride: int) -> tuple[int, int]:
    """Voxels that TensorFlow's SAME adds before and after an axis of ``size`` voxels.

    The result has ceil(size / stride) voxels; an odd total puts the larger share after (source: TensorFlow's
    ``tf.nn.convolution``).
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _pad(x: torch.Tensor, *, kernel: int, stride: int, value: float) -> torch.Tensor:
    sides = [
        side for size in reversed(x.shape[2:]) for side in same_padding(size, kernel=kernel, stride=stride)
    ]
    return F.pad(x, sides, value=value) if any(sides) else x


class SameConv3d(nn.Conv3d):
    """A convolution with bias and TensorFlow's SAME padding."""

    def __init__(self, n_in: int, n_out: int, *, kernel: int, stride: int = 1) -> None:
        """Kernels and strides are equal on all axes."""
        super().__init__(n_in, n_out, kernel, stride=stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, n_in, z, y, x] -> [n, n_out, z / stride, y / stride, x / stride], rounded up."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        sides = [same_padding(size, kernel=kernel, stride=stride) for size in x.shape[2:]]
        if goes_by_taps(x, self.weight):
            return convolve_by_taps(x, self.weight, self.bias, stride=self.stride, sides=sides)
        if all(before == after for before, after in sides):  # the convolution's own padding copies nothing
            padding = tuple(before for before, _ in sides)
            return F.conv3d(x, self.weight, self.bias, self.stride, padding)
        return super().forward(_pad(x, kernel=kernel, stride=stride, value=0.0))


class LegacyBlock(nn.Module):
    """Two 3^3 convolutions, each followed by ReLU and norm, beside a shortcut."""

    def __init__(self, n_in: int, channels: int, *, stride: int, has_shortcut: bool) -> None:
        """Map ``n_in`` channels to ``channels``; without a shortcut's convolution it is the input itself."""
        super().__init__()
        self.conv_0 = SameConv3d(n_in, channels, kernel=3, stride=stride)
        self.bn_0 = nn.BatchNorm3d(channels)
        self.conv_1 = SameConv3d(channels, channels, kernel=3)
        self.bn_1 = nn.BatchNorm3d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if has_shortcut:
            convolution = SameConv3d(n_in, channels, kernel=1, stride=stride)
            self.shortcut = nn.Sequential(convolution, nn.BatchNorm3d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, n_in, z, y, x] -> [n, channels, z / stride, y / stride, x / stride], rounded up."""
        main = self.bn_0(torch.relu(self.conv_0(x)))
        main = self.bn_1(torch.relu(self.conv_1(main)))
        return torch.relu(main + self.shortcut(x))


class LegacyResNet3d(nn.Module):
    """Stem, four stages of two blocks, mean over space: 129 -> 65 -> 33 -> 33 -> 17 -> 9 -> 5 voxels."""

    n_features = _STAGE_CHANNELS[-1]

    def __init__(self) -> None:
        """Build the layers with PyTorch's global random state."""
        super().__init__()
        self.stem = SameConv3d(1, _STAGE_CHANNELS[0], kernel=7, stride=2)
        self.stem_bn = nn.BatchNorm3d(_STAGE_CHANNELS[0])
        stages: list[nn.Module] = []
        n_in = _STAGE_CHANNELS[0]
        for stage, channels in enumerate(_STAGE_CHANNELS):
            first = LegacyBlock(n_in, channels, stride=1 if stage == 0 else 2, has_shortcut=True)
            stages.append(nn.Sequential(first, LegacyBlock(channels, channels, stride=1, has_shortcut=False)))
            n_in = channels
        self.stages = nn.Sequential(*stages)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Cubes [n, 1, z, y, x], grey 0 to 1 -> features [n, 512]."""
        x = _pad(self.stem_bn(self.stem(x)), kernel=POOL, stride=POOL_STRIDE, value=-torch.inf)
        features: torch.Tensor = self.stages(F.max_pool3d(x, POOL, stride=POOL_STRIDE))
        return features.float().mean(dim=(2, 3, 4))
