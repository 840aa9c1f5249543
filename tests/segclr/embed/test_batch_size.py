import numpy as np
import psutil
import pytest
import torch

from segclr.config import EmbedConfig, EncoderConfig
from segclr.embed.batch_size import MOST_CUBES, find_batch_size, largest_within
from segclr.errors import EncoderError
from segclr.model.encoder import Encoder


@pytest.mark.parametrize(("limit", "found"), [(15, 1), (20, 2), (100, 8), (10**9, MOST_CUBES)])
def test_the_largest_batch_within_the_limit_is_taken(limit, found):
    assert largest_within(limit, lambda n: 10.0 * n if n > 1 else 15.0) == found


def test_a_batch_that_fits_nowhere_ends_the_search():
    tried = []

    def peak(n):
        tried.append(n)
        return 1.0 if n < 8 else None

    assert largest_within(10.0, peak) == 4
    assert tried == [1, 2, 4, 8]


def test_a_limit_below_one_cube_is_an_error():
    with pytest.raises(EncoderError, match=r"embed\.memory_gb"):
        largest_within(10.0, lambda _: 11.0)


def test_an_encoder_is_tried_on_its_device():
    config = EncoderConfig(depth=10, width=0.125, stem="patch", bottleneck_hidden=16)
    encoder = Encoder.untrained(config, voxel_size_nm=(1, 1, 1), size_vx=9, seed=0)
    cpu = torch.device("cpu")
    assert find_batch_size(encoder, device=cpu, config=EmbedConfig(), memory_gb=1e3) == MOST_CUBES
    with pytest.raises(EncoderError, match="one cube takes more"):
        find_batch_size(encoder, device=cpu, config=EmbedConfig(), memory_gb=1e-3)


def test_nothing_of_the_batch_that_was_too_large_is_kept():
    config = EncoderConfig(depth=10, width=0.125, stem="patch", bottleneck_hidden=16)
    encoder = Encoder.untrained(config, voxel_size_nm=(1, 1, 1), size_vx=9, seed=0)
    find_batch_size(encoder, device=torch.device("cpu"), config=EmbedConfig(), memory_gb=1e3)
    assert encoder._predictors._predictor is None


def test_memory_of_earlier_work_does_not_count():
    config = EncoderConfig(depth=10, width=0.125, stem="patch", bottleneck_hidden=16)
    encoder = Encoder.untrained(config, voxel_size_nm=(1, 1, 1), size_vx=9, seed=0)
    np.ones(600_000_000, dtype=np.uint8).sum()
    limit_gb = psutil.Process().memory_info().rss / 1e9 + 0.3
    cpu = torch.device("cpu")
    assert find_batch_size(encoder, device=cpu, config=EmbedConfig(), memory_gb=limit_gb) > 1


def test_the_engine_that_will_run_is_the_one_that_is_tried(monkeypatch):
    config = EncoderConfig(depth=10, width=0.125, stem="patch", bottleneck_hidden=16)
    encoder = Encoder.untrained(config, voxel_size_nm=(1, 1, 1), size_vx=9, seed=0)
    tried = []

    def embed(self, cubes, *, engine, compiled, **_):
        tried.append((engine, compiled, int(cubes.min())))

    monkeypatch.setattr(Encoder, "embed_tensor", embed)
    wanted = EmbedConfig(engine="skip_empty")
    find_batch_size(encoder, config=wanted, device=torch.device("cpu"), memory_gb=1e3)
    assert {t[:2] for t in tried} == {("skip_empty", False)}
    assert all(t[2] > 0 for t in tried)  # nothing to skip


def test_what_is_wrong_with_the_precision_is_not_called_a_lack_of_memory():
    config = EncoderConfig(depth=10, width=0.125, stem="patch", bottleneck_hidden=16)
    encoder = Encoder.untrained(config, voxel_size_nm=(1, 1, 1), size_vx=9, seed=0)
    with pytest.raises(EncoderError, match="float16 needs"):
        find_batch_size(
            encoder, device=torch.device("cpu"), config=EmbedConfig(precision="float16"), memory_gb=1e3
        )
