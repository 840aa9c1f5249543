"""A benchmark is several runs; what it asks across them is answered from their rows."""

import pandas as pd
import pytest

from pipelines.array import Share
from pipelines.benchmark import open_benchmark, run_benchmark
from pipelines.benchmark_rows import labels_to_reach
from pipelines.run import open_run
from segclr.config import RunConfig, load_config
from segclr.errors import ConfigError
from segclr.model.encoder import Encoder
from tests.pipelines.conftest import segclr


@pytest.fixture
def config(tmp_path) -> RunConfig:
    return load_config("configs/benchmark.yaml", [f"run={tmp_path / 'bench'}"])


def test_test_tissues_are_others_and_take_the_training_runs_encoder(config):
    training = open_run(config.model_copy(update={"run": f"{config.run}/training", "benchmark": None}))
    encoder = Encoder.untrained(
        config.encoder, voxel_size_nm=config.tissue.voxel_size_nm, size_vx=config.cubes.size_vx, seed=0
    )
    encoder.save(training.path("encoder"))
    bench = open_benchmark(open_run(config))
    seeds = [run.config.seed for run in bench.tests.values()]
    assert seeds == list(config.benchmark.test_seeds)
    assert config.seed not in seeds
    assert {run.config.embed.encoder for run in bench.tests.values()} == {training.path("encoder")}
    assert {run.config.tissue.n_blocks for run in bench.tests.values()} == {config.benchmark.test_blocks}
    assert not any(run.config.evaluate.untrained_baseline for run in bench.tests.values())


def test_the_fewest_labels_that_reach_the_supervised_network():
    rows = [
        {"method": "trained", "n_labels": n, "macro_f1": f}
        for n, scores in {30: (0.3, 0.5), 100: (0.6, 0.62), 300: (0.8, 0.7)}.items()
        for f in scores
    ]
    rows += [{"method": "supervised", "n_labels": n, "macro_f1": f} for n, f in ((100, 0.4), (5000, 0.61))]
    frame = pd.DataFrame(rows)
    assert labels_to_reach(frame) == (100, 5000)
    assert labels_to_reach(frame, n_supervised=100) == (30, 100)
    better = frame.assign(macro_f1=frame["macro_f1"].where(frame["method"] == "trained", 0.9))
    assert labels_to_reach(better) == (None, 5000)


def test_a_benchmark_is_not_divided_into_shares(config):
    with pytest.raises(ConfigError, match="not divided by --part"):
        run_benchmark(config, Share(0, 2))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("benchmark.test_seeds=[0,1]", "seed 0 makes the tissue that is trained on"),
        ("benchmark.test_seeds=[1,1]", "must differ"),
        ("embed.encoder=elsewhere", "trains on made tissue"),
        ("tissue=null", "trains on made tissue|give either a volume or a tissue"),
    ],
)
def test_what_would_not_be_a_benchmark_is_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        load_config("configs/benchmark.yaml", [override])


def test_quick_is_for_benchmarks_alone():
    refused = segclr("run", "configs/demo.yaml", "--quick")
    assert refused.returncode == 2
    assert "--quick is for a benchmark" in refused.stderr
