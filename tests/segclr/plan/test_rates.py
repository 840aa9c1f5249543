import json

import pytest

from segclr.config import EncoderConfig, RateConfig
from segclr.errors import ConfigError, CorruptDataError, MissingDataError
from segclr.plan import load_rates

SMALL = EncoderConfig(depth=10, width=0.25)


def encoder(name, config, *, device="cpu core", precision="float32", gflop=1.0, cubes_per_s=10.0):
    return {
        "name": name,
        "config": config.model_dump(mode="json"),
        "size_vx": 33,
        "precision": precision,
        "device": device,
        "gflop_per_cube": gflop,
        "cubes_per_s": cubes_per_s,
    }


@pytest.fixture
def rates(tmp_path):
    def load(*encoders, overrides=None, **rates):
        known = list(encoders) or [encoder("small", SMALL)]
        tree = {"machine": "m", "rates": rates, "encoders": known, "note": "kept beside"}
        (tmp_path / "rates.json").write_text(json.dumps(tree))
        return load_rates(str(tmp_path / "rates.json"), RateConfig(**(overrides or {})))

    return load


def test_the_configuration_wins_over_what_was_measured(rates):
    loaded = rates(read_mb_per_s=100, pairs_per_s=7, overrides={"read_mb_per_s": 20})
    assert (loaded["read_mb_per_s"].value, loaded["read_mb_per_s"].source) == (
        20,
        "config plan.rates.read_mb_per_s",
    )
    assert (loaded["pairs_per_s"].value, loaded["pairs_per_s"].source) == (7, "measured rate")


def test_a_rate_from_nowhere_is_told_with_its_key(rates):
    with pytest.raises(ConfigError, match=r"plan\.rates\.nodes_per_s"):
        rates()["nodes_per_s"]


def test_the_encoder_itself_comes_before_one_of_like_work(rates):
    known = rates(
        encoder("small", SMALL, gflop=2, cubes_per_s=10),
        encoder("large", EncoderConfig(), gflop=200, cubes_per_s=0.5),
        encoder("large", EncoderConfig(), gflop=200, cubes_per_s=1, precision="auto"),
    )
    same = known.encoding(SMALL, size_vx=33, precision="float32", gflop_per_cube=2)
    assert same.value == pytest.approx(20)
    assert "this encoder" in same.source
    other = known.encoding(SMALL, size_vx=129, precision="float32", gflop_per_cube=150)
    assert other.value == pytest.approx(100)
    assert "another encoder (large), scaled by FLOPs" in other.source
    auto = known.encoding(SMALL, size_vx=33, precision="auto", gflop_per_cube=2)
    assert auto.value == pytest.approx(200)


def test_no_gpu_figure_stands_in_for_another_encoder_or_for_a_core(rates):
    known = rates(encoder("small", SMALL, device="a GPU", gflop=2, cubes_per_s=500))
    assert known.gpu_encoding(SMALL, size_vx=33, precision="float32").gflop_per_s == 1000
    assert known.gpu_encoding(SMALL, size_vx=129, precision="float32") is None
    assert known.gpu_encoding(SMALL, size_vx=33, precision="auto") is None
    with pytest.raises(ConfigError, match="encode_gflop_per_s"):
        known.encoding(SMALL, size_vx=33, precision="float32", gflop_per_cube=2)


def test_an_absent_or_strange_file_is_named(tmp_path):
    with pytest.raises(MissingDataError, match=r"none\.json"):
        load_rates(str(tmp_path / "none.json"), RateConfig())
    (tmp_path / "other.json").write_text('{"machine": "m", "rates": {"speed": 3}}')
    with pytest.raises(CorruptDataError, match=r"other\.json is no file of rates: .*encoders"):
        load_rates(str(tmp_path / "other.json"), RateConfig())
