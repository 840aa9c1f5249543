import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import segclr
from segclr.data.cubes import crop_cubes, cut_by_window, cut_cubes
from segclr.data.volume import ArraySource, Volume
from segclr.errors import CubeError, VolumeError

IDS = np.array([1, 2**53 + 1, 2**53 + 2, 2**63 + 5, 2**64 - 1], dtype=np.uint64)
SIZE = (4.0, 6.0, 10.0)
SHAPE = (17, 19, 23)


def volumes(offset=(0, 0, 0), *, shape=SHAPE, seed=0, ids=IDS, background=0.2):
    random = np.random.default_rng(seed)
    em = random.integers(1, 256, shape, dtype=np.uint8)
    labels = random.choice(ids, shape)
    labels[random.random(shape) < background] = 0
    return Volume(ArraySource(em, SIZE, offset)), Volume(ArraySource(labels, SIZE, offset))


def arrays(*opened):
    return [v.read(v.bounds) for v in opened]


def centers_of(voxels_zyx, offset=(0, 0, 0)):
    return (np.asarray(voxels_zyx)[:, ::-1] + np.asarray(offset) + 0.5) * np.asarray(SIZE)


def naive(em, labels, voxel_zyx, segment_id, size):
    cube = np.zeros((size,) * 3, np.uint8)
    for place in np.ndindex(cube.shape):
        at = tuple(int(v) - size // 2 + p for v, p in zip(voxel_zyx, place, strict=True))
        if all(0 <= a < n for a, n in zip(at, em.shape, strict=True)) and labels[at] == segment_id:
            cube[place] = em[at]
    return cube


@given(
    st.tuples(*[st.integers(-30, 30)] * 3),
    st.integers(1, 9),
    st.lists(st.tuples(*[st.integers(0, n - 1) for n in SHAPE]), min_size=1, max_size=4),
    st.tuples(*[st.integers(3, 40)] * 3),
)
@settings(max_examples=40)
def test_cubes_equal_a_naive_loop_at_any_place_size_offset_and_block(offset, size, voxels, block):
    em, seg = volumes(offset)
    e, g = arrays(em, seg)
    ids = np.array([g[v] or IDS[3] for v in voxels], dtype=np.uint64)
    got = cut_cubes(em, seg, centers_of(voxels, offset), ids, size_vx=size, on_outside="keep", block_vx=block)
    assert got.dtype == np.uint8
    for cube, voxel, segment_id in zip(got, voxels, ids, strict=True):
        assert np.array_equal(cube, naive(e, g, voxel, segment_id, size))


def test_every_corner_of_the_volume_is_cut_rightly():
    em, seg = volumes(offset=(5, -6, 7), background=0)
    e, g = arrays(em, seg)
    corners = [tuple((n - 1) * c for n, c in zip(SHAPE, pick, strict=True)) for pick in np.ndindex(2, 2, 2)]
    for size in (6, 7):
        ids = np.array([g[c] for c in corners])
        got = cut_cubes(em, seg, centers_of(corners, (5, -6, 7)), ids, size_vx=size)
        assert all(
            np.array_equal(k, naive(e, g, c, i, size)) for k, c, i in zip(got, corners, ids, strict=True)
        )


def test_a_cube_larger_than_the_volume_is_padded_with_zeros():
    em, seg = volumes(shape=(3, 4, 5), background=0)
    e, g = arrays(em, seg)
    got = cut_cubes(em, seg, centers_of([(1, 1, 1)]), g[1, 1, 1:2], size_vx=12)
    assert np.array_equal(got[0], naive(e, g, (1, 1, 1), g[1, 1, 1], 12))


def rows(n=30, seed=4, offset=(0, 0, 0)):
    em, seg = volumes(offset)
    _e, g = arrays(em, seg)
    voxels = np.argwhere(g > 0)
    voxels = voxels[np.random.default_rng(seed).permutation(len(voxels))[:n]]
    return em, seg, centers_of(voxels, offset), g[tuple(voxels.T)]


def test_order_is_kept_and_a_batch_equals_one_by_one():
    em, seg, centers, ids = rows()
    whole = cut_cubes(em, seg, centers, ids, size_vx=7, block_vx=(5, 5, 5))
    for i in range(len(ids)):
        assert np.array_equal(whole[i], cut_cubes(em, seg, centers[i : i + 1], ids[i : i + 1], size_vx=7)[0])
    back = cut_cubes(em, seg, centers[::-1], ids[::-1], size_vx=7, block_vx=(8, 3, 20))
    assert np.array_equal(whole, back[::-1])


def test_cubes_do_not_depend_on_the_block():
    em, seg, centers, ids = rows(offset=(3, 3, 3))
    cut = [
        cut_cubes(em, seg, centers, ids, size_vx=8, block_vx=b) for b in [(1, 1, 1), (7, 4, 9), (512,) * 3]
    ]
    assert np.array_equal(cut[0], cut[1])
    assert np.array_equal(cut[0], cut[2])


def test_anywhere_in_the_voxel_gives_the_same_cube():
    em, seg, centers, ids = rows(n=5)
    lower = centers - 0.5 * np.array(SIZE)
    upper = np.nextafter(centers + 0.5 * np.array(SIZE), 0)
    assert np.array_equal(
        cut_cubes(em, seg, lower, ids, size_vx=5), cut_cubes(em, seg, upper, ids, size_vx=5)
    )


def test_nothing_of_a_touching_neighbour_leaks_and_the_background_is_zero():
    labels = np.zeros((9, 9, 9), np.uint64)
    labels[:, :, :4], labels[:, :, 4:8] = 2**63 + 5, 2**63 + 6  # equal as float64
    em = Volume(ArraySource(np.where(labels == 2**63 + 5, 100, 200).astype(np.uint8), SIZE))
    seg = Volume(ArraySource(labels, SIZE))
    centers = centers_of([(4, 4, 3), (4, 4, 4)])
    one, other = cut_cubes(em, seg, centers, np.array([2**63 + 5, 2**63 + 6], np.uint64), size_vx=9)
    assert set(np.unique(one)) == {0, 100}
    assert set(np.unique(other)) == {0, 200}
    assert (one == 100).sum() == 9 * 9 * 4
    assert (other == 200).sum() == 9 * 9 * 4


def test_a_centre_outside_its_segment_is_an_error_unless_kept():
    em, seg = volumes(background=0)
    e, g = arrays(em, seg)
    other = IDS[g[5, 5, 5] != IDS][:1]
    with pytest.raises(CubeError, match=rf"1 of 1 centres.*segment {other[0]}"):
        cut_cubes(em, seg, centers_of([(5, 5, 5)]), other, size_vx=5)
    kept = cut_cubes(em, seg, centers_of([(5, 5, 5)]), other, size_vx=5, on_outside="keep")
    assert np.array_equal(kept[0], naive(e, g, (5, 5, 5), other[0], 5))


@pytest.mark.parametrize("voxel", [(5, 5, 5), (-1, 0, 0), (500, 0, 0), (10**7, -(10**7), 0)])
def test_an_id_that_is_not_there_is_an_error_or_an_empty_cube(voxel):
    em, seg = volumes()
    absent = np.array([2**63 + 6], np.uint64)
    with pytest.raises(CubeError, match="outside their segment"):
        cut_cubes(em, seg, centers_of([voxel]), absent, size_vx=5)
    assert not cut_cubes(em, seg, centers_of([voxel]), absent, size_vx=5, on_outside="keep").any()


@pytest.mark.parametrize("voxel", [(5, 5, 5), (-1, 0, 0), (500, 0, 0)])
def test_zero_is_no_segment(voxel):
    em, _ = volumes()
    seg = Volume(ArraySource(np.zeros(SHAPE, np.uint64), SIZE))
    zero = np.zeros(1, np.uint64)
    with pytest.raises(CubeError, match="outside their segment"):
        cut_cubes(em, seg, centers_of([voxel]), zero, size_vx=5)
    assert not cut_cubes(em, seg, centers_of([voxel]), zero, size_vx=5, on_outside="keep").any()


@pytest.mark.parametrize("dtype", [np.int64, np.float64, np.uint32, object])
def test_ids_of_another_type_than_uint64_are_refused(dtype):
    em, seg = volumes()
    with pytest.raises(CubeError, match="must be uint64"):
        cut_cubes(em, seg, centers_of([(5, 5, 5)]), np.array([1], dtype=dtype), size_vx=5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_centre_that_is_not_finite_is_refused_with_its_row(bad):
    em, seg, centers, ids = rows(n=3)
    centers[2, 1] = bad
    with pytest.raises(CubeError, match="centre 2 is not finite"):
        cut_cubes(em, seg, centers, ids, size_vx=5, on_outside="keep")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"size_vx": 0}, "size_vx must be a whole number"),
        ({"size_vx": 5.0}, r"size_vx must be a whole number of 1 or more, got 5\.0"),
        ({"on_outside": "skip"}, "on_outside must be"),
        ({"content": "EM"}, "content must be one of masked, em, mask"),
        ({"rounding": "trunc"}, "rounding one of floor, nearest.*'trunc'"),
        ({"size_vx": 1, "rounding": "nearest"}, "take rounding='floor'"),
        ({"block_vx": (0, 0, 0)}, "block_vx must be three whole numbers"),
        ({"block_vx": 64}, "block_vx must be three whole numbers"),
        ({"block_vx": (-64, 64, 64)}, "block_vx must be three whole numbers"),
    ],
)
def test_sizes_and_modes_that_are_none_are_refused_by_name(bad, message):
    em, seg, centers, ids = rows(n=3)
    with pytest.raises(CubeError, match=message):
        cut_cubes(em, seg, centers, ids, **({"size_vx": 5} | bad))


