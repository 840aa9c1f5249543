"""How well merges are found: artificial ones against whole cells, none of which anything was fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segclr.aggregate.part import parent_rows
from segclr.classify.artificial_merges import Merge, draw_contacts, find_contacts, join_cells
from segclr.classify.bootstrap import N_DRAWS, Interval
from segclr.classify.merges import MergeFinder
from segclr.classify.split import check_no_leak
from segclr.data.skeleton import edge_lengths_nm
from segclr.data.tree import TICKS_PER_NM, Forest
from segclr.errors import LabelError
from segclr.store.embeddings import EmbeddingTable

__all__ = ["MergeProtocol", "MergeResult", "evaluate_merges", "ranked_above"]


@dataclass(frozen=True, kw_only=True)
class MergeProtocol:
    """How artificial merges are made and compared.

    Attributes:
        min_nodes: cells with fewer are neither merged nor compared with.
        max_gap_um: cells are joined where they come as near as this.
        per_cell: merges that one cell may be part of.
        n: most merges.
        size_ratio: sizes (nodes) of a merged and an unmerged segment count as equal up to this ratio.
        seed: of the draw of merges and of the bootstrap.
    """

    min_nodes: int = 8
    max_gap_um: float = 2.0
    per_cell: int = 4
    n: int = 1000
    size_ratio: float = 1.25
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class MergeResult:
    """How well the merges of one kind are found.

    A merged segment is larger than its cells, and the highest of more edges is higher by chance; so beside
    each area stands that of the number of nodes alone, and a comparison of equal sizes.

    Attributes:
        kind: "all", "types differ" or "types same".
        n_merged: artificial merges.
        n_unmerged: cells they are compared with.
        n_cells: cells that take part, merged or not.
        auroc: chance that a merged segment's highest edge scores above an unmerged one's.
        auroc_interval: 95 % bootstrap interval over cells; None where it cannot be told.
        size_auroc: ``auroc`` if the number of nodes were the score.
        matched_auroc: ``auroc`` over pairs of about the same number of nodes; None if there is no such pair.
        matched_interval: its interval.
        matched_size_auroc: ``matched_auroc`` if the number of nodes were the score.
        at_joint: share of merges whose highest edge is the very edge that joins the cells.
        median_error_um: path from the middle of the highest edge to the middle of the joining one, median.
        median_error_interval: its interval.
        chance_error_um: median of that path from edges drawn at random.
    """

    kind: str
    n_merged: int
    n_unmerged: int
    n_cells: int
    auroc: float
    auroc_interval: Interval | None
    size_auroc: float
    matched_auroc: float | None
    matched_interval: Interval | None
    matched_size_auroc: float | None
    at_joint: float
    median_error_um: float
    median_error_interval: Interval | None
    chance_error_um: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """Scored segments; errors are of merged ones only."""

    cells: NDArray[np.int64]
    """[m, 2], numbers of the cells a segment is made of; the same one twice where it is not merged."""
    sizes: NDArray[np.int64]
    scores: NDArray[np.float64]
    errors_um: NDArray[np.float64]
    chance_errors_um: NDArray[np.float64]

    def take(self, rows: NDArray[np.bool_]) -> _Judged:
        return _Judged(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def evaluate_merges(
    finder: MergeFinder, table: EmbeddingTable, classes: NDArray[np.str_], protocol: MergeProtocol
) -> list[MergeResult]:
    """Join cells of a table and see whether the finder tells them from whole cells, and where it points.

    Args:
        finder: fitted on other cells.
        table: whole cells without merges, with parents.
        classes: str [n], type of each node's cell.
        protocol: how merges are made and compared.

    Returns:
        Results for all merges, then for those of differing and of the same types where there are any.

    Raises:
        LabelError: the finder was fitted on a cell of the table, or there is nothing to compare.
        DataError: no two cells come near each other, or the table is not what ``edge_sides`` takes.
    """
    check_no_leak(finder.cells, table.segment_ids)
    cells, first, cell, size = np.unique(
        table.segment_ids, return_index=True, return_inverse=True, return_counts=True
    )
    large = size >= protocol.min_nodes
    if large.sum() < 2:
        msg = (
            f"merges are made between cells of at least {protocol.min_nodes} nodes, and {large.sum()} of "
            f"{len(cells)} have so many: lower min_nodes, or take nodes nearer to each other"
        )
        raise LabelError(msg)
    used = table.take(large[cell])
    contacts = find_contacts(used, max_gap_um=protocol.max_gap_um)
    drawn = draw_contacts(contacts, n=protocol.n, per_cell=protocol.per_cell, seed=protocol.seed)
    merges = [join_cells(used, contact) for contact in drawn]
    whole = [used.take(used.segment_ids == cell) for cell in cells[large]]
    numbers = {int(c): i for i, c in enumerate(cells)}
    made_of = [(c, c) for c in np.flatnonzero(large).tolist()]
    made_of += [(numbers[a], numbers[b]) for a, b in (merge.cells for merge in merges)]
    judged = _judge(finder, whole, merges, np.array(made_of), seed=protocol.seed)
    is_merged = np.arange(len(made_of)) >= len(whole)
    unmerged, merged = judged.take(~is_merged), judged.take(is_merged)
    types = np.asarray(classes, dtype=str)[first]
    differ = types[merged.cells[:, 0]] != types[merged.cells[:, 1]]
    kinds = {"all": np.ones(len(differ), dtype=bool), "types differ": differ, "types same": ~differ}
    return [
        _result(kind, merged.take(rows), unmerged, protocol) for kind, rows in kinds.items() if rows.any()
    ]


def ranked_above(
    positive: NDArray[np.number],
    negative: NDArray[np.number],
    *,
    comparable: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Whether each positive ranks above each negative: 1, 0.5 for a tie, 0, NaN if not compared; [p, n].

    The mean of all is the area under the ROC curve (Hanley, McNeil 1982, 10.1148/radiology.143.1.7063747).
    """
    above = np.sign(positive[:, None] - negative[None]) / 2 + 0.5
    return above if comparable is None else np.where(comparable, above, np.nan)


