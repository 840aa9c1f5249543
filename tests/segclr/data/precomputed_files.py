"""Small precomputed volumes as labs write them, for the tests of their reader."""

import numpy as np
import tensorstore
from cloudvolume import CloudVolume

from segclr.data.volume import open_volume

IDS = np.array([0, 1, 2**53 + 1, 2**63 + 5, 2**64 - 1], dtype=np.uint64)
OFFSET = (10, 20, 30)
SHAPE = (19, 18, 21)  # z, y, x: chunks of 16 end in slivers
SHARDING = {
    "@type": "neuroglancer_uint64_sharded_v1",
    "preshift_bits": 1,
    "minishard_bits": 2,
    "shard_bits": 1,
    "hash": "murmurhash3_x86_128",
    "data_encoding": "gzip",
    "minishard_index_encoding": "gzip",
}


def write(
    folder, array, *, encoding="raw", compress="gzip", scale=0, offset=OFFSET, size=(8, 8, 10), cv=None
):
    if cv is None:
        info = CloudVolume.create_new_info(
            num_channels=1,
            layer_type="image" if array.dtype == np.uint8 else "segmentation",
            data_type=str(array.dtype),
            encoding=encoding,
            resolution=size,
            voxel_offset=offset,
            chunk_size=(16, 16, 16),
            volume_size=array.shape[::-1],
        )
        cv = CloudVolume(f"file://{folder}", info=info, compress=compress, progress=False)
        cv.commit_info()
    cv.mip = scale
    cv[:] = array.T[..., None]
    return cv


def opened(folder, size=(8, 8, 10), **kwargs):
    return open_volume(f"precomputed://{folder}", voxel_size_nm=size, **kwargs)


def write_sharded(folder, array, encoding, sharding):
    scale = {
        "size": array.shape[::-1],
        "encoding": encoding,
        "chunk_size": [8, 4, 16],
        "resolution": [8, 8, 10],
        "voxel_offset": OFFSET,
        "sharding": sharding,
    }
    if encoding == "compressed_segmentation":
        scale["compressed_segmentation_block_size"] = [8, 8, 8]
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "multiscale_metadata": {"data_type": str(array.dtype), "num_channels": 1, "type": "segmentation"},
        "scale_metadata": scale,
        "create": True,
    }
    tensorstore.open(spec).result()[..., 0].write(array.T).result()
