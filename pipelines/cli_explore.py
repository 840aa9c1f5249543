"""``segclr search``, ``segclr cluster`` and ``segclr project``: a run's embeddings without labels."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli_options import refuse_unused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["cluster", "project", "search"]


class MetricName(StrEnum):
    """Values of --metric."""

    cosine = "cosine"
    euclidean = "euclidean"


class ClusterMethodName(StrEnum):
    """Values of --method of cluster."""

    kmeans = "kmeans"
    hdbscan = "hdbscan"


class ProjectionMethodName(StrEnum):
    """Values of --method of project."""

    pca = "pca"
    umap = "umap"


RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run (path or URL).")]
Folder = Annotated[
    str, typer.Option("--embeddings", help="Which of the run's: embeddings, aggregated/path-10um, ...")
]
MetricOption = Annotated[
    MetricName, typer.Option("--metric", help="How embeddings are compared; cosine: by direction alone.")
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, max=2**32 - 1, help="Default: the run's.")]
Name = Annotated[str | None, typer.Option("--name", help="Of the files. Default: method and its number.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")]


def search(
    run: RunFolder,
    at: Annotated[
        str | None, typer.Option("--at", metavar="X,Y,Z", help="A place in nm: the node nearest to it asks.")
    ] = None,
    segment: Annotated[
        str | None, typer.Option("--segment", metavar="ID", help="A segment: its mean embedding asks.")
    ] = None,
    node: Annotated[
        int | None, typer.Option("--node", min=0, max=2**32 - 1, help="With --segment: this node asks.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many hits.")] = 10,
    metric: MetricOption = MetricName.cosine,
    *,
    other_segments: Annotated[
        bool, typer.Option("--other-segments", help="Leave out the asking segment.")
    ] = False,
    min_distance_um: Annotated[
        float,
        typer.Option("--min-distance-um", min=0, help="Hits lie this far from the asking node, or farther."),
    ] = 0.0,
    only_segments: Annotated[
        str | None,
        typer.Option(
            "--only-segments", help="Hits lie on these: ids with commas between, or a .txt, .csv or .parquet."
        ),
    ] = None,
    embeddings: Folder = "embeddings",
    as_json: AsJson = False,
) -> None:
    """Find the places most like a place, by the embeddings of a run.

    Exact. The asking node is never among its own hits.

    Example: segclr search runs/demo --at 4000,4000,2000 -k 5 --other-segments --min-distance-um 2
    """
    from pipelines.inspect import saved_run
    from pipelines.search import SearchRequest, hit_lines, search_run

    request = SearchRequest(
        at_nm=None if at is None else _place(at),
        segment_id=None if segment is None else _segment_id("--segment", segment),
        node_id=node,
        k=k,
        metric=metric.value,
        other_segments=other_segments,
        min_distance_um=min_distance_um,
        only_segments=None if only_segments is None else _segment_ids(only_segments),
        folder=embeddings,
    )
    found = search_run(saved_run(run), request)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for line in hit_lines(found):
        typer.echo(line)


def cluster(
    context: typer.Context,
    run: RunFolder,
    method: Annotated[
        ClusterMethodName, typer.Option("--method", help="hdbscan finds how many there are, and noise.")
    ] = ClusterMethodName.kmeans,
    n_clusters: Annotated[int, typer.Option("--n-clusters", min=1, help="Of kmeans.")] = 8,
    min_cluster_size: Annotated[
        int, typer.Option("--min-cluster-size", min=2, help="Of hdbscan: smaller groups are noise.")
    ] = 20,
    min_samples: Annotated[
        int | None,
        typer.Option(
            "--min-samples", min=1, help="Of hdbscan: more calls more noise. Default: --min-cluster-size."
        ),
    ] = None,
    components: Annotated[
        int, typer.Option("--components", min=1, help="Of hdbscan: principal components compared.")
    ] = 16,
    max_nodes: Annotated[
        int, typer.Option("--max-nodes", min=1, help="Of hdbscan: more are refused, as they take hours.")
    ] = 100_000,
    metric: MetricOption = MetricName.cosine,
    seed: Seed = None,
    embeddings: Folder = "embeddings",
    name: Name = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Group the nodes of a run by their embeddings; writes clusters/.

    Cluster 0 is the largest; -1 is noise.

    Example: segclr cluster runs/demo --method hdbscan --min-cluster-size 30
    """
    from pipelines.inspect import saved_run
    from pipelines.node_clusters import ClusterSettings, cluster_lines, cluster_nodes

    settings = ClusterSettings(
        method=method.value,
        metric=metric.value,
        n_clusters=n_clusters,
        min_cluster_size=min_cluster_size,
        min_samples=min_samples,
        n_components=components,
        max_rows=max_nodes,
    )
    owned = ("n_clusters", "min_cluster_size", "min_samples", "components", "max_nodes")
    _refuse_of_other_methods(context, owned, settings.used)
    url = cluster_nodes(saved_run(run), settings, folder=embeddings, seed=seed, name=name)
    told = _told(url)
    if as_json:
        typer.echo(json.dumps({"url": url, **told}, indent=1))
        return
    for line in cluster_lines(told):
        typer.echo(line, err=True)
    typer.echo(url)