def _judge(
    finder: MergeFinder,
    whole: Sequence[EmbeddingTable],
    merges: Sequence[Merge],
    cells: NDArray[np.int64],
    *,
    seed: int,
) -> _Judged:
    """Score whole cells and then merges, all in one table under ids of its own."""
    tables = [*whole, *(merge.table for merge in merges)]
    sizes = np.array([len(table) for table in tables])
    names = ("node_ids", "points_nm", "parents", "embeddings")
    together = EmbeddingTable(
        segment_ids=np.repeat(np.arange(len(tables), dtype=np.uint64), sizes),
        **{name: np.concatenate([getattr(table, name) for table in tables]) for name in names},
    )
    scores = finder.score(together)
    start = np.cumsum(sizes) - sizes
    segment = together.segment_ids[scores.rows].astype(np.int64)  # ascending: edges are sorted by segment
    first, last = (np.searchsorted(segment, np.arange(len(tables)), side) for side in ("left", "right"))
    random = np.random.default_rng(seed)
    highest = np.zeros(len(tables))
    errors, chance = np.full((2, len(tables)), np.nan)
    for i, (a, b) in enumerate(zip(first, last, strict=True)):
        if a == b:
            continue  # a cell without an edge: nothing speaks for a merge
        best = a + int(np.argmax(scores.score[a:b]))
        highest[i] = scores.score[best]
        if i >= len(whole):
            guesses = scores.rows[[best, int(random.integers(a, b))]] - start[i]
            errors[i], chance[i] = _errors_um(merges[i - len(whole)], guesses)
    return _Judged(cells=cells, sizes=sizes, scores=highest, errors_um=errors, chance_errors_um=chance)


