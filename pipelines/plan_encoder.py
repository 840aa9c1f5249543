"""``segclr plan --encoder``: what the configured encoder needs, part by part; no volume is opened."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.table import Table

from segclr._version import __version__
from segclr.config import RunConfig

__all__ = ["encoder_table", "encoder_tree"]

_FLOAT_BYTES = 4
_MOMENTS = {"adamw": 2, "lars": 1, "sgd": 1}
"""Numbers that an optimiser keeps for each weight."""


def encoder_tree(config: RunConfig) -> dict[str, Any]:
    """Costs of the encoder as plain JSON values: parts, and what they add up to.

    Activations are float32. ``training_bytes`` are for a batch of ``2 * train.batch_pairs`` views and add
    up; ``inference_bytes`` are for ``embed.batch_size`` cubes, and the most of the parts counts.
    """
    from segclr.model.cost import encoder_cost

    n_training, n_inference = 2 * config.train.batch_pairs, config.embed.batch_size
    if n_inference == "auto":  # found by trial where the work runs
        n_inference = 1
    size_vx = config.cubes.size_vx
    parts = encoder_cost(
        config.encoder, size_vx=size_vx, training_cubes=n_training, inference_cubes=n_inference
    )
    n_parameters = sum(part.n_parameters for part in parts)
    moments = _MOMENTS[config.train.optimizer]
    return {
        "segclr_version": __version__,
        "name": config.name,
        "size_vx": size_vx,
        "training_cubes": n_training,
        "inference_cubes": n_inference,
        "parts": [asdict(part) for part in parts],
        "n_parameters": n_parameters,
        "gflop": sum(part.gflop for part in parts),
        "training_bytes": sum(part.training_bytes for part in parts),
        "inference_bytes": max(part.inference_bytes for part in parts),
        "weights_bytes": n_parameters * _FLOAT_BYTES,
        "weights_gradients_moments_bytes": n_parameters * _FLOAT_BYTES * (2 + moments),
    }


def encoder_table(config: RunConfig) -> Table:
    """The same to be read."""
    tree = encoder_tree(config)
    caption = (
        f"Activations in float32; bfloat16 needs about half. Training: kept for the backward pass of "
        f"{tree['training_cubes']} views (2 x train.batch_pairs); weights, gradients and the optimiser's "
        f"moments come on top, {_mb(tree['weights_gradients_moments_bytes'])}. Inference: most at once for "
        f"{tree['inference_cubes']} cubes (embed.batch_size), weights {_mb(tree['weights_bytes'])} on top. "
        "Not counted: scratch space of convolutions. The projection runs in training only."
    )
    table = Table(
        title=f"encoder of {config.name}: cubes of {tree['size_vx']}^3 voxels",
        caption=caption,
        caption_justify="left",
    )
    table.add_column("part", no_wrap=True)
    for name in ("output, a cube", "parameters", "GFLOP, a cube", "training", "inference"):
        table.add_column(name, justify="right", no_wrap=True)
    for part in tree["parts"]:
        shape = " x ".join(map(str, part["shape"]))
        table.add_row(part["name"], shape, *_cells(part))
    table.add_section()
    table.add_row("all (inference: the most)", "", *_cells(tree))
    return table


def _cells(row: dict[str, Any]) -> tuple[str, str, str, str]:
    return (
        f"{row['n_parameters']:,}",
        f"{row['gflop']:.3g}",
        _mb(row["training_bytes"]),
        _mb(row["inference_bytes"]),
    )


def _mb(n_bytes: int) -> str:
    """Decimal megabytes, or gigabytes from 1 on.

    >>> _mb(123_456_789), _mb(1_234_567_890)
    ('123 MB', '1.23 GB')
    """
    return f"{n_bytes / 1e9:.3g} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.3g} MB"
