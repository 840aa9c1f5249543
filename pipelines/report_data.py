"""Sections of the report on what went in and what the encoder made of it: volume, embeddings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.aggregate import read_aggregated
from pipelines.classify import encoders_of, node_classes, tasks_of
from pipelines.cubes import cube_summary
from pipelines.nodes import nodes_left
from pipelines.pairs import held_out_segments
from pipelines.run import TRAINED, Run
from segclr.data.cubes import cut_cubes
from segclr.data.nodes import NodeTable
from segclr.data.volume import Volume
from segclr.explore import describe_collapse, project
from segclr.geometry import BoundingBox, voxels_of_points
from segclr.view import (
    OTHER,
    Illustration,
    Section,
    SliceView,
    Table,
    embedding_columns,
    figure_cubes,
    figure_embedding,
    figure_slices,
)

__all__ = ["collapse_warnings", "embedding_section", "tissue_section"]

_N_EXAMPLES = 6
_MOST_POINTS = 4000


def tissue_section(run: Run, nodes: NodeTable) -> Section:
    """What was read, and what the encoder sees of it at some nodes."""
    em, segmentation = run.open_volumes()
    random = np.random.default_rng([run.config.seed, 0xF16])
    classes = _classes(run, nodes)
    rows = _one_of_each(classes, random)
    size = run.config.cubes.size_vx
    half = int(1.5 * size)
    titles = [f"{classes[row]}\n{nodes.segment_ids[row]}".strip() for row in rows]
    views = []
    for row, title in zip(rows, titles, strict=True):
        x, y, z = voxels_of_points(nodes.points_nm[row], em.voxel_size_nm)[0].tolist()
        box = BoundingBox((x - half, y - half, z), (x + half, y + half, z + 1))
        mask = segmentation.read(box)[0] == nodes.segment_ids[row]
        views.append(SliceView(em.read(box)[0], mask, em.voxel_size_nm[:2], title))
    cubes = cut_cubes(
        em,
        segmentation,
        nodes.points_nm[rows],
        nodes.segment_ids[rows],
        size_vx=size,
        content=run.config.cubes.content,
        rounding=run.config.cubes.rounding,
    )
    numbers = {
        "segment_id": [str(i) for i in nodes.segment_ids[rows]],
        "node_id": nodes.node_ids[rows].tolist(),
        "class": classes[rows].tolist(),
        "x_nm": nodes.points_nm[rows, 0].tolist(),
        "y_nm": nodes.points_nm[rows, 1].tolist(),
        "z_nm": nodes.points_nm[rows, 2].tolist(),
        "occupancy": (cubes > 0).mean(axis=(1, 2, 3)).tolist(),
    }
    places = Illustration(
        name="places",
        figure=figure_slices(views),
        caption="EM around some nodes in the xy plane, with class (where known) and segment id; the node's "
        "own segment is tinted, the cross is the node; black beyond the volume.",
        alt=f"{len(rows)} EM slices with one segment tinted in each",
        columns=numbers,
    )
    masked = Illustration(
        name="cubes",
        figure=figure_cubes(cubes, voxel_size_nm=em.voxel_size_nm, titles=titles),
        caption=f"The encoder's input at the same nodes: central slices of the cubes of {size} voxels on a "
        "side, black where another segment is and beyond the volume.",
        alt="central slices of the masked cubes in three planes",
        columns=numbers,
    )
    volumes = Table(
        caption="Volumes, at the scale that is read",
        header=("volume", "where", "voxels (x, y, z)", "voxel size in nm", "type", "size decoded"),
        rows=[_facts(run, "EM", em), _facts(run, "segmentation", segmentation)],
    )
    made = ["The tissue is made, not real EM."] if run.config.volume is None else []
    tables = [volumes, *_stored_cubes(run)]
    return Section(title="Volume and cubes", paragraphs=made, tables=tables, figures=[places, masked])


def _stored_cubes(run: Run) -> list[Table]:
    """How full and how grey the stored cubes are; none where training reads the volume."""
    summary = cube_summary(run)
    if not summary:
        return []
    caption = "Stored cubes: share of voxels that are not background, and their grey (0 to 255)"
    header = tuple(name.replace("_", " ") for name in summary)
    return [Table(caption=caption, header=header, rows=[tuple(summary.values())])]


def _facts(run: Run, name: str, volume: Volume) -> tuple[str, ...]:
    size, box = volume.voxel_size_nm, volume.bounds
    n_bytes = box.n_voxels * volume.dtype.itemsize
    _, within, below = volume.url.partition(run.url)
    return (
        name,
        f"{below.strip('/')} in the run's folder" if within else volume.url,
        " x ".join(f"{n:,}" for n in box.size),
        " x ".join(f"{v:g}" for v in size),
        str(volume.dtype),
        f"{n_bytes / 1e6:,.1f} MB",
    )


def _classes(run: Run, nodes: NodeTable) -> NDArray[np.str_]:
    """Class of each node by the run's first kind of label, "" where it has none."""
    task = next((t for t in tasks_of(run) if t != "retrieval"), None)
    return node_classes(run, task, nodes) if task else np.full(len(nodes), "")


