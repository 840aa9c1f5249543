"""The training curve: losses and looks at held-out pairs, kept in the checkpoint and shown as CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray

from segclr import files
from segclr.errors import TrainingError
from segclr.model import encode
from segclr.train import monitor
from segclr.train.augment import center_views
from segclr.train.dataset import CubeSource, PairRows
from segclr.train.module import ContrastiveModule

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
    """Writes a row of ``history.csv`` every ``validate_every`` steps.

    Rows: step, loss (mean since the row before), learning_rate, and on held-out pairs top1,
    effective_rank, alignment, uniformity. The row of step 0 shows the untrained network.
    """

    def __init__(self, cubes: CubeSource, held_out: PairRows, *, url: str, seed: int, n_pairs: int) -> None:
        """Watch at most ``n_pairs`` pairs of ``held_out``, chosen by ``seed``."""
        if len(held_out) < 2:
            msg = f"watching the training needs at least 2 held-out pairs, got {len(held_out)}"
            raise TrainingError(msg)
        chosen = balanced_rows(held_out.groups, n_pairs, seed=seed)
        self._cubes = cubes
        self._rows = np.concatenate([held_out.rows_a[chosen], held_out.rows_b[chosen]])
        self._url = url
        self.rows: list[dict[str, float]] = []
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
        """Write all rows as CSV."""
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, fieldnames=list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        files.write_bytes(self._url, buffer.getvalue().encode())

    def _add(self, module: ContrastiveModule, *, step: int) -> None:
        embeddings_a, embeddings_b = self._embed(module).chunk(2)
        every = torch.cat([embeddings_a, embeddings_b])
        self.rows.append(
            {
                "step": step,
                "loss": float(np.mean(self._losses)) if self._losses else float("nan"),
                "learning_rate": module.config.learning_rate * module.rate_factor(max(0, step - 1)),
                "top1": monitor.pair_top1(embeddings_a, embeddings_b),
                "effective_rank": monitor.effective_rank(every),
                "alignment": monitor.alignment(embeddings_a, embeddings_b),
                "uniformity": monitor.uniformity(every),
            }
        )
        self._losses = []
        self.write()

    def _embed(self, module: ContrastiveModule) -> torch.Tensor:
        module.network.eval()
        parts = []
        for start in range(0, len(self._rows), _BATCH_SIZE):
            stored = torch.from_numpy(self._cubes.read(self._rows[start : start + _BATCH_SIZE]))
            cubes = center_views(stored, size_vx=module.size_vx)
            parts.append(
                encode(
                    module.network,
                    cubes,
                    batch_size=_BATCH_SIZE,
                    device=module.device,
                    dtype=torch.float32,
                ).cpu()
            )
        module.network.train()
        return torch.cat(parts)


def _contrastive(module: pl.LightningModule) -> ContrastiveModule:
    if not isinstance(module, ContrastiveModule):
        msg = f"History watches a ContrastiveModule, got {type(module).__name__}"
        raise TypeError(msg)
    return module
