"""Stage ``tissue``: made neuropil with ground truth, one part a block."""

from __future__ import annotations

import functools

from pipelines.blocks import Stage
from pipelines.records import Outcome
from pipelines.run import Run
from segclr.config import TissueConfig, digest
from segclr.data.neuropil import create_volumes, make_block, write_block
from segclr.errors import ConfigError

__all__ = ["tissue_stage"]


def tissue_stage(run: Run) -> Stage:
    """One part for each block of the tissue.

    Raises:
        ConfigError: the run has no tissue section.
    """
    tissue = run.config.tissue
    if tissue is None:
        msg = "this run makes no tissue: its configuration has no tissue section"
        raise ConfigError(msg)
    create_volumes(tissue, run.path("tissue"))
    parts = [f"block-{i:04d}" for i in range(tissue.n_blocks)]
    inputs = {"tissue": digest(tissue), "seed": str(run.config.seed)}
    return Stage("tissue", parts, functools.partial(_make, run, tissue), inputs)


def _make(run: Run, tissue: TissueConfig, part: str) -> Outcome:
    block = make_block(tissue, seed=run.config.seed, block=int(part.removeprefix("block-")))
    written = write_block(block, run.path("tissue"))
    names = tuple(u.removeprefix(f"{run.url}/") for u in written)
    return Outcome(names, rows=len(block.skeletons), counts={"synapses": len(block.synapses)})
