"""A run in Neuroglancer: what the client itself makes of it, in a headless browser."""

import io
import json
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from urllib.request import urlopen

import numpy as np
import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

from pipelines.browser import Browser
from pipelines.cli import app
from pipelines.data_server import stop_serving
from pipelines.inspect import saved_run
from pipelines.node_results import subject_of, write_node_result
from pipelines.nodes import nodes_left
from pipelines.view import open_viewer, screenshot
from pipelines.view_points import PointChoice, read_points
from pipelines.view_skeletons import ServedSkeletons
from pipelines.view_volumes import direct_source, served_volume
from segclr.data.skeleton_sources.precomputed import open_source
from segclr.data.skeleton_sources.source import Unit
from segclr.errors import ConfigError, MissingDataError, SegmentNotFoundError, UnreachableError
from segclr.store.embeddings import open_embeddings
from tests.pipelines.conftest import ENVIRONMENT, IDS, SEGCLR, VOXEL_NM
from tests.segclr.data.loopback import serving

CLASSES = {"axon": "#0072B2", "unknown": "#7F7F7F", "x\n}": "#D55E00"}
"""With the colours that they shall have: names in their order, the one that says none in grey."""


@pytest.fixture
def run(finished_run, tmp_path):
    """A copy of the finished run, with predictions and clusters of every node but one."""
    shutil.copytree(finished_run, tmp_path / "run")
    run = saved_run(str(tmp_path / "run"))
    nodes = nodes_left(run)
    rows = np.arange(len(nodes) - 1)
    mixed = np.random.default_rng(0).permutation(len(rows))  # rows in any order
    values = {
        "class": np.array(list(CLASSES))[mixed % 3],
        "uncertainty": (mixed / len(rows)).astype(np.float32),
    }
    everything = subject_of(run, "embeddings", method="kmeans-12", name=None, seed=0)
    some = replace(everything, table=everything.table.take(mixed))
    write_node_result(run, "predictions/compartment-path-1um", values, subject=some, told={})
    write_node_result(
        run,
        "clusters/kmeans-12",
        {"cluster": (mixed % 12 - 1).astype(np.int32)},
        subject=some,
        told={},
    )
    return run


@pytest.fixture
def served():
    yield
    stop_serving()


def value_of(page: Browser, point_nm) -> int:
    """The segment that the client draws at a place."""
    voxel = (np.asarray(point_nm, dtype=np.float64) / VOXEL_NM).tolist()
    layer = "viewer.layerManager.getLayerByName('segmentation').layer"
    value = f"{layer}.getValueAt(Float32Array.from({voxel}), {{pickedRenderLayer: null}})"
    return int(page.evaluate(f"String({value})"))


def pixels(png: bytes) -> np.ndarray:
    return np.round(imread(io.BytesIO(png), format="png")[..., :3] * 255).astype(np.uint8)


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


def skeletons_drawn(page: Browser) -> int:
    layer = "viewer.layerManager.getLayerByName('segmentation').layer"
    return page.evaluate(f"Math.max(...{layer}.renderLayers.map(r => r.base?.source?.chunks?.size ?? 0))")


def test_in_a_browser_every_node_lies_in_its_own_segment_and_nothing_goes_wrong(run, chromium, served):
    opened = open_viewer(run, PointChoice(colour="class"))
    done = threading.Event()
    with Browser(opened.viewer.get_viewer_url()) as page:
        opened.viewer.async_screenshot(lambda _reply: done.set())
        assert done.wait(120), page.errors
        # what the three sections cut is loaded
        beside_nm = np.abs(opened.points.points_nm - opened.viewer.state.position * np.array(VOXEL_NM))
        near = np.flatnonzero((beside_nm < (900, 600, 100)).all(axis=1))
        found = [value_of(page, place) for place in opened.points.points_nm[near]]
        assert skeletons_drawn(page) == len(IDS)
        assert page.errors == []
    assert found == opened.points.segment_ids[near].tolist()
    assert len(set(found)) > 1
    assert opened.told == (
        f"1 of {len(opened.points) + 1} nodes have no class (compartment-path-1um) and are not shown",
    )


