"""Skeletons made in blocks are those made in one piece."""

import cc3d
import networkx as nx
import numpy as np
import pytest
from cloudvolume import CloudVolume

from segclr.config import SkeletonConfig
from segclr.data.fragments import contact_columns, fragments_from_columns, vertex_columns
from segclr.data.join import join_fragments
from segclr.data.skeletonize import find_components, shared_box, skeletonize_array, skeletonize_block
from segclr.errors import SkeletonError
from segclr.geometry import BoundingBox, voxels_of_points

SIZE = (32.0, 32.0, 40.0)
CONFIG = SkeletonConfig(min_segment_vx=50)
TUBE, BENT, NEAR, RING = 2**53 + 1, 2**63 + 5, 2**64 - 1, 7
COVER = (CONFIG.teasar_scale, CONFIG.teasar_const_nm)


def fragments_of(labels, config, *, block_vx, offset=(0, 0, 0)):
    """Fragments of all blocks, as the pipeline makes them."""
    bounds = BoundingBox(offset, tuple(np.add(offset, labels.shape[::-1])))
    ids, counts = np.unique(labels, return_counts=True)
    large = ids[(counts >= config.min_segment_vx) & (ids > 0)].astype(np.uint64)
    found = []
    for block in bounds.blocks(block_vx):
        box = shared_box(block, bounds)
        components = find_components(labels[box.slices_zyx(offset)], large)
        found.append(skeletonize_block(components, config, voxel_size_nm=SIZE, block=block, bounds=bounds))
    return found


def joined(blocks):
    by_segment = {}
    for fragment in (f for block in blocks for f in block):
        by_segment.setdefault(fragment.skeleton.segment_id, []).append(fragment)
    return [join_fragments(by_segment[k], voxel_size_nm=SIZE, cover=COVER) for k in sorted(by_segment)]


def trees_per_component(skeletons, labels, offset=(0, 0, 0)):
    """How many trees each connected component holds: found by looking each vertex up in the labels."""
    numbers = cc3d.connected_components(labels, connectivity=26)
    trees = {}
    for skeleton in skeletons:
        x, y, z = (voxels_of_points(skeleton.points_nm, SIZE) - np.asarray(offset)).T
        assert (labels[z, y, x] == skeleton.segment_id).all()
        graph = nx.Graph()
        graph.add_nodes_from(range(len(skeleton)))
        graph.add_edges_from((i, int(p)) for i, p in enumerate(skeleton.parents) if p >= 0)
        for tree in nx.connected_components(graph):
            assert nx.is_tree(graph.subgraph(tree))
            (component,) = set(numbers[z, y, x][list(tree)].tolist())
            trees[component] = trees.get(component, 0) + 1
    return trees


@pytest.fixture(scope="module")
def labels():
    """Tubes through planes, one along two, two parts of one segment that nearly touch at a plane, a ring."""
    z, y, x = np.indices((40, 60, 80))
    made = np.zeros(z.shape, np.uint64)
    made[((z - 10) ** 2 + (y - 10) ** 2 <= 16) & (x > 2) & (x < 77)] = TUBE
    made[((z - 20) ** 2 + (y - 30) ** 2 <= 16) & (x > 2) & (x < 77)] = BENT  # along two planes at once
    made[((z - 8) ** 2 + (y - 45) ** 2 <= 9) & (x > 4) & (x <= 39)] = NEAR
    made[((z - 8) ** 2 + (y - 45) ** 2 <= 9) & (x >= 41) & (x < 75)] = NEAR
    ring = np.abs(np.hypot(y - 44, x - 40) - 11) < 3
    made[ring & (np.abs(z - 30) < 3)] = RING
    return made


def test_every_component_is_one_tree_and_parts_that_come_near_stay_apart(labels):
    for block_vx in [(40, 30, 20), (17, 23, 11), (80, 60, 40)]:
        skeletons = joined(fragments_of(labels, CONFIG, block_vx=block_vx))
        assert [s.segment_id for s in skeletons] == sorted([TUBE, BENT, NEAR, RING])
        trees = trees_per_component(skeletons, labels)
        assert trees == dict.fromkeys(range(1, 6), 1)
        assert (skeletons[3].parents < 0).sum() == 2


