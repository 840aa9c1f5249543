import gzip
import json
import pickle
from pathlib import Path

import compresso
import crackle
import numpy as np
import pytest
from cloudvolume import CloudVolume, chunks

from segclr.data.access import Access
from segclr.data.volume import open_volume
from segclr.errors import ConfigError, CorruptDataError, MissingDataError, VolumeError
from segclr.geometry import BoundingBox
from tests.segclr.data.precomputed_files import OFFSET, SHAPE, SHARDING, opened, write, write_sharded


@pytest.mark.parametrize("encoding", ["raw", "compressed_segmentation", "compresso"])
@pytest.mark.parametrize("compress", ["gzip", "br", "zstd", False])
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


def first_chunk(folder):
    return next(p for p in Path(folder).glob("8_8_10/*") if "10-26_20-36_30-46" in p.name)


def test_a_missing_chunk_is_an_error_and_not_zeros(written):
    volume = opened(written)
    first_chunk(written).unlink()
    with pytest.raises(VolumeError, match="missing"):
        volume.read(volume.bounds)
    assert volume.read(BoundingBox((26, 36, 46), (28, 38, 48))).shape == (2, 2, 2)


@pytest.mark.parametrize("compress", ["gzip", "br", "zstd"])
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


def changed(folder, *, scale=None, **entries):
    """The info file with other entries, of the volume and of its scale."""
    path = folder / "info"
    info = json.loads(path.read_text())
    info["scales"][0].update(scale or {})
    path.write_text(json.dumps({**info, **entries}))


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"scale": {"size": [11.5, 17, 13]}}, r"size must be three whole numbers above 0 .*11\.5"),
        ({"scale": {"size": [0, 17, 13]}}, "size must be three whole numbers above 0"),
        ({"scale": {"size": [17, 13]}}, "size must be three whole numbers above 0"),
        ({"scale": {"size": None}}, "size must be three whole numbers above 0"),
        ({"scale": {"size": ["11", 17, 13]}}, "size must be three whole numbers above 0"),
        ({"scale": {"voxel_offset": [0.5, 0, 0]}}, r"voxel_offset must be three whole numbers \(x"),
        ({"scale": {"voxel_offset": None}}, "voxel_offset must be three whole numbers"),
        ({"scale": {"chunk_sizes": None}}, "chunk_sizes must be a list"),
        ({"scale": {"chunk_sizes": []}}, "chunk_sizes must be a list"),
        ({"scale": {"chunk_sizes": [[64, 64, 1.5]]}}, "chunk_sizes must be three whole numbers"),
        ({"scale": {"resolution": [8, 8]}}, "resolution must be three numbers above 0"),
        ({"scale": {"resolution": [8, 8, "a"]}}, "resolution must be three numbers above 0"),
        ({"scale": {"resolution": None}}, "resolution must be three numbers above 0"),
        ({"num_channels": 0}, "num_channels must be a whole number above 0, got 0"),
        ({"num_channels": 1.5}, "num_channels must be a whole number above 0"),
        ({"num_channels": None}, "num_channels must be a whole number above 0"),
        ({"data_type": 8}, "data_type 8 is not one of"),
        ({"scales": None}, "scales must be a list of objects, got None"),
        ({"scales": {"key": 1}}, "scales must be a list of objects"),
        ({"scales": ["8_8_10"]}, "scales must be a list of objects"),
    ],
)
def test_what_is_wrong_in_an_info_file_is_named(written, entries, expected):
    changed(written, **entries)
    with pytest.raises(VolumeError, match=f"info file .* cannot be used: {expected}"):
        opened(written)


def test_whole_numbers_may_be_written_as_floats(written, segmentation):
    changed(written, scale={"size": [21.0, 18.0, 19.0]}, num_channels=1.0)
    volume = opened(written)
    assert np.array_equal(volume.read(volume.bounds), segmentation)


def test_an_encoding_that_is_not_known_is_refused_when_the_volume_is_opened(written):
    changed(written, scale={"encoding": "foo"})
    with pytest.raises(VolumeError, match="encoding 'foo'; allowed are raw, jpeg, compressed_segmentation"):
        opened(written)


