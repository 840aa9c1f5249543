"""From nodes to embeddings, block by block, on the encoder's device."""

from segclr.embed.block import DeviceBlock, embed_nodes, to_device

__all__ = ["DeviceBlock", "embed_nodes", "to_device"]
