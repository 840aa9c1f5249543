import numpy as np
import pytest
from scipy import ndimage

from segclr.config import TissueConfig
from segclr.data.cube_features import FEATURE_NAMES, cube_features
from segclr.data.neuropil import COMPARTMENTS, make_block
from segclr.errors import ConfigError
from segclr.geometry import BoundingBox, voxels_of_points


def _zyx(block, points_nm):
    return tuple((voxels_of_points(points_nm, block.voxel_size_nm) - block.box.start).T[::-1])


def test_the_same_seed_gives_the_same_bytes_whatever_was_made_before(small_tissue, small_blocks):
    again = make_block(small_tissue, seed=3, block=1)
    for name in ("em", "segmentation", "compartments"):
        assert getattr(again, name).tobytes() == getattr(small_blocks[1], name).tobytes()
    assert again.cells.equals(small_blocks[1].cells)
    assert again.synapses.equals(small_blocks[1].synapses)


def test_a_block_does_not_depend_on_how_many_there_are(small_tissue, small_blocks):
    more = small_tissue.model_copy(update={"n_blocks": 5})
    assert np.array_equal(make_block(more, seed=3, block=0).em, small_blocks[0].em)


def test_other_seeds_and_other_blocks_differ(small_tissue, small_blocks):
    other = make_block(small_tissue, seed=4, block=0)
    assert not np.array_equal(other.em, small_blocks[0].em)
    assert not set(other.cells.segment_id) & set(small_blocks[0].cells.segment_id)
    assert not set(small_blocks[1].cells.segment_id) & set(small_blocks[0].cells.segment_id)


def test_blocks_lie_side_by_side_along_x(small_blocks):
    assert small_blocks[0].box == BoundingBox((40, 7, 3), (136, 119, 83))
    assert small_blocks[1].box == BoundingBox((136, 7, 3), (232, 119, 83))


def test_a_block_beyond_the_tissue_is_refused(small_tissue):
    with pytest.raises(ConfigError, match="0 to 1, got 2"):
        make_block(small_tissue, seed=0, block=2)


def test_arrays_have_the_types_and_shape_they_promise(small_blocks):
    for block in small_blocks:
        kinds = {"em": np.uint8, "segmentation": np.uint64, "compartments": np.uint8}
        for name, dtype in kinds.items():
            assert getattr(block, name).dtype == dtype
            assert getattr(block, name).shape == block.box.shape_zyx


def test_no_voxel_of_the_image_is_zero_since_zero_means_masked(small_blocks):
    assert all(block.em.min() >= 1 for block in small_blocks)


def test_segments_fill_over_85_percent(small_blocks):
    assert all((block.segmentation > 0).mean() > 0.85 for block in small_blocks)


def test_the_default_block_is_filled_over_85_percent_and_keeps_its_classes():
    block = make_block(TissueConfig(), seed=0, block=0)
    assert (block.segmentation > 0).mean() > 0.85
    counts = block.cells.groupby(["cell_type", "split"]).size()
    assert len(counts) == 12
    assert set(np.unique(block.compartments)) == set(COMPARTMENTS.values())


def test_most_segments_touch_several_others(small_blocks):
    block = small_blocks[0]
    touching = set()
    for axis in range(3):
        a = np.take(block.segmentation, range(block.em.shape[axis] - 1), axis)
        b = np.take(block.segmentation, range(1, block.em.shape[axis]), axis)
        at = (a != b) & (a > 0) & (b > 0)
        touching |= set(zip(a[at].tolist(), b[at].tolist(), strict=True))
    partners = {
        i: {b for a, b in touching if a == i} | {a for a, b in touching if b == i} for i, _ in touching
    }
    assert set(partners) == set(block.cells.segment_id.tolist())
    assert np.median([len(p) for p in partners.values()]) >= 4


def test_every_segment_is_one_piece_joined_over_faces(small_blocks):
    for block in small_blocks:
        for segment_id in block.cells.segment_id:
            assert ndimage.label(block.segmentation == segment_id)[1] == 1


def test_the_table_names_exactly_the_segments_in_the_volume(small_blocks):
    for block in small_blocks:
        assert set(np.unique(block.segmentation).tolist()) - {0} == set(block.cells.segment_id.tolist())
        assert [s.segment_id for s in block.skeletons] == block.cells.segment_id.tolist()


