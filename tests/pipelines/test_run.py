import numpy as np
import pytest
from cloudvolume import CloudVolume

from pipelines.run import Run
from segclr.config import RunConfig
from segclr.errors import CubeError, ScaleError, VolumeError
from segclr.geometry import BoundingBox

SHAPE = (16, 18, 20)


def write(folder, array, offset=(0, 0, 0), size=(8, 8, 10)):
    kind = "image" if array.dtype.name in ("uint8", "uint16") else "segmentation"
    info = CloudVolume.create_new_info(
        1, kind, array.dtype.name, "raw", size, offset, array.shape[::-1], chunk_size=(8, 8, 8)
    )
    cv = CloudVolume(f"file://{folder}", info=info, progress=False)
    cv.commit_info()
    cv[:] = array.T[..., None]
    return f"precomputed://{folder}"


@pytest.fixture
def em():
    return np.random.default_rng(0).integers(1, 256, SHAPE, dtype=np.uint8)


@pytest.fixture
def segmentation():
    return np.random.default_rng(1).choice(np.array([2**53 + 1, 2**63 + 5, 2**64 - 1], np.uint64), SHAPE)


def run_of(tmp_path, em_url, segmentation_url, size=(8, 8, 10), **volume):
    volume = {"em": em_url, "segmentation": segmentation_url, "voxel_size_nm": size, **volume}
    config = {"name": "t", "run": str(tmp_path / "run"), "volume": volume, "cubes": {"size_vx": 8}}
    return Run(str(tmp_path / "run"), RunConfig.model_validate(config))


def test_different_boxes_are_refused_or_cut_to_the_common_one(tmp_path, em, segmentation):
    urls = write(tmp_path / "em", em), write(tmp_path / "seg", segmentation, offset=(3, -2, 1))
    with pytest.raises(VolumeError, match=r"volume\.common_bounds"):
        run_of(tmp_path, *urls).open_volumes()
    opened = run_of(tmp_path, *urls, common_bounds=True).open_volumes()
    common = BoundingBox((3, 0, 1), (20, 16, 16))
    assert [v.bounds for v in opened] == [common, common]
    assert np.array_equal(opened[0].read(common), em[1:16, 0:16, 3:20])
    assert np.array_equal(opened[1].read(common), segmentation[0:15, 2:18, 0:17])
    assert not opened[0].read(BoundingBox((0, 0, 1), (3, 16, 16))).any()


def test_boxes_that_do_not_overlap_are_refused_in_any_case(tmp_path, em, segmentation):
    urls = write(tmp_path / "em", em), write(tmp_path / "seg", segmentation, offset=(20, 0, 0))
    for common in (False, True):
        with pytest.raises(VolumeError, match="do not overlap"):
            run_of(tmp_path, *urls, common_bounds=common).open_volumes()


def test_a_common_box_smaller_than_a_cube_is_refused(tmp_path, em, segmentation):
    urls = write(tmp_path / "em", em), write(tmp_path / "seg", segmentation, offset=(13, 0, 0))
    with pytest.raises(CubeError, match="7 or less"):
        run_of(tmp_path, *urls, common_bounds=True).open_volumes()


def test_em_of_other_kinds_wants_a_range(tmp_path, em, segmentation):
    urls = write(tmp_path / "em", em.astype(np.uint16) * 100), write(tmp_path / "seg", segmentation)
    with pytest.raises(VolumeError, match=r"volume\.grey_range"):
        run_of(tmp_path, *urls).open_volumes()
    opened, _ = run_of(tmp_path, *urls, grey_range=(0, 25500)).open_volumes()
    assert np.array_equal(opened.read(opened.bounds), em)


def test_a_coarser_size_is_reduced_on_the_way(tmp_path, em, segmentation):
    urls = write(tmp_path / "em", em), write(tmp_path / "seg", segmentation)
    with pytest.raises(ScaleError, match=r"volume\.downsample: true"):
        run_of(tmp_path, *urls, size=(16, 16, 10)).open_volumes()
    opened = run_of(tmp_path, *urls, size=(16, 16, 10), downsample=True).open_volumes()
    assert [v.bounds.size for v in opened] == [(10, 9, 16)] * 2
    blocks = em.astype(int).reshape(16, 9, 2, 10, 2).sum(axis=(2, 4))
    assert np.array_equal(opened[0].read(opened[0].bounds), (blocks + 2) // 4)


def test_the_digest_tells_how_volumes_are_read_but_not_how_fast(tmp_path, em, segmentation):
    urls = write(tmp_path / "em", em), write(tmp_path / "seg", segmentation)
    plain = run_of(tmp_path, *urls).volume_digest()
    assert run_of(tmp_path, *urls, timeout_s=7, anonymous=False).volume_digest() == plain
    for change in ({"normalize": "clahe"}, {"grey_range": (0, 200)}, {"missing": "background"}):
        assert run_of(tmp_path, *urls, **change).volume_digest() != plain


def test_a_float_segmentation_is_refused(tmp_path, em, segmentation):
    urls = write(tmp_path / "em", em), write(tmp_path / "seg", segmentation.astype(np.float32))
    with pytest.raises(VolumeError, match="unsigned integers, got float32"):
        run_of(tmp_path, *urls).open_volumes()


def test_one_volume_as_both_is_refused_by_the_configuration(tmp_path):
    for other in ("precomputed://a", "precomputed://a/"):
        with pytest.raises(ValueError, match="the same volume"):
            run_of(tmp_path, "precomputed://a", other)
    run_of(tmp_path, "zarr://a", "zarr://a", em_channel=0, segmentation_channel=1)


def test_a_range_the_wrong_way_round_is_refused_by_the_configuration(tmp_path):
    with pytest.raises(ValueError, match="the lower first"):
        run_of(tmp_path, "precomputed://a", "precomputed://b", grey_range=(255, 0))
