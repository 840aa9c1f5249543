"""From nodes to embeddings, block by block, on the encoder's device."""

from segclr.embed.batch_size import find_batch_size
from segclr.embed.block import embed_nodes
from segclr.embed.cut import CubeCutter, DeviceBlock, HostBlock, to_device
from segclr.embed.kind import CubeKind, cube_kind

__all__ = [
    "CubeCutter",
    "CubeKind",
    "DeviceBlock",
    "HostBlock",
    "cube_kind",
    "embed_nodes",
    "find_batch_size",
    "to_device",
]
