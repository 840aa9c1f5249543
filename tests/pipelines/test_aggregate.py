"""The stage offers by keys what the function offers, and a learned pooling only for its own encoder."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.aggregate import aggregate_stage, read_aggregated
from pipelines.run import TRAINED, UNTRAINED
from segclr import files
from segclr.aggregate import AttentionPooling, aggregate
from segclr.config import AggregateConfig
from segclr.errors import EncoderError
from segclr.store.embeddings import EmbeddingTable


def with_keys(run, **keys):
    section = AggregateConfig(radii_um=(1.0,), metrics=("path",), **keys)
    return replace(run, config=run.config.model_copy(update={"aggregate": section}))


def pooling(run, **changes):
    digest = files.read_json(run.path("encoder", "config.json"))["digest"]
    random = np.random.default_rng(0)
    settings = {
        "hidden": random.standard_normal((2, run.config.encoder.embedding_dim)),
        "bias": np.zeros(2),
        "out": [3.0, -3.0],
        "encoder_digest": digest,
    }
    return AttentionPooling(**(settings | changes))


def aggregated(run) -> tuple[EmbeddingTable, EmbeddingTable]:
    stage = aggregate_stage(run, TRAINED)
    for part in stage.parts:
        stage.work(part)
    alone = read_aggregated(run, TRAINED, metric="path", radius_um=0)
    return alone, read_aggregated(run, TRAINED, metric="path", radius_um=1.0)


def test_weighting_and_spread_reach_the_files(labelled_run):
    alone, got = aggregated(with_keys(labelled_run, weighting="gaussian", spread=True))
    want = aggregate(alone, radius_um=1.0, metric="path", weighting="gaussian", spread=True)
    assert want.n_nodes.max() > 1
    for name in ("embeddings", "n_nodes", "spread"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name))


def test_attention_reaches_the_files_and_its_weights_the_inputs(labelled_run, tmp_path):
    learned, url = pooling(labelled_run), str(tmp_path)
    learned.save(url)
    run = with_keys(labelled_run, attention=url)
    alone, got = aggregated(run)
    want = aggregate(alone, radius_um=1.0, metric="path", weighting=learned)
    np.testing.assert_array_equal(got.embeddings, want.embeddings)
    assert got.spread is None
    before = aggregate_stage(run, TRAINED).inputs
    pooling(labelled_run, out=[1.0, 1.0]).save(url)
    assert aggregate_stage(run, TRAINED).inputs != before


def test_attention_fitted_on_another_encoder_is_refused(labelled_run, tmp_path):
    pooling(labelled_run, encoder_digest="another").save(str(tmp_path))
    with pytest.raises(EncoderError, match="encoder another"):
        aggregate_stage(with_keys(labelled_run, attention=str(tmp_path)), TRAINED)


def test_the_untrained_encoder_gets_the_plain_mean(labelled_run, tmp_path):
    pooling(labelled_run).save(str(tmp_path))
    run = with_keys(labelled_run, attention=str(tmp_path))
    if not run.config.evaluate.untrained_baseline:
        pytest.fail("this test needs a run with an untrained encoder")
    assert "attention" not in aggregate_stage(run, UNTRAINED).inputs
