"""The training store: masked cubes in one sharded Zarr 3 array, one inner chunk a cube.

Blocks of work begin at a shard's border, so no two write one shard. Each inner chunk is zstd with a
checksum: zstd without one lets most flipped bits through (LIBRARIES 0.4). Empty chunks are written, since an
absent shard must mean "not done", never "zero".
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorstore
import zarr
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, ZstdCodec

from segclr import files
from segclr.errors import CorruptDataError, CubeError, MissingDataError

__all__ = ["CubeStore", "create_cube_store", "open_cube_store"]

_CONFIG = {"write_empty_chunks": True}


@dataclass(frozen=True)
class CubeStore:
    """Cubes by row; opened where it is used.

    Attributes:
        url: folder of the Zarr array.
    """

    url: str

    @property
    def _array(self) -> Any:
        try:
            return zarr.open_array(self.url, mode="r+", zarr_format=3, config=_CONFIG)
        except FileNotFoundError as error:
            msg = f"no cube store at {self.url}"
            raise MissingDataError(msg) from error

    def __len__(self) -> int:
        """Rows, those that only fill up a block's last shard included."""
        return int(self._array.shape[0])

    @property
    def size_vx(self) -> int:
        """Edge of a stored cube, margin included."""
        return int(self._array.shape[1])

    @property
    def shard_cubes(self) -> int:
        """Rows in one shard."""
        return int(self._array.shards[0])

    def write(self, first_row: int, cubes: NDArray[np.uint8]) -> list[str]:
        """Write whole shards from a shard's first row on; answers the files written.

        Raises:
            CubeError: the rows do not begin at a shard or end beyond the store, or the cubes have another
                shape or type.
        """
        array, shard = self._array, self.shard_cubes
        fits = cubes.shape[1:] == array.shape[1:] and 0 <= first_row <= array.shape[0] - len(cubes)
        if first_row % shard or not fits or cubes.dtype != np.uint8:
            msg = (
                f"cubes {cubes.dtype} {cubes.shape} at row {first_row}: rows must begin at a multiple of "
                f"{shard} and end by {array.shape[0]}, cubes be uint8 of {array.shape[1:]}"
            )
            raise CubeError(msg)
        # zarr-python leaves shards out that are all zero, whatever write_empty_chunks says
        target = array if self.url.startswith("memory://") else _opened(self.url)
        written = []
        for start in range(0, len(cubes), shard):
            part = cubes[start : start + shard]
            full = np.zeros((shard, *array.shape[1:]), dtype=np.uint8)
            full[: len(part)] = part
            target[first_row + start : first_row + start + shard] = full
            written.append(files.join(self.url, f"c/{(first_row + start) // shard}/0/0/0"))
        for url in written:
            files.sync(url)
        return written

    def read(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """Cubes of some rows, in their order, uint8 [n, z, y, x].

        Raises:
            CorruptDataError: a cube fails its checksum, or its shard is absent.
        """
        rows = np.asarray(rows, dtype=np.int64)
        for shard in np.unique(rows // self.shard_cubes):
            url = files.join(self.url, f"c/{shard}/0/0/0")
            if not files.exists(url):
                msg = f"cube shard {url} is absent: run `segclr cubes` again"
                raise CorruptDataError(msg)
        try:
            if self.url.startswith("memory://"):  # tensorstore has a memory of its own
                return np.ascontiguousarray(self._array.oindex[rows])
            return np.ascontiguousarray(_opened(self.url)[rows].read().result())
        except ValueError as error:
            msg = f"a cube of {self.url} cannot be decoded: {error}"
            raise CorruptDataError(msg) from error


@functools.lru_cache(maxsize=4)
def _opened(url: str) -> Any:
    """Cubes go through tensorstore: zarr-python needs 10 to 100 times as long for scattered rows."""
    store = {"driver": "file", "path": str(files.local_path(url).resolve())} if files.is_local(url) else url
    spec = {"driver": "zarr3", "kvstore": store, "store_data_equal_to_fill_value": True}
    return tensorstore.open(spec, open=True).result()


def create_cube_store(url: str, *, n_rows: int, size_vx: int, shard_cubes: int) -> CubeStore:
    """Make an empty store, or go on with the one that is there.

    Args:
        url: folder of the Zarr array.
        n_rows: a multiple of ``shard_cubes``.
        size_vx: edge of a stored cube, margin included.
        shard_cubes: cubes in one shard.

    Raises:
        CubeError: the rows do not fill whole shards, or the store that is there has another shape.
    """
    if n_rows % shard_cubes:
        msg = f"n_rows {n_rows} must be a multiple of shard_cubes {shard_cubes}"
        raise CubeError(msg)
    if not files.exists(files.join(url, "zarr.json")):
        cube = (size_vx,) * 3
        zarr.create_array(
            url,
            shape=(n_rows, *cube),
            chunks=(1, *cube),
            shards=(shard_cubes, *cube),
            dtype="uint8",
            serializer=BytesCodec(),
            compressors=[ZstdCodec(level=3, checksum=True)],
            fill_value=0,
            zarr_format=3,
            dimension_names=("cube", "z", "y", "x"),
            config=_CONFIG,  # type: ignore[arg-type]
        )
    store = open_cube_store(url)
    found, wanted = (len(store), store.size_vx, store.shard_cubes), (n_rows, size_vx, shard_cubes)
    if found != wanted:
        msg = f"{url} holds rows, edge and cubes a shard {found}, asked for are {wanted}: remove it first"
        raise CubeError(msg)
    return store


def open_cube_store(url: str) -> CubeStore:
    """A store that exists.

    Raises:
        MissingDataError: there is none.
    """
    _opened.cache_clear()  # a store opened anew is read anew: it may have been written again since
    store = CubeStore(url)
    len(store)
    return store
