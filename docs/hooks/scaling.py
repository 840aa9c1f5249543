"""The tables of docs/scaling.md, from the functions behind ``segclr plan``; the page is in the repository.

python -m docs.hooks.scaling        # writes them anew: after new rates, or another configs/microns.yaml
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from docs.hooks.markdown import table
from pipelines.packaged import packaged_config, packaged_rates
from pipelines.plan import Plan, plan_run
from segclr.config import load_config
from segclr.geometry import BoundingBox, Triple
from segclr.model.flops import gflop_per_cube
from segclr.plan import Extent, assumed_content, cost_rows, load_rates

__all__ = ["PAGE", "SIZES", "Size", "by_hand", "plan_of", "rewritten", "sizes_table"]

PAGE = Path(__file__).resolve().parents[1] / "scaling.md"
"""Its tables stand between ``<!-- made: NAME -->`` and ``<!-- end -->``."""

_ASSUMED = (
    "plan.gpu_tflops=57",
    "plan.price_per_core_hour=0.04",
    "plan.price_per_gpu_hour=2",
    "plan.price_per_tb_month=20",
    "plan.price_per_tb_read=0",
    "plan.price_per_million_requests=0.4",
)
_CORTEX = ("pairs.n_pairs=1000000", "train.steps=100000", "train.batch_pairs=64")
_CHUNK_VX = (128, 128, 128)


@dataclass(frozen=True)
class Size:
    """A volume to be planned.

    Attributes:
        name: at the head of its column.
        edge_um: of a cube of cortex; 0: the demo's made tissue.
        cores: that work on it.
        gpus: that train and encode, the cores beside them; 0: none.
    """

    name: str
    edge_um: float
    cores: int
    gpus: int


SIZES = (
    Size("the demo", 0, 2, 0),
    Size("(100 um)^3", 100, 16, 1),
    Size("1 mm^3", 1000, 1000, 16),
    Size("4e9 nodes", 1032, 1000, 64),
)


def plan_of(size: Size) -> Plan:
    """The plan of a size; no volume is opened."""
    if not size.edge_um:
        return plan_run(load_config(packaged_config("demo"), [*_ASSUMED]))
    config = load_config(packaged_config("microns"), [*_CORTEX, *_ASSUMED])
    voxel_nm = (32.0, 32.0, 40.0)
    x, y, z = (round(size.edge_um * 1000 / nm) for nm in voxel_nm)
    edges: Triple = (x, y, z)
    box = BoundingBox((0, 0, 0), edges)
    em, segmentation = (Extent(box, voxel_nm, _CHUNK_VX, n_bytes) for n_bytes in (1, 8))
    rates = load_rates(packaged_rates(), config.plan.rates)
    rows = cost_rows(
        config,
        em=em,
        segmentation=segmentation,
        content=assumed_content(segmentation, config),
        rates=rates,
        gflop_per_cube=gflop_per_cube(config.encoder, size_vx=config.cubes.size_vx),
    )
    return Plan(config, tuple(rows), rates.measured.machine)


def sizes_table(plans: Mapping[Size, Plan]) -> str:
    """A column for each size."""
    columns = [_column(size, plan) for size, plan in plans.items()]
    rows = [[quantity, *(column[quantity] for column in columns)] for quantity in columns[0]]
    return table(["", *(size.name for size in plans)], rows)


def _column(size: Size, plan: Plan) -> dict[str, str]:
    told = {row.key: row.value for row in plan.rows if row.value is not None}
    short = {key: _short(value.expected) for key, value in told.items()}
    nodes = told["nodes"]
    column = {
        "nodes": f"{_short(nodes.low)} to {_short(nodes.high)}",
        "of them expected": short["nodes"],
        "voxels": short["voxels"],
        "blocks of work": f"{told['blocks'].expected:,.0f}",
        "EM and labels, decoded": _bytes(told["decoded_bytes"].expected),
        "read by all stages": _bytes(told["read_bytes"].expected),
        "chunks fetched": short["requests"],
        "stored at the end": _bytes(told["stored_bytes"].expected),
        "core-hours, no GPU": short["core_hours"],
        "of them encoding": short["encode_core_hours"],
        "that time, on so many cores": _time(told["core_hours"].expected, size.cores),
        "USD on cores alone": short["run_without_gpu"],
    }
    with_gpus = {
        "GPU-hours": short["gpu_hours"],
        "that time, on so many GPUs": _time(told["gpu_hours"].expected, size.gpus or 1),
        "core-hours beside them": short["core_hours_beside_gpu"],
        "USD with GPUs": short["run_with_gpu"],
    }
    return column | (with_gpus if size.gpus else dict.fromkeys(with_gpus, ""))


def by_hand(plan: Plan) -> str:
    """The arithmetic of one size: each quantity with the numbers that make it."""
    config, prices = plan.config, plan.config.plan
    told = {row.key: row.value.expected for row in plan.rows if row.value is not None}
    short = {key: _short(value) for key, value in told.items()}
    rates = load_rates(packaged_rates(), prices.rates)
    gflop = told["gflop_per_cube"]
    encode = rates.encoding(
        config.encoder,
        size_vx=config.cubes.size_vx,
        precision=config.embed.precision,
        gflop_per_cube=gflop,
    )
    edge_um, um3 = told["tissue_um3"] ** (1 / 3), short["tissue_um3"]
    requests = f"{_short(told['requests'] / 1e6)} million requests x {prices.price_per_million_requests:g}"
    gpu_gflop_per_s = f"{1000 * (prices.gpu_tflops or 0):,.0f}"
    lines = [
        ("cable", f"5.4 um/um^3 x {um3} um^3", f"{short['cable_um']} um"),
        ("segments", f"5.4 x (6 x {edge_um:,.0f}^2 / 4 + {um3} / {prices.segment_um:g})", short["segments"]),
        (
            "nodes",
            f"{short['cable_um']} / {config.nodes.spacing_nm / 1000:g} + {short['segments']}",
            f"**{short['nodes']}**",
        ),
        ("blocks", f"{short['voxels']} / 512^3, and those cut at the faces", f"{told['blocks']:,.0f}"),
        (
            "embed reads",
            f"{_bytes(told['decoded_bytes'])} x about (9/8)^3: 1 more chunk for 8 an axis",
            _bytes(told["read_embed_bytes"]),
        ),
        (
            "embeddings",
            f"{short['nodes']} x 288 B x 2 (parts, then shards)",
            _bytes(told["embeddings_bytes"]),
        ),
        (
            "skeletonize",
            f"{short['voxels']} / {rates['skeletonize_mvoxel_per_s'].value:.3g} Mvoxel/s / 3600, and reading "
            f"at {rates['read_mb_per_s'].value:,.0f} MB/s",
            f"{short['skeletonize_core_hours']} core-h",
        ),
        (
            "encode on cores",
            f"{short['nodes']} x {gflop:.1f} GFLOP / {encode.value:.0f} GFLOP/s / 3600",
            f"{short['encode_core_hours']} core-h",
        ),
        (
            "train and encode on GPUs",
            f"({short['nodes']} + 3 x {short['cubes_to_train']}) x {gflop:.1f} / {gpu_gflop_per_s} / 3600",
            f"{short['gpu_hours']} GPU-h",
        ),
        (
            "USD on cores alone",
            f"{short['core_hours']} core-h x {prices.price_per_core_hour:g} + {requests}",
            short["run_without_gpu"],
        ),
        (
            "USD with GPUs",
            f"{short['core_hours_beside_gpu']} core-h x {prices.price_per_core_hour:g} + "
            f"{short['gpu_hours']} GPU-h x {prices.price_per_gpu_hour:g} + {requests}",
            short["run_with_gpu"],
        ),
    ]
    return table(["", "by hand", "the plan"], lines)


def rewritten(text: str) -> str:
    """The page with its tables made anew."""
    plans = {size: plan_of(size) for size in SIZES}
    made = {"sizes": sizes_table(plans), "by hand": by_hand(plans[SIZES[-1]])}
    for name, content in made.items():
        pattern = rf"(?<=<!-- made: {name} -->\n).*?(?=<!-- end -->)"
        text, n = re.subn(pattern, f"\n{content}\n", text, flags=re.DOTALL)
        if n != 1:
            msg = f"{PAGE.name} must have one place for the table {name!r}, it has {n}"
            raise ValueError(msg)
    return text


def _time(hours: float, n: int) -> str:
    """Hours of work as time by the clock, on n of what does it."""
    wall_h = hours / n
    told = (
        f"{wall_h * 60:.2g} min"
        if wall_h < 1
        else f"{wall_h:.2g} h"
        if wall_h < 48
        else f"{wall_h / 24:.2g} d"
    )
    return f"{told} on {n:,}"


def _short(value: float) -> str:
    """Three digits.

    >>> _short(3.957e9), _short(12345.6), _short(0.0512)
    ('3.96e9', '12,300', '0.0512')
    """
    if value >= 1e6:
        power = int(math.log10(value))
        return f"{value / 10**power:.3g}e{power}"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


def _bytes(value: float) -> str:
    power = int(math.log10(value) / 3)
    return f"{value / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB', 'PB')[power]}"


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
