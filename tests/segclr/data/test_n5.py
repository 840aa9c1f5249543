import json

import numpy as np
import pytest
import tensorstore

from segclr.data.volume import open_volume
from segclr.errors import CorruptDataError, MissingDataError, VolumeError
from segclr.geometry import BoundingBox

IDS = np.array([0, 1, 2**53 + 1, 2**63 + 5, 2**64 - 1], dtype=np.uint64)
SHAPE = (11, 10, 13)
PIXELS = {"pixelResolution": {"dimensions": [4, 6, 10], "unit": "nm"}}


@pytest.fixture
def segmentation():
    return np.random.default_rng(0).choice(IDS, SHAPE)


def write(folder, array, attributes, compression="gzip"):
    spec = {
        "driver": "n5",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "metadata": {
            "dimensions": array.shape[::-1],
            "blockSize": [4, 5, 6],
            "dataType": str(array.dtype),
            "compression": {"type": compression},
        },
        "create": True,
    }
    tensorstore.open(spec).result().write(array.T).result()
    file = folder / "attributes.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **attributes}))


def opened(folder, size=(4, 6, 10), **options):
    return open_volume(f"n5://{folder}", voxel_size_nm=size, **options)


ATTRIBUTES = {
    "pixelResolution": PIXELS,
    "micrometres": {"pixelResolution": {"dimensions": [0.004, 0.006, 0.01], "unit": "um"}},
    "resolution and units": {"resolution": [4, 6, 10], "units": ["nm"] * 3},
    "COSEM": {
        "transform": {
            "axes": ["z", "y", "x"],
            "scale": [10, 6, 4],
            "translate": [0, 0, 0],
            "units": ["nm"] * 3,
        }
    },
}


@pytest.mark.parametrize("attributes", ATTRIBUTES.values(), ids=ATTRIBUTES)
@pytest.mark.parametrize("compression", ["raw", "gzip", "bzip2"])
def test_ids_and_voxel_sizes_are_read_exactly(tmp_path, segmentation, attributes, compression):
    write(tmp_path, segmentation, attributes, compression)
    volume = opened(tmp_path)
    assert volume.voxel_size_nm == pytest.approx((4, 6, 10))
    assert (volume.chunk_size_vx, volume.bounds) == ((4, 5, 6), BoundingBox((0, 0, 0), (13, 10, 11)))
    got = volume.read(volume.bounds)
    assert got.dtype == np.uint64
    assert got.dtype.isnative
    assert np.array_equal(got, segmentation)


def test_a_translation_is_the_voxel_offset(tmp_path, segmentation):
    transform = {"axes": list("xyz"), "scale": [4, 6, 10], "translate": [8, -18, 50], "units": ["nm"] * 3}
    write(tmp_path / "beside", segmentation, {"transform": {**transform, "translate": [8, -18, 3]}})
    with pytest.raises(VolumeError, match="not on the grid"):
        opened(tmp_path / "beside")
    write(tmp_path / "on", segmentation, {"transform": transform})
    volume = opened(tmp_path / "on")
    assert volume.bounds.start == (2, -3, 5)
    assert np.array_equal(volume.read(volume.bounds), segmentation)


def test_one_convention_holds_for_all_scales_of_a_group(tmp_path, segmentation):
    for name, shift in (("crop", (1, 0.5)), ("centres", (0, 0.25))):
        for i, place in enumerate(shift):
            size = [s * 2**i for s in (4, 6, 10)]
            transform = {"axes": list("xyz"), "scale": size, "translate": [place * s for s in size]}
            write(tmp_path / name / f"s{i}", segmentation, {"transform": {**transform, "units": ["nm"] * 3}})
        (tmp_path / name / "attributes.json").write_text("{}")
    assert opened(tmp_path / "crop", (4, 6, 10)).bounds.start == (1, 1, 1)
    with pytest.raises(VolumeError, match=r"s1 begins at 0\.5, 0\.5, 0\.5 .* not on the grid"):
        opened(tmp_path / "crop", (8, 12, 20))
    assert opened(tmp_path / "centres", (8, 12, 20)).bounds.start == (0, 0, 0)


def test_the_scales_of_a_group_are_found_by_their_factors(tmp_path, segmentation):
    coarse = segmentation[::1, ::2, ::2]
    write(tmp_path / "s0", segmentation, {})
    write(tmp_path / "s1", coarse, {"downsamplingFactors": [2, 2, 1]})
    (tmp_path / "attributes.json").write_text(json.dumps(PIXELS))
    assert np.array_equal(opened(tmp_path).read(BoundingBox((0, 0, 0), (13, 10, 11))), segmentation)
    volume = opened(tmp_path, (8, 12, 10))
    assert np.array_equal(volume.read(volume.bounds), coarse)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, "does not tell its voxel size"),
        ({"resolution": [4, 6, 10]}, "does not tell its voxel size"),
        ({"pixelResolution": [4, 6, 10]}, "does not tell its voxel size"),
        ({"pixelResolution": {"dimensions": [4, 6, 10]}}, "no unit"),
        ({"pixelResolution": {"dimensions": [4, 6, 10], "unit": "pixel"}}, "unit 'pixel'"),
        ({"pixelResolution": {"dimensions": [4, 6, 0], "unit": "nm"}}, "voxels of"),
        ({"pixelResolution": {"dimensions": [4, 6], "unit": "nm"}}, "cannot be used"),
        ({"transform": {"axes": ["x", "y", "c"], "scale": [1] * 3, "units": ["nm"] * 3}}, "axes"),
        ({"transform": {"axes": list("xyz")}}, "cannot be used"),
    ],
)
def test_attributes_that_do_not_tell_the_voxel_size_are_refused(tmp_path, segmentation, attributes, expected):
    write(tmp_path, segmentation, attributes)
    with pytest.raises(VolumeError, match=expected):
        opened(tmp_path)


def test_what_is_no_volume_is_refused(tmp_path):
    with pytest.raises(MissingDataError, match=r"no attributes\.json"):
        opened(tmp_path / "nothing")
    (tmp_path / "attributes.json").write_text("{}")
    with pytest.raises(VolumeError, match="group without arrays"):
        opened(tmp_path)
    (tmp_path / "attributes.json").write_text('{"dimens')
    with pytest.raises(CorruptDataError, match="not JSON"):
        opened(tmp_path)


def test_an_array_of_four_dimensions_is_refused(tmp_path):
    (tmp_path / "attributes.json").write_text(json.dumps({"dimensions": [4] * 4, **PIXELS}))
    with pytest.raises(VolumeError, match="4 dimensions"):
        opened(tmp_path)


def test_a_damaged_block_is_corrupt_data(tmp_path, segmentation):
    write(tmp_path, segmentation, PIXELS)
    block = tmp_path / "0" / "0" / "0"
    block.write_bytes(block.read_bytes()[:20])
    with pytest.raises(CorruptDataError, match="cannot be decoded"):
        opened(tmp_path).read(BoundingBox((0, 0, 0), (4, 4, 4)))
