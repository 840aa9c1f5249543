"""Volumes that several files of tests read."""

import numpy as np
import pytest

from tests.segclr.data.precomputed_files import IDS, SHAPE, write


@pytest.fixture
def segmentation():
    return np.random.default_rng(0).choice(IDS, SHAPE)


@pytest.fixture
def written(tmp_path, segmentation):
    folder = tmp_path / "a volume"
    write(folder, segmentation)
    return folder
