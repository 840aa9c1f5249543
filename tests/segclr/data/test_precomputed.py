import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from cloudvolume import CloudVolume

from segclr.data.volume import open_volume
from segclr.errors import CorruptDataError, MissingDataError, ScaleError, VolumeError
from segclr.geometry import BoundingBox

IDS = np.array([0, 1, 2**53 + 1, 2**63 + 5, 2**64 - 1], dtype=np.uint64)
OFFSET = (10, 20, 30)
SHAPE = (19, 18, 21)  # z, y, x: chunks of 16 end in slivers


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


@pytest.fixture
def segmentation():
    return np.random.default_rng(0).choice(IDS, SHAPE)


@pytest.fixture
def written(tmp_path, segmentation):
    folder = tmp_path / "a volume"
    write(folder, segmentation)
    return folder


def opened(folder, size=(8, 8, 10), **kwargs):
    return open_volume(f"precomputed://{folder}", voxel_size_nm=size, **kwargs)


@pytest.mark.parametrize("encoding", ["raw", "compressed_segmentation", "compresso"])
@pytest.mark.parametrize("compress", ["gzip", "br", False])
def test_ids_are_read_exactly_whatever_the_encoding(tmp_path, segmentation, encoding, compress):
    write(tmp_path, segmentation, encoding=encoding, compress=compress)
    volume = opened(tmp_path)
    assert volume.bounds == BoundingBox(OFFSET, (31, 38, 49))
    assert (volume.voxel_size_nm, volume.chunk_size_vx) == ((8, 8, 10), (16, 16, 16))
    got = volume.read(volume.bounds)
    assert got.dtype == volume.dtype == np.uint64
    assert np.array_equal(got, segmentation)


def test_any_box_equals_the_array_padded_with_zeros(written, segmentation):
    volume = opened(written)
    padded = np.pad(segmentation, 5)
    for start, stop in [
        ((0, 0, 0), SHAPE),
        ((-5, -5, -5), (1, 1, 1)),
        ((3, 15, 2), (7, 17, 26)),
        ((19, 0, 0), (21, 4, 4)),
    ]:
        box = BoundingBox(
            tuple(a + o for a, o in zip(start[::-1], OFFSET, strict=True)),
            tuple(a + o for a, o in zip(stop[::-1], OFFSET, strict=True)),
        )
        want = padded[tuple(slice(a + 5, b + 5) for a, b in zip(start, stop, strict=True))]
        assert np.array_equal(volume.read(box), want)


def test_a_box_without_voxels_or_far_away_reads_without_a_chunk(written):
    volume = opened(written)
    assert volume.read(BoundingBox((12, 22, 32), (12, 25, 35))).shape == (3, 3, 0)
    assert not volume.read(BoundingBox((1000, 0, 0), (1002, 2, 2))).any()


@pytest.mark.parametrize(
    "form", ["precomputed://../a volume", "precomputed://file://../a volume", "precomputed://../a volume/"]
)
def test_relative_paths_with_spaces_open(written, segmentation, monkeypatch, form):
    other = written.parent / "elsewhere"
    other.mkdir()
    monkeypatch.chdir(other)
    volume = open_volume(form, voxel_size_nm=(8, 8, 10))
    assert np.array_equal(volume.read(volume.bounds), segmentation)


@pytest.fixture
def three_scales(tmp_path):
    random = np.random.default_rng(3)
    arrays = [random.integers(0, 256, s, dtype=np.uint8) for s in [(8, 16, 16), (8, 8, 8), (8, 4, 4)]]
    cv = write(tmp_path, arrays[0], offset=(0, 0, 0), size=(8, 8, 40))
    for factor in (2, 4):
        cv.add_scale((factor, factor, 1))
    cv.commit_info()
    cv = CloudVolume(f"file://{tmp_path}", progress=False)
    for i in (1, 2):
        write(tmp_path, arrays[i], scale=i, cv=cv)
    return tmp_path, arrays


@pytest.mark.parametrize(
    ("size", "index"), [((8, 8, 40), 0), ((16, 16, 40), 1), ((16.7, 15.3, 41), 1), ((32, 33, 40), 2)]
)
def test_the_nearest_scale_within_five_percent_is_read(three_scales, size, index):
    folder, arrays = three_scales
    volume = opened(folder, size)
    assert volume.voxel_size_nm == (8 * 2**index, 8 * 2**index, 40)
    assert np.array_equal(volume.read(volume.bounds), arrays[index])


@pytest.mark.parametrize("size", [(20, 20, 40), (8, 8, 50), (17, 16, 40), (4, 4, 40)])
def test_a_scale_that_is_not_there_is_refused_with_a_list_of_those_that_are(three_scales, size):
    with pytest.raises(ScaleError, match="8x8x40, 16x16x40, 32x32x40"):
        opened(three_scales[0], size)


