"""A real block's skeletons, written as others do and read back."""

import numpy as np
import pytest

from segclr.config import SkeletonConfig
from segclr.data.skeleton_check import check_frame, shares_outside
from segclr.data.skeleton_sources import open_skeletons
from segclr.data.skeletonize import skeletonize_array
from segclr.data.volume import open_volume
from segclr.errors import SkeletonError
from segclr.geometry import BoundingBox
from tests.segclr.data.skeleton_sources.forests import (
    edge_array,
    encode,
    swc_text,
    write_precomputed_skeletons,
)

SIZE = (10.0, 10.0, 10.0)
CONFIG = SkeletonConfig(min_segment_vx=3000)


@pytest.fixture(scope="module")
def block(shared_data):
    """The segmentation, and the skeletons of a corner of it."""
    segmentation = open_volume(f"precomputed://file://{shared_data}/fib25/seg", voxel_size_nm=SIZE)
    start = segmentation.bounds.start
    box = BoundingBox(start, tuple(s + 100 for s in start))
    return segmentation, skeletonize_array(
        segmentation.read(box), CONFIG, voxel_size_nm=SIZE, offset_vx=box.start
    )


@pytest.mark.parametrize("form", ["swc in um", "unsharded", "sharded"])
def test_real_skeletons_come_back_and_lie_in_their_segments(block, tmp_path, form):
    segmentation, made = block
    if form == "swc in um":
        for s in made:
            text = swc_text(s.points_nm.astype(float) / 1000, s.parents, s.radii_nm / 1000, range(len(s)))
            (tmp_path / f"{s.segment_id}.swc").write_text(text)
        url, unit_nm = f"swc://{tmp_path}", 1000.0
    else:
        entries = {s.segment_id: encode(s.points_nm, edge_array(s.parents), s.radii_nm) for s in made}
        write_precomputed_skeletons(tmp_path, entries, shard_bits=1 if form == "sharded" else None)
        url, unit_nm = f"precomputed://{tmp_path}", 1.0
    source = open_skeletons(url, unit_nm=unit_nm)
    ids = source.segment_ids()
    batch = source.read(ids)
    assert ids.tolist() == sorted(s.segment_id for s in made)
    assert len(ids) > 5
    for got, original in zip(batch.skeletons, sorted(made, key=lambda s: s.segment_id), strict=True):
        assert got.points_nm == pytest.approx(original.points_nm, abs=0.01)
        assert got.cable_length_nm == pytest.approx(original.cable_length_nm, rel=1e-4)
        assert (got.parents < 0).sum() == (original.parents < 0).sum()
    assert np.median(shares_outside(batch.skeletons, segmentation)) == 0
    check_frame(batch.skeletons, segmentation, max_outside=0.01)
    if form == "swc in um":
        wrong = open_skeletons(url).read(ids).skeletons
        with pytest.raises(SkeletonError, match=r"multiplied by 1000 \(micrometres\)"):
            check_frame(wrong, segmentation, max_outside=0.5)
