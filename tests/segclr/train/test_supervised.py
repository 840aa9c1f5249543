"""The supervised baseline learns what its labels say, and nothing else decides what it becomes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from segclr.errors import CorruptDataError, LabelError, TrainingError
from segclr.model.checkpoint import load_encoder
from segclr.train import ArrayCubes, LabelHead, center_views, train_supervised
from tests.segclr.train.conftest import CUBES_PER_CELL, N_CELLS, SIZE_VX

CELLS = np.repeat(np.arange(N_CELLS), CUBES_PER_CELL)
LABELS = np.where(CELLS % 2, "odd", "even")
SEEN = np.flatnonzero(np.arange(len(CELLS)) % CUBES_PER_CELL > 0)
UNSEEN = np.flatnonzero(np.arange(len(CELLS)) % CUBES_PER_CELL == 0)


def train(data, encoder_config, train_config, **changes):
    wanted = {
        "rows": SEEN,
        "classes": LABELS[SEEN],
        "encoder": encoder_config,
        "train": train_config,
        "voxel_size_nm": data.voxel_size_nm,
        "size_vx": SIZE_VX,
        "seed": 0,
    }
    return train_supervised(data.cubes, **(wanted | changes))


def embed(encoder, data, rows):
    cubes = center_views(torch.from_numpy(data.cubes.read(rows)), size_vx=SIZE_VX)
    return encoder.embed(cubes.numpy())


def test_it_tells_the_classes_of_cubes_it_was_not_trained_on(data, encoder_config, train_config):
    edge = data.cubes.cubes.shape[1]
    cubes = np.random.default_rng(0).integers(60, 196, (80, edge, edge, edge), dtype=np.uint8)
    labels = np.where(np.arange(80) % 2, "thin", "thick")
    cubes[labels == "thin", : edge - 5] = 0
    tissue = replace(data, cubes=ArrayCubes(cubes))
    config = train_config.model_copy(update={"steps": 40, "batch_pairs": 16, "learning_rate": 0.003})
    encoder, head = train(tissue, encoder_config, config, rows=np.arange(40), classes=labels[:40])
    assert head.classes.tolist() == ["thick", "thin"]
    embeddings = embed(encoder, tissue, np.arange(40, 80))
    assert (head.predict(embeddings) == labels[40:]).mean() >= 0.95
    probabilities = head.predict_proba(embeddings)
    logits = embeddings.astype(np.float64) @ head.weight.T.astype(np.float64) + head.bias
    wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.abs(probabilities - wanted).max() < 1e-5


def test_it_is_a_function_of_its_arguments_and_is_kept_as_an_encoder_and_a_head(
    data, encoder_config, train_config, tmp_path
):
    encoder, head = train(data, encoder_config, train_config)
    again, head_again = train(data, encoder_config, train_config)
    assert encoder.digest == again.digest
    assert np.array_equal(head.weight, head_again.weight)
    other, _ = train(data, encoder_config, train_config, seed=1)
    assert other.digest != encoder.digest
    encoder.save(str(tmp_path / "encoder"))
    head.save(str(tmp_path / "head.json"))
    loaded = load_encoder(str(tmp_path / "encoder"))
    kept = LabelHead.load(str(tmp_path / "head.json"))
    assert loaded.training["kind"] == "supervised"
    vectors = embed(encoder, data, UNSEEN)
    assert np.array_equal(embed(loaded, data, UNSEEN), vectors)
    assert np.array_equal(kept.predict_proba(vectors), head.predict_proba(vectors))


def test_a_rare_class_is_drawn_as_often_as_a_frequent_one(data, encoder_config, train_config):
    asked: list[int] = []

    class Counting:
        def __len__(self):
            return len(data.cubes)

        def read(self, rows):
            asked.extend(rows.tolist())
            return data.cubes.read(rows)

    rows = np.arange(30)
    labels = np.where(rows < 2, "rare", "frequent")
    config = train_config.model_copy(update={"steps": 20, "batch_pairs": 20})
    train_supervised(
        Counting(),
        rows,
        labels,
        encoder=encoder_config,
        train=config,
        voxel_size_nm=data.voxel_size_nm,
        size_vx=SIZE_VX,
        seed=0,
    )
    share = np.mean(np.array(asked) < 2)
    assert abs(share - 0.5) < 4 * 0.5 / np.sqrt(len(asked))
    assert set(asked) == set(rows.tolist())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full(len(SEEN), "axon"), r"two classes or more, got \['axon'\]"),
        (LABELS[SEEN][:-1], "need as many classes"),
    ],
)
def test_labels_that_teach_nothing_are_refused(data, encoder_config, train_config, labels, message):
    with pytest.raises(LabelError, match=message):
        train(data, encoder_config, train_config, classes=labels)


def test_a_loss_that_is_not_finite_stops_with_advice(data, encoder_config, train_config):
    config = train_config.model_copy(update={"learning_rate": 1e30, "warmup_steps": 0, "gradient_clip": 0.0})
    with pytest.raises(TrainingError, match=r"lower train\.learning_rate"):
        train(data, encoder_config, config)


@pytest.mark.parametrize("content", ["{}", '{"classes": ["a"], "weight": [[1]], "bias": [1, 2]}', "[1]"])
def test_a_head_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "head.json").write_text(content)
    with pytest.raises(CorruptDataError, match="no head of a supervised network"):
        LabelHead.load(str(tmp_path / "head.json"))
