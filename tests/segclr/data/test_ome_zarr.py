import pickle

import numcodecs
import numpy as np
import pytest
import tensorstore
import zarr
from zarr.codecs import BloscCodec, BytesCodec, ZstdCodec

from segclr.data.access import Access
from segclr.data.volume import open_volume
from segclr.errors import CorruptDataError, MissingDataError, SegclrError, VolumeError
from segclr.geometry import BoundingBox

IDS = np.array([0, 1, 2**53 + 1, 2**63 + 5, 2**64 - 1], dtype=np.uint64)
SHAPE = (11, 10, 13)
AXES = "zyx"


@pytest.fixture
def segmentation():
    return np.random.default_rng(0).choice(IDS, SHAPE)


def axes(names=AXES, unit="nanometer"):
    return [
        {"name": n, "type": "space", "unit": unit} if n in "xyz" else {"name": n, "type": "channel"}
        for n in names
    ]


def multiscales(scale=(10.0, 4.0, 4.0), *, translation=None, shared=None, axes_=None, paths=("0",)):
    steps = [{"type": "scale", "scale": list(scale)}]
    if translation:
        steps.append({"type": "translation", "translation": list(translation)})
    entry = {
        "version": "0.4",
        "axes": axes() if axes_ is None else axes_,
        "datasets": [{"path": p, "coordinateTransformations": steps} for p in paths],
    }
    if shared:
        entry["coordinateTransformations"] = [{"type": "scale", "scale": list(shared)}]
    return [entry]


def write(folder, array, meta, *, zarr_format=3, **options):
    group = zarr.create_group(str(folder), zarr_format=zarr_format)
    group.attrs.update(
        {"multiscales": meta} if zarr_format == 2 else {"ome": {"version": "0.5", "multiscales": meta}}
    )
    options.setdefault("chunks", (4,) * array.ndim)
    stored = group.create_array(
        "0", shape=array.shape, dtype=options.pop("dtype", array.dtype), fill_value=0, **options
    )
    stored[:] = array


def opened(folder, size=(4, 4, 10), **options):
    return open_volume(f"zarr://{folder}", voxel_size_nm=size, **options)


VARIANTS = {
    "0.4 with dots": {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "."}},
    "0.4 with slashes": {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}},
    "0.4 big-endian": {"zarr_format": 2, "dtype": ">u8"},
    "0.5 plain": {},
    "0.5 sharded": {"shards": (8, 8, 8)},
    "0.5 big-endian": {"serializer": BytesCodec(endian="big")},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_ids_are_read_exactly_whatever_the_layout(tmp_path, segmentation, variant):
    write(tmp_path / "a b.zarr", segmentation, multiscales(), **VARIANTS[variant])
    volume = opened(tmp_path / "a b.zarr")
    assert (volume.voxel_size_nm, volume.chunk_size_vx) == ((4, 4, 10), (4, 4, 4))
    assert volume.bounds == BoundingBox((0, 0, 0), (13, 10, 11))
    got = volume.read(volume.bounds)
    assert got.dtype == np.uint64
    assert got.dtype.isnative
    assert np.array_equal(got, segmentation)
    box = BoundingBox((-2, 3, 9), (5, 12, 13))
    padded = np.pad(segmentation, 4)
    assert np.array_equal(volume.read(box), padded[13:17, 7:16, 2:9])


def test_what_tensorstore_wrote_is_read(tmp_path, segmentation):
    write(tmp_path, np.zeros_like(segmentation), multiscales())
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(tmp_path / "0")}}
    tensorstore.open(spec).result().write(segmentation).result()
    assert np.array_equal(opened(tmp_path).read(BoundingBox((0, 0, 0), (13, 10, 11))), segmentation)


def test_the_multiscales_own_scale_multiplies_the_levels(tmp_path, segmentation):
    write(tmp_path, segmentation, multiscales((5.0, 1.0, 2.0), shared=(2.0, 4.0, 2.0)))
    assert opened(tmp_path).voxel_size_nm == (4, 4, 10)