@pytest.mark.parametrize(
    ("encoding", "codec", "package"),
    [
        ("fpzip", "fpzip", "fpzip"),
        ("kempressed", "fpzip", "fpzip"),
        ("png", "png", "pyspng-seunglab"),
        ("compresso", "compresso", "compresso"),
    ],
)
def test_a_codec_that_is_not_installed_is_named_when_the_volume_is_opened(
    written, monkeypatch, encoding, codec, package
):
    monkeypatch.setitem(chunks.NEEDS_INSTALL, codec, package)
    changed(written, scale={"encoding": encoding})
    with pytest.raises(
        ConfigError, match=f"'{encoding}', whose codec is not installed: pip install {package}"
    ):
        opened(written)


def test_compressed_segmentation_of_unknown_blocks_or_of_another_type_is_refused(written):
    changed(written, scale={"encoding": "compressed_segmentation"})
    with pytest.raises(VolumeError, match="no compressed_segmentation_block_size"):
        opened(written)
    changed(written, scale={"compressed_segmentation_block_size": [8, 8, 8]}, data_type="uint16")
    with pytest.raises(VolumeError, match="of uint16; allowed are uint32 and uint64"):
        opened(written)


@pytest.mark.parametrize(("stored", "said"), [("uint64", "uint32"), ("uint32", "uint64")])
@pytest.mark.parametrize("writer", ["cloud-volume", "tensorstore"])
def test_compressed_segmentation_of_another_width_than_the_info_file_says_is_refused(
    tmp_path, stored, said, writer
):
    ids = np.array([0, 3, 5, 9, 2**31], dtype=stored)
    array = np.random.default_rng(0).choice(ids, SHAPE)
    if writer == "tensorstore":
        write_sharded(tmp_path, array, "compressed_segmentation", SHARDING)
    else:
        write(tmp_path, array, encoding="compressed_segmentation", compress=False)
    volume = opened(tmp_path)
    assert np.array_equal(volume.read(volume.bounds), array)
    changed(tmp_path, data_type=said)
    with pytest.raises(CorruptDataError, match="info file says"):
        opened(tmp_path).read(volume.bounds)


def test_a_torn_compressed_segmentation_is_corrupt_data(tmp_path, segmentation):
    write(tmp_path, segmentation, encoding="compressed_segmentation", compress=False)
    chunk = first_chunk(tmp_path)
    chunk.write_bytes(chunk.read_bytes()[:-4])
    with pytest.raises(CorruptDataError, match="cut off"):
        opened(tmp_path).read(BoundingBox(OFFSET, (12, 22, 32)))


@pytest.mark.parametrize("encoding", ["compresso", "crackle"])
@pytest.mark.parametrize("cut", [1, 8, 64])
def test_a_chunk_of_labels_that_is_cut_off_is_corrupt_data(tmp_path, segmentation, encoding, cut):
    write(tmp_path, segmentation, encoding=encoding, compress=False)
    chunk = first_chunk(tmp_path)
    chunk.write_bytes(chunk.read_bytes()[:-cut])
    with pytest.raises(CorruptDataError, match="10-26_20-36_30-46 cannot be decoded: it is cut off"):
        opened(tmp_path).read(BoundingBox(OFFSET, (12, 22, 32)))


@pytest.mark.parametrize(
    "error", [KeyError(0), MemoryError(), crackle.FormatError("no"), compresso.DecodeError("no"), EOFError()]
)
def test_whatever_a_codec_raises_is_tried_once_more_and_then_corrupt_data(
    tmp_path, segmentation, monkeypatch, error
):
    write(tmp_path, segmentation, encoding="crackle")
    n_calls = 0

    def raising(*_args, **_options):
        nonlocal n_calls
        n_calls += 1
        raise error

    monkeypatch.setattr("segclr.data.precomputed.chunks.decode", raising)
    with pytest.raises(CorruptDataError, match=f"{tmp_path}.*10-26_20-36_30-46.*{type(error).__name__}"):
        opened(tmp_path).read(BoundingBox(OFFSET, (12, 22, 32)))
    assert n_calls == 2


