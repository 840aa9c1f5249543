"""Made tissue: densely packed neuropil with ground truth, because no labelled mammalian EM can be shipped."""

from segclr.data.neuropil.block import TissueBlock, block_box, make_block
from segclr.data.neuropil.classes import CELL_TYPES, COMPARTMENTS
from segclr.data.neuropil.ome_zarr import create_ome_zarr, write_block_ome_zarr
from segclr.data.neuropil.write import create_volumes, volume_urls, write_block

__all__ = [
    "CELL_TYPES",
    "COMPARTMENTS",
    "TissueBlock",
    "block_box",
    "create_ome_zarr",
    "create_volumes",
    "make_block",
    "volume_urls",
    "write_block",
    "write_block_ome_zarr",
]