def test_centres_and_ids_that_do_not_fit_each_other_are_refused():
    em, seg, centers, ids = rows(n=3)
    for wrong in ([["a", "b", "c"]], [[1, 2, 3], [4, 5]]):
        with pytest.raises(CubeError, match=r"centers_nm must be numbers \[n, 3\]"):
            cut_cubes(em, seg, wrong, ids, size_vx=5)
    with pytest.raises(CubeError, match=r"\[n, 3\]"):
        cut_cubes(em, seg, centers[:1], ids[0], size_vx=5)
    with pytest.raises(CubeError, match="centre 0 is not finite, or further"):
        cut_cubes(em, seg, [[1e300, 0, 0]], ids[:1], size_vx=5, on_outside="keep")
    with pytest.raises(CubeError, match=r"\[n, 3\]"):
        cut_cubes(em, seg, centers[:2], ids, size_vx=5)
    with pytest.raises(CubeError, match=r"\[n, 3\]"):
        cut_cubes(em, seg, centers[:, :2], ids, size_vx=5)


def test_no_centre_gives_no_cube():
    em, seg = volumes()
    for centers, ids in ((np.zeros((0, 3)), np.zeros(0, np.uint64)), ([], []), ([], np.zeros(0, np.uint64))):
        assert cut_cubes(em, seg, centers, ids, size_vx=5).shape == (0, 5, 5, 5)


