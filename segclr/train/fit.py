"""Training an encoder from start to end, or from where a run was stopped to the end."""

from __future__ import annotations

from segclr._version import __version__
from segclr.config import EncoderConfig, TrainConfig
from segclr.model import Encoder, build_network
from segclr.model.weights import load_weights, weights_from_bytes
from segclr.train.checkpoints import newest_checkpoint
from segclr.train.data import TrainingData
from segclr.train.identity import refuse_other, training_identity
from segclr.train.processes import run_processes
from segclr.train.session import IDENTITY, OnStep, OnWarning, Session, checkpoint_folder, run_session

__all__ = ["TrainingData", "train_encoder"]


def train_encoder(
    data: TrainingData,
    *,
    encoder: EncoderConfig,
    train: TrainConfig,
    folder: str,
    seed: int,
    on_step: OnStep | None = None,
    on_warning: OnWarning | None = None,
) -> Encoder:
    """Train, or go on with the training that ``folder`` (any URL) holds.

    Writes ``checkpoints/`` and ``history.csv`` into the folder. Stopped at any moment and called again, it
    gives on a CPU, bit for bit, the weights and history of an undisturbed run. ``on_step`` is called with
    (steps done, steps in all), ``on_warning`` with a text when the encoder begins to collapse.

    Going on is refused with other settings, pairs or ``data.cubes_digest``; without that digest the caller
    answers for the cubes, whose voxels are not compared.

    Raises:
        RunMismatchError: the folder holds checkpoints of another configuration, seed, set of pairs or cubes.
        CorruptDataError: the folder holds finished checkpoints, and none can be read.
        TrainingError: the loss is not finite, the pairs cannot make a batch, or memory is full.
    """
    identity = training_identity(data, {"encoder": encoder, "train": train}, seed=seed)
    found = newest_checkpoint(checkpoint_folder(folder))
    if found is not None:
        refuse_other(identity, found[1].get(IDENTITY), found[0])
    resume = found[0] if found is not None else None
    session = Session(data, encoder, train, folder, seed, identity, resume)
    if train.devices == 1:
        trained = run_session(session, rank=0, on_step=on_step, on_warning=on_warning)
    else:
        trained = run_processes(session, on_step=on_step, on_warning=on_warning)
    network = build_network(encoder.architecture, seed=seed)  # whatever it started from
    load_weights(network, weights_from_bytes(trained.weights))
    summary = {
        "seed": seed,
        "segclr_version": __version__,
        "config": train.model_dump(mode="json"),
        "n_training_pairs": len(data.training),
        "n_held_out_pairs": len(data.held_out),
        "result": trained.result,
    }
    return Encoder(encoder, network, voxel_size_nm=data.voxel_size_nm, size_vx=data.size_vx, training=summary)
