"""Classifiers in a run's folder: kinds, names, and the threshold for "unknown" beside a saved one."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from pipelines.run import Run
from segclr import classify, files
from segclr.classify import LinearClassifier, Threshold
from segclr.config import Metric
from segclr.errors import CorruptDataError, SegclrError

if TYPE_CHECKING:
    from segclr.classify import ResNetClassifier

__all__ = [
    "Kind",
    "classifier_faults",
    "classifier_name",
    "encoder_digest_of",
    "load_classifier",
    "new_classifier",
    "read_threshold",
    "write_threshold",
]

Kind = Literal["linear", "resnet"]

_FILE = "threshold.json"


def classifier_name(task: str, metric: Metric, radius_um: float, kind: Kind) -> str:
    """Of its folder; the linear one, which came first, has no suffix."""
    return f"{task}-{metric}-{radius_um:g}um" + ("" if kind == "linear" else f"-{kind}")


def encoder_digest_of(run: Run) -> str:
    """What a classifier of this run's embeddings is tied to."""
    return str(files.read_json(run.path("encoder", "config.json"))["digest"])


def new_classifier(run: Run, kind: Kind) -> LinearClassifier | ResNetClassifier:
    """An unfitted one, as the run's configuration has it; torch is imported for "resnet" only.

    The residual network sees directions, which is what contrastive training compares, and its variance
    says how far a vector is from all it has learnt from: that finds types never seen (docs/benchmark.md).
    """
    config = run.config
    if kind == "linear":
        return LinearClassifier(C=config.evaluate.probe_c, random_state=config.seed)
    return classify.ResNetClassifier(
        direction=True,
        likelihood="gaussian",
        uncertainty_from="variance",
        device=config.embed.device,
        random_state=config.seed,
    )


def load_classifier(url: str, kind: Kind, *, encoder_digest: str) -> LinearClassifier | ResNetClassifier:
    """A saved one.

    Raises:
        CorruptDataError: the files are damaged or of another kind.
        EncoderError: it was fitted on embeddings of another encoder.
    """
    if kind == "linear":
        return LinearClassifier.load(url, encoder_digest=encoder_digest)
    return classify.ResNetClassifier.load(url, encoder_digest=encoder_digest)


def write_threshold(url: str, threshold: Threshold | None) -> None:
    """Write what was chosen, or that nothing was, into the classifier's folder."""
    files.write_json(files.join(url, _FILE), None if threshold is None else asdict(threshold))


def read_threshold(url: str) -> float | None:
    """The uncertainty above which a class is "unknown", if one was chosen.

    Raises:
        CorruptDataError: the file holds something else.
    """
    path = files.join(url, _FILE)
    if not files.exists(path):
        return None  # fitted before there were thresholds
    content = files.read_json(path)
    if content is None:
        return None
    try:
        return Threshold(**content).unknown_above
    except TypeError as error:
        msg = f"{path} does not hold a threshold: {error}"
        raise CorruptDataError(msg) from error


def classifier_faults(run: Run) -> list[str]:
    """What is wrong with the fitted classifiers of a run, one line each."""
    urls = files.glob(run.path("classifiers"), "*/*.*")
    faults = []
    for folder in sorted({url.rsplit("/", 1)[0] for url in urls}):
        name = folder.rsplit("/", 1)[1]
        kind: Kind = "resnet" if name.endswith("-resnet") else "linear"
        try:
            load_classifier(folder, kind, encoder_digest=encoder_digest_of(run))
            read_threshold(folder)
        except SegclrError as error:
            faults.append(f"classifiers/{name}: {error}")
    return faults