def test_one_block_is_the_skeleton_in_one_piece(labels):
    whole = skeletonize_array(labels, CONFIG, voxel_size_nm=SIZE, offset_vx=(5, 6, -7))
    cut = joined(fragments_of(labels, CONFIG, block_vx=(512, 512, 512), offset=(5, 6, -7)))
    for one, other in zip(whole, cut, strict=True):
        assert np.array_equal(one.points_nm, other.points_nm)
        assert np.array_equal(one.parents, other.parents)
        assert np.array_equal(one.radii_nm, other.radii_nm)


def test_a_tube_along_the_plane_between_blocks_is_traced_once(labels):
    whole = {s.segment_id: s for s in skeletonize_array(labels, CONFIG, voxel_size_nm=SIZE)}
    cut = {s.segment_id: s for s in joined(fragments_of(labels, CONFIG, block_vx=(40, 30, 20)))}
    raw = sum(
        f.skeleton.cable_length_nm
        for block in fragments_of(labels, CONFIG, block_vx=(40, 30, 20))
        for f in block
        if f.skeleton.segment_id == BENT
    )
    assert raw > 2.5 * whole[BENT].cable_length_nm  # four quarters of a tube, each with a path of its own
    assert np.bincount(cut[BENT].parents + 1).max() <= 2  # one path: no forks
    assert cut[BENT].cable_length_nm < 1.3 * whole[BENT].cable_length_nm


def test_the_order_of_blocks_and_fragments_changes_nothing(labels):
    blocks = fragments_of(labels, CONFIG, block_vx=(40, 30, 20))
    random = np.random.default_rng(1)
    expected = joined(blocks)
    shuffled = [[block[i] for i in random.permutation(len(block))] for block in blocks]
    for one, other in zip(expected, joined([shuffled[i] for i in random.permutation(8)]), strict=True):
        assert np.array_equal(one.points_nm, other.points_nm)
        assert np.array_equal(one.parents, other.parents)


def test_a_root_is_the_widest_vertex_of_its_tree(labels):
    for skeleton in joined(fragments_of(labels, CONFIG, block_vx=(40, 30, 20))):
        root = np.where(skeleton.parents < 0, np.arange(len(skeleton)), -1)
        for vertex, parent in enumerate(skeleton.parents):
            if parent >= 0:
                assert parent < vertex
                root[vertex] = root[parent]
        assert (skeleton.radii_nm <= skeleton.radii_nm[root]).all()


def test_a_component_of_one_voxel_in_a_block_does_not_break_the_tree():
    """A staircase of voxels, each touching the next at a corner only, some alone in their block."""
    labels = np.zeros((12, 12, 12), np.uint64)
    for i in range(12):
        labels[i, i, i] = BENT
    skeletons = joined(fragments_of(labels, SkeletonConfig(min_segment_vx=2), block_vx=(1, 5, 3)))
    assert trees_per_component(skeletons, labels) == {1: 1}
    assert skeletons[0].cable_length_nm == pytest.approx(11 * np.linalg.norm(SIZE), rel=1e-5)


@pytest.mark.parametrize("shape_zyx", [(1, 1, 1), (1, 1, 60), (1, 97, 1), (97, 1, 1)])
@pytest.mark.parametrize("edge_vx", [1, 48, 512])
def test_a_line_of_voxels_is_one_path_through_all_of_them(shape_zyx, edge_vx):
    labels = np.full(shape_zyx, 9, np.uint8)
    blocks = fragments_of(labels, SkeletonConfig(min_segment_vx=1), block_vx=(edge_vx,) * 3)
    (skeleton,) = joined(blocks)
    assert trees_per_component([skeleton], labels) == {1: 1}
    assert len(skeleton) == labels.size
    steps_xyz = np.subtract(shape_zyx[::-1], 1)
    assert skeleton.cable_length_nm == pytest.approx(float(steps_xyz @ np.array(SIZE)))
    assert (skeleton.radii_nm == 32).all()


