"""Made tissue as OME-Zarr 0.5: one Zarr 3 group for each volume, axes z, y, x in nanometres."""

from __future__ import annotations

from typing import Any

import tensorstore as ts

from segclr import files
from segclr.config import TissueConfig
from segclr.data.neuropil.block import TissueBlock
from segclr.data.neuropil.write import VOLUMES, chunk_size

__all__ = ["create_ome_zarr", "write_block_ome_zarr"]


def create_ome_zarr(config: TissueConfig, url: str) -> list[str]:
    """Create ``<volume>.ome.zarr`` below a folder for the three volumes, once for all blocks; the groups.

    The array starts at the volume's first voxel; ``offset_vx`` is the translation in the metadata.
    """
    width, height, depth = config.block_size_vx
    size_zyx = config.voxel_size_nm[::-1]
    groups = []
    for name in VOLUMES:
        group = files.join(url, f"{name}.ome.zarr")
        # The centre of voxel i lies at (offset + i + 1/2) * size: OME-NGFF places samples, not edges.
        start = [(o + 0.5) * s for o, s in zip(config.offset_vx[::-1], size_zyx, strict=True)]
        transforms = [
            {"type": "scale", "scale": list(size_zyx)},
            {"type": "translation", "translation": start},
        ]
        axes = [{"name": a, "type": "space", "unit": "nanometer"} for a in "zyx"]
        ome: dict[str, Any] = {
            "version": "0.5",
            "multiscales": [
                {
                    "name": name,
                    "axes": axes,
                    "datasets": [{"path": "0", "coordinateTransformations": transforms}],
                }
            ],
        }
        if name != "em":
            ome["image-label"] = {"version": "0.5"}
        files.write_json(
            files.join(group, "zarr.json"),
            {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}},
        )
        shape = (depth, height, width * config.n_blocks)
        _open(group, name, shape=shape, chunk=chunk_size(config.block_size_vx)[::-1])
        groups.append(group)
    return groups


def write_block_ome_zarr(block: TissueBlock, url: str, *, offset_vx: tuple[int, int, int]) -> None:
    """Write a block's voxels into the groups of :func:`create_ome_zarr`; ``offset_vx`` as in the config."""
    for name in VOLUMES:
        store = _open(files.join(url, f"{name}.ome.zarr"), name)
        store[block.box.slices_zyx(offset_vx)].write(getattr(block, name)).result()


def _open(
    group: str,
    name: str,
    *,
    shape: tuple[int, ...] | None = None,
    chunk: tuple[int, ...] | None = None,
) -> Any:
    spec: dict[str, Any] = {"driver": "zarr3", "kvstore": _kvstore(files.join(group, "0"))}
    if shape is None or chunk is None:
        return ts.open(spec, open=True, write=True, read=True).result()
    spec["metadata"] = {
        "shape": list(shape),
        "data_type": "uint64" if name == "segmentation" else "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
        "chunk_key_encoding": {"name": "default"},
        "codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "zstd", "configuration": {"level": 1}},
            {"name": "crc32c"},
        ],
        "dimension_names": ["z", "y", "x"],
        "fill_value": 0,
    }
    return ts.open(spec, open=True, create=True, write=True, read=True).result()


def _kvstore(url: str) -> dict[str, str]:
    if files.is_local(url):
        return {"driver": "file", "path": str(files.local_path(url).resolve()) + "/"}
    scheme, rest = url.split("://", 1)
    if scheme in ("gs", "s3"):
        bucket, _, path = rest.partition("/")
        driver = "gcs" if scheme == "gs" else "s3"
        return {"driver": driver, "bucket": bucket, "path": path + "/"}
    return {"driver": scheme, "path": rest + "/"}