def test_crops_of_what_are_no_cubes_are_refused():
    with pytest.raises(CubeError, match="takes cubes"):
        crop_cubes(np.zeros((3, 3, 3), np.uint8), size_vx=1)
    with pytest.raises(CubeError, match="whole size_vx"):
        crop_cubes(np.zeros((1, 3, 3, 3), np.uint8), size_vx=2.0)


def test_volumes_of_another_grid_are_refused():
    em, _ = volumes()
    _, seg = volumes(offset=(0, 0, 1))
    with pytest.raises(VolumeError, match="both must be the same"):
        cut_cubes(em, seg, centers_of([(5, 5, 5)]), IDS[:1], size_vx=5)


@pytest.mark.parametrize("dtype", ["<u4", ">u8", "u1"])
def test_any_unsigned_segmentation_is_cut_alike(dtype):
    em, seg = volumes(ids=np.array([1, 2, 250], np.uint64), background=0)
    g = arrays(seg)[0]
    other = Volume(ArraySource(np.asfortranarray(g.astype(dtype)), SIZE))
    at = centers_of([(5, 5, 5)])
    want = cut_cubes(em, seg, at, g[5, 5, 5:6], size_vx=9)
    assert np.array_equal(cut_cubes(em, other, at, g[5, 5, 5:6], size_vx=9), want)