def test_a_last_block_one_voxel_wide_on_two_axes_belongs_to_the_tree():
    labels = np.full((20, 49, 49), 9, np.uint8)
    skeletons = joined(fragments_of(labels, SkeletonConfig(min_segment_vx=1), block_vx=(48, 48, 48)))
    assert trees_per_component(skeletons, labels) == {1: 1}


def test_labels_that_all_differ_on_a_face_of_a_thin_block_are_traced():
    rng = np.random.default_rng(5)
    config = SkeletonConfig(min_segment_vx=1)
    for shape_zyx in [(9, 2, 2), (2, 1, 9), (1, 2, 7), (2, 9, 1), (1, 3, 1)] * 4:
        labels = np.arange(1, 5, dtype=np.uint64)[rng.integers(0, 4, shape_zyx)]
        labels.reshape(-1)[:4] = np.arange(1, 5)[: labels.size]
        for block_vx in [(8, 8, 8), (2, 2, 2), (1, 8, 1)]:
            trees = trees_per_component(joined(fragments_of(labels, config, block_vx=block_vx)), labels)
            n_components = int(cc3d.connected_components(labels, connectivity=26).max())
            assert trees == dict.fromkeys(range(1, n_components + 1), 1)


def test_fragments_survive_their_tables(labels):
    for block in fragments_of(labels, CONFIG, block_vx=(40, 30, 20)):
        again = list(fragments_from_columns(vertex_columns(block), contact_columns(block)))
        for one, other in zip(block, again, strict=True):
            assert one.skeleton.segment_id == other.skeleton.segment_id
            assert np.array_equal(one.skeleton.points_nm, other.skeleton.points_nm)
            assert np.array_equal(one.skeleton.parents, other.skeleton.parents)
            assert np.array_equal(one.contacts_vx, other.contacts_vx)


def test_a_block_that_is_missing_is_told_with_the_place(labels):
    blocks = fragments_of(labels, CONFIG, block_vx=(40, 60, 40))
    with pytest.raises(SkeletonError, match=rf"segment {RING} goes on .* voxel \(40, "):
        joined(blocks[:1])


def test_fragments_of_two_segments_are_not_joined(labels):
    (block,) = fragments_of(labels, CONFIG, block_vx=(80, 60, 40))
    with pytest.raises(SkeletonError, match="exactly one segment"):
        join_fragments(block, voxel_size_nm=SIZE, cover=COVER)
    with pytest.raises(SkeletonError, match="exactly one segment"):
        join_fragments([], voxel_size_nm=SIZE, cover=COVER)


def test_real_tissue_in_eight_blocks_is_that_in_one_piece(shared_data):
    """A crop of pinky40; benchmarks/skeletonize.py compares the whole of it."""
    volume = CloudVolume(f"file://{shared_data}/pinky40", mip=2, progress=False)
    box = BoundingBox((0, 96, 256), (160, 256, 416))
    labels = np.ascontiguousarray(np.asarray(volume[0:160, 96:256, 256:416])[..., 0].T)
    config = SkeletonConfig()
    whole = skeletonize_array(labels, config, voxel_size_nm=SIZE, offset_vx=box.start)
    blocks = fragments_of(labels, config, block_vx=(80, 80, 80), offset=box.start)
    assert len(blocks) == 8
    cut = joined(blocks)
    assert [s.segment_id for s in cut] == [s.segment_id for s in whole]
    length, cut_length = (np.array([s.cable_length_nm for s in made]) for made in (whole, cut))
    assert cut_length.sum() == pytest.approx(length.sum(), rel=0.02)
    kept = np.where(np.isin(labels, [s.segment_id for s in cut]), labels, 0)
    n_components = int(cc3d.connected_components(kept, connectivity=26).max())
    assert trees_per_component(cut, kept, box.start) == dict.fromkeys(range(1, n_components + 1), 1)
    assert trees_per_component(whole, kept, box.start) == dict.fromkeys(range(1, n_components + 1), 1)