@pytest.mark.parametrize(("unit", "factor"), [("micrometer", 1e-3), ("angstrom", 10.0), ("nanometer", 1.0)])
def test_units_are_turned_to_nanometres(tmp_path, segmentation, unit, factor):
    meta = multiscales([s * factor for s in (10, 4, 4)], axes_=axes(unit=unit))
    write(tmp_path, segmentation, meta)
    assert opened(tmp_path).voxel_size_nm == pytest.approx((4, 4, 10))


@pytest.mark.parametrize("order", ["xyz", "yzx", "czyx", "zyxc", "tczyx"])
def test_axes_are_found_by_their_names(tmp_path, segmentation, order):
    sizes = {"x": 4.0, "y": 6.0, "z": 10.0, "c": 1.0, "t": 1.0}
    spatial = [a for a in order if a in "xyz"]
    array = segmentation.transpose([AXES.index(a) for a in spatial])
    for position, name in enumerate(order):
        if name not in "xyz":
            array = np.expand_dims(array, position)
    meta = multiscales([sizes[a] for a in order], axes_=axes(order))
    write(tmp_path, array, meta, chunks=array.shape)
    volume = opened(tmp_path, (4, 6, 10))
    assert volume.voxel_size_nm == (4, 6, 10)
    assert np.array_equal(volume.read(volume.bounds), segmentation)


def test_several_channels_are_refused(tmp_path, segmentation):
    array = np.stack([segmentation, segmentation])
    write(tmp_path, array, multiscales((1, 10, 4, 4), axes_=axes("czyx")))
    with pytest.raises(VolumeError, match="2 entries on its channel axis; choose one with channel, 0 to 1"):
        opened(tmp_path).read(BoundingBox((0, 0, 0), (1, 1, 1)))


@pytest.mark.parametrize("offset", [(0, 0, 0), (3, 5, 7), (-3, -5, -7)])
@pytest.mark.parametrize("center", [0.0, 0.5])
def test_a_translation_of_whole_voxels_is_the_voxel_offset(tmp_path, segmentation, offset, center):
    nm = [(o + center) * s for o, s in zip(offset[::-1], (10, 4, 4), strict=True)]
    write(tmp_path, segmentation, multiscales(translation=nm))
    volume = opened(tmp_path)
    assert volume.bounds.start == offset
    assert np.array_equal(volume.read(volume.bounds), segmentation)


@pytest.mark.parametrize("factor", [2, 3, 4, 16])
@pytest.mark.parametrize("offset", [(0, 0, 0), (5, 7, 9)])
def test_a_coarser_level_whose_voxel_centres_are_given_lies_where_it_should(
    tmp_path, segmentation, factor, offset
):
    # centres of coarse voxels, relative to those of the finest, as writers that reduce by a mean give them
    levels = []
    for path, f in (("1", 1), ("0", factor)):
        size = [s * f for s in (10.0, 4.0, 4.0)]
        shift = [(o + (f - 1) / (2 * f)) * s for o, s in zip(offset[::-1], size, strict=True)]
        steps = [{"type": "scale", "scale": size}, {"type": "translation", "translation": shift}]
        levels.append({"path": path, "coordinateTransformations": steps})
    write(tmp_path, segmentation, [{"version": "0.4", "axes": axes(), "datasets": levels}])
    volume = opened(tmp_path, (4 * factor, 4 * factor, 10 * factor))
    assert volume.bounds.start == offset
    assert np.array_equal(volume.read(volume.bounds), segmentation)


@pytest.mark.parametrize("share", [0.2, 0.3, 0.75, -0.3])
def test_a_level_that_lies_beside_the_grid_of_whole_voxels_is_refused(tmp_path, segmentation, share):
    write(tmp_path, segmentation, multiscales(translation=(0, 0, share * 4)))
    with pytest.raises(VolumeError, match="not on the grid"):
        opened(tmp_path)


