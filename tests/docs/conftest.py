"""A folder that stands for the checkout of a reader who has done what the pages say: small volumes, two runs.

``runs/demo`` is configs/demo.yaml with smaller numbers; ``my.yaml``, ``em`` and ``seg`` are six tubes, and
``runs/mine`` is a run of it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipelines.workflow import run_all
from segclr.config import load_config
from segclr.data.volume import open_volume
from tests.docs.commands import ROOT
from tests.pipelines.conftest import VOXEL_NM, config_tree, make_volumes, write_precomputed

SMALL_DEMO = (
    "tissue.n_blocks=1",
    "tissue.block_size_vx=[128, 128, 128]",
    "cubes.block_vx=[128, 128, 128]",
    "pairs.n_pairs=2000",
    "train.steps=20",
    "train.batch_pairs=16",
    "train.validation_pairs=32",
    "evaluate.untrained_baseline=false",
    "evaluate.forest_baseline=false",
    "cluster.kind=none",
)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("reader") / "checkout"
    shutil.copytree(ROOT / "configs", folder / "configs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        demo = load_config("configs/demo.yaml", [*SMALL_DEMO])
        Path("configs/demo.yaml").write_text(yaml.safe_dump(demo.model_dump(mode="json")))
        run_all(demo)
        make_wide_volumes(folder)
        Path("my.yaml").write_text(yaml.safe_dump(my_tree()))
        run_all(load_config("my.yaml"))
    return folder


def make_wide_volumes(folder: Path) -> None:
    """The tubes within nothing, so that cubes of 129 voxels fit."""
    make_volumes(folder / "narrow")
    for name, kind in (("em", "image"), ("seg", "segmentation")):
        narrow = open_volume(f"precomputed://file://{folder}/narrow/{name}", voxel_size_nm=VOXEL_NM)
        array = narrow.read(narrow.bounds)
        around = [((130 - n) // 2, (131 - n) // 2) if n < 130 else (0, 0) for n in array.shape]
        write_precomputed(folder / name, np.pad(array, around), kind=kind)


def my_tree() -> dict:
    """Two steps of training on cubes of 129 voxels of the tubes."""
    tree = config_tree(Path(), Path("runs/mine"))
    tree["volume"] |= {"em": "precomputed://file://em", "segmentation": "precomputed://file://seg"}
    tree["nodes"] = {"spacing_nm": 1000}
    tree["pairs"] |= {"n_pairs": 8}
    tree["cubes"] |= {"size_vx": 129, "margin_vx": 0, "block_vx": [512, 512, 512]}
    tree["encoder"] |= {"stem": "patch"}
    tree["train"] |= {"steps": 2, "batch_pairs": 2, "validation_pairs": 4, "warmup_steps": 1}
    tree["train"] |= {"validate_every": 2, "checkpoint_every": 2, "augment": {"shift_vx": 0}}
    tree["evaluate"] |= {"untrained_baseline": False}
    return tree
