"""A small volume on disk and a configuration that runs on it in seconds."""

import hashlib
import io
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import yaml
from cloudvolume import CloudVolume

from pipelines.cli import main
from pipelines.pairs import held_out_segments
from pipelines.run import Run, open_run
from segclr.config import RunConfig

SEGCLR = str(Path(sys.executable).parent / "segclr")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
"""The number of threads is part of what "the same bytes" means: sums are rounded in another order."""

VOXEL_NM = (32, 32, 40)
SHAPE_ZYX = (48, 64, 160)
OFFSET_VX = (32, 0, 16)
IDS = np.array([2**53 + 1, 2**63 + 5, 864691135591041291, 7, 2**64 - 2, 12345], dtype=np.uint64)


def make_volumes(folder: Path) -> None:
    """Six tubes along x, each with a grain of its own, cut off at the volume's ends."""
    random = np.random.default_rng(0)
    z, y, x = np.indices(SHAPE_ZYX)
    segmentation = np.zeros(SHAPE_ZYX, dtype=np.uint64)
    em = random.integers(90, 160, SHAPE_ZYX).astype(np.uint8)
    for number, segment_id in enumerate(IDS):
        center_y, center_z = 12 + 20 * (number % 3), 12 + 24 * (number // 3)
        wave = 3 * np.sin(x / (6 + 2 * number))
        inside = (y - center_y - wave) ** 2 + (z - center_z) ** 2 < (5 + number % 3) ** 2
        segmentation[inside] = segment_id
        em[inside] = np.clip(em[inside] + 20 * np.sin(x[inside] * (1 + number) / 4), 1, 255)
    write_precomputed(folder / "em", em, kind="image")
    write_precomputed(folder / "seg", segmentation, kind="segmentation")


def write_precomputed(
    folder: Path, array: np.ndarray, *, kind: str, voxel_nm=VOXEL_NM, offset=OFFSET_VX
) -> None:
    info = CloudVolume.create_new_info(
        num_channels=1,
        layer_type=kind,
        data_type=str(array.dtype),
        encoding="raw",
        resolution=voxel_nm,
        voxel_offset=offset,
        volume_size=array.shape[::-1],
        chunk_size=(32, 32, 32),
    )
    volume = CloudVolume(f"file://{folder}", info=info, progress=False, compress=False)
    volume.commit_info()
    volume[:, :, :] = array.T[..., None]


def config_tree(folder: Path, run: Path) -> dict:
    return {
        "name": "tubes",
        "run": str(run),
        "seed": 3,
        "volume": {
            "em": f"precomputed://file://{folder}/em",
            "segmentation": f"precomputed://file://{folder}/seg",
            "voxel_size_nm": list(VOXEL_NM),
        },
        "nodes": {"spacing_nm": 200},
        "pairs": {"max_distance_nm": 2000, "n_pairs": 80},
        "cubes": {"size_vx": 16, "margin_vx": 1, "block_vx": [64, 64, 64], "shard_cubes": 16},
        "encoder": {"depth": 10, "width": 0.125, "stem": "medium", "bottleneck_hidden": 16},
        "train": {
            "steps": 6,
            "batch_pairs": 4,
            "warmup_steps": 2,
            "validate_every": 3,
            "checkpoint_every": 2,
        },
        "embed": {"batch_size": 16, "n_shards": 2},
        "aggregate": {"radii_um": [0, 1], "metrics": ["euclidean", "path"]},
        "evaluate": {"forest_baseline": False},
        "cluster": {"kind": "none"},
    }


@pytest.fixture(scope="session")
def volumes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("volumes")
    make_volumes(folder)
    return folder


@pytest.fixture
def config_file(volumes, tmp_path):
    """Writes a configuration with some keys changed; answers its path."""

    def write(**changes) -> Path:
        tree = config_tree(volumes, tmp_path / "run") | changes
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(tree))
        return path

    return write


def segclr(*arguments: str) -> subprocess.CompletedProcess:
    """Run a command to its end, with the environment of ``ENVIRONMENT``."""
    command = [SEGCLR, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=ENVIRONMENT)


def segclr_here(*arguments: str) -> subprocess.CompletedProcess:
    """Run a command in this process: where it ends before any work, most of its time would be its imports."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["segclr", *arguments])
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code or 0
    return subprocess.CompletedProcess(["segclr", *arguments], status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def finished_run(volumes, tmp_path_factory) -> Path:
    """An undisturbed run, done once and only read by tests."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "config.yaml").write_text(yaml.safe_dump(config_tree(volumes, folder / "run")))
    done = segclr("run", str(folder / "config.yaml"))
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture
def labelled_run(finished_run, volumes, tmp_path) -> Run:
    """A copy of the finished run whose tubes have classes; no held-out tube is a soma."""
    shutil.copytree(finished_run, tmp_path / "run")
    held_out = held_out_segments(Run(str(finished_run), RunConfig(**config_tree(volumes, finished_run))))
    training = sorted(set(IDS.tolist()) - held_out)
    classes = dict(zip(sorted(held_out), ("axon", "dendrite"), strict=True))
    classes |= dict(zip(training, ("axon", "dendrite", "soma", "dendrite"), strict=True))
    labels = {
        "compartments": f"precomputed://file://{volumes}/seg",
        "compartment_names": classes,
    }
    run = str(tmp_path / "run")
    return Run(run, RunConfig(**(config_tree(volumes, run) | {"labels": labels})))


def content(run: Path) -> dict[str, str]:
    """Digest of every file of a run that a user reads; checkpoints are only there to go on from."""
    return {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run.rglob("*"))
        if path.is_file() and "checkpoints" not in path.parts and path.name != "run.yaml"
    }


def write_run_yaml(run: Path, tree: dict) -> None:
    """The file that a run of a configuration leaves in its folder."""
    (run / "run.yaml").unlink()
    open_run(RunConfig(**(tree | {"run": str(run)})))