def pyramid(folder, array, places, factors=(1, 2, 4)):
    """A level at each place (z, y, x), in its own voxels; all hold the same array."""
    levels = []
    for path, (place, f) in enumerate(zip(places, factors, strict=False)):
        size = [s * f for s in (10.0, 4.0, 4.0)]
        shift = [p * s for p, s in zip(place, size, strict=True)]
        steps = [{"type": "scale", "scale": size}, {"type": "translation", "translation": shift}]
        levels.append({"path": str(path), "coordinateTransformations": steps})
    group = zarr.create_group(str(folder), zarr_format=3)
    entry = {"axes": axes(), "datasets": levels}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [entry]}
    for level in levels:
        group.create_array(level["path"], shape=array.shape, dtype=array.dtype, chunks=(4, 4, 4))[:] = array


def test_levels_listed_coarse_first_are_refused_in_those_words(tmp_path, segmentation):
    pyramid(tmp_path, segmentation, [(0, 0, 0)] * 2, factors=(2, 1))
    with pytest.raises(VolumeError, match="lists its levels as 0, 1; the finest must come first"):
        opened(tmp_path)


def test_a_level_half_a_voxel_beside_the_convention_of_the_others_is_refused_by_name(tmp_path, segmentation):
    # the corner of a crop that begins at an odd fine voxel: one and the same place in nm for both levels
    pyramid(tmp_path, segmentation, [(1, 1, 1), (0.5, 0.5, 0.5)])
    assert opened(tmp_path).bounds.start == (1, 1, 1)
    with pytest.raises(VolumeError, match=r"level 1 begins at 0\.5, 0\.5, 0\.5 .* not on the grid"):
        opened(tmp_path, (8, 8, 20))


def test_levels_up_to_the_first_beside_the_grid_are_read(tmp_path, segmentation):
    pyramid(tmp_path, segmentation, [(2, 2, 2), (1, 1, 1), (0.5, 0.5, 0.5)])
    assert opened(tmp_path).bounds.start == (2, 2, 2)
    assert opened(tmp_path, (8, 8, 20)).bounds.start == (1, 1, 1)
    with pytest.raises(VolumeError, match="level 2 begins"):
        opened(tmp_path, (16, 16, 40))


def test_one_convention_holds_for_all_axes_of_a_level(tmp_path, segmentation):
    pyramid(tmp_path, segmentation, [(3, 0.5, 0)])
    with pytest.raises(VolumeError, match="level 0 begins at 0, 0\\.5, 3"):
        opened(tmp_path)


def test_a_level_whose_corner_is_a_voxel_beyond_is_not_mistaken_for_a_centre(tmp_path, segmentation):
    pyramid(tmp_path, segmentation, [(0.5, 0.5, 0.5), (0, 0, 0)])
    assert opened(tmp_path).bounds.start == (0, 0, 0)
    with pytest.raises(VolumeError, match="level 1 begins"):
        opened(tmp_path, (8, 8, 20))


def test_channel_and_time_are_chosen(tmp_path, segmentation):
    array = np.zeros((2, 3, *SHAPE), np.uint64)
    array[1, 2] = segmentation
    write(tmp_path, array, multiscales((1, 1, 10, 4, 4), axes_=axes("tczyx")))
    volume = opened(tmp_path, access=Access(channel=2, time=1))
    assert np.array_equal(volume.read(volume.bounds), segmentation)
    assert not opened(tmp_path, access=Access(channel=0, time=1)).read(volume.bounds).any()
    with pytest.raises(VolumeError, match="time axis; choose one with time, 0 to 1"):
        opened(tmp_path, access=Access(channel=0))
    with pytest.raises(VolumeError, match="no channel 3; allowed are 0 to 2"):
        opened(tmp_path, access=Access(channel=3, time=0))


# The cases of LIBRARIES A.1 that one reader or another gets wrong, each right here or refused by name.


