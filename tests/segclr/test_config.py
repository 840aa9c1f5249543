from pathlib import Path

import pytest
import yaml

from segclr import files
from segclr.config import (
    AugmentConfig,
    EncoderConfig,
    NodeConfig,
    PairConfig,
    RunConfig,
    TrainConfig,
    digest,
    load_config,
)
from segclr.errors import ConfigError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
MINIMAL = {"name": "n", "run": "r", "tissue": {}}


@pytest.fixture
def written(tmp_path):
    def write(tree):
        text = tree if isinstance(tree, str) else yaml.safe_dump(tree)
        path = tmp_path / "a config.yaml"
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.name)
def test_every_config_of_the_repository_loads(path):
    assert isinstance(load_config(str(path)), RunConfig)


def test_there_are_configs_to_load():
    assert CONFIGS


def test_attention_and_another_weighting_exclude_each_other(written):
    with pytest.raises(ConfigError, match="weighting must be uniform"):
        load_config(written({**MINIMAL, "aggregate": {"attention": "a", "weighting": "gaussian"}}))


def test_an_unknown_key_is_named_with_its_section(written):
    with pytest.raises(ConfigError, match=r"train\.step: unknown key"):
        load_config(written({**MINIMAL, "train": {"step": 3}}))


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("train", "steps", "many"),
        ("train", "steps", 1.5),
        ("train", "steps", True),
        ("train", "learning_rate", False),
        ("train", "learning_rate", float("nan")),
        ("train", "learning_rate", float("inf")),
        ("train", "learning_rate", 1e38),
        ("train", "weight_decay", 1e7),
        ("cubes", "size_vx", [1, 2]),
        ("cubes", "block_vx", [0, 1, 1]),
        ("cubes", "block_vx", [64, 64]),
        ("encoder", "depth", 19),
        ("aggregate", "radii_um", [-1.0]),
        ("aggregate", "metrics", ["manhattan"]),
        ("aggregate", "weighting", "linear"),
        ("evaluate", "retrieval_exclusion_nm", [-400]),
        ("cluster", "kind", "cloud"),
        ("tissue", "voxel_size_nm", [8, 8, 0]),
        ("nodes", "spacing_nm", 0),
    ],
)
def test_a_value_of_the_wrong_kind_or_range_is_refused_by_its_key(written, section, key, value):
    with pytest.raises(ConfigError, match=rf"{section}\.{key}"):
        load_config(written({**MINIMAL, section: {key: value}}))


@pytest.mark.parametrize("seed", [-1, 2**31, 2**64])
def test_a_seed_that_not_every_generator_takes_is_refused(written, seed):
    with pytest.raises(ConfigError, match="seed"):
        load_config(written({**MINIMAL, "seed": seed}))


def test_all_mistakes_are_reported_at_once(written):
    tree = {"run": "r", "tissue": {}, "train": {"steps": -1, "lr": 1}, "cubes": {"size_vx": "big"}}
    with pytest.raises(ConfigError) as caught:
        load_config(written(tree))
    message = str(caught.value)
    assert all(part in message for part in ("name", "train.steps", "train.lr: unknown key", "cubes.size_vx"))
    assert "got -1" in message
    assert "\n" not in message


def test_a_volume_without_a_positive_voxel_size_is_refused(written):
    tree = {"name": "n", "run": "r", "volume": {"em": "a", "segmentation": "b", "voxel_size_nm": [0, 8, 8]}}
    with pytest.raises(ConfigError, match=r"volume\.voxel_size_nm"):
        load_config(written(tree))


def test_neither_volume_nor_tissue_is_refused(written):
    with pytest.raises(ConfigError, match="volume or a tissue"):
        load_config(written({"name": "n", "run": "r"}))


def test_a_shift_beyond_the_stored_margin_is_refused(written):
    tree = {**MINIMAL, "cubes": {"margin_vx": 2}, "train": {"augment": {"shift_vx": 3}}}
    with pytest.raises(ConfigError, match=r"shift_vx is 3.*margin_vx 2"):
        load_config(written(tree))
    tree["cubes"]["margin_vx"] = 3
    assert load_config(written(tree)).train.augment.shift_vx == 3


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("train", "loss", "vicreg"),
        ("train", "devices", 2),
        ("monitor", "probe_every", 10),
        ("monitor", "tensorboard", True),
    ],
)
def test_what_a_distillation_does_not_use_is_refused_by_its_key(written, section, key, value):
    tree = {**MINIMAL, section: {key: value}}
    assert load_config(written(tree)).distill is None
    with pytest.raises(ConfigError, match=rf"does not use.*{section}\.{key} is {value}"):
        load_config(written({**tree, "distill": {"teacher": "runs/demo/encoder"}}))


@pytest.mark.parametrize("key", ["contrast", "brightness", "log2_gamma", "drop_distance"])
def test_a_range_of_an_augmentation_begins_with_the_lower_end(key):
    with pytest.raises(ValueError, match=rf"{key} must be two numbers, the lower first, got \[0.5, 0.25\]"):
        AugmentConfig(**{key: (0.5, 0.25)})


def test_pair_distances_that_allow_no_pair_are_refused():
    with pytest.raises(ValueError, match="must be below"):
        PairConfig(min_distance_nm=2000, max_distance_nm=2000)


