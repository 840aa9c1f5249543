import io

import numpy as np
import pandas as pd
import pytest
import tensorstore as ts

from segclr import files
from segclr.data.neuropil import (
    create_ome_zarr,
    create_volumes,
    volume_urls,
    write_block,
    write_block_ome_zarr,
)


def _whole(blocks, name):
    return np.concatenate([getattr(block, name) for block in blocks], axis=2)


@pytest.fixture(scope="module")
def written(small_tissue, small_blocks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tissue")
    create_volumes(small_tissue, str(folder))
    names = [write_block(block, str(folder)) for block in small_blocks]
    return folder, names


@pytest.mark.parametrize("name", ["em", "segmentation", "compartments"])
def test_cloud_volume_reads_back_what_was_written(written, small_blocks, name):
    from cloudvolume import CloudVolume

    volume = CloudVolume(volume_urls(str(written[0]))[name], progress=False)
    assert list(volume.bounds.minpt) == [40, 7, 3]
    assert list(volume.resolution) == [64, 64, 80]
    expected = _whole(small_blocks, name)
    read = np.asarray(volume[:])[..., 0].T
    assert read.dtype == expected.dtype
    assert np.array_equal(read, expected)


def test_no_file_has_two_writers(written):
    first, second = written[1]
    assert not set(first) & set(second)
    assert all(files.exists(name) for name in first + second)


def test_writing_a_block_again_gives_the_same_bytes(written, small_blocks):
    folder, names = written
    before = {name: files.read_bytes(name) for name in names[0]}
    assert write_block(small_blocks[0], str(folder)) == names[0]
    assert {name: files.read_bytes(name) for name in names[0]} == before


def test_tables_keep_every_row_and_every_bit_of_the_ids(written, small_blocks):
    folder, _ = written
    for block in small_blocks:
        for name in ("cells", "synapses"):
            content = files.read_bytes(str(folder / name / f"block-{block.index:04d}.parquet"))
            pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(content)), getattr(block, name))
        rows = pd.read_parquet(folder / "skeletons" / f"block-{block.index:04d}.parquet")
        assert rows.segment_id.dtype == np.uint64
        for skeleton in block.skeletons:
            mine = rows[rows.segment_id == np.uint64(skeleton.segment_id)]
            assert np.array_equal(mine[["x_nm", "y_nm", "z_nm"]].to_numpy(), skeleton.points_nm)
            assert np.array_equal(mine.parent.to_numpy(), skeleton.parents)


def test_any_url_that_fsspec_opens_takes_a_block(small_tissue, small_blocks):
    url = "memory://made-tissue"
    create_volumes(small_tissue, url)
    assert all(files.exists(name) for name in write_block(small_blocks[0], url))
    files.remove(url)


@pytest.mark.parametrize("name", ["em", "segmentation", "compartments"])
def test_tensorstore_reads_back_the_ome_zarr(small_tissue, small_blocks, tmp_path, name):
    (tmp_path / "x").mkdir()
    url = str(tmp_path / "x" / "..")  # as a relative path may come
    create_ome_zarr(small_tissue, url)
    for block in small_blocks[::-1]:
        write_block_ome_zarr(block, url, offset_vx=small_tissue.offset_vx)
    group = tmp_path / f"{name}.ome.zarr"
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{group}/0/"}}
    read = ts.open(spec).result().read().result()
    assert np.array_equal(read, _whole(small_blocks, name))
    ome = files.read_json(str(group / "zarr.json"))["attributes"]["ome"]
    assert ome["version"] == "0.5"
    (scale, shift) = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert scale["scale"] == [80, 64, 64]
    assert shift["translation"] == [3.5 * 80, 7.5 * 64, 40.5 * 64]


def test_creating_the_volumes_again_keeps_what_is_written(small_tissue, small_blocks, tmp_path):
    create_ome_zarr(small_tissue, str(tmp_path))
    write_block_ome_zarr(small_blocks[0], str(tmp_path), offset_vx=small_tissue.offset_vx)
    create_ome_zarr(small_tissue, str(tmp_path))
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{tmp_path}/em.ome.zarr/0/"}}
    read = ts.open(spec).result().read().result()
    assert np.array_equal(read[..., :96], small_blocks[0].em)
    assert not read[..., 96:].any()
