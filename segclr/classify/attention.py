"""Fitting an attention pooling on labelled nodes, together with a linear head, by gradient descent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from segclr.aggregate.attention import MAX_SCORE, AttentionPooling
from segclr.aggregate.part import Part, check_reach, sorted_rows
from segclr.classify.labels import Labels, join_labels
from segclr.config import Metric
from segclr.errors import ConfigError, LabelError
from segclr.store.embeddings import EmbeddingTable

if TYPE_CHECKING:
    import torch

__all__ = ["AttentionFit", "fit_attention"]

_MAX_PAIRS = 4_000_000  # of fitted nodes with their neighbours: 100 MB, and 0.1 s a step on a core


@dataclass(frozen=True, kw_only=True)
class AttentionFit:
    """How an attention pooling is fitted.

    Attributes:
        hidden: units of the score's hidden layer.
        steps: of Adam, each over all fitted nodes.
        learning_rate: of Adam.
        penalty: of the squared weights of head and score, added to the mean cross-entropy.
        max_nodes: labelled nodes that are fitted on, drawn evenly from the classes.
        seed: of the draw and of the first weights.

    Raises:
        ConfigError: a value is out of range.
    """

    hidden: int = 16
    steps: int = 200
    learning_rate: float = 0.02
    penalty: float = 1e-3
    max_nodes: int = 4096
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if min(self.hidden, self.steps, self.max_nodes) < 1 or not (self.learning_rate > 0 <= self.penalty):
            msg = f"all but penalty and seed must be positive, penalty 0 or more; got {self}"
            raise ConfigError(msg)


def fit_attention(
    table: EmbeddingTable,
    labels: Labels,
    *,
    radius_um: float,
    metric: Metric = "euclidean",
    fit: AttentionFit | None = None,
    encoder_digest: str | None = None,
) -> AttentionPooling:
    """Learn which nodes of a neighbourhood tell its class.

    The pooled embedding goes through a linear head; the cross-entropy is minimised over both.
    The scores begin at 0, where attention pooling is the mean. Give labels of the cells to train on only.

    Args:
        table: embeddings of whole segments; those without labels are left out.
        labels: of segments or nodes.
        radius_um: of the neighbourhoods, micrometres.
        metric: how distance is measured.
        fit: None stands for its defaults.
        encoder_digest: of the encoder whose embeddings these are, kept with the pooling.

    Raises:
        LabelError: fewer than two classes, labels of absent places, or ones that contradict each other.
        DataError: as in :func:`segclr.aggregate`.
    """
    fit = AttentionFit() if fit is None else fit
    joined = join_labels(table, labels)
    names, target = np.unique(joined.classes, return_inverse=True)
    if len(names) < 2:
        msg = f"attention pooling needs at least two classes, got {', '.join(names) or 'none'}"
        raise LabelError(msg)
    chosen = _drawn(target, fit)
    rows, target = joined.rows[chosen], target[chosen]
    check_reach(radius_um, metric)
    matrix, embeddings = _neighbourhoods(table, rows, radius_um=radius_um, metric=metric)
    hidden, bias, out = _descend(matrix, embeddings, target[: matrix.shape[0]], fit)
    return AttentionPooling(hidden=hidden, bias=bias, out=out, encoder_digest=encoder_digest)


def _drawn(target: NDArray[np.int64], fit: AttentionFit) -> NDArray[np.int64]:
    """Labelled rows to fit on, as many of each class as there are up to its share, in random order."""
    random = np.random.default_rng(fit.seed)
    share = max(1, fit.max_nodes // (int(target.max()) + 1))
    of_class = [np.flatnonzero(target == c) for c in range(int(target.max()) + 1)]
    return random.permutation(np.concatenate([random.permutation(rows)[:share] for rows in of_class]))


def _neighbourhoods(
    table: EmbeddingTable, rows: NDArray[np.int64], *, radius_um: float, metric: Metric
) -> tuple[csr_array, NDArray[np.float32]]:
    """Who is near each of ``rows``, bool [rows, m], for as many as can be held; embeddings [m, d]."""
    segments = np.isin(table.segment_ids, table.segment_ids[rows])
    place = np.full(len(table), -1)
    place[rows] = np.arange(len(rows))
    part, place = table.take(segments), place[segments]
    order = sorted_rows(part, metric)
    part, place = part.take(order), place[order]
    found, at = [], []
    for block in Part.of(part, radius_nm=radius_um * 1000.0, metric=metric).neighbours():
        wanted = np.flatnonzero(place[block.rows] >= 0)
        found.append(block.matrix[wanted])
        at.append(place[block.rows][wanted])
    matrix = vstack(found, format="csr")[np.argsort(np.concatenate(at))]
    n_kept = max(2, int(np.searchsorted(matrix.indptr, _MAX_PAIRS, side="right")) - 1)
    matrix = matrix[:n_kept]
    columns, inverse = np.unique(matrix.indices, return_inverse=True)
    shape = (matrix.shape[0], len(columns))
    return csr_array((matrix.data, inverse, matrix.indptr), shape=shape), part.embeddings[columns]


def _descend(
    matrix: csr_array, embeddings: NDArray[np.float32], target: NDArray[np.int64], fit: AttentionFit
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Hidden weights, bias and output weights of the score, on embeddings as they are."""
    import torch
    from torch.nn import functional

    mean, scale = embeddings.mean(axis=0), embeddings.std(axis=0)
    scale[scale == 0] = 1.0
    values = torch.from_numpy((embeddings - mean) / scale)
    entries = matrix.tocoo()
    near = torch.sparse_coo_tensor(
        torch.from_numpy(np.stack([entries.row, entries.col]).astype(np.int64)),
        torch.ones(entries.nnz),
        size=matrix.shape,
        check_invariants=True,
    ).coalesce()
    labels = torch.from_numpy(target)
    n_of_class = torch.bincount(labels).float()
    class_weight = torch.where(n_of_class > 0, 1.0 / n_of_class.clamp(min=1.0), 0.0)
    generator = torch.Generator().manual_seed(fit.seed)
    d, k = values.shape[1], len(n_of_class)
    hidden = torch.randn(fit.hidden, d, generator=generator).div_(d**0.5).requires_grad_()
    bias = torch.zeros(fit.hidden, requires_grad=True)
    out = torch.zeros(fit.hidden, requires_grad=True)
    head = torch.zeros(k, d, requires_grad=True)
    offset = torch.zeros(k, requires_grad=True)
    optimizer = torch.optim.Adam([hidden, bias, out, head, offset], lr=fit.learning_rate)
    for _ in range(fit.steps):
        optimizer.zero_grad()
        score = torch.tanh(values @ hidden.T + bias) @ _bounded(out)
        weight = torch.exp(score)[:, None]
        sums = torch.sparse.mm(near, torch.cat([values * weight, weight], dim=1))
        logits = sums[:, :-1] / sums[:, -1:] @ head.T + offset
        loss = functional.cross_entropy(logits, labels, weight=class_weight)
        loss = loss + fit.penalty * (head.square().sum() + out.square().sum())
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        inner = hidden / torch.from_numpy(scale)
        return inner.numpy(), (bias - inner @ torch.from_numpy(mean)).numpy(), _bounded(out).numpy()


def _bounded(out: torch.Tensor) -> torch.Tensor:
    """Scaled down where scores could leave their bound."""
    return out * (MAX_SCORE / out.abs().sum().clamp(min=MAX_SCORE))