def test_overrides_reach_nested_keys_and_hold_yaml_values(written):
    overrides = [
        "train.learning_rate=1e-3",
        "train.augment.shift_vx=0",
        "aggregate.radii_um=[0, 2.5]",
        "cubes.block_vx=[64, 32, 16]",
        "evaluate.probe_c=null",
        "evaluate.forest_baseline=no",
        "labels.compartment_names={1: axon, 2: a=b}",
        "name=a=b",
    ]
    config = load_config(written(MINIMAL), overrides)
    assert config.train.learning_rate == 1e-3
    assert config.aggregate.radii_um == (0.0, 2.5)
    assert config.cubes.block_vx == (64, 32, 16)
    assert config.evaluate.probe_c is None
    assert config.evaluate.forest_baseline is False
    assert config.labels.compartment_names == {1: "axon", 2: "a=b"}
    assert config.name == "a=b"


def test_the_last_of_two_overrides_counts_and_beats_the_file(written):
    url = written({**MINIMAL, "seed": 5})
    assert load_config(url, ["seed=6", "seed=7"]).seed == 7


@pytest.mark.parametrize("override", ["train.steps", "=3", "", "train.steps:3"])
def test_an_override_without_key_and_value_is_refused(written, override):
    with pytest.raises(ConfigError, match="key=value"):
        load_config(written(MINIMAL), [override])


@pytest.mark.parametrize(
    ("override", "expected"),
    [("train.nothing=3", "unknown key"), ("seed.x=3", "is a value"), ("train.steps=[1", "not YAML")],
)
def test_an_override_that_leads_nowhere_is_refused(written, override, expected):
    with pytest.raises(ConfigError, match=expected):
        load_config(written({**MINIMAL, "seed": 1}), [override])


@pytest.mark.parametrize("text", ["- a\n- b\n", "just text", "", "3"])
def test_yaml_that_is_not_a_mapping_is_refused(written, text):
    with pytest.raises(ConfigError, match="keys and values"):
        load_config(written(text))


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "\x07"])
def test_text_that_is_not_yaml_is_refused(written, text):
    with pytest.raises(ConfigError, match="not YAML"):
        load_config(written(text))


def test_yaml_that_would_run_code_is_refused_and_does_not_run(written, tmp_path):
    trap = tmp_path / "trap"
    with pytest.raises(ConfigError, match="not YAML"):
        load_config(written(f'name: !!python/object/apply:os.system ["touch {trap}"]\n'))
    with pytest.raises(ConfigError):
        load_config(written(MINIMAL), [f'name=!!python/object/apply:os.system ["touch {trap}"]'])
    assert not trap.exists()


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nothing"):
        load_config(str(tmp_path / "nothing.yaml"))


def test_a_saved_config_loads_as_itself(tmp_path, written):
    config = load_config(written(MINIMAL), ["train.learning_rate=3e-4", "seed=9"])
    url = str(tmp_path / "run.yaml")
    files.write_bytes(url, yaml.safe_dump(config.model_dump(mode="json")).encode())
    assert load_config(url) == config


def test_a_config_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        TrainConfig().steps = 3


def test_digests_are_equal_for_equal_values_only():
    assert digest(TrainConfig(), 3) == digest(TrainConfig(steps=1000), 3)
    different = [digest(TrainConfig()), digest(TrainConfig(steps=7)), digest(TrainConfig(), 3), digest()]
    assert len({*different, digest(EncoderConfig())}) == 5
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("volume.missing=zero", "volume.missing"),
        ("volume.timeout_s=0", "volume.timeout_s"),
        ("volume.normalize=minmax", "volume.normalize"),
        ("volume.grey_range=[5, 5]", "volume"),
        ("volume.em_channel=-1", "volume.em_channel"),
        ("volume.segmentation=precomputed://em/", "volume"),
    ],
)
def test_what_no_volume_can_be_read_by_is_refused_with_its_key(tmp_path, override, key):
    path = tmp_path / "config.yaml"
    path.write_text(
        "name: t\nrun: runs/t\nvolume: {em: 'precomputed://em', segmentation: 'precomputed://seg', "
        "voxel_size_nm: [8, 8, 40]}\n"
    )
    assert load_config(str(path)).volume.missing == "error"
    with pytest.raises(ConfigError, match=f"{key}:"):
        load_config(str(path), [override])


def test_bins_of_pairs_are_equal_or_have_the_edges_and_weights_given():
    equal = PairConfig(min_distance_nm=100, max_distance_nm=500, n_bins=2)
    assert (equal.edges_nm, equal.weights) == ((100, 300, 500), (1, 1))
    given = PairConfig(max_distance_nm=500, bin_edges_nm=(50, 70), bin_weights=(1, 0, 3))
    assert (given.edges_nm, given.weights) == ((0, 50, 70, 500), (1, 0, 3))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"bin_edges_nm": (70, 50)}, "ascend"),
        ({"bin_edges_nm": (0, 50)}, "ascend"),
        ({"bin_edges_nm": (150_000,)}, "ascend"),
        ({"bin_weights": (1, 1)}, "bin_weights must be 4"),
        ({"n_bins": 2, "bin_weights": (0, 0)}, "not all 0"),
        ({"n_bins": 2, "bin_weights": (2, -1)}, "greater than or equal to 0"),
    ],
)
def test_bins_that_cannot_be_are_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        PairConfig(**keys)


def test_a_box_of_nodes_has_its_first_corner_below_its_last():
    assert NodeConfig(box_nm=((-5, 0, 0), (1, 1, 1))).box_nm == ((-5, 0, 0), (1, 1, 1))
    with pytest.raises(ValueError, match="first corner"):
        NodeConfig(box_nm=((0, 0, 0), (1, 0, 1)))


def test_the_record_of_a_run_is_no_configuration_and_says_what_to_give(tmp_path):
    record = tmp_path / "run.yaml"
    record.write_text(yaml.safe_dump({"segclr_version": "1", "config": MINIMAL, "digest": "0"}))
    with pytest.raises(ConfigError, match=f"the record of a run: .* `run: {tmp_path}`"):
        load_config(str(record))