@pytest.mark.parametrize("compressor", [None, ZstdCodec(), BloscCodec(cname="lz4", shuffle="bitshuffle")])
@pytest.mark.parametrize("shape", [(8, 8, 8), (11, 10, 13)])
def test_a1_zarr3_with_any_compressor_and_edge_chunks(tmp_path, segmentation, compressor, shape):
    array = segmentation[: shape[0], : shape[1], : shape[2]]
    compressors = [] if compressor is None else [compressor]
    write(tmp_path, array, multiscales(translation=(30, 8, 4)), compressors=compressors)
    volume = opened(tmp_path)
    assert volume.bounds.start == (1, 2, 3)
    assert np.array_equal(volume.read(volume.bounds), array)


def test_a1_zarr2_with_slashes_and_blosc(tmp_path, segmentation):
    separator = {"name": "v2", "separator": "/"}
    write(
        tmp_path, segmentation, multiscales(), zarr_format=2, chunk_key_encoding=separator,
        compressors=numcodecs.Blosc("zstd"),
    )  # fmt: skip
    assert np.array_equal(opened(tmp_path).read(BoundingBox((0, 0, 0), (13, 10, 11))), segmentation)


def test_a1_a_bare_array_is_refused(tmp_path):
    for name, zarr_format in (("two", 2), ("three", 3)):
        zarr.create_array(str(tmp_path / name), shape=(4, 4, 4), dtype="u1", zarr_format=zarr_format)
        with pytest.raises(VolumeError, match="Zarr array without OME-Zarr multiscales"):
            opened(tmp_path / name)


def test_a1_levels_may_differ_in_chunks_and_have_any_name(tmp_path, segmentation):
    levels = [
        {"path": path, "coordinateTransformations": [{"type": "scale", "scale": [10 * f, 4 * f, 4 * f]}]}
        for path, f in (("s0", 1), ("low/s1", 2))
    ]
    group = zarr.create_group(str(tmp_path), zarr_format=3)
    entry = {"axes": axes(), "datasets": levels}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [entry]}
    coarse = segmentation[::2, ::2, ::2]
    for path, array, chunks in (("s0", segmentation, (4, 4, 4)), ("low/s1", coarse, (3, 2, 5))):
        group.create_array(path, shape=array.shape, dtype=array.dtype, chunks=chunks)[:] = array
    for size, array, chunk in (((4, 4, 10), segmentation, (4, 4, 4)), ((8, 8, 20), coarse, (5, 2, 3))):
        volume = opened(tmp_path, size)
        assert volume.chunk_size_vx == chunk
        assert np.array_equal(volume.read(volume.bounds), array)


def test_a1_czyx_in_micrometres(tmp_path, segmentation):
    meta = multiscales((1, 0.01, 0.004, 0.004), axes_=axes("czyx", unit="micrometer"))
    write(tmp_path, segmentation[None], meta)
    volume = opened(tmp_path)
    assert volume.voxel_size_nm == pytest.approx((4, 4, 10))
    assert np.array_equal(volume.read(volume.bounds), segmentation)


def test_a1_chunks_that_are_not_stored_are_the_fill_value(tmp_path, segmentation):
    sparse = segmentation.copy()
    sparse[:4] = 0
    write(tmp_path, sparse, multiscales())
    assert not (tmp_path / "0" / "c" / "0").exists()
    volume = opened(tmp_path)
    assert np.array_equal(volume.read(volume.bounds), sparse)
    assert volume.n_missing_chunks == 0


def test_two_multiscales_and_versions_of_other_times_are_refused(tmp_path, segmentation):
    write(tmp_path / "a", segmentation, multiscales() * 2)
    with pytest.raises(VolumeError, match="2 multiscales"):
        opened(tmp_path / "a")
    for i, (zarr_format, version) in enumerate([(2, "0.3"), (2, "0.5"), (3, "0.6")]):
        folder = tmp_path / str(i)
        group = zarr.create_group(str(folder), zarr_format=zarr_format)
        entry = {**multiscales()[0], "version": version}
        attributes = {"multiscales": [entry]}
        group.attrs.update(attributes if zarr_format == 2 else {"ome": {**attributes, "version": version}})
        with pytest.raises(VolumeError, match=f"OME-Zarr {version}"):
            opened(folder)


