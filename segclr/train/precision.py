"""The number format to train in: bfloat16 on a CPU only where its gradients are right."""

from __future__ import annotations

import torch
from torch import nn

from segclr.config import Precision
from segclr.errors import TrainingError
from segclr.model import resolve_precision

__all__ = ["resolve_training_precision", "small_maps"]


def resolve_training_precision(
    precision: Precision, device: torch.device, *, backbone: nn.Module, size_vx: int
) -> torch.dtype:
    """Like ``resolve_precision``; ``auto`` is float32 also where bfloat16 gradients would be wrong.

    On CPUs PyTorch 2.13's bfloat16 gradient of a convolution's weights is garbage, or written beyond its
    memory, where the feature map is hardly larger than the kernel: seen with AMX in strided 3^3 on 1 voxel
    and 7^3 on 1, 5 and 7, without AMX also in 3^3 of stride 1 on 2, not on larger ones (docs/training.md).

    Raises:
        TrainingError: bfloat16 is asked for on a CPU, and a feature map is that small.
        EncoderError: the device cannot compute in this format.
    """
    dtype = resolve_precision(precision, device)
    if device.type != "cpu" or dtype != torch.bfloat16:
        return dtype
    small = small_maps(backbone, size_vx=size_vx)
    if not small:
        return dtype
    if precision == "auto":
        return torch.float32
    msg = (
        f"bfloat16 training on a CPU: {small[0]}, where PyTorch's gradients are wrong; take train.precision "
        "auto or float32, fewer encoder.stages, or larger cubes"
    )
    raise TrainingError(msg)


def small_maps(backbone: nn.Module, *, size_vx: int) -> list[str]:
    """Convolutions whose feature map is, on some axis, too small for a bfloat16 gradient on a CPU."""
    found: list[str] = []

    def look(name: str, convolution: nn.Conv3d, x: torch.Tensor) -> None:
        axes = zip(x.shape[2:], convolution.kernel_size, strict=True)
        if any(edge < _smallest_map(kernel) for edge, kernel in axes):
            found.append(f"{name} with kernel {convolution.kernel_size} sees a map of {tuple(x.shape[2:])}")

    hooks = [
        module.register_forward_pre_hook(lambda m, inputs, name=name: look(name, m, inputs[0]))
        for name, module in backbone.named_modules()
        if isinstance(module, nn.Conv3d)
    ]
    was_training = backbone.training
    backbone.eval()
    with torch.inference_mode():
        backbone(torch.zeros(1, 1, size_vx, size_vx, size_vx))
    backbone.train(was_training)
    for hook in hooks:
        hook.remove()
    return found


def _smallest_map(kernel: int) -> int:
    """Edge from which on gradients were right; of 5^3, which was never wrong, as of 7^3 to be safe."""
    return {1: 1, 3: 3}.get(kernel, kernel + 1)