def test_downsampling_starts_from_the_coarsest_scale_that_divides(three_scales):
    folder, arrays = three_scales
    volume = opened(folder, (32, 32, 80), downsample="mean")
    pairs = arrays[2].astype(int).reshape(4, 2, 4, 4).sum(axis=1)
    assert volume.voxel_size_nm == (32, 32, 80)
    assert np.array_equal(volume.read(volume.bounds), (pairs + 1) // 2)
    with pytest.raises(ScaleError, match="32x32x40"):
        opened(folder, (12, 12, 40), downsample="mean")


def first_chunk(folder):
    return next(p for p in Path(folder).glob("8_8_10/*") if "10-26_20-36_30-46" in p.name)


def test_a_missing_chunk_is_an_error_and_not_zeros(written):
    volume = opened(written)
    first_chunk(written).unlink()
    with pytest.raises(VolumeError, match="missing"):
        volume.read(volume.bounds)
    assert volume.read(BoundingBox((26, 36, 46), (28, 38, 48))).shape == (2, 2, 2)


@pytest.mark.parametrize("compress", ["gzip", "br"])
@pytest.mark.parametrize("damage", ["half", "empty", "page", "flip", "no magic"])
def test_a_damaged_chunk_is_corrupt_data(tmp_path, segmentation, compress, damage):
    write(tmp_path, segmentation, compress=compress)
    chunk = first_chunk(tmp_path)
    good = chunk.read_bytes()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 16
    bad = {
        "half": good[: len(good) // 2],
        "empty": b"",
        "page": b"<html>please log in</html>",
        "flip": bytes(flipped),
        "no magic": b"\xff\xff" + good[2:],
    }[damage]
    chunk.write_bytes(bad)
    volume = opened(tmp_path)
    with pytest.raises(CorruptDataError, match="cannot be decoded"):
        volume.read(volume.bounds)


def test_a_torn_raw_chunk_is_corrupt_data(tmp_path, segmentation):
    write(tmp_path, segmentation, compress=False)
    chunk = first_chunk(tmp_path)
    chunk.write_bytes(chunk.read_bytes()[:-100])
    with pytest.raises(CorruptDataError, match="cannot be decoded"):
        opened(tmp_path).read(BoundingBox(OFFSET, (12, 22, 32)))


def test_every_flipped_bit_of_a_gzip_chunk_is_caught_or_harmless(tmp_path, segmentation):
    write(tmp_path, segmentation)
    volume, chunk = opened(tmp_path), first_chunk(tmp_path)
    good, box = chunk.read_bytes(), BoundingBox(OFFSET, (26, 36, 46))
    random = np.random.default_rng(5)
    caught = 0
    for position in random.integers(len(good), size=60):
        bad = bytearray(good)
        bad[position] ^= 1 << int(random.integers(8))
        chunk.write_bytes(bytes(bad))
        try:
            assert np.array_equal(volume.read(box), segmentation[:16, :16, :16])
        except CorruptDataError:
            caught += 1
    assert caught > 50
    assert gzip.decompress(good)


def test_an_absent_volume_is_missing_data(tmp_path):
    with pytest.raises(MissingDataError, match="no info file"):
        opened(tmp_path / "nothing")


@pytest.mark.parametrize(
    "text",
    [
        '{"data_ty',
        "",
        "[]",
        "3",
        '{"@type": "neuroglancer_skeletons"}',
        '{"data_type": "uint8", "num_channels": 1, "type": "image", "scales": []}',
        '{"data_type": "uint8", "num_channels": 1, "type": "image", "scales": [{}]}',
    ],
)
def test_an_info_file_that_cannot_be_used_is_the_projects_error(tmp_path, text):
    (tmp_path / "info").write_text(text)
    with pytest.raises(VolumeError, match="info file"):
        opened(tmp_path)


def test_more_than_one_channel_is_refused(tmp_path, written):
    info = json.loads((written / "info").read_text())
    (tmp_path / "info").write_text(json.dumps({**info, "num_channels": 3}))
    with pytest.raises(VolumeError, match="3 entries on its channel axis; choose one with channel, 0 to 2"):
        opened(tmp_path)


def test_a_volume_written_again_is_read_anew(tmp_path, segmentation):
    write(tmp_path, segmentation)
    assert opened(tmp_path).bounds.size == SHAPE[::-1]
    for chunk in tmp_path.glob("8_8_10/*"):
        chunk.unlink()
    write(tmp_path, segmentation[:5], offset=(0, 0, 0))
    volume = opened(tmp_path)
    assert volume.bounds == BoundingBox((0, 0, 0), (21, 18, 5))
    assert np.array_equal(volume.read(volume.bounds), segmentation[:5])


def test_real_volumes_read_as_cloud_volume_reads_them(shared_data):
    folder = shared_data / "pinky40"
    volume = open_volume(f"precomputed://file://{folder}", voxel_size_nm=(32, 32, 40))
    reference = CloudVolume(f"file://{folder}", mip=2, progress=False)[100:150, 90:120, 200:230][..., 0].T
    assert np.array_equal(volume.read(BoundingBox((100, 90, 200), (150, 120, 230))), reference)