@pytest.mark.parametrize("content", ["em", "mask"])
def test_other_contents_are_all_em_and_the_segment_alone(content):
    em, seg = volumes((2, -3, 4))
    e, g = arrays(em, seg)
    voxels = [(0, 0, 0), (8, 9, 11), (16, 18, 22)]
    ids = np.array([g[v] or IDS[0] for v in voxels])
    got = cut_cubes(
        em, seg, centers_of(voxels, (2, -3, 4)), ids, size_vx=8, on_outside="keep", content=content
    )
    for cube, voxel, segment_id in zip(got, voxels, ids, strict=True):
        everywhere, all_ids = np.ones_like(g), np.full_like(g, 255, dtype=np.uint8)
        want = (
            naive(e, everywhere, voxel, 1, 8) if content == "em" else naive(all_ids, g, voxel, segment_id, 8)
        )
        assert np.array_equal(cube, want)


def test_rounding_to_the_nearest_voxel_moves_cubes_and_not_the_check_of_the_centre():
    em, seg = volumes()
    _, g = arrays(em, seg)
    voxel = tuple(np.argwhere(g[:-1, :-1, :-1] > 0)[40])
    upper = (np.array(voxel[::-1]) + 0.75) * SIZE  # of that voxel, nearer to the next one's corner
    got = cut_cubes(em, seg, upper[None], g[voxel][None], size_vx=5, rounding="nearest")
    after = centers_of([np.array(voxel) + 1])
    assert np.array_equal(got, cut_cubes(em, seg, after, g[voxel][None], size_vx=5, on_outside="keep"))


@pytest.mark.parametrize(("size", "inner"), [(9, 5), (9, 4), (8, 5), (8, 4), (9, 9), (7, 1)])
def test_smaller_cubes_around_the_same_centres_are_views_of_the_larger(size, inner):
    em, seg = volumes()
    _, g = arrays(em, seg)
    voxels = np.argwhere(g > 0)[::700]
    ids = g[tuple(voxels.T)]
    large = cut_cubes(em, seg, centers_of(voxels), ids, size_vx=size)
    small = crop_cubes(large, size_vx=inner)
    assert np.shares_memory(small, large)
    assert np.array_equal(small, cut_cubes(em, seg, centers_of(voxels), ids, size_vx=inner))
    with pytest.raises(CubeError, match="size_vx must be 1 to"):
        crop_cubes(large, size_vx=size + 1)


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_cubes_a_few_at_a_time_are_those_cut_at_once_in_the_order_of_z(most):
    em, seg = volumes((1, 2, 3), shape=(150, 9, 8))
    _, g = arrays(em, seg)
    voxels = np.argwhere(g > 0)[::211]
    centers, ids = centers_of(voxels, (1, 2, 3)), g[tuple(voxels.T)]
    want = cut_cubes(em, seg, centers, ids, size_vx=7)
    pieces = list(cut_by_window(em, seg, centers, ids, size_vx=7, most=most))
    assert max(len(rows) for rows, _ in pieces) <= most
    assert np.concatenate([rows for rows, _ in pieces]).tolist() == list(range(len(ids)))
    assert np.array_equal(np.concatenate([cubes for _, cubes in pieces]), want)


@pytest.mark.parametrize("voxel", [(5, 5, 5), (500, 5, 5)])
def test_a_centre_outside_its_segment_stops_the_sweep(voxel):
    em, seg = volumes(background=1.0)
    with pytest.raises(CubeError, match="outside their segment"):
        list(cut_by_window(em, seg, centers_of([voxel]), IDS[:1], size_vx=5, most=9))


def test_reference_cubes_have_the_published_hashes(shared_data, shared_fixtures):
    reference = json.loads((shared_fixtures / "legacy_checkpoint" / "cubes.json").read_text())
    em, seg = (
        segclr.open_volume(f"precomputed://file://{shared_data}/fib25/{n}", voxel_size_nm=(10, 10, 10))
        for n in ("em", "seg")
    )
    centers = np.array([r["center_zyx"][::-1] for r in reference]) * 10.0 + 5
    cubes = cut_cubes(
        em, seg, centers, np.array([r["segment_id"] for r in reference], np.uint64), size_vx=129
    )
    assert [hashlib.sha256(c.tobytes()).hexdigest() for c in cubes] == [r["sha256"] for r in reference]
    assert len(cubes) == 6
