"""What a fitted classifier says of every node of a run, in ``predictions/<name>.parquet``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.aggregate import aggregated_folder
from pipelines.classifiers import (
    Kind,
    classifier_name,
    encoder_digest_of,
    load_classifier,
    read_threshold,
)
from pipelines.classify import check_setting
from pipelines.node_results import read_node_result, subject_of, write_node_result
from pipelines.run import TRAINED, Run
from segclr import files
from segclr.config import Metric
from segclr.errors import MissingDataError

__all__ = ["predict_nodes", "read_predictions"]


def predict_nodes(
    run: Run,
    task: str,
    *,
    metric: Metric,
    radius_um: float,
    kind: Kind = "linear",
    unknown_above: float | None = None,
) -> str:
    """Class, probabilities and uncertainty of every node; answers the table's URL.

    Args:
        run: with embeddings.
        task: that the classifier was fitted for.
        metric: how the radius of aggregation is measured.
        radius_um: of aggregation; 0: the node alone.
        kind: of the classifier.
        unknown_above: uncertainty above which the class is "unknown"; None: as chosen when fitting, if so.

    Raises:
        ConfigError: the task takes no classifier or has no labels, or the run does not aggregate so.
        MissingDataError: no such classifier was fitted, or the run has no embeddings yet.
    """
    check_setting(run, task, metric, radius_um)
    name = classifier_name(task, metric, radius_um, kind)
    saved = run.path("classifiers", name)
    if not files.exists(files.join(saved, "config.json")):
        msg = (
            f"{run.url} has no classifier {name} yet: run `segclr classify fit --task {task} "
            f"--metric {metric} --radius-um {radius_um:g} --kind {kind}` first, with the same --config and "
            "--set"
        )
        raise MissingDataError(msg)
    classifier = load_classifier(saved, kind, encoder_digest=encoder_digest_of(run))
    if unknown_above is None:
        unknown_above = read_threshold(saved)
    folder = aggregated_folder(metric, radius_um) if radius_um > 0 else "embeddings"
    subject = subject_of(run, TRAINED.folder(folder), method=name, name=name, seed=None)
    vectors = subject.table.embeddings
    probabilities = classifier.predict_proba(vectors).astype(np.float32)
    columns: dict[str, NDArray[Any]] = {
        "class": classifier.predict(vectors, unknown_above=unknown_above),
        "uncertainty": classifier.uncertainty(vectors).astype(np.float32),
    }
    columns |= {
        f"p_{c}": np.ascontiguousarray(probabilities[:, i]) for i, c in enumerate(classifier.classes_)
    }
    told = {
        "task": task,
        "classifier": f"classifiers/{name}",
        "classifier_sha256": files.sha256(files.read_bytes(files.join(saved, "config.json"))),
        "classes": [str(c) for c in classifier.classes_],
        "unknown_above": unknown_above,
    }
    return write_node_result(run, f"predictions/{name}", columns, subject=subject, told=told)


def read_predictions(run: Run, name: str) -> dict[str, NDArray[Any]]:
    """Columns segment_id, node_id, x_nm, y_nm, z_nm, class, uncertainty and p_<class>, one row a node.

    Raises:
        MissingDataError: there are none of this name.
        CorruptDataError: the files are damaged.
        DataError: they were made from embeddings that the run no longer has.
    """
    return read_node_result(run, f"predictions/{name}")[0]
