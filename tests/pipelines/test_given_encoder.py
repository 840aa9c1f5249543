"""A run with a finished encoder embeds as the run that trained it did, and follows what the encoder is."""

import numpy as np
import pytest
import yaml

from pipelines.given_encoder import follow_encoder
from pipelines.plan import plan_run
from segclr.config import RunConfig
from segclr.errors import ConfigError, MissingDataError
from segclr.store.embeddings import open_embeddings
from tests.pipelines.conftest import config_tree, segclr


@pytest.fixture
def tree(volumes, finished_run, tmp_path) -> dict:
    """A configuration that names the finished run's encoder and says nothing of its network and cubes."""
    tree = config_tree(volumes, tmp_path / "run")
    del tree["encoder"], tree["cubes"]["size_vx"]
    tree["embed"] = {**tree["embed"], "encoder": str(finished_run / "encoder")}
    return tree


def test_it_embeds_as_the_run_that_trained_the_encoder_and_trains_nothing(tree, finished_run, tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree))
    done = segclr("run", str(tmp_path / "config.yaml"))
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    found, wanted = (open_embeddings(str(r / "embeddings")).read_all() for r in (run, finished_run))
    assert np.array_equal(found.segment_ids, wanted.segment_ids)
    assert np.array_equal(found.embeddings, wanted.embeddings)
    untrained = [open_embeddings(str(r / "untrained/embeddings")).read_all() for r in (run, finished_run)]
    assert np.array_equal(untrained[0].embeddings, untrained[1].embeddings)
    made = {path.name for path in run.iterdir()}
    assert not made & {"pairs.parquet", "cubes.zarr", "training"}
    page = (run / "report/index.html").read_text()
    assert str(finished_run / "encoder") in page
    assert "top-1" not in page
    assert segclr("validate", str(run)).returncode == 0
    assert "train: all 1 parts found done" in segclr("run", str(tmp_path / "config.yaml")).stderr
    refused = segclr("cubes", "--config", str(tmp_path / "config.yaml"))
    assert refused.returncode == 2
    assert "embed.encoder is a finished encoder" in refused.stderr


def test_the_configuration_takes_network_and_cubes_from_the_encoder(tree):
    followed = follow_encoder(RunConfig(**tree))
    assert (followed.cubes.size_vx, followed.cubes.block_vx) == (16, (64, 64, 64))
    assert (followed.encoder.depth, followed.encoder.width) == (10, 0.125)
    assert follow_encoder(followed) == followed


def test_a_plan_counts_no_training(tree):
    plan = plan_run(RunConfig(**tree))
    assert all(plan[key].value.expected == 0 for key in ("pairs", "cubes_to_store", "cubes_to_train"))
    assert plan["cubes_to_embed"].value.expected > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder": {"depth": 18}}, "section encoder describes another network"),
        ({"cubes": {"size_vx": 17}}, "cubes.size_vx is 17.*was trained on 16: leave it out"),
        ({"cubes": {"content": "mask"}}, "cubes.content is mask.*was trained on masked"),
        ({"voxel_size_nm": [34, 32, 40]}, "34 x 32 x 40 nm: set volume.voxel_size_nm to the encoder's"),
    ],
)
def test_what_does_not_fit_the_encoder_is_refused(tree, change, message):
    size = change.pop("voxel_size_nm", None)
    if size:
        change["volume"] = {**tree["volume"], "voxel_size_nm": size}
    with pytest.raises(ConfigError, match=message):
        follow_encoder(RunConfig(**(tree | change)))


def test_an_encoder_that_is_not_there_is_named(tree, tmp_path):
    tree["embed"]["encoder"] = str(tmp_path / "nowhere")
    with pytest.raises(MissingDataError, match="nowhere"):
        follow_encoder(RunConfig(**tree))


def test_a_distillation_makes_an_encoder_and_is_given_none(tree):
    with pytest.raises(ValueError, match=r"embed\.encoder is a finished encoder, distill makes a new one"):
        RunConfig(**(tree | {"distill": {"teacher": tree["embed"]["encoder"]}}))