def test_a_picture_has_the_points_where_they_are_in_the_colours_of_the_legend(run, chromium, served):
    opened = open_viewer(run, PointChoice(colour="class"))
    with opened.viewer.txn() as state:
        state.show_axis_lines = False
    png, errors = screenshot(opened, width_px=1200, height_px=800)
    assert errors == []
    picture, points = pixels(png), opened.points
    at_nm = opened.viewer.state.position * np.array(VOXEL_NM)
    (row,) = np.flatnonzero(np.abs(points.points_nm - at_nm).max(axis=1) < 1)
    classes = points.colouring.properties[0]
    colour = rgb(list(CLASSES.values())[classes.values[row]])
    for center in ((200, 300), (200, 900), (600, 900)):  # of the three sections: the node that they cut
        assert tuple(picture[center]) == colour
    space, legend = picture[400:800, :600].reshape(-1, 3), picture[800:].reshape(-1, 3)
    for colour in CLASSES.values():
        assert (space == rgb(colour)).all(axis=1).sum() > 50
        assert (legend == rgb(colour)).all(axis=1).any()


@pytest.mark.parametrize(
    ("name", "attribute", "value", "told"),
    [
        ("EM", "source", "precomputed://http://127.0.0.1:1/none", "EM: .*127.0.0.1:1"),
        ("nodes by segment", "shader", "void main() { not GLSL }", "nodes by segment: "),
    ],
)
def test_a_layer_that_does_not_load_is_an_error_that_names_it(
    run, chromium, served, name, attribute, value, told
):
    opened = open_viewer(run, PointChoice(colour="segment"))
    with opened.viewer.txn() as state:
        setattr(state.layers[name], attribute, value)
    with pytest.raises(UnreachableError, match=f"cannot load {told}"):
        screenshot(opened)


def test_a_state_stands_alone_and_says_what_a_browser_cannot_read(run):
    answer = CliRunner().invoke(
        app,
        [
            "view",
            run.url,
            "--state",
            "--color",
            "cluster",
            "--max-points",
            "7",
            "--at",
            "1,2,3",
            "--segment",
            str(IDS[1]),
        ],
    )
    assert answer.exit_code == 0, answer.output
    layers = {layer["type"]: layer for layer in json.loads(answer.stdout)["layers"]}
    assert layers["image"]["source"] == run.volume.em
    skeletons = f"precomputed://file://{run.url}/skeletons/precomputed"
    assert layers["segmentation"]["source"] == [run.volume.segmentation, skeletons]
    assert layers["segmentation"]["segments"] == ["9223372036854775813"]
    nodes = nodes_left(run)
    own = {tuple(p) for p in nodes.points_nm[nodes.segment_ids == IDS[1]].round(1).tolist()}
    assert len(layers["annotation"]["annotations"]) == 7
    for annotation in layers["annotation"]["annotations"]:
        assert annotation["segments"] == [["9223372036854775813"]]
        assert tuple(np.float32(annotation["point"]).round(1).tolist()) in own
    assert "a random sample" in answer.stderr
    assert "(1.0, 2.0, 3.0) lies beyond all nodes" in answer.stderr
    assert f"a browser cannot read {run.volume.em} (em)" in answer.stderr


def test_ctrl_c_is_a_good_end(finished_run):
    command = [SEGCLR, "view", str(finished_run), "--no-open", "--color", "segment"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=ENVIRONMENT, **streams) as process:
        url = next(line for line in process.stdout if line.startswith("http"))
        with urlopen(url.strip()) as page:
            assert b"neuroglancer" in page.read()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in told