def project(
    context: typer.Context,
    run: RunFolder,
    method: Annotated[
        ProjectionMethodName, typer.Option("--method", help="umap needs the extra viz.")
    ] = ProjectionMethodName.pca,
    components: Annotated[int, typer.Option("--components", min=1, help="Dimensions of the answer.")] = 2,
    n_neighbors: Annotated[
        int, typer.Option("--n-neighbors", min=2, help="Of umap: few show detail, many the whole.")
    ] = 15,
    min_dist: Annotated[
        float, typer.Option("--min-dist", min=0, max=1, help="Of umap: how close points may lie.")
    ] = 0.1,
    max_fit: Annotated[
        int, typer.Option("--max-fit", min=4, help="Of umap: of more nodes a sample is fitted.")
    ] = 20_000,
    metric: MetricOption = MetricName.cosine,
    seed: Seed = None,
    embeddings: Folder = "embeddings",
    name: Name = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Lay the embeddings of a run out in a few dimensions; writes projections/.

    Example: segclr project runs/demo --method pca --components 3
    """
    from pipelines.inspect import saved_run
    from pipelines.projections import ProjectionSettings, project_nodes

    settings = ProjectionSettings(
        method=method.value,
        metric=metric.value,
        n_components=components,
        n_neighbors=n_neighbors,
        min_dist=min_dist,
        max_fit=max_fit,
    )
    _refuse_of_other_methods(context, ("n_neighbors", "min_dist", "max_fit"), settings.used)
    url = project_nodes(saved_run(run), settings, folder=embeddings, seed=seed, name=name)
    told = _told(url)
    if as_json:
        typer.echo(json.dumps({"url": url, **told}, indent=1))
        return
    if "explained_variance_ratio" in told:
        shares = ", ".join(f"{100 * share:.1f} %" for share in told["explained_variance_ratio"])
        typer.echo(f"share of the variance: {shares}", err=True)
    typer.echo(url)


_SETTINGS = {"components": "n_components", "max_nodes": "max_rows"}
"""Settings of options that are called otherwise."""


def _refuse_of_other_methods(
    context: typer.Context, owned: tuple[str, ...], used: Mapping[str, object]
) -> None:
    unused = tuple(name for name in owned if _SETTINGS.get(name, name) not in used)
    refuse_unused(context, unused, to=f"{context.params['method'].value}: leave it out or set --method")


def _told(url: str) -> dict[str, Any]:
    from segclr import files

    return dict(files.read_json(url.removesuffix(".parquet") + ".json"))


_FURTHEST_NM = 1e15


def _place(text: str) -> tuple[float, float, float]:
    from segclr.errors import ConfigError

    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        x = y = z = math.inf
    if not all(abs(v) < _FURTHEST_NM for v in (x, y, z)):
        msg = f"--at takes three numbers in nm with commas between, such as 4000,4000,2000; got {text!r}"
        raise ConfigError(msg)
    return x, y, z


def _segment_id(option: str, text: str) -> int:
    from segclr.errors import ConfigError

    if not (text.isascii() and text.isdigit() and len(text) <= 20 and 0 < int(text) < 2**64):
        msg = f"{option} takes whole numbers from 1 to 2**64 - 1, got {text!r}"
        raise ConfigError(msg)
    return int(text)


def _segment_ids(text: str) -> NDArray[np.uint64]:
    import numpy as np

    from pipelines.segment_ids import read_segment_ids

    if text.endswith((".txt", ".csv", ".parquet")):
        return read_segment_ids(text)
    ids = [_segment_id("--only-segments", part.strip()) for part in text.split(",")]
    return np.array(ids, dtype=np.uint64)
