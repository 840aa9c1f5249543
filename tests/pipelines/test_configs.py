"""The configurations that come with the package load, fit together and can be planned offline."""

import re
from pathlib import Path

import pytest

from pipelines.packaged import packaged_config
from pipelines.plan import plan_run
from pipelines.plan_encoder import encoder_tree
from segclr.config import load_config
from segclr.geometry import BoundingBox
from segclr.plan import Extent

NAMES = ("benchmark", "demo", "distill", "fib25", "h01", "microns", "notebooks")
PAPER = {"h01": ((32, 32, 33), 355_200, 10), "microns": ((32, 32, 40), 216_000, 25)}


@pytest.fixture(params=NAMES)
def config(request):
    return load_config(packaged_config(request.param))


def a_cubic_millimetre(run):
    """Extents as metadata of a cortex volume would tell them; nothing is opened."""
    size = run.volume.voxel_size_nm
    edge = tuple(int(1e6 / s) for s in size)
    box = BoundingBox((0, 0, 0), edge)
    return Extent(box, size, (128, 128, 32), 1), Extent(box, size, (128, 128, 32), 8)


def test_every_config_can_be_planned(config, monkeypatch):
    if config.volume is not None:
        monkeypatch.setattr("pipelines.plan.volume_extents", a_cubic_millimetre)
    plan = plan_run(config)
    assert plan["nodes"].value.expected > 1000
    assert plan["cubes_to_train"].value.expected == config.train.steps * 2 * config.train.batch_pairs


def test_every_encoder_takes_its_cubes_and_can_be_told(config):
    tree = encoder_tree(config)
    assert tree["gflop"] > 0
    assert all(min(part["shape"]) >= 1 for part in tree["parts"])
    stages = [part["shape"] for part in tree["parts"] if part["name"].startswith("stage")]
    assert min(stages[-1][1:]) >= 2  # a stage of one voxel would be wasted
    assert tree["size_vx"] == config.cubes.size_vx


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_values_are_the_papers(name):
    config = load_config(packaged_config(name))
    voxel_nm, steps, radius_um = PAPER[name]
    assert config.volume.voxel_size_nm == voxel_nm
    assert (config.cubes.size_vx, config.encoder.family, config.encoder.embedding_dim) == (129, "legacy", 64)
    assert (config.train.steps, config.train.temperature, config.train.optimizer) == (steps, 0.1, "lars")
    assert config.train.learning_rate == 0.01
    augment = config.train.augment
    assert augment.axis_permutations
    assert augment.flips
    assert (augment.contrast, augment.brightness) == ((0.75, 1.25), (-0.25, 0.25))
    assert augment.log2_gamma == (-1, 1)
    assert radius_um in config.aggregate.radii_um


@pytest.mark.parametrize("name", PAPER)
def test_what_is_open_is_marked_as_a_choice(name):
    text = Path(packaged_config(name)).read_text().splitlines()
    lines = {match[1]: line for line in text if (match := re.match(r"\s*(\w+):", line))}
    for key in ("max_distance_nm", "batch_pairs", "weight_decay", "shift_vx", "metrics", "n_pairs"):
        assert "[choice" in lines[key], key
    for key in ("size_vx", "steps", "temperature", "contrast", "radii_um"):
        assert "[paper" in lines[key], key


def test_the_distilled_encoder_sees_the_demos_cubes():
    demo, distill = (load_config(packaged_config(name)) for name in ("demo", "distill"))
    assert distill.distill.teacher == f"{demo.run}/encoder"
    assert (distill.cubes, distill.tissue, distill.pairs) == (demo.cubes, demo.tissue, demo.pairs)
    assert distill.encoder.embedding_dim == demo.encoder.embedding_dim
    small, big = (encoder_tree(c)["gflop"] for c in (distill, demo))
    assert small < big / 5