INTERRUPTED = """
import os, signal, sys, time
from pipelines import cli, cli_view

def browse(url):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)

cli_view._browse = browse
sys.argv = ["segclr", "view", sys.argv[1], "--color", "segment"]
cli.main()
"""


def test_ctrl_c_right_after_the_url_is_a_good_end_too(run):
    command = [sys.executable, "-c", INTERRUPTED, run.url]
    answer = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env=ENVIRONMENT
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.endswith("ended\n")
    assert "Traceback" not in answer.stderr


def test_clusters_uncertainty_and_components_are_those_of_the_files(run):
    nodes = nodes_left(run)
    clusters, told = read_points(run, PointChoice(colour="cluster"))
    (which,) = clusters.colouring.properties
    expected = ["noise" if i == -1 else f"cluster {i:02d}" for i in np.arange(len(nodes) - 1) % 12 - 1]
    assert [which.labels[i] for i in which.values] == expected
    assert "1 of " in told[0]
    uncertain, _ = read_points(run, PointChoice(colour="uncertainty"))
    assert np.allclose(uncertain.colouring.properties[0].values, np.arange(len(nodes) - 1) / (len(nodes) - 1))
    components, _ = read_points(run, PointChoice(colour="pca"))
    table = open_embeddings(run.path("embeddings")).read_all()
    assert np.array_equal(components.segment_ids, table.segment_ids)
    centred = table.embeddings.astype(np.float64) - table.embeddings.mean(axis=0, dtype=np.float64)
    first = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    pc1 = next(p.values for p in components.properties if p.name == "pc1")
    assert abs(np.corrcoef(pc1, first)[0, 1]) > 0.9999


def test_a_sample_is_told_and_is_the_same_again(run):
    choice = PointChoice(colour="class", max_points=11)
    (one, told), (two, _) = read_points(run, choice), read_points(run, choice)
    assert np.array_equal(one.points_nm, two.points_nm)
    assert len(one) == 11
    whole, _ = read_points(run, PointChoice(colour="class"))
    keys = list(zip(whole.segment_ids, whole.node_ids, strict=True))
    rows = [keys.index(key) for key in zip(one.segment_ids, one.node_ids, strict=True)]
    assert np.array_equal(one.colouring.properties[0].values, whole.colouring.properties[0].values[rows])
    assert told[-1].startswith(f"11 of {len(whole):,} nodes are shown")


def test_a_node_has_the_same_components_whatever_is_shown_beside_it(run):
    everything = read_points(run, PointChoice(colour="pca"))[0]
    one = int(everything.segment_ids[-1])
    alone = read_points(run, PointChoice(colour="pca", segment_ids=(one,)))[0]
    mine = everything.segment_ids == one
    assert len(alone) == mine.sum() < len(everything)
    for few, all_ in zip(alone.properties, everything.properties, strict=True):
        np.testing.assert_allclose(few.values, all_.values[mine], rtol=1e-5)
    spreads = [p.values.std() for p in everything.properties[:3]]
    assert spreads == pytest.approx([1] * len(spreads), abs=1e-4)  # of all nodes, in standard deviations


def test_what_a_run_does_not_have_is_told_with_the_command_that_makes_it(run, tmp_path):
    shutil.rmtree(run.path("clusters"))
    with pytest.raises(MissingDataError, match=r"no clusters yet.*segclr cluster"):
        read_points(run, PointChoice(colour="cluster"))
    with pytest.raises(ConfigError, match="no predictions 'other'; it has compartment-path-1um"):
        read_points(run, PointChoice(colour="class", table="other"))
    with pytest.raises(ConfigError, match="--table is for class, uncertainty, cluster"):
        read_points(run, PointChoice(colour="pca", table="compartment-path-1um"))
    with pytest.raises(SegmentNotFoundError, match="no nodes of segment 18446744073709551615"):
        read_points(run, PointChoice(segment_ids=(2**64 - 1,)))
    for kind in ("json", "parquet"):
        shutil.copy(
            run.path(f"predictions/compartment-path-1um.{kind}"), run.path(f"predictions/more.{kind}")
        )
    assert read_points(run, PointChoice())[1][0].endswith("--table shows another: more")
    shutil.rmtree(run.path("predictions"))
    assert read_points(run, PointChoice())[0].colouring.title == "principal component"
    with pytest.raises(MissingDataError, match=r"no predictions yet.*segclr classify fit"):
        read_points(run, PointChoice(colour="uncertainty"))
    shutil.rmtree(run.path("embeddings"))
    assert read_points(run, PointChoice())[0].colouring.title == "segment"
    with pytest.raises(MissingDataError, match=r"no embeddings yet.*segclr embed"):
        read_points(run, PointChoice(colour="pca"))
    shutil.rmtree(run.path("nodes"))
    with pytest.raises(MissingDataError, match="no nodes yet"):
        read_points(run, PointChoice())


