"""A toy tissue: each cell is its own random texture; cubes of it differ by noise."""

import numpy as np
import pytest
import torch

from segclr.config import AugmentConfig, EncoderConfig, TrainConfig
from segclr.train import ArrayCubes, PairRows, TrainingData

N_CELLS, CUBES_PER_CELL, N_TRAINING_CELLS = 10, 4, 6
SIZE_VX, MARGIN_VX = 9, 2


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data():
    random = np.random.default_rng(0)
    edge = SIZE_VX + 2 * MARGIN_VX
    textures = random.integers(40, 216, (N_CELLS, edge, edge, edge))
    cubes = np.repeat(textures, CUBES_PER_CELL, axis=0)
    cubes = np.clip(cubes + random.integers(-20, 20, cubes.shape), 1, 255).astype(np.uint8)
    cubes[:, :3] = 0
    first = np.repeat(np.arange(N_CELLS) * CUBES_PER_CELL, CUBES_PER_CELL - 1)
    second = first + np.tile(np.arange(1, CUBES_PER_CELL), N_CELLS)
    groups = first // CUBES_PER_CELL
    train = groups < N_TRAINING_CELLS
    return TrainingData(
        cubes=ArrayCubes(cubes),
        training=PairRows(first[train], second[train], groups[train]),
        held_out=PairRows(first[~train], second[~train], groups[~train]),
        voxel_size_nm=(8.0, 8.0, 8.0),
        size_vx=SIZE_VX,
    )


@pytest.fixture
def encoder_config():
    return EncoderConfig(depth=10, width=0.125, stem="patch", bottleneck_hidden=16)


@pytest.fixture
def train_config():
    return TrainConfig(
        steps=8,
        batch_pairs=5,
        warmup_steps=2,
        validate_every=3,
        validation_pairs=8,
        checkpoint_every=2,
        augment=AugmentConfig(shift_vx=MARGIN_VX, noise_sd=0.05),
    )