@pytest.mark.parametrize("unit", [None, "pixel", "second", "nanometre"])
def test_a_unit_that_is_no_length_is_refused(tmp_path, segmentation, unit):
    write(tmp_path, segmentation, multiscales(axes_=axes(unit=unit)))
    with pytest.raises(VolumeError, match=r"allowed are .*nanometer"):
        opened(tmp_path)


def test_a_volume_travels_to_another_process(tmp_path, segmentation):
    write(tmp_path, segmentation, multiscales(translation=(30, 8, 4)), shards=(8, 8, 8))
    volume = pickle.loads(pickle.dumps(opened(tmp_path)))
    assert np.array_equal(volume.read(volume.bounds), segmentation)


def test_an_array_of_other_dimensions_than_the_metadata_say_is_refused(tmp_path, segmentation):
    write(tmp_path, segmentation[None], multiscales())
    with pytest.raises(VolumeError, match="4 dimensions"):
        opened(tmp_path)


def test_a_group_without_multiscales_is_refused(tmp_path):
    zarr.create_group(str(tmp_path / "g"), zarr_format=3)
    with pytest.raises(VolumeError, match="multiscales"):
        opened(tmp_path / "g")


def test_an_absent_group_is_missing_data(tmp_path):
    with pytest.raises(MissingDataError, match="no Zarr group"):
        opened(tmp_path / "nothing")


@pytest.mark.parametrize(
    "meta",
    [
        multiscales(axes_=["z", "y", "x"]),
        multiscales(axes_=[{"name": n} for n in AXES]),
        multiscales(axes_=axes("zyc")),
        multiscales((10.0, 4.0)),
        multiscales((10.0, 4.0, 0.0)),
        [{"axes": axes()}],
        [{"axes": axes(), "datasets": []}],
        [{"axes": axes(), "datasets": [{}]}],
        [
            {
                "axes": axes(),
                "datasets": [{"path": "0", "coordinateTransformations": [{"type": "affine", "affine": []}]}],
            }
        ],
        {"not": "a list"},
        ["text"],
    ],
)
def test_metadata_that_cannot_be_used_are_the_projects_error(tmp_path, segmentation, meta):
    write(tmp_path, segmentation, meta)
    with pytest.raises(VolumeError):
        opened(tmp_path)


def test_a_level_that_is_not_there_is_the_projects_error(tmp_path, segmentation):
    write(tmp_path, segmentation, multiscales(paths=("7",)))
    with pytest.raises(SegclrError, match="7"):
        opened(tmp_path).read(BoundingBox((0, 0, 0), (1, 1, 1)))


@pytest.mark.parametrize("content", [b"", b'{"zarr_fo', b"\xff\x00"])
def test_a_torn_metadata_file_is_corrupt_data(tmp_path, content):
    (tmp_path / "zarr.json").write_bytes(content)
    with pytest.raises(CorruptDataError):
        opened(tmp_path)


@pytest.mark.parametrize("damage", ["half", "empty", "flip"])
def test_a_damaged_chunk_is_corrupt_data(tmp_path, segmentation, damage):
    write(tmp_path, segmentation, multiscales(), compressors=[ZstdCodec(checksum=True)])
    chunk = tmp_path / "0" / "c" / "0" / "0" / "0"
    good = chunk.read_bytes()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 4
    chunk.write_bytes({"half": good[: len(good) // 2], "empty": b"", "flip": bytes(flipped)}[damage])
    with pytest.raises(CorruptDataError, match="cannot be decoded"):
        opened(tmp_path).read(BoundingBox((0, 0, 0), (4, 4, 4)))