def _one_of_each(classes: NDArray[np.str_], random: np.random.Generator) -> list[int]:
    """A few rows that show every class."""
    names = np.unique(classes)
    order = random.permutation(len(classes))
    chosen = [int(order[classes[order] == name][0]) for name in names][:_N_EXAMPLES]
    rest = [int(i) for i in order if int(i) not in chosen]
    return chosen + rest[: max(0, _N_EXAMPLES - len(chosen))]


def embedding_section(run: Run, nodes: NodeTable) -> Section:
    """Principal components of held-out nodes: what training never saw."""
    rows = _held_out_rows(run, nodes)
    shown = nodes.take(rows)
    projections = {
        which.name: project(
            read_aggregated(run, which, metric="euclidean", radius_um=0).embeddings[rows],
            seed=run.config.seed,
        )
        for which in encoders_of(run)
    }
    labelled = len(tasks_of(run)) > 1
    classes = _classes(run, nodes)[rows] if labelled else _largest_segments(shown.segment_ids)
    grey = "nodes without a label" if labelled else "all but the largest segments"
    figure = Illustration(
        name="embeddings",
        figure=figure_embedding(projections, classes=np.where(classes == "", OTHER, classes)),
        caption=f"First two principal components of the embeddings of {len(rows):,} nodes on "
        f"{len(np.unique(shown.segment_ids)):,} held-out cells, none of them seen in training"
        + (f"; grey: {grey}" if {"", OTHER} & set(classes.tolist()) else "")
        + ". Each panel has axes of its own.",
        alt="scatter of held-out embeddings, one panel an encoder, coloured by class",
        columns=embedding_columns(projections, classes=classes),
    )
    return Section(title="Embeddings", figures=[figure])


def collapse_warnings(run: Run) -> list[str]:
    """What to say above all else where the trained encoder has collapsed."""
    rows = _held_out_rows(run, nodes_left(run))
    table = read_aggregated(run, TRAINED, metric="euclidean", radius_um=0)
    what = describe_collapse(table.embeddings[rows], seed=run.config.seed)
    if not what:
        return []
    return [
        f"the encoder has collapsed: {what}. Scores of the trained encoder mean nothing. Train it again in "
        "another run folder, with a lower train.learning_rate, a larger train.batch_pairs or milder "
        "train.augment."
    ]


def _held_out_rows(run: Run, nodes: NodeTable) -> NDArray[np.int64]:
    """Some rows of nodes on held-out segments, ascending."""
    random = np.random.default_rng([run.config.seed, 0x5CA7])
    held_out = np.array(sorted(held_out_segments(run)), dtype=np.uint64)
    rows = np.flatnonzero(np.isin(nodes.segment_ids, held_out))
    return np.sort(random.permutation(rows)[:_MOST_POINTS])


def _largest_segments(ids: NDArray[np.uint64]) -> NDArray[np.str_]:
    unique, counts = np.unique(ids, return_counts=True)
    largest = set(unique[np.argsort(-counts, kind="stable")][:6].tolist())
    return np.array([str(i) if i in largest else OTHER for i in ids.tolist()])
