"""Augmentation on one core, against a plain loop over cubes in NumPy and SciPy, in one run.

    python benchmarks/augment.py [--out benchmarks/results/augment.json]

Both make the same views (checked) from the same parameters, of cubes a third of which is foreground. The
baseline is what one would write first: cube after cube, the grey formula computed voxel by voxel. Times are
processor time, the best of three.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from processor import processor
from scipy import ndimage

from segclr.config import AugmentConfig
from segclr.train.augment import apply_views, draw_views, view_keys

VOXEL_NM = (32.0, 32.0, 32.0)
OPTIONS = {
    "published": {},
    "noise": {"noise_sd": 0.05},
    "blur": {"blur_sd_vx": 1.0},
    "sections": {"section_contrast": 0.2, "section_brightness": 0.1, "missing_section": 0.02},
    "erosion": {"erode_vx": 1},
    "drop": {"drop_probability": 0.5},
}
OPTIONS["all"] = {k: v for keys in OPTIONS.values() for k, v in keys.items()}


def make_cubes(random, n, edge):
    """Random greys where a smooth random field is high."""
    cubes = random.integers(1, 256, (n, edge, edge, edge), dtype=np.uint8)
    for cube in cubes:
        field = ndimage.zoom(random.random((6, 6, 6)), edge / 6, order=1)
        cube[field < np.quantile(field, 2 / 3)] = 0
    return cubes


def loop_views(cubes, parameters, size_vx, random):
    """The same views one by one; noise from NumPy's generator."""
    edge = cubes.shape[1]
    away = (np.indices(cubes.shape[1:]) - edge // 2) / (edge / 2)
    views = np.empty((len(cubes), *[size_vx] * 3), dtype=np.float32)
    levels = parameters.sections.levels(edge)
    for i, stored in enumerate(cubes):
        loss, place, grey = parameters.loss, parameters.placement, parameters.grey
        mask = stored > 0
        if np.isfinite(float(loss.distances[i])):
            mask &= np.tensordot(loss.normals[i].numpy(), away, 1) <= float(loss.distances[i])
        if int(loss.erode_vx[i]):
            eroded = ndimage.binary_erosion(mask, border_value=1)
            mask = eroded if eroded.sum() >= 0.5 * mask.sum() else mask
        z, y, x = place.starts[i].tolist()
        box = (slice(z, z + size_vx), slice(y, y + size_vx), slice(x, x + size_vx))
        value, mask = (stored * mask)[box].astype(np.float32) / 255, mask[box]
        contrast, brightness = float(grey.contrast[i]), float(grey.brightness[i])
        if not parameters.sections.alike:
            contrast = contrast * levels.gains[i, box[0], None, None].numpy()
            brightness = brightness + levels.offsets[i, box[0], None, None].numpy()
        view = np.clip(contrast * value + brightness, 0, 1) ** float(grey.gamma[i]) * mask
        if grey.blurs:
            spread = float(grey.blur_sd_vx[i])
            options = {"sigma": (0, spread, spread), "mode": "constant"}
            share = ndimage.gaussian_filter(mask.astype(np.float32), **options)
            view = ndimage.gaussian_filter(view, **options) / np.maximum(share, 1e-8) * mask
        if not parameters.sections.alike:
            view[levels.missing[i, box[0]].numpy()] = 0
        if grey.noise_sd:
            noise = random.standard_normal(view.shape, dtype=np.float32)
            view = np.clip(view + grey.noise_sd * noise, 0, 1) * (view > 0)
        flips = [axis for axis in range(3) if place.flips[i, axis]]
        views[i] = np.flip(np.transpose(view, place.permutations[i].tolist()), flips)
    return views


def best_seconds(work):
    times = []
    for _ in range(3):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def measure(size_vx, margin_vx, n):
    random = np.random.default_rng(0)
    cubes = make_cubes(random, n, size_vx + 2 * margin_vx)
    tensor = torch.from_numpy(cubes)
    rows = {}
    for name, keys in OPTIONS.items():
        config = AugmentConfig(shift_vx=margin_vx, **keys)

        def views(config=config):
            parameters = draw_views(
                config, view_keys(0, np.arange(n // 2)), voxel_size_nm=VOXEL_NM, margin_vx=margin_vx
            )
            return apply_views(tensor, parameters, size_vx=size_vx), parameters

        found, parameters = views()
        wanted = loop_views(cubes, parameters, size_vx, random)
        if not config.noise_sd:
            # a voxel on the very plane of a cut may fall on either side
            assert (np.abs(found[:, 0].numpy() - wanted) > 1e-3).mean() < 1e-4, name
        ours = best_seconds(views)
        loop = best_seconds(lambda p=parameters: loop_views(cubes, p, size_vx, random))
        rows[name] = {"cubes_a_s": round(n / ours, 1), "ratio_to_numpy_loop": round(loop / ours, 2)}
        print(size_vx, name, rows[name], flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "augment.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result = {
        "machine": f"{processor()}, 1 shared core, Python {platform.python_version()}, "
        f"torch {torch.__version__}",
        "baseline": "a loop over cubes in NumPy and SciPy with the same parameters",
        "25 voxels": measure(25, 2, 128),
        "65 voxels": measure(65, 4, 16),
        "129 voxels": measure(129, 8, 4),
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
