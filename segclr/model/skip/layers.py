"""A network read as layers that skip empty space: what they are, and in which order norm and ReLU stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from segclr.errors import EncoderError
from segclr.geometry import Triple
from segclr.model.legacy import POOL, POOL_STRIDE, LegacyBlock, LegacyResNet3d, SameConv3d
from segclr.model.resnet3d import BasicBlock, BottleneckBlock, ResNet3d
from segclr.model.skip.block import RowBlock
from segclr.model.skip.convolution import RowConvolution
from segclr.model.skip.folded import FoldedConvolution, Relu, fold
from segclr.model.skip.fused_where import is_fused
from segclr.model.skip.pool import RowMaxPool
from segclr.model.skip.sparse_map import MapStore
from segclr.model.skip.stem import RowStem
from segclr.model.skip.window import Window, triple
from segclr.model.stems import SpaceToDepth

__all__ = ["Layers", "is_made_for", "read_layers", "why_not_skip"]


@dataclass(frozen=True, eq=False)
class Layers:
    """Stem, pool where there is one, and residual blocks, in order."""

    stem: RowStem
    pool: RowMaxPool | None
    blocks: tuple[RowBlock, ...]

    @property
    def stores(self) -> tuple[MapStore, ...]:
        """Of all maps."""
        pool = () if self.pool is None else (self.pool.store,)
        return (self.stem.store, *pool, *(store for block in self.blocks for store in block.stores))


def why_not_skip(backbone: nn.Module) -> str | None:
    """Why empty space cannot be skipped in this network; None: it can."""
    if not isinstance(backbone, LegacyResNet3d | ResNet3d):
        return f"{type(backbone).__name__} is unknown"
    if any(isinstance(module, nn.GroupNorm) for module in backbone.modules()):
        return "group norm mixes all of space, so that no activation is that of an empty cube"
    return None


def is_made_for(device: torch.device, backbone: nn.Module, dtype: torch.dtype) -> bool:
    """Whether it pays: on CPUs, and on CUDA devices where the kernel takes every convolution but the stem."""
    if device.type == "cpu":
        return True
    stages = [module for name, module in backbone.named_modules() if name.startswith("stages.")]
    layers = [module for module in stages if isinstance(module, nn.Conv3d)]
    return all(is_fused(device, dtype, n_in=layer.in_channels, n_out=layer.out_channels) for layer in layers)


def read_layers(backbone: nn.Module, *, size_vx: int, dtype: torch.dtype) -> Layers:
    """The layers of a backbone with batch norm, for cubes of ``size_vx``; weights are copied.

    Raises:
        EncoderError: the network mixes all of space.
    """
    reason = why_not_skip(backbone)
    if reason is not None:
        msg = f"empty space cannot be skipped: {reason}; take engine dense or auto"
        raise EncoderError(msg)
    edges: Triple = (size_vx, size_vx, size_vx)
    if isinstance(backbone, LegacyResNet3d):
        return _read_legacy(backbone, edges, dtype)
    assert isinstance(backbone, ResNet3d)
    return _read_modern(backbone, edges, dtype)


def _read_legacy(backbone: LegacyResNet3d, edges: Triple, dtype: torch.dtype) -> Layers:
    folded, window = fold(backbone.stem, backbone.stem_bn, relu="none"), _window(backbone.stem, edges)
    stem = RowStem(folded, window, padding=-torch.inf, dtype=dtype)
    pooled = Window.same(window.n_out, kernel=(POOL,) * 3, stride=(POOL_STRIDE,) * 3)
    pool = RowMaxPool(pooled, _zeros(folded, dtype))
    edges, blocks = pooled.n_out, []
    for block in _residual_blocks(backbone.stages):
        assert isinstance(block, LegacyBlock)
        shortcut = _read_shortcut(block.shortcut, edges, dtype)
        first = _read(block.conv_0, block.bn_0, edges, dtype, relu="before")
        edges = first.window.n_out
        blocks.append(
            RowBlock([first, _read(block.conv_1, block.bn_1, edges, dtype, relu="before")], shortcut)
        )
    return Layers(stem, pool, tuple(blocks))


def _read_modern(backbone: ResNet3d, edges: Triple, dtype: torch.dtype) -> Layers:
    layers = list(backbone.stem)
    to_depth = layers.pop(0) if isinstance(layers[0], SpaceToDepth) else None
    max_pool = layers.pop() if isinstance(layers[-1], nn.MaxPool3d) else None
    convolution, norm = layers[:2]
    assert isinstance(convolution, nn.Conv3d)
    assert isinstance(norm, nn.BatchNorm3d)
    folded = fold(convolution, norm, relu="behind")
    if isinstance(to_depth, SpaceToDepth):
        folded, window = _unfold_depth(folded, convolution, edges, to_depth.fold)
    else:
        window = _window(convolution, edges)
    stem = RowStem(folded, window, padding=0.0 if max_pool is None else -torch.inf, dtype=dtype)
    edges, blocks, pool = window.n_out, [], None
    if isinstance(max_pool, nn.MaxPool3d):
        pooled = _window(max_pool, edges)
        pool, edges = RowMaxPool(pooled, _zeros(folded, dtype)), pooled.n_out
    for block in _residual_blocks(backbone.stages):
        assert isinstance(block, BasicBlock | BottleneckBlock)
        shortcut = _read_shortcut(block.shortcut, edges, dtype)
        parts = [part for part in block.main if not isinstance(part, nn.ReLU)]
        main = []
        for layer, norm in zip(parts[::2], parts[1::2], strict=True):
            relu: Relu = "none" if norm is parts[-1] else "behind"
            main.append(_read(layer, norm, edges, dtype, relu=relu))
            edges = main[-1].window.n_out
        blocks.append(RowBlock(main, shortcut))
    return Layers(stem, pool, tuple(blocks))


def _residual_blocks(stages: nn.Sequential) -> Iterator[nn.Module]:
    for stage in stages:
        assert isinstance(stage, nn.Sequential)
        yield from stage


def _read_shortcut(shortcut: nn.Module, edges: Triple, dtype: torch.dtype) -> RowConvolution | None:
    if isinstance(shortcut, nn.Identity):
        return None
    assert isinstance(shortcut, nn.Sequential)
    return _read(shortcut[0], shortcut[1], edges, dtype, relu="none")


def _read(
    convolution: nn.Module, norm: nn.Module, edges: Triple, dtype: torch.dtype, *, relu: Relu
) -> RowConvolution:
    assert isinstance(convolution, nn.Conv3d)
    assert isinstance(norm, nn.BatchNorm3d)
    return RowConvolution(fold(convolution, norm, relu=relu), _window(convolution, edges), dtype=dtype)


def _window(layer: nn.Conv3d | nn.MaxPool3d, n_in: Triple) -> Window:
    kernel, stride, padding = (_sides(v) for v in (layer.kernel_size, layer.stride, layer.padding))
    if isinstance(layer, SameConv3d):
        return Window.same(n_in, kernel=kernel, stride=stride)
    return Window.padded(n_in, kernel=kernel, stride=stride, padding=padding)


def _sides(value: object) -> Triple:
    assert isinstance(value, tuple)
    return triple(value)


def _unfold_depth(
    folded: FoldedConvolution, convolution: nn.Conv3d, edges: Triple, block: Triple
) -> tuple[FoldedConvolution, Window]:
    """A convolution over voxels folded into channels, as one over the voxels themselves."""
    weight = folded.weight
    (bz, by, bx), (kz, ky, kx) = block, weight.shape[2:]
    split = weight.reshape(len(weight), -1, bz, by, bx, kz, ky, kx).permute(0, 1, 5, 2, 6, 3, 7, 4)
    voxels = split.reshape(len(weight), -1, kz * bz, ky * by, kx * bx)
    coarse = _window(convolution, triple(-(-n // b) for n, b in zip(edges, block, strict=True)))

    def in_voxels(values: Triple) -> Triple:
        return triple(v * b for v, b in zip(values, block, strict=True))

    kernel, stride, before = in_voxels(coarse.kernel), in_voxels(coarse.stride), in_voxels(coarse.before)
    return replace(folded, weight=voxels), Window(kernel, stride, before, edges, coarse.n_out)


def _zeros(folded: FoldedConvolution, dtype: torch.dtype) -> torch.Tensor:
    return torch.zeros_like(folded.bias, dtype=dtype)
