"""The benchmark: one run made of several, and what is judged across them.

training/              trains the encoder on its tissue
training-mask/, -em/   the same with cubes of the mask alone, or of the EM without mask, as far as the encoder
training/supervised-N  networks trained on N labels of the training tissue, one on all
test-201/ ...          other tissues, embedded with every encoder; so is the training tissue
evaluation/, report/   classifiers fitted on the training tissue, judged on the others

Each is a run like any other (``segclr status runs/benchmark/training``), so a killed benchmark goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pipelines.array import WHOLE, Share
from pipelines.blocks import Stage, run_stage
from pipelines.busy import run_held
from pipelines.cluster import Executors
from pipelines.records import stage_digest
from pipelines.run import TRAINED, UNTRAINED, EmbeddingSet, Run, open_run, run_folder
from pipelines.workflow import STAGES
from segclr.config import BenchmarkConfig, EmbedConfig, RunConfig
from segclr.errors import ConfigError

__all__ = ["EM_ALONE", "MASK_ALONE", "Benchmark", "open_benchmark", "run_benchmark", "supervised_set"]

MASK_ALONE = EmbeddingSet("mask alone", "mask")
EM_ALONE = EmbeddingSet("EM without mask", "em")

_PREPARE = ("tissue", "nodes", "pairs", "cubes", "train")
_EMBED = ("embed", "aggregate")


def supervised_set(n_labels: int | None) -> EmbeddingSet:
    """Names of the network trained on so many labels; None: on all."""
    number = "all" if n_labels is None else str(n_labels)
    return EmbeddingSet(f"supervised, {number} labels", f"supervised-{number}")


@dataclass(frozen=True)
class Benchmark:
    """The runs of a benchmark.

    Attributes:
        top: the folder that holds them, with what was found.
        training: whose tissue encoders and classifiers are trained on.
        tests: runs on other tissues, by seed.
    """

    top: Run
    training: Run
    tests: dict[int, Run]

    @property
    def config(self) -> BenchmarkConfig:
        """How it is done."""
        assert self.top.config.benchmark is not None
        return self.top.config.benchmark

    @property
    def supervised(self) -> dict[int | None, EmbeddingSet]:
        """The supervised networks by their number of labels; None: all."""
        return {n: supervised_set(n) for n in (*self.config.supervised_labels, None)}

    @property
    def others(self) -> tuple[EmbeddingSet, ...]:
        """What every tissue is embedded with besides the trained and the untrained encoder."""
        return (MASK_ALONE, EM_ALONE, *self.supervised.values())


def run_benchmark(config: RunConfig, share: Share = WHOLE) -> Run:
    """Do what is missing of every run of a benchmark, judge, and report; answers the top folder as a run.

    Raises:
        ConfigError: it is asked for by shares, or no benchmark is configured.
        StageFailedError: a part failed for good: nothing is left out of a comparison.
    """
    if not share.is_whole:
        msg = "a benchmark is not divided by --part: give it workers, such as --cluster slurm"
        raise ConfigError(msg)
    with run_held(run_folder(config), shared=False):
        top = open_run(config)
        with Executors(config.cluster, share) as executors:
            for run, stage in _steps(top):
                run_stage(run, replace(stage, without=None), executors)
    return top


def open_benchmark(top: Run) -> Benchmark:
    """The runs of a benchmark whose encoders are trained."""
    config = top.config.benchmark
    if config is None:
        msg = f"{top.url} is no benchmark: its configuration has no section benchmark"
        raise ConfigError(msg)
    training = open_run(_training(top, "training"))
    tests = {seed: open_run(_test(top, training, seed)) for seed in config.test_seeds}
    return Benchmark(top, training, tests)


def _training(top: Run, name: str, **cubes: str) -> RunConfig:
    """The run that is configured, or one with other cubes, in a folder of the benchmark's."""
    config = top.config
    return config.model_copy(
        update={
            "name": f"{config.name}: {name}",
            "run": top.path(name),
            "benchmark": None,
            "cubes": config.cubes.model_copy(update=cubes),
        }
    )


def _test(top: Run, training: Run, seed: int) -> RunConfig:
    """Other tissue, embedded with the encoders of the training run."""
    base, benchmark = training.config, top.config.benchmark
    assert base.tissue is not None
    assert benchmark is not None
    given = {"encoder": training.path(TRAINED.folder("encoder"))}
    return base.model_copy(
        update={
            "name": f"{top.config.name}: test {seed}",
            "run": top.path(f"test-{seed}"),
            "seed": seed,
            "tissue": base.tissue.model_copy(update={"n_blocks": benchmark.test_blocks}),
            "embed": EmbedConfig.model_validate(base.embed.model_dump() | given),
            # its own untrained encoder would be another one, of another seed
            "evaluate": base.evaluate.model_copy(update={"untrained_baseline": False}),
        }
    )


def _steps(top: Run) -> Iterator[tuple[Run, Stage]]:
    """Every stage with its run, described when the ones before are done."""
    from pipelines.benchmark_judge import judge_stage
    from pipelines.benchmark_report import benchmark_report_stage
    from pipelines.supervised import supervised_stage

    training = open_run(_training(top, "training"))
    yield from _of_commands(training, (*_PREPARE, *_EMBED))
    urls = {}
    for which, content in ((MASK_ALONE, "mask"), (EM_ALONE, "em")):
        other = open_run(_training(top, f"training-{content}", content=content))
        yield from _of_commands(other, _PREPARE)
        urls[which] = other.path(TRAINED.folder("encoder"))
    bench = open_benchmark(top)
    yield training, supervised_stage(training, tuple(bench.supervised))
    for which in bench.supervised.values():
        urls[which] = training.path(which.folder("encoder"))
    for run in bench.tests.values():
        yield from _of_commands(run, (*_PREPARE, *_EMBED))
    yield from _of_encoders(training, urls)
    urls[UNTRAINED] = training.path(UNTRAINED.folder("encoder"))
    for run in bench.tests.values():
        yield from _of_encoders(run, urls)
    yield top, judge_stage(bench, _judged(bench))
    yield top, benchmark_report_stage(bench)


def _of_commands(run: Run, commands: tuple[str, ...]) -> Iterator[tuple[Run, Stage]]:
    for command in commands:
        for stage in STAGES[command](run):
            yield run, stage


def _of_encoders(run: Run, urls: dict[EmbeddingSet, str]) -> Iterator[tuple[Run, Stage]]:
    """Embeddings of a tissue with other encoders than its own, and the ten features."""
    from pipelines.aggregate import aggregate_stage
    from pipelines.embed import batch_size_stage, check_complete, compact_stage, embed_stage
    from pipelines.features import features_stage
    from pipelines.train import given_encoder_stage

    yield run, features_stage(run)
    for which, url in urls.items():
        if url != run.path(which.folder("encoder")):
            yield run, given_encoder_stage(run, url, which)
        if run.config.embed.batch_size == "auto":
            yield run, batch_size_stage(run, which)
        yield run, embed_stage(run, which)
        yield run, compact_stage(run, which)
        check_complete(run, which)
        yield run, aggregate_stage(run, which)


def _judged(bench: Benchmark) -> dict[str, str]:
    """Digests of all that is judged."""
    found = {}
    for name, run in {"training": bench.training, **{f"test-{s}": r for s, r in bench.tests.items()}}.items():
        for which in (TRAINED, UNTRAINED, *bench.others):
            stage = which.stage("aggregate")
            found[f"{name}/{stage}"] = stage_digest(run.url, stage)
        found[f"{name}/features"] = stage_digest(run.url, "features")
    return found
