"""Encoder: embedding cubes, and refusing what does not fit."""

import numpy as np
import pytest
import torch

from segclr.config import EncoderConfig
from segclr.errors import EncoderError
from segclr.model import Encoder

SMALL = EncoderConfig(depth=10, width=0.125, stem="medium", bottleneck_hidden=16)


def make(seed=0, **changes):
    config = SMALL.model_copy(update=changes)
    return Encoder.untrained(config, voxel_size_nm=(32.0, 32.0, 40.0), size_vx=9, seed=seed)


@pytest.fixture(scope="module")
def cubes():
    return np.random.default_rng(0).integers(0, 256, (7, 9, 9, 9), dtype=np.uint8)


@pytest.mark.parametrize("stem", ["large", "medium", "small", "patch"])
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_a_batch_equals_one_by_one(cubes, stem, norm):
    encoder = make(stem=stem, norm=norm)
    batch = encoder.embed(cubes, device="cpu")
    single = np.concatenate([encoder.embed(c[None], device="cpu") for c in cubes])
    assert batch.shape == (7, 64)
    assert batch.dtype == np.float32
    assert np.abs(batch - single).max() <= 1e-5 * np.abs(batch).max()


def test_bfloat16_points_the_same_way(cubes):
    encoder = make()
    a = encoder.embed(cubes, device="cpu")
    b = encoder.embed(cubes, device="cpu", precision="bfloat16")
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosine.min() > 0.99


def test_the_embedding_is_the_networks_output_of_grey_0_to_1(cubes):
    encoder = make()
    with torch.no_grad():
        wanted = encoder.network(torch.from_numpy(cubes)[:, None].float() / 255).numpy()
    assert np.allclose(encoder.embed(cubes, device="cpu"), wanted, rtol=1e-4, atol=1e-7)


def test_no_cubes_give_no_embeddings(cubes):
    assert make().embed(cubes[:0], device="cpu").shape == (0, 64)


def test_read_only_and_strided_cubes_are_taken(cubes):
    locked = cubes.copy()
    locked.flags.writeable = False
    wanted = make().embed(cubes, device="cpu")
    assert np.array_equal(make().embed(locked, device="cpu"), wanted)
    assert np.allclose(make().embed(cubes[::-1], device="cpu")[::-1], wanted, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("shape", "kind", "received"),
    [
        ((2, 8, 8, 8), np.uint8, r"uint8 \[2, 8, 8, 8\]"),
        ((9, 9, 9), np.uint8, r"uint8 \[9, 9, 9\]"),
        ((2, 9, 9, 9), np.float32, r"float32 \[2, 9, 9, 9\]"),
    ],
)
def test_cubes_of_another_shape_or_kind_are_refused(shape, kind, received):
    with pytest.raises(EncoderError, match=rf"uint8 \[n, 9, 9, 9\], got {received}"):
        make().embed(np.zeros(shape, kind), device="cpu")


@pytest.mark.parametrize("batch_size", [0, 2.5, "auto"])
def test_a_batch_size_that_is_no_number_of_cubes_is_refused(cubes, batch_size):
    with pytest.raises(
        EncoderError, match=f"batch_size must be a whole number of 1 or more, got {batch_size!r}"
    ):
        make().embed(cubes, device="cpu", batch_size=batch_size)


def test_a_device_that_holds_no_numbers_is_refused_and_the_encoder_stays(cubes):
    encoder = make()
    before = encoder.embed(cubes, device="cpu")
    with pytest.raises(EncoderError, match="device must be"):
        encoder.embed(cubes, device="meta")
    assert np.array_equal(encoder.embed(cubes, device="cpu"), before)


def test_broken_weights_are_refused(cubes):
    encoder = make()
    with torch.no_grad():
        encoder.network.bottleneck.layers[0].weight[0, 0] = torch.nan
    with pytest.raises(EncoderError, match="not finite"):
        encoder.embed(cubes, device="cpu")


def test_the_digest_tells_weights_architecture_and_geometry_apart():
    encoder = make()
    other_size = Encoder(SMALL, encoder.network, voxel_size_nm=(32.0, 32.0, 40.0), size_vx=11)
    digests = [encoder.digest, make(seed=1).digest, other_size.digest, make(norm="group").digest]
    assert make().digest == encoder.digest
    assert len(set(digests)) == 4
