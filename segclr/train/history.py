"""The training curve: losses and looks at held-out pairs, kept in the checkpoint and shown as CSV."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray

from segclr import files
from segclr.errors import TrainingError
from segclr.model import encode
from segclr.train.augment import center_views
from segclr.train.collapse import CollapseWarning, collapse_at, describe
from segclr.train.dataset import CubeSource, PairRows
from segclr.train.look import Row, look_at
from segclr.train.module import ContrastiveModule
from segclr.train.tensorboard import EVENTS, require_tensorboard, write_events
from segclr.train.watch import Watch

__all__ = ["History", "balanced_rows"]

_BATCH_SIZE = 64


def balanced_rows(groups: NDArray[np.int64], n: int, *, seed: int) -> NDArray[np.int64]:
    """Rows of ``n`` pairs spread evenly over groups: one of each group, then a second of each, and so on."""
    shuffled = np.random.default_rng(seed).permutation(len(groups))
    _, group_of = np.unique(groups[shuffled], return_inverse=True)
    turn = np.zeros(len(groups), np.int64)
    seen: dict[int, int] = {}
    for i, group in enumerate(group_of.tolist()):
        turn[i] = seen[group] = seen.get(group, -1) + 1
    return np.asarray(shuffled[np.argsort(turn, kind="stable")[:n]], dtype=np.int64)


class History(pl.Callback):
    """Writes a row of ``history.csv`` every ``validate_every`` steps; docs/monitoring.md reads them.

    Rows: step, loss (mean since the row before), learning_rate, and what ``look_at`` measures on held-out
    pairs. The row of step 0 shows the untrained network. A row is a function of the weights, the held-out
    cubes and the rows before it, so a resumed training writes what an undisturbed one does.
    """

    def __init__(
        self,
        cubes: CubeSource,
        held_out: PairRows,
        *,
        url: str,
        seed: int,
        n_pairs: int,
        watch: Watch | None = None,
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        """Watch at most ``n_pairs`` pairs of ``held_out``, chosen by ``seed``.

        Args:
            cubes: stored cubes.
            held_out: pairs of segments that are never learnt from.
            url: of the CSV file.
            seed: of the choice.
            n_pairs: pairs looked at.
            watch: what else to record.
            on_warning: told, besides a Python warning, when the encoder begins to collapse.

        Raises:
            TrainingError: there are fewer than 2 held-out pairs, or not one distance for each.
            ConfigError: ``watch`` wants TensorBoard, which is not installed.
        """
        if len(held_out) < 2:
            msg = f"watching the training needs at least 2 held-out pairs, got {len(held_out)}"
            raise TrainingError(msg)
        self._watch = watch or Watch()
        distances = self._watch.distances
        if distances is not None and len(distances.pairs_nm) != len(held_out):
            msg = f"{len(held_out)} held-out pairs came with {len(distances.pairs_nm)} distances"
            raise TrainingError(msg)
        if self._watch.config.tensorboard:
            require_tensorboard()
        chosen = balanced_rows(held_out.groups, n_pairs, seed=seed)
        self._groups = held_out.groups[chosen]
        self._distances = None if distances is None else distances.take(chosen)
        self._cubes = cubes
        self._rows = np.concatenate([held_out.rows_a[chosen], held_out.rows_b[chosen]])
        self._url = url
        self._on_warning = on_warning
        self.rows: list[Row] = []
        self._losses: list[float] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the untrained network."""
        if not self.rows:
            self._add(_contrastive(pl_module), step=0)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss, and add a row when it is time."""
        module = _contrastive(pl_module)
        self._losses.append(float(outputs["loss"]))
        step = trainer.global_step
        if step % module.config.validate_every == 0 or step == module.config.steps:
            self._add(module, step=step)

    def state_dict(self) -> dict[str, Any]:
        """Plain values for the checkpoint."""
        return {"rows": [dict(row) for row in self.rows], "losses": list(self._losses)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.rows = [dict(row) for row in state_dict["rows"]]
        self._losses = list(state_dict["losses"])

    def write(self) -> None:
        """Write all rows as CSV, and for TensorBoard where that is wanted."""
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, fieldnames=list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        files.write_bytes(self._url, buffer.getvalue().encode())
        if self._watch.config.tensorboard:
            write_events(files.join(self._url.rpartition("/")[0], EVENTS), self.rows)

    def _add(self, module: ContrastiveModule, *, step: int) -> None:
        embeddings = self._embed(module, self._rows)
        row: Row = {
            "step": step,
            "loss": float(np.mean(self._losses)) if self._losses else None,
            "learning_rate": module.config.learning_rate * module.rate_factor(max(0, step - 1)),
            **look_at(embeddings, self._groups, self._distances),
            **self._probe(module, step=step),
        }
        was = self.rows[-1]["collapse"] if self.rows else ""
        self.rows.append(row)
        row["collapse"] = collapse_at(
            self.rows, embedding_dim=embeddings.shape[1], warmup_steps=module.config.warmup_steps
        )
        self._losses = []
        self.write()
        if row["collapse"] and not was:
            self._warn(describe(row["collapse"], self.rows))

    def _probe(self, module: ContrastiveModule, *, step: int) -> Row:
        """The linear probe, at the first look and at the next one after each multiple of ``probe_every``."""
        probe, every = self._watch.probe, self._watch.config.probe_every
        if probe is None or not every:
            return {}
        due = not self.rows or step // every > self.rows[-1]["step"] // every or step == module.config.steps
        if not due:
            return {"probe_macro_f1": None}
        embeddings = self._embed(module, probe.rows).numpy()
        return {"probe_macro_f1": probe.score(embeddings, probe.classes, probe.groups)}

    def _warn(self, message: str) -> None:
        warnings.warn(message, CollapseWarning, stacklevel=2)
        if self._on_warning is not None:
            self._on_warning(message)

    def _embed(self, module: ContrastiveModule, rows: NDArray[np.int64]) -> torch.Tensor:
        network = module.encoder_network
        network.eval()
        parts = []
        for start in range(0, len(rows), _BATCH_SIZE):
            stored = torch.from_numpy(self._cubes.read(rows[start : start + _BATCH_SIZE]))
            cubes = center_views(stored, size_vx=module.size_vx)
            parts.append(
                encode(
                    network,
                    cubes,
                    batch_size=_BATCH_SIZE,
                    device=module.device,
                    dtype=torch.float32,
                ).cpu()
            )
        network.train()
        return torch.cat(parts)


def _contrastive(module: pl.LightningModule) -> ContrastiveModule:
    if not isinstance(module, ContrastiveModule):
        msg = f"History watches a ContrastiveModule, got {type(module).__name__}"
        raise TypeError(msg)
    return module