def _errors_um(merge: Merge, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Path from the middle of each edge (its lower node's row) to the middle of the joint; inf: no path."""
    table = merge.table
    order = np.argsort(table.node_ids)
    part, place = table.take(order), np.argsort(order)
    parents = parent_rows(part, np.zeros(len(part), dtype=np.int64))
    forest = Forest.of(part.points_nm, parents)
    length = edge_lengths_nm(part.points_nm, parents)
    lower = place[rows]
    joint = np.full(len(lower), np.searchsorted(part.node_ids, merge.joint))
    ends = [
        forest.distances(forest.places[a], forest.places[b])
        for a in (lower, parents[lower])
        for b in (joint, parents[joint])
    ]
    nearest = np.min(ends, axis=0)
    path = nearest / TICKS_PER_NM + (length[lower] + length[joint]) / 2
    return np.where(lower == joint, 0.0, np.where(nearest < 0, np.inf, path)) / 1000.0


def _result(kind: str, merged: _Judged, unmerged: _Judged, protocol: MergeProtocol) -> MergeResult:
    pairs, sizes, errors = merged.cells, merged.sizes, merged.errors_um
    ratio = np.abs(np.log(sizes[:, None] / unmerged.sizes[None]))
    equal = ratio <= np.log(protocol.size_ratio) + 1e-12
    ranks = ranked_above(merged.scores, unmerged.scores)
    matched = ranked_above(merged.scores, unmerged.scores, comparable=equal)
    cells = np.unique(np.concatenate([pairs.ravel(), unmerged.cells[:, 0]]))
    random = np.random.default_rng(protocol.seed)
    draws: list[tuple[float, float, float]] = []
    for _ in range(N_DRAWS):
        times = np.zeros(cells.max() + 1)
        times[cells] = np.bincount(random.integers(len(cells), size=len(cells)), minlength=len(cells))
        # A merge is drawn as often as its two cells together, as for any statistic of pairs.
        weight, against = times[pairs].prod(axis=1), times[unmerged.cells[:, 0]]
        draws.append(
            (_mean(ranks, weight, against), _mean(matched, weight, against), _median(errors, weight))
        )
    intervals = [_interval(np.array(values)) for values in zip(*draws, strict=True)]
    every, all_cells = np.ones(len(pairs)), np.ones(len(unmerged.scores))
    return MergeResult(
        kind=kind,
        n_merged=len(pairs),
        n_unmerged=len(unmerged.scores),
        n_cells=len(cells),
        auroc=_mean(ranks, every, all_cells),
        auroc_interval=intervals[0],
        size_auroc=_mean(ranked_above(sizes, unmerged.sizes), every, all_cells),
        matched_auroc=_mean(matched, every, all_cells) if equal.any() else None,
        matched_interval=intervals[1],
        matched_size_auroc=_mean(ranked_above(sizes, unmerged.sizes, comparable=equal), every, all_cells)
        if equal.any()
        else None,
        at_joint=float((errors == 0).mean()),
        median_error_um=_median(errors, every),
        median_error_interval=intervals[2],
        chance_error_um=_median(merged.chance_errors_um, every),
    )


def _mean(ranks: NDArray[np.float64], weight: NDArray[np.floating], against: NDArray[np.floating]) -> float:
    """Mean of the compared pairs, weighted; NaN if none is."""
    compared = ~np.isnan(ranks)
    total = float(weight @ compared @ against)
    return float(weight @ np.where(compared, ranks, 0.0) @ against) / total if total > 0 else float("nan")


def _median(values: NDArray[np.float64], weight: NDArray[np.floating]) -> float:
    """Lower weighted median; NaN without weight."""
    order = np.argsort(values)
    running = np.cumsum(weight[order])
    if not running[-1] > 0:
        return float("nan")
    return float(values[order][np.searchsorted(running, running[-1] / 2)])


def _interval(values: NDArray[np.float64]) -> Interval | None:
    """95 % percentile interval of the draws that can be scored; None if more than one in twenty cannot."""
    scored = values[~np.isnan(values)]
    if len(scored) < 0.95 * len(values) or np.isinf(scored).any():
        return None
    low, high = np.percentile(scored, (2.5, 97.5))
    return float(low), float(high)
