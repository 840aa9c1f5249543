"""Made tissue."""

from __future__ import annotations

from pydantic import Field, field_validator

from segclr.config.section import Section, Size, Triple

__all__ = ["TissueConfig"]


class TissueConfig(Section):
    """Made tissue: blocks of neuropil with ground truth, side by side along x."""

    n_blocks: int = Field(4, ge=1, description="blocks side by side along x; each holds its own cells")
    block_size_vx: Triple = Field(
        (192, 224, 192), description="voxels (x, y, z) of a block; multiples of 16, at least 64"
    )
    voxel_size_nm: Size = Field((64.0, 64.0, 80.0), description="nm (x, y, z) of a voxel")
    offset_vx: Triple = Field((0, 0, 0), description="first voxel (x, y, z) of the volume")
    somata_per_class: int = Field(
        3, ge=0, description="whole cells of each class in a block, half of them test"
    )

    @field_validator("block_size_vx")
    @classmethod
    def _check_block_size(cls, value: Triple) -> Triple:
        # Chunks end at block borders, so that each has one writer; 16 keeps them from being slivers.
        if any(edge < 64 or edge % 16 for edge in value):
            msg = "must be multiples of 16 and at least 64 voxels"
            raise ValueError(msg)
        return value