def test_ids_are_uint64_above_2_to_the_53_and_some_above_2_to_the_63(small_blocks):
    ids = np.concatenate([b.cells.segment_id.to_numpy() for b in small_blocks])
    assert ids.dtype == np.uint64
    assert (ids > 2**53).all()
    assert (ids > 2**63).any()
    assert len(np.unique(ids)) == len(ids)


def test_skeletons_are_single_trees_with_every_vertex_inside_their_own_segment(small_blocks):
    for block in small_blocks:
        for skeleton in block.skeletons:
            assert (skeleton.parents == -1).sum() == 1  # acyclic by construction of Skeleton
            assert (block.segmentation[_zyx(block, skeleton.points_nm)] == skeleton.segment_id).all()


def test_compartments_are_those_a_cell_of_the_type_has(small_blocks):
    soma, glia = COMPARTMENTS["soma"], COMPARTMENTS["glia"]
    neurite = {COMPARTMENTS["dendrite"], COMPARTMENTS["axon"]}
    for block in small_blocks:
        assert np.array_equal(block.compartments == 0, block.segmentation == 0)
        for cell in block.cells.itertuples():
            found = set(np.unique(block.compartments[block.segmentation == cell.segment_id]).tolist()) - {
                soma
            }
            allowed = neurite if cell.cell_type in ("excitatory", "inhibitory") else {glia}
            assert found <= allowed


def test_a_synapse_lies_in_its_axon_and_touches_its_partner(small_blocks):
    for block in small_blocks:
        assert len(block.synapses) > 5
        z, y, x = _zyx(block, block.synapses[["x_nm", "y_nm", "z_nm"]])
        around = np.pad(block.segmentation, 1)
        pre, post = block.synapses.pre_id.to_numpy(), block.synapses.post_id.to_numpy()
        assert pre.dtype == post.dtype == np.uint64
        assert (block.segmentation[z, y, x] == pre).all()
        assert (block.compartments[z, y, x] == COMPARTMENTS["axon"]).all()
        touches = np.zeros(len(pre), dtype=bool)
        for dz, dy, dx in ((0, 1, 1), (2, 1, 1), (1, 0, 1), (1, 2, 1), (1, 1, 0), (1, 1, 2)):
            touches |= around[z + dz, y + dy, x + dx] == post
        assert touches.all()


def test_a_synapse_is_of_its_axons_kind_and_ends_on_a_neuron(small_blocks):
    for block in small_blocks:
        types = dict(zip(block.cells.segment_id.tolist(), block.cells.cell_type, strict=True))
        assert [types[i] for i in block.synapses.pre_id.tolist()] == block.synapses.kind.tolist()
        assert {types[i] for i in block.synapses.post_id.tolist()} <= {"excitatory", "inhibitory"}


def test_contrast_changes_from_section_to_section(small_blocks):
    # Neighbouring sections show nearly the same tissue: without the microscope their means would agree.
    steps = np.abs(np.diff(small_blocks[0].em.mean(axis=(1, 2))))
    assert np.median(steps) > 0.5


@pytest.mark.parametrize("feature", ["grey_mean", "occupancy"])
def test_neither_grey_nor_size_alone_tells_the_classes(small_blocks, feature):
    """The nearest class mean of that one feature, judged on the very nodes it was fitted on."""
    labels, values = [], []
    for block in small_blocks:
        padded_em, padded = np.pad(block.em, 16), np.pad(block.segmentation, 16)
        for skeleton in block.skeletons:
            z, y, x = (a[::5] for a in _zyx(block, skeleton.points_nm))
            cubes = []
            for k, j, i in zip(z, y, x, strict=True):
                at = (slice(k, k + 33), slice(j, j + 33), slice(i, i + 33))
                cubes.append(np.where(padded[at] == np.uint64(skeleton.segment_id), padded_em[at], 0))
            values += cube_features(np.stack(cubes))[:, FEATURE_NAMES.index(feature)].tolist()
            labels += block.compartments[z, y, x].tolist()
    labels, values = np.array(labels), np.array(values)
    classes = np.unique(labels)
    means = np.array([values[labels == c].mean() for c in classes])
    guess = classes[np.abs(values[:, None] - means).argmin(axis=1)]
    recall = [np.mean(guess[labels == c] == c) for c in classes]
    assert np.mean(recall) < 0.7
