"""Stage ``supervised``: networks trained on labels of nodes, the baseline of the benchmark.

One part a number of labels: an encoder, with which nodes are embedded as with any other, and its head.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from pipelines.blocks import Stage
from pipelines.classify import labels_of
from pipelines.labels import labels_digest
from pipelines.progress import Progress
from pipelines.records import Outcome, stage_digest
from pipelines.run import TRAINED, Run, missing_chunks
from pipelines.train import use_threads
from segclr import files
from segclr.classify import draw_labelled, join_labels
from segclr.config import digest
from segclr.data.cubes import cut_cubes
from segclr.store.embeddings import open_embeddings

if TYPE_CHECKING:
    from segclr.train import LabelHead

__all__ = ["read_head", "supervised_stage"]


def _folder(part: str) -> str:
    return f"supervised-{part}"


def supervised_stage(run: Run, n_labels: tuple[int | None, ...]) -> Stage:
    """One part for each number of labelled compartments; None: all of them."""
    inputs = {
        "nodes": stage_digest(run.url, "compact"),
        "labels": labels_digest(run),
        "encoder": digest(run.config.encoder),
        "train": digest(run.config.train),
        "seed": str(run.config.seed),
    }
    parts = ["all" if n is None else str(n) for n in n_labels]
    return Stage("supervised", parts, functools.partial(_train, run), inputs, alone=True)


def _train(run: Run, part: str) -> Outcome:
    from segclr.train import ArrayCubes, train_supervised

    config, em, segmentation = run.config, *run.open_volumes()
    table = open_embeddings(run.path(TRAINED.folder("embeddings"))).read_all()
    joined = join_labels(table, labels_of(run, "compartment", table))
    chosen = np.arange(len(joined.rows))
    if part != "all":
        chosen = draw_labelled(joined.classes, n=int(part), seed=config.seed)
    rows = joined.rows[chosen]
    cubes = cut_cubes(
        em,
        segmentation,
        table.points_nm[rows],
        table.segment_ids[rows],
        size_vx=config.cubes.size_vx + 2 * config.cubes.margin_vx,
        rounding=config.cubes.rounding,
    )
    use_threads(run)
    with Progress("supervised", total=config.train.steps, unit="steps") as progress:
        encoder, head = train_supervised(
            ArrayCubes(cubes),
            np.arange(len(cubes)),
            joined.classes[chosen],
            encoder=config.encoder,
            train=config.train,
            voxel_size_nm=em.voxel_size_nm,
            size_vx=config.cubes.size_vx,
            seed=config.seed,
            on_step=lambda step, _total: progress.reach(step),
        )
    folder = f"{_folder(part)}/encoder"
    encoder.save(run.path(folder))
    head.save(run.path(_folder(part), "head.json"))
    names = (f"{folder}/model.safetensors", f"{folder}/config.json", f"{_folder(part)}/head.json")
    return Outcome(names, rows=len(rows), counts=missing_chunks(em, segmentation))


def read_head(run: Run, part: str) -> LabelHead:
    """The head of a part's network."""
    from segclr.train import LabelHead

    return LabelHead.load(files.join(run.url, _folder(part), "head.json"))
