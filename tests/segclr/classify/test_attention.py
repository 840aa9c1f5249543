import numpy as np
import pytest

from segclr.aggregate import AttentionPooling, aggregate
from segclr.classify import AttentionFit, Labels, LinearClassifier, fit_attention
from segclr.errors import ConfigError, DataError, LabelError
from segclr.store.embeddings import EmbeddingTable


def cells(*, seed, n_cells=24, size=60):
    """Cells of two types that differ in one node of ten; the others are the same noise."""
    random = np.random.default_rng(seed)
    n = n_cells * size
    segment_ids = np.repeat(np.arange(n_cells, dtype=np.uint64) + np.uint64(2**63), size)
    kind = np.repeat(np.arange(n_cells) % 2, size)
    embeddings = random.standard_normal((n, 8))
    telling = random.random(n) < 0.1
    embeddings[telling, 0] += 6  # it tells that it tells
    embeddings[telling, 1] = np.where(kind[telling] == 1, 1.5, -1.5)
    table = EmbeddingTable(
        segment_ids=segment_ids,
        node_ids=np.tile(np.arange(size), n_cells),
        points_nm=np.stack([np.tile(np.arange(size) * 1000.0, n_cells), np.zeros(n), np.zeros(n)], axis=1),
        parents=np.tile(np.arange(size) - 1, n_cells),
        embeddings=embeddings,
    ).take(random.permutation(n))
    ids = np.unique(segment_ids)
    return table, Labels(segment_ids=ids, classes=np.array(["a", "b"])[np.arange(n_cells) % 2])


def accuracy(train, test, weighting):
    (table, labels), (other, other_labels) = train, test
    pooled = [aggregate(t, radius_um=8, metric="path", weighting=weighting) for t in (table, other)]
    target = [
        lb.classes[np.searchsorted(lb.segment_ids, t.segment_ids)]
        for t, lb in ((table, labels), (other, other_labels))
    ]
    model = LinearClassifier(C=1.0).fit(pooled[0].embeddings, target[0])
    return (model.predict(pooled[1].embeddings) == target[1]).mean()


def test_attention_finds_the_nodes_that_tell_the_class():
    train, test = cells(seed=0), cells(seed=1)
    pooling = fit_attention(*train, radius_um=8, metric="path")
    assert accuracy(train, test, pooling) > accuracy(train, test, "uniform") + 0.05
    table = test[0]
    weights = pooling.weights(table.embeddings)
    telling = table.embeddings[:, 0] > 4
    assert np.median(weights[telling]) > 3 * np.median(weights[~telling])


def test_one_seed_gives_one_pooling_and_it_is_kept_on_disk(tmp_path):
    fit = AttentionFit(steps=5)
    table, labels = cells(seed=0)
    first, again = (fit_attention(table, labels, radius_um=3, fit=fit, encoder_digest="e") for _ in range(2))
    assert first.digest == again.digest
    first.save(str(tmp_path))
    loaded = AttentionPooling.load(str(tmp_path), encoder_digest="e")
    assert loaded.encoder_digest == "e"
    np.testing.assert_array_equal(loaded.weights(table.embeddings), first.weights(table.embeddings))


def test_untrained_attention_is_the_mean():
    table, labels = cells(seed=0)
    pooling = fit_attention(table, labels, radius_um=3, fit=AttentionFit(steps=1, learning_rate=1e-12))
    got = aggregate(table, radius_um=3, weighting=pooling)
    np.testing.assert_allclose(got.embeddings, aggregate(table, radius_um=3).embeddings, atol=1e-6)


def test_labels_that_cannot_be_learned_from_are_refused():
    table, labels = cells(seed=0)
    one = Labels(segment_ids=labels.segment_ids, classes=np.full(len(labels), "a"))
    with pytest.raises(LabelError, match="at least two classes, got a"):
        fit_attention(table, one, radius_um=3)
    absent = Labels(segment_ids=np.array([5, 6], dtype=np.uint64), classes=np.array(["a", "b"]))
    with pytest.raises(LabelError, match="have no embedding"):
        fit_attention(table, absent, radius_um=3)


def test_tables_and_settings_that_cannot_be_used_are_refused():
    table, labels = cells(seed=0)
    table.embeddings[3, 2] = np.nan
    with pytest.raises(DataError, match="embeddings must be finite"):
        fit_attention(table, labels, radius_um=3)
    with pytest.raises(ConfigError, match="radius_um"):
        fit_attention(table, labels, radius_um=-1)
    with pytest.raises(ConfigError, match="must be positive"):
        AttentionFit(steps=0)