@pytest.mark.parametrize(
    "options",
    [
        ["--at", "1,2"],
        ["--at", "1,2,inf"],
        ["--size", "big"],
        ["--size", "10x900"],
        ["--segment", "0"],
        ["--segment", "-3"],
    ],
)
def test_wrong_options_are_told_before_anything_is_read(options):
    answer = CliRunner().invoke(app, ["view", "/no/run", *options])
    assert isinstance(answer.exception, ConfigError)
    assert f"got {options[1]!r}" in str(answer.exception)


def test_skeletons_are_those_that_the_run_wrote(run, tmp_path):
    served = ServedSkeletons.of_run(run)
    (tmp_path / "info").write_bytes(served.content("info"))
    for segment_id in IDS:
        (tmp_path / str(segment_id)).write_bytes(served.content(str(segment_id)))
    folders = (tmp_path, run.path("skeletons/precomputed"))
    ours, theirs = (open_source(f"file://{f}", Unit.of(1.0)).read(IDS).skeletons for f in folders)
    for one, other in zip(ours, theirs, strict=True):
        assert np.array_equal(one.points_nm, other.points_nm)
        assert np.array_equal(one.parents, other.parents)
    assert [served.content(path) for path in ("5", "0", "../info", f"{2**64}", "x")] == [None] * 5


def test_a_volume_is_served_as_the_run_reads_it(run):
    em, segmentation = run.open_volumes()
    for which, volume in (("em", em), ("segmentation", segmentation)):
        (scale,) = served_volume(run, which).scales
        assert np.array_equal(scale.read(volume.bounds), volume.read(volume.bounds))


def test_a_reduced_volume_is_served_with_what_is_stored(run):
    coarse = (64.0, 64.0, 80.0)
    volume = run.config.volume.model_copy(update={"voxel_size_nm": coarse, "downsample": True})
    halved = replace(run, config=run.config.model_copy(update={"volume": volume}))
    scales = served_volume(halved, "segmentation").scales
    assert [s.voxel_size_nm for s in scales] == [VOXEL_NM, coarse]
    expected = halved.open_segmentation()
    assert np.array_equal(scales[1].read(expected.bounds), expected.read(expected.bounds))


def test_a_browser_is_sent_to_a_volumes_own_url_only_where_it_reads_the_same(run, volumes):
    with serving(volumes) as faults:
        url = faults.url
        seg = f"precomputed://{url}/seg"
        for changes, direct in (
            ({"segmentation": seg}, seg),
            ({"segmentation": f"zarr://{url}/seg"}, None),
            ({"segmentation": run.volume.segmentation}, None),
        ):
            volume = run.config.volume.model_copy(update=changes)
            there = replace(run, config=run.config.model_copy(update={"volume": volume}))
            assert direct_source(there, "segmentation") == direct
        volume = run.config.volume.model_copy(update={"em": f"precomputed://{url}/em", "normalize": "clahe"})
        assert (
            direct_source(replace(run, config=run.config.model_copy(update={"volume": volume})), "em") is None
        )