def test_a_chunk_of_zeros_is_corrupt_data(tmp_path, segmentation):
    for encoding in ("compresso", "crackle"):
        write(tmp_path / encoding, segmentation, encoding=encoding, compress=False)
        chunk = first_chunk(tmp_path / encoding)
        chunk.write_bytes(bytes(chunk.stat().st_size))
        with pytest.raises(CorruptDataError, match="10-26_20-36_30-46 cannot be decoded"):
            opened(tmp_path / encoding).read(BoundingBox(OFFSET, (12, 22, 32)))


def test_crackle_is_read_exactly(tmp_path, segmentation):
    pytest.importorskip("crackle")
    write(tmp_path, segmentation, encoding="crackle")
    volume = opened(tmp_path)
    assert np.array_equal(volume.read(volume.bounds), segmentation)


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


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_read_as_cloud_volume_reads_it(tmp_path, channels):
    em = np.random.default_rng(0).integers(0, 256, (40, 33, 21), dtype=np.uint8)
    info = CloudVolume.create_new_info(
        channels, "image", "uint8", "jpeg", (8, 8, 10), OFFSET, (21, 33, 40), chunk_size=(16,) * 3
    )
    cv = CloudVolume(f"file://{tmp_path}", info=info, progress=False)
    cv.commit_info()
    cv[:] = np.stack([em.T] * channels, axis=-1)
    for channel in range(channels):
        volume = opened(tmp_path, access=Access(channel=channel))
        assert np.array_equal(volume.read(volume.bounds), np.asarray(cv[:])[..., channel].T)
    with pytest.raises(VolumeError, match=f"no channel {channels}"):
        opened(tmp_path, access=Access(channel=channels))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "float32"])
def test_every_data_type_is_read_exactly(tmp_path, dtype):
    array = (np.random.default_rng(0).random(SHAPE) * 250).astype(dtype)
    write(tmp_path, array)
    volume = opened(tmp_path)
    assert volume.dtype == dtype
    assert np.array_equal(volume.read(volume.bounds), array)


@pytest.mark.parametrize("encoding", ["raw", "compresso"])
def test_ids_that_do_not_fit_the_data_type_in_the_info_file_are_refused(tmp_path, segmentation, encoding):
    write(tmp_path, segmentation, encoding=encoding, compress=False)
    info = json.loads((tmp_path / "info").read_text())
    (tmp_path / "info").write_text(json.dumps({**info, "data_type": "uint32"}))
    volume = opened(tmp_path)
    with pytest.raises(CorruptDataError, match=r"holds uint64|cannot be decoded"):
        volume.read(volume.bounds)


def test_missing_chunks_read_as_background_are_counted_once(written, segmentation):
    first_chunk(written).unlink()
    volume = opened(written, access=Access(missing="background"))
    assert volume.n_missing_chunks == 0
    values = volume.read(volume.bounds)
    for box in volume.bounds.blocks((5, 6, 7)):
        volume.read(box)
    assert volume.n_missing_chunks == 1
    want = segmentation.copy()
    want[:16, :16, :16] = 0
    assert np.array_equal(values, want)
    assert opened(written, access=Access(missing="background")).n_missing_chunks == 0
    again = pickle.loads(pickle.dumps(volume))
    assert again.n_missing_chunks == 1
    assert np.array_equal(again.read(again.bounds), want)


def test_missing_chunks_of_a_finer_scale_are_counted_through_the_reduction(written):
    first_chunk(written).unlink()
    volume = opened(written, (16, 16, 20), downsample="mode", access=Access(missing="background"))
    volume.read(volume.bounds)
    assert volume.n_missing_chunks == 1


def test_reading_does_not_depend_on_the_working_folder(written, segmentation, monkeypatch, tmp_path):
    monkeypatch.chdir(written.parent)
    volume = open_volume("precomputed://a volume", voxel_size_nm=(8, 8, 10))
    monkeypatch.chdir("/")
    assert np.array_equal(volume.read(volume.bounds), segmentation)


def test_real_volumes_read_as_cloud_volume_reads_them(shared_data):
    folder = shared_data / "pinky40"
    volume = open_volume(f"precomputed://file://{folder}", voxel_size_nm=(32, 32, 40))
    reference = CloudVolume(f"file://{folder}", mip=2, progress=False)[100:150, 90:120, 200:230][..., 0].T
    assert np.array_equal(volume.read(BoundingBox((100, 90, 200), (150, 120, 230))), reference)
