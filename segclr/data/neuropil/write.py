"""Made tissue as Neuroglancer precomputed volumes and Parquet tables.

Chunks are cut so that they end at block borders: each has one writer, and blocks may be written at once
and again. Files go through ``segclr.files`` (whole or not at all, any URL), not through cloud-volume's own
writer, whose local writes show half a file under the final name; cloud-volume reads the result.
"""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from segclr import files
from segclr.config import TissueConfig
from segclr.data.neuropil.block import TissueBlock
from segclr.geometry import BoundingBox, Triple

__all__ = ["VOLUMES", "chunk_size", "create_volumes", "volume_urls", "write_block"]

VOLUMES = ("em", "segmentation", "compartments")
_CHUNK_VX = 64
_CS_BLOCK = (8, 8, 8)


def chunk_size(block_size_vx: Triple) -> Triple:
    """Chunk (x, y, z): the largest divisor of each edge of a block up to 64 voxels."""
    x, y, z = (max(d for d in range(1, _CHUNK_VX + 1) if edge % d == 0) for edge in block_size_vx)
    return (x, y, z)


def volume_urls(url: str) -> dict[str, str]:
    """URLs of the volumes below a folder, by name."""
    return {name: f"precomputed://{_with_scheme(files.join(url, name))}" for name in VOLUMES}


def _with_scheme(url: str) -> str:
    return f"file://{files.local_path(url).absolute()}" if files.is_local(url) else url


def create_volumes(config: TissueConfig, url: str) -> list[str]:
    """Write the ``info`` of the three volumes below a folder, once for all blocks; the files written."""
    width, height, depth = config.block_size_vx
    size_nm = [int(v) if float(v).is_integer() else float(v) for v in config.voxel_size_nm]
    written = []
    for name in VOLUMES:
        dtype = "uint64" if name == "segmentation" else "uint8"
        scale: dict[str, object] = {
            "key": "_".join(str(v) for v in size_nm),
            "size": [width * config.n_blocks, height, depth],
            "resolution": size_nm,
            "voxel_offset": list(config.offset_vx),
            "chunk_sizes": [list(chunk_size(config.block_size_vx))],
            "encoding": "compressed_segmentation" if name == "segmentation" else "raw",
        }
        if name == "segmentation":
            scale["compressed_segmentation_block_size"] = list(_CS_BLOCK)
        info = {
            "@type": "neuroglancer_multiscale_volume",
            "type": "image" if name == "em" else "segmentation",
            "data_type": dtype,
            "num_channels": 1,
            "scales": [scale],
        }
        written.append(files.join(url, name, "info"))
        files.write_json(written[-1], info)
    return written


def write_block(block: TissueBlock, url: str) -> list[str]:
    """Write a block's chunks and tables below a folder; the files written, the same bytes every time.

    Tables, one file a block: ``cells``, ``synapses`` (columns as in :class:`TissueBlock`) and ``skeletons``
    (segment_id, node_id, x_nm, y_nm, z_nm, radius_nm, parent; -1 marks the root).
    """
    written = []
    size_nm = [int(v) if float(v).is_integer() else float(v) for v in block.voxel_size_nm]
    key = "_".join(str(v) for v in size_nm)
    for name in VOLUMES:
        array = getattr(block, name)
        for box in block.box.blocks(chunk_size(block.box.size)):
            target = files.join(url, name, key, _chunk_name(box))
            files.write_bytes(target, _encode(array[box.slices_zyx(block.box.start)]))
            written.append(target)
    tables = {"cells": block.cells, "synapses": block.synapses, "skeletons": _skeleton_table(block)}
    for name, table in tables.items():
        target = files.join(url, name, f"block-{block.index:04d}.parquet")
        files.write_bytes(target, _parquet(table))
        written.append(target)
    return written


def _chunk_name(box: BoundingBox) -> str:
    return "_".join(f"{a}-{b}" for a, b in zip(box.start, box.stop, strict=True))


def _encode(chunk: NDArray[np.generic]) -> bytes:
    """Bytes of a chunk [z, y, x]: x fastest, as the format orders it."""
    if chunk.dtype == np.uint64:
        from cloudvolume import chunks  # here, as it takes a second that drawing needs not pay

        grid = np.asfortranarray(chunk.transpose(2, 1, 0))[..., None]
        return bytes(chunks.encode(grid, "compressed_segmentation", block_size=_CS_BLOCK))
    return np.ascontiguousarray(chunk).tobytes()


def _skeleton_table(block: TissueBlock) -> pd.DataFrame:
    parts = []
    for skeleton in block.skeletons:
        n = len(skeleton)
        parts.append(
            pd.DataFrame(
                {
                    "segment_id": np.full(n, skeleton.segment_id, dtype=np.uint64),
                    "node_id": np.arange(n, dtype=np.uint32),
                    "x_nm": skeleton.points_nm[:, 0],
                    "y_nm": skeleton.points_nm[:, 1],
                    "z_nm": skeleton.points_nm[:, 2],
                    "radius_nm": skeleton.radii_nm,
                    "parent": skeleton.parents,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _parquet(table: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), sink, compression="zstd")
    return sink.getvalue()
