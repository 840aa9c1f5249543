"""What an encoder needs, part by part: parameters, operations, memory. Counted without doing the work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from segclr.config import EncoderConfig
from segclr.model.network import EncoderNetwork, build_network

__all__ = ["PartCost", "encoder_cost"]


@dataclass(frozen=True)
class PartCost:
    """Costs of one part of the network, float32.

    Attributes:
        name: of the part, in the order of work.
        shape: of what comes out for one cube: channels, z, y, x, or the length of a vector.
        n_parameters: trained numbers.
        gflop: 10^9 operations for one cube, forward; a product and its sum count as two.
        training_bytes: of activations kept for the backward pass, for a whole training batch.
        inference_bytes: most memory of activations at once while the part runs, for a whole batch embedded.
    """

    name: str
    shape: tuple[int, ...]
    n_parameters: int
    gflop: float
    training_bytes: int
    inference_bytes: int


def encoder_cost(
    config: EncoderConfig, *, size_vx: int, training_cubes: int, inference_cubes: int
) -> list[PartCost]:
    """Costs of stem, stages, bottleneck and projection (which only training runs).

    PyTorch runs the layers on tensors without values, so this takes neither time nor memory of note. Scratch
    space of convolutions is not counted: it depends on library and machine.

    Args:
        config: the architecture.
        size_vx: edge of a cube.
        training_cubes: views in a training batch, two of each pair.
        inference_cubes: cubes embedded at once.
    """
    with torch.device("meta"):
        network = build_network(config.architecture, seed=0)
    shapes, flops = _forward(network, size_vx)
    saved = _saved_bytes(network, size_vx, n_cubes=training_cubes)
    live = _live_bytes(network, size_vx, n_cubes=inference_cubes)
    return [
        PartCost(
            name=name,
            shape=shapes[name],
            n_parameters=sum(p.numel() for p in part.parameters()),
            gflop=flops[name] / 1e9,
            training_bytes=saved[name],
            inference_bytes=live.get(name, 0),
        )
        for name, part in _parts(network)
    ]


def _parts(network: EncoderNetwork) -> Iterator[tuple[str, nn.Module]]:
    """The modules that make up the network, each parameter in one of them, in the order they run."""
    for name, module in network.backbone.named_children():
        if isinstance(module, nn.Sequential) and name == "stages":
            yield from ((f"stage {number + 1}", stage) for number, stage in enumerate(module))
        elif not isinstance(module, nn.Identity):
            yield name.replace("_", " "), module
    yield "bottleneck", network.bottleneck
    yield "projection", network.projection


def _own_storages(network: nn.Module) -> set[int]:
    """Of weights and stored statistics, which are no activations."""
    own = [*network.parameters(), *network.buffers()]
    return {tensor.untyped_storage()._cdata for tensor in own}


@contextmanager
def _watched(
    network: EncoderNetwork, enter: Callable[[str], None], leave: Callable[[str, Any], None]
) -> Iterator[None]:
    """Calls ``enter(name)`` before and ``leave(name, output)`` after each part."""
    handles = []
    for name, part in _parts(network):
        handles.append(part.register_forward_pre_hook(lambda _m, _i, name=name: enter(name)))
        handles.append(part.register_forward_hook(lambda _m, _i, output, name=name: leave(name, output)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _cubes(n: int, size_vx: int) -> torch.Tensor:
    cubes = torch.empty((n, 1, size_vx, size_vx, size_vx), device="meta")
    return cubes.contiguous(memory_format=torch.channels_last_3d)


def _forward(network: EncoderNetwork, size_vx: int) -> tuple[dict[str, tuple[int, ...]], dict[str, float]]:
    """Shape of each part's output and its operations, for one cube."""
    shapes: dict[str, tuple[int, ...]] = {}
    flops: dict[str, float] = {}
    counter = FlopCounterMode(display=False)

    def enter(name: str) -> None:
        flops[name] = -float(counter.get_total_flops())

    def leave(name: str, output: torch.Tensor) -> None:
        flops[name] += counter.get_total_flops()
        shapes[name] = tuple(output.shape[1:])

    network.eval()
    with counter, torch.inference_mode(), _watched(network, enter, leave):
        network.project(network(_cubes(1, size_vx)))
    return shapes, flops


def _saved_bytes(network: EncoderNetwork, size_vx: int, *, n_cubes: int) -> dict[str, int]:
    """Bytes that each part keeps for the backward pass; what two layers keep counts once, for the first."""
    own = _own_storages(network)
    kept: dict[int, torch.Tensor] = {}  # keeps the storages alive, so that no address comes twice
    found = dict.fromkeys((name for name, _ in _parts(network)), 0)
    current = next(iter(found))

    def enter(name: str) -> None:
        nonlocal current
        current = name

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own and storage._cdata not in kept:
            kept[storage._cdata] = tensor
            found[current] += storage.nbytes()
        return tensor

    network.train()
    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with hooks, _watched(network, enter, lambda _name, _output: None):
        network.project(network(_cubes(n_cubes, size_vx)))
    return found


def _live_bytes(network: EncoderNetwork, size_vx: int, *, n_cubes: int) -> dict[str, int]:
    """The most bytes that are alive at once while each part runs, weights left out."""
    found = dict.fromkeys((name for name, _ in _parts(network)), 0)
    live = _LiveStorages(network)

    def enter(_name: str) -> None:
        live.peak_bytes = live.now_bytes()

    def leave(name: str, _output: torch.Tensor) -> None:
        found[name] = live.peak_bytes

    network.eval()
    with live, torch.inference_mode(), _watched(network, enter, leave):
        cubes = _cubes(n_cubes, size_vx)
        network(cubes)
    return found


class _LiveStorages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the memory of every tensor that an operation makes, until nobody holds it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._own = _own_storages(network)
        self._live: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak_bytes = 0

    def now_bytes(self) -> int:
        """Bytes alive now."""
        expired = [key for key, (reference, _) in self._live.items() if reference.expired()]  # type: ignore[no-untyped-call]
        for key in expired:
            del self._live[key]
        return sum(n_bytes for _, n_bytes in self._live.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self._own:
                    reference = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
                    self._live[storage._cdata] = (reference, storage.nbytes())
        self.peak_bytes = max(self.peak_bytes, self.now_bytes())
        return output
