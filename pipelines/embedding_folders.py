"""The folders of embeddings that a run holds: one for each encoder and aggregation."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.aggregate import aggregated_folder, settings
from pipelines.classify import encoders_of
from pipelines.lost import is_lost
from pipelines.records import stage_digest
from pipelines.run import EmbeddingSet, Run
from segclr import files
from segclr.errors import ConfigError
from segclr.store.embeddings import EmbeddingTable, open_embeddings

__all__ = ["FolderFacts", "folder_facts", "read_folder_of"]


@dataclass(frozen=True)
class FolderFacts:
    """What made the embeddings of a folder.

    Attributes:
        folder: its name within the run.
        encoder_digest: of the encoder.
        digest: of all that the stage wrote.
    """

    folder: str
    encoder_digest: str
    digest: str


def folder_facts(run: Run, folder: str) -> FolderFacts:
    """What made a folder of embeddings.

    Raises:
        ConfigError: the run's configuration has no such folder.
        MissingDataError: it is not made yet.
    """
    known = _folders(run)
    if folder not in known:
        msg = f"this run has no embeddings {folder!r}; it has {', '.join(known)}"
        raise ConfigError(msg)
    which, stage = known[folder]
    made = stage_digest(run.url, which.stage(stage))
    encoder = files.read_json(run.path(which.folder("encoder"), "config.json"))
    return FolderFacts(folder, str(encoder["digest"]), made)


def read_folder_of(run: Run, folder: str) -> EmbeddingTable:
    """All nodes of a folder that no stage lost, sorted by (segment_id, node_id).

    Raises:
        ConfigError: the run's configuration has no such folder.
        MissingDataError: it is not made yet.
    """
    folder_facts(run, folder)
    table = open_embeddings(run.path(folder)).read_all()
    return table.take(~is_lost(run, table.segment_ids, table.node_ids))


def _folders(run: Run) -> dict[str, tuple[EmbeddingSet, str]]:
    """Name of each folder, with its encoder and the stage that writes it."""
    known = {}
    for which in encoders_of(run):
        known[which.folder("embeddings")] = (which, "compact")
        for metric, radius_um in settings(run.config.aggregate):
            known[which.folder(aggregated_folder(metric, radius_um))] = (which, "aggregate")
    return known
