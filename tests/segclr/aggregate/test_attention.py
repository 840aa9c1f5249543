import json

import numpy as np
import pytest

from segclr.aggregate import AttentionPooling
from segclr.errors import ConfigError, CorruptDataError, DataError, EncoderError, MissingDataError


def pooling(**changes):
    random = np.random.default_rng(0)
    arrays = {
        "hidden": random.standard_normal((5, 3)),
        "bias": random.standard_normal(5),
        "out": [1, -2, 1, 0, 3],
    }
    return AttentionPooling(**(arrays | changes))


def test_weights_are_the_exponential_of_the_score_node_by_node():
    p, x = pooling(), np.random.default_rng(1).standard_normal((7, 3)).astype(np.float32)
    for row, weight in zip(x, p.weights(x), strict=True):
        score = 0.0
        for h, b, o in zip(p.hidden, p.bias, p.out, strict=True):
            score += float(o) * np.tanh(
                sum(float(a) * float(c) for a, c in zip(h, row, strict=True)) + float(b)
            )
        assert weight == pytest.approx(np.exp(score), rel=1e-12)


def test_a_saved_pooling_loads_equal(tmp_path):
    p = pooling(encoder_digest="abc")
    p.save(str(tmp_path))
    loaded = AttentionPooling.load(str(tmp_path), encoder_digest="abc")
    assert loaded.digest == p.digest
    for name in ("hidden", "bias", "out", "encoder_digest"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(p, name))
    assert {f.suffix for f in tmp_path.iterdir()} == {".safetensors", ".json"}


def test_embeddings_of_another_encoder_or_dimension_are_refused(tmp_path):
    pooling(encoder_digest="abc").save(str(tmp_path))
    with pytest.raises(EncoderError, match=r"encoder abc, these are of xyz"):
        AttentionPooling.load(str(tmp_path), encoder_digest="xyz")
    with pytest.raises(DataError, match="fitted on 3 dimensions"):
        pooling().weights(np.zeros((2, 4)))


def test_damaged_absent_and_foreign_files_are_refused(tmp_path):
    url = str(tmp_path)
    with pytest.raises(MissingDataError):
        AttentionPooling.load(url)
    pooling().save(url)
    model, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    content, text = model.read_bytes(), config.read_text()
    model.write_bytes(content[:-1] + b"?")
    with pytest.raises(CorruptDataError, match="checksum"):
        AttentionPooling.load(url)
    model.write_bytes(content)
    for other in ({**json.loads(text), "kind": "LinearClassifier"}, {**json.loads(text), "format": 9}, []):
        config.write_text(json.dumps(other))
        with pytest.raises(CorruptDataError, match="no attention pooling"):
            AttentionPooling.load(url)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bias": [1, 2]}, "shapes"),
        ({"hidden": [1, 2, 3, 4, 5]}, "shapes"),
        ({"out": [1, np.nan, 0, 0, 0]}, "finite"),
        ({"out": [5, 5, 0, 0, -1]}, "sum to at most 10, got 11"),
    ],
)
def test_what_cannot_be_applied_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        pooling(**changes)
