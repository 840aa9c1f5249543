"""The whole story of a run, stage after stage: ``segclr run`` and ``segclr demo``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pipelines.array import WHOLE, Share
from pipelines.blocks import Stage, run_stage
from pipelines.busy import run_held
from pipelines.cluster import Executors
from pipelines.embed import check_complete
from pipelines.labels import check_labels
from pipelines.lost import LostPart
from pipelines.planned import planned_stages
from pipelines.run import TRAINED, UNTRAINED, Run, open_run, run_folder
from segclr.config import RunConfig
from segclr.errors import ConfigError, LostNodesError

__all__ = ["STAGES", "run_all", "run_distillation", "run_one"]

Steps = Iterator[Stage]


def _skeletons(run: Run) -> Steps:
    if run.config.skeletons.source == "url":
        from pipelines.import_skeletons import import_skeletons_stage

        yield import_skeletons_stage(run)
        return
    from pipelines.skeletonize import (
        census_stage,
        fragments_stage,
        precomputed_stage,
        sizes_stage,
        skeletonize_stage,
    )

    yield census_stage(run)
    yield sizes_stage(run)
    yield fragments_stage(run)
    yield skeletonize_stage(run)
    if run.config.skeletons.precomputed != "none":
        yield precomputed_stage(run)


def _tissue(run: Run) -> Steps:
    from pipelines.tissue import tissue_stage

    yield tissue_stage(run)


def _nodes(run: Run) -> Steps:
    from pipelines.node_blocks import gather_stage, scatter_stage
    from pipelines.nodes import check_nodes, nodes_stage, place_stage, snap_stage

    yield place_stage(run)
    yield snap_stage(run)
    yield nodes_stage(run)
    check_nodes(run)
    yield scatter_stage(run)
    yield gather_stage(run)


def _pairs(run: Run) -> Steps:
    from pipelines.pairs import draw_stage, pairs_stage, segments_stage

    yield segments_stage(run)
    if run.config.trains:
        yield draw_stage(run)
        yield pairs_stage(run)


def _cubes(run: Run) -> Steps:
    from pipelines.cubes import cubes_stage

    if run.config.trains and run.config.data.source == "store":
        yield cubes_stage(run)


def _train(run: Run) -> Steps:
    if run.config.embed.encoder is not None:
        from pipelines.train import given_encoder_stage

        yield given_encoder_stage(run, run.config.embed.encoder)
        return
    if run.config.distill is not None:
        from pipelines.distill import distill_stage

        yield distill_stage(run, run.config.distill)
        return
    from pipelines.train import train_stage

    yield train_stage(run)


def _embed(run: Run) -> Steps:
    from pipelines.embed import batch_size_stage, compact_stage, embed_stage

    auto = run.config.embed.batch_size == "auto"
    if auto:
        yield batch_size_stage(run, TRAINED)
    yield embed_stage(run, TRAINED)
    yield compact_stage(run, TRAINED)
    check_complete(run, TRAINED)
    if run.config.evaluate.untrained_baseline:
        from pipelines.train import untrained_stage

        yield untrained_stage(run)
        if auto:
            yield batch_size_stage(run, UNTRAINED)
        yield embed_stage(run, UNTRAINED)
        yield compact_stage(run, UNTRAINED)
        check_complete(run, UNTRAINED)


def _aggregate(run: Run) -> Steps:
    from pipelines.aggregate import aggregate_stage

    yield aggregate_stage(run, TRAINED)
    if run.config.evaluate.untrained_baseline:
        yield aggregate_stage(run, UNTRAINED)


def _evaluate(run: Run) -> Steps:
    from pipelines.classify import evaluate_stage
    from pipelines.features import features_stage

    if run.config.evaluate.forest_baseline:
        yield features_stage(run)
    yield evaluate_stage(run)


def _report(run: Run) -> Steps:
    if run.config.benchmark is not None:
        from pipelines.benchmark import open_benchmark
        from pipelines.benchmark_report import benchmark_report_stage

        yield benchmark_report_stage(open_benchmark(run))
        return
    from pipelines.report import report_stage

    yield report_stage(run)


STAGES: dict[str, Callable[[Run], Steps]] = {
    "tissue": _tissue,
    "skeletonize": _skeletons,
    "nodes": _nodes,
    "pairs": _pairs,
    "cubes": _cubes,
    "train": _train,
    "embed": _embed,
    "aggregate": _aggregate,
    "evaluate": _evaluate,
    "report": _report,
}
"""The stages of each command, in the order of the story. A stage is described when the one before is done."""


def _wanted(config: RunConfig) -> list[str]:
    """The commands a configuration needs: made tissue brings its own skeletons."""
    skipped = set()
    if config.tissue is None:
        skipped.add("tissue")
    if config.skeletons.source == "tissue":
        skipped.add("skeletonize")
    return [name for name in STAGES if name not in skipped]


def run_all(config: RunConfig, share: Share = WHOLE) -> Run:
    """Do what is missing of every stage; answers the run.

    Args:
        config: of the run.
        share: of the parts, in an array of processes.

    Raises:
        ConfigError: there is no EM: not every stage can be done.
        LostNodesError: all is done, without parts that were set aside.
    """
    if config.volume is not None and config.volume.em is None:
        msg = "a whole run needs volume.em; without it: segclr skeletonize, segclr nodes, segclr pairs"
        raise ConfigError(msg)
    if config.benchmark is not None:
        from pipelines.benchmark import run_benchmark

        return run_benchmark(config, share)
    return _run(config, _wanted(config), share)


def run_distillation(config: RunConfig) -> Run:
    """Do what is missing up to the distilled encoder.

    Raises:
        ConfigError: the configuration has no teacher.
        LostNodesError: all is done, without parts that were set aside.
    """
    if config.distill is None:
        msg = "there is no distill section: set distill.teacher to the URL of the encoder to learn from"
        raise ConfigError(msg)
    wanted = _wanted(config)
    return _run(config, wanted[: wanted.index("train") + 1], WHOLE)


def run_one(config: RunConfig, command: str, share: Share = WHOLE) -> Run:
    """Do what is missing of one command's stages.

    Raises:
        LostNodesError: all is done, without parts that were set aside.
    """
    return _run(config, [command], share)


def _check_device(config: RunConfig) -> None:
    """Refuse a device that is not here, where the work is done here."""
    if config.embed.device not in ("auto", "cpu") and config.cluster.kind in ("none", "local"):
        from segclr.model import resolve_device

        resolve_device(config.embed.device)


def _check_skeletons(config: RunConfig, commands: list[str]) -> None:
    if config.skeletons.source == "tissue":
        if config.tissue is None:
            msg = "skeletons.source is tissue, but there is no tissue section; use kimimaro"
            raise ConfigError(msg)
        if "skeletonize" in commands:
            msg = "skeletons.source is tissue: made tissue brings its skeletons; `segclr nodes` comes next"
            raise ConfigError(msg)


def _check_encoder(config: RunConfig, commands: list[str]) -> None:
    """Refuse to prepare a training that will not be, where that alone was asked for."""
    if not config.trains and commands == ["cubes"]:
        msg = (
            "embed.encoder is a finished encoder, so nothing is trained and no cubes are stored: segclr embed"
        )
        raise ConfigError(msg)


def _run(config: RunConfig, commands: list[str], share: Share) -> Run:
    _check_skeletons(config, commands)
    _check_encoder(config, commands)
    _check_device(config)
    lost: list[LostPart] = []
    with run_held(run_folder(config), shared=not share.is_whole):  # before run.yaml is written
        run = open_run(config)
        check_labels(run)
        with Executors(config.cluster, share) as executors:
            for command in commands:
                for stage in planned_stages(run, command, STAGES[command](run), share):
                    lost += run_stage(run, stage, executors).lost
    if lost:
        raise LostNodesError(_tell(run, lost))
    return run


def _tell(run: Run, lost: Sequence[LostPart]) -> str:
    stages = dict.fromkeys(part.stage for part in lost)
    counts = (
        f"{stage} {sum(p.stage == stage for p in lost)} parts"
        f" ({sum(p.n_nodes for p in lost if p.stage == stage)} nodes)"
        for stage in stages
    )
    return (
        f"done, but without what was set aside: {', '.join(counts)}; first {lost[0].stage} {lost[0]}. "
        f"`segclr status {run.url}` lists all with their reasons, lost/ the nodes; "
        "--set cluster.retry_lost=true tries them again"
    )
