from dataclasses import replace

import numpy as np
import pytest
import torch

from segclr.config import EmbedConfig, EncoderConfig
from segclr.data.cubes import cut_cubes
from segclr.data.sweep import sweep
from segclr.data.volume import ArraySource, Volume
from segclr.embed.block import cube_batches, embed_nodes
from segclr.embed.kind import CubeKind
from segclr.errors import CubeError, EncoderError, VolumeError
from segclr.geometry import cube_starts
from segclr.model.encoder import Encoder

IDS = np.array([2**53 + 1, 2**53 + 2, 2**63 + 5, 2**64 - 1], dtype=np.uint64)
VOXEL = (4.0, 6.0, 10.0)
SHAPE, OFFSET, EDGE = (20, 22, 24), (3, -4, 5), 9
CONFIG = EmbedConfig(batch_size=4, device="cpu")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tissue():
    random = np.random.default_rng(0)
    coarse = random.choice(np.r_[np.uint64(0), IDS], tuple(n // 2 for n in SHAPE))
    labels = coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    em = random.integers(1, 256, SHAPE, dtype=np.uint8)
    return Volume(ArraySource(em, VOXEL, OFFSET)), Volume(ArraySource(labels, VOXEL, OFFSET))


@pytest.fixture(scope="module")
def nodes(tissue):
    labels = tissue[1].read(tissue[1].bounds)
    voxels = np.argwhere(labels > 0)
    voxels = voxels[np.random.default_rng(1).permutation(len(voxels))[:11]]
    points = ((voxels[:, ::-1] + OFFSET + 0.5) * VOXEL).astype(np.float32)
    return points, labels[tuple(voxels.T)]


@pytest.fixture(scope="module")
def encoder():
    config = EncoderConfig(depth=10, width=0.125, stem="patch", bottleneck_hidden=16)
    return Encoder.untrained(config, voxel_size_nm=VOXEL, size_vx=EDGE, seed=0)


def embed(encoder, tissue, points, ids, config=CONFIG):
    return embed_nodes(encoder, *tissue, points_nm=points, segment_ids=ids, config=config)


def test_embedding_nodes_equals_encoding_their_cubes(encoder, tissue, nodes, device):
    points, ids = nodes
    got = embed(encoder, tissue, points, ids, CONFIG.model_copy(update={"device": str(device)}))
    want = encoder.embed(cut_cubes(*tissue, points, ids, size_vx=EDGE), device="cpu")
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_a_node_is_embedded_alike_alone_in_any_order_and_in_any_batch(encoder, tissue, nodes):
    points, ids = nodes
    whole = embed(encoder, tissue, points, ids)
    one_by_one = [embed(encoder, tissue, points[i : i + 1], ids[i : i + 1]) for i in range(len(ids))]
    np.testing.assert_allclose(whole, np.concatenate(one_by_one), rtol=1e-4, atol=1e-5)
    back = embed(encoder, tissue, points[::-1], ids[::-1], CONFIG.model_copy(update={"batch_size": 3}))
    np.testing.assert_allclose(whole, back[::-1], rtol=1e-4, atol=1e-5)


def test_no_node_gives_no_row(encoder, tissue):
    empty = embed(encoder, tissue, np.zeros((0, 3), np.float32), np.zeros(0, np.uint64))
    assert empty.shape == (0, encoder.config.embedding_dim)


def test_a_node_outside_its_segment_is_an_error(encoder, tissue, nodes):
    points, ids = nodes[0], nodes[1].copy()
    ids[4] = IDS[ids[4] != IDS][0]
    with pytest.raises(CubeError, match=rf"1 of 11 nodes.*segment {ids[4]}"):
        embed(encoder, tissue, points, ids)


@pytest.mark.parametrize("nm", [-1e4, 1e6])
@pytest.mark.parametrize("segment_id", [0, 2**63 + 5])
def test_nodes_beyond_the_volume_are_an_error(encoder, tissue, nm, segment_id):
    with pytest.raises(CubeError, match="outside their segment"):
        embed(encoder, tissue, np.full((2, 3), nm, np.float32), np.full(2, segment_id, np.uint64))


def test_points_that_are_not_finite_and_ids_of_another_type_are_refused(encoder, tissue, nodes):
    points, ids = nodes
    with pytest.raises(CubeError, match="not finite"):
        embed(encoder, tissue, np.where(np.arange(11)[:, None] == 3, np.nan, points), ids)
    with pytest.raises(CubeError, match="must be uint64"):
        embed(encoder, tissue, points, ids.astype(np.float64))


def test_an_encoder_of_another_voxel_size_is_refused(tissue, nodes, encoder):
    other = Encoder(encoder.config, encoder.network, voxel_size_nm=(8.0, 8.0, 8.0), size_vx=EDGE)
    with pytest.raises(CubeError, match="made for voxels"):
        embed(other, tissue, *nodes)


def test_volumes_of_another_grid_are_refused(encoder, tissue, nodes):
    shifted = Volume(ArraySource(tissue[1].source.array, VOXEL, (0, 0, 0)))
    with pytest.raises(VolumeError, match="both must be the same"):
        embed(encoder, (tissue[0], shifted), *nodes)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 50])
def test_batches_are_full_but_the_last_and_hold_every_cube_once(tissue, nodes, batch_size):
    points, ids = nodes
    tall = [Volume(Thin(v.source.array, VOXEL, OFFSET)) for v in tissue]
    starts = cube_starts(points, VOXEL, size_vx=EDGE)
    windows = list(sweep(*tall, starts, ids, size_vx=EDGE))
    batches = list(
        cube_batches(
            windows,
            starts,
            ids,
            kind=CubeKind(),
            size_vx=EDGE,
            batch_size=batch_size,
            device=torch.device("cpu"),
        )
    )
    assert all(len(rows) == batch_size for rows, _ in batches[:-1])
    order = np.concatenate([rows for rows, _ in batches])
    assert sorted(order) == list(range(len(ids)))
    want = cut_cubes(*tissue, points, ids, size_vx=EDGE)
    assert np.array_equal(np.concatenate([c.numpy() for _, c in batches]), want[order])


class Thin(ArraySource):
    """Planes of one voxel, so that many slabs make a window."""

    chunk_size_vx = (4, 4, 1)


@pytest.mark.parametrize(
    ("content", "rounding"), [("em", "floor"), ("mask", "nearest"), ("masked", "nearest")]
)
def test_an_encoder_sees_the_cubes_it_was_trained_on(encoder, tissue, nodes, content, rounding):
    kind = CubeKind(content, rounding)
    other = replace(encoder, training=kind.noted({"seed": 1}))
    want = encoder.embed(
        cut_cubes(*tissue, *nodes, size_vx=EDGE, content=content, rounding=rounding), device="cpu"
    )
    got = embed(other, tissue, *nodes)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    assert not np.allclose(got, embed(encoder, tissue, *nodes))


def test_an_encoder_of_unknown_cubes_is_refused(encoder, tissue, nodes):
    for told in ({"content": "depth"}, {"colour": "red"}, "masked"):
        with pytest.raises(EncoderError, match="known are content masked, em, mask"):
            embed(replace(encoder, training={"cubes": told}), tissue, *nodes)


def test_a_batch_size_that_is_found_by_trial_changes_nothing(encoder, tissue, nodes):
    auto = EmbedConfig(batch_size="auto", device="cpu", memory_gb=1e3)
    np.testing.assert_allclose(
        embed(encoder, tissue, *nodes, auto), embed(encoder, tissue, *nodes), rtol=1e-4, atol=1e-5
    )
