"""Starting from another encoder's weights: what fits by name and shape is taken, the rest stays random."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from torch import nn

from segclr.errors import EncoderError
from segclr.model.folder import EncoderFolder, read_folder

__all__ = ["Transfer", "fitting_weights", "take_weights"]

_LOGGER = logging.getLogger(__name__)
_TRUNK = "backbone."


@dataclass(frozen=True)
class Transfer:
    """What became of every tensor, by name; a tensor of the network is in one of the first three.

    Attributes:
        source: URL of the encoder that gave.
        source_sha256: digest of its weights.
        source_voxel_size_nm: nm (x, y, z) it was trained at.
        taken: tensors copied.
        absent: tensors that the source lacks: random.
        reshaped: tensors of another shape in the source: random.
        unused: tensors that only the source has.
    """

    source: str
    source_sha256: str
    source_voxel_size_nm: tuple[float, float, float]
    taken: tuple[str, ...]
    absent: tuple[str, ...]
    reshaped: tuple[str, ...]
    unused: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in vars(self).items()}

    def __str__(self) -> str:
        """One line for a log."""
        size = "x".join(f"{v:g}" for v in self.source_voxel_size_nm)
        n = len(self.taken) + len(self.absent) + len(self.reshaped)
        random = [*self.absent, *self.reshaped]
        named = ", ".join(random[:5]) + (f" and {len(random) - 5} more" if len(random) > 5 else "")
        return (
            f"{len(self.taken)} of {n} tensors from {self.source} (made at {size} nm); "
            f"{len(self.absent)} absent there and {len(self.reshaped)} of another shape start at random"
            + (f": {named}" if random else "")
            + f"; {len(self.unused)} of its tensors are not used"
        )


def take_weights(network: nn.Module, url: str) -> Transfer:
    """Copy into a network the tensors of a saved encoder that have its names and shapes; logs what it took.

    Voxel size and cube size may differ: kernels are the same, and the mean over space takes any edge.

    Raises:
        MissingDataError: there is no encoder.
        CorruptDataError: its files are damaged.
        EncoderError: none of its convolutions fits, so there is nothing to start from.
    """
    folder = read_folder(url)
    transfer = _compare(network, folder, url)
    network.load_state_dict({name: folder.weights[name] for name in transfer.taken}, strict=False)
    _LOGGER.info("%s", transfer)
    return transfer


def fitting_weights(network: nn.Module, url: str) -> Transfer:
    """What ``take_weights`` would take, and the same errors; nothing is copied."""
    return _compare(network, read_folder(url), url)


def _compare(network: nn.Module, folder: EncoderFolder, url: str) -> Transfer:
    own, theirs = network.state_dict(), folder.weights
    shared = own.keys() & theirs.keys()
    taken = sorted(name for name in shared if own[name].shape == theirs[name].shape)
    if not any(name.startswith(_TRUNK) and own[name].ndim > 1 for name in taken):
        config = folder.config
        msg = (
            f"nothing to start from: no convolution of {url} ({config.family}, depth {config.depth}, width "
            f"{config.width:g}, stem {config.stem}) has name and shape of one of this network's; family, "
            "width and block (depth 50, or less) must be alike"
        )
        raise EncoderError(msg)
    return Transfer(
        source=url,
        source_sha256=folder.weights_sha256,
        source_voxel_size_nm=folder.voxel_size_nm,
        taken=tuple(taken),
        absent=tuple(sorted(own.keys() - shared)),
        reshaped=tuple(sorted(shared - set(taken))),
        unused=tuple(sorted(theirs.keys() - shared)),
    )
