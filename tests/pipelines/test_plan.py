"""A plan against what a run of the same configuration then did."""

import itertools
import json
import math

import numpy as np
import pytest
import yaml

from pipelines.nodes import read_nodes
from pipelines.packaged import packaged_rates
from pipelines.plan import draw_blocks, plan_run, plan_table, plan_tree, sample_blocks, volume_extents
from pipelines.run import Run
from pipelines.workflow import run_one
from segclr import files
from segclr.config import RateConfig, RunConfig, load_config
from segclr.data.volume import Volume
from segclr.errors import ConfigError, CubeError, MissingDataError
from segclr.geometry import BoundingBox
from segclr.model.encoder import Encoder
from segclr.plan import load_rates, sampled_content
from segclr.store.parquet import read_columns
from tests.pipelines.conftest import config_tree, segclr, segclr_here
from tests.pipelines.test_cli import refused

TISSUE = {
    "name": "small tissue",
    "seed": 5,
    "tissue": {"n_blocks": 4, "block_size_vx": [112, 112, 96], "somata_per_class": 1},
    "skeletons": {"source": "tissue"},
    "pairs": {"n_pairs": 200, "max_distance_nm": 6000},
    "cubes": {"size_vx": 16, "margin_vx": 1, "block_vx": [56, 112, 96], "shard_cubes": 64},
    "encoder": {"depth": 10, "width": 0.125, "stem": "medium", "bottleneck_hidden": 16},
    "evaluate": {"untrained_baseline": False},
    "cluster": {"kind": "none"},
}


def expected(plan, key):
    return plan[key].value.expected


def record_reads(monkeypatch):
    """Decoded bytes of the chunks that every read of a volume touches, found one by one."""
    touched = []
    read = Volume.read

    def recorded(self, box):
        inside = box.intersect(self.bounds)
        chunks = [c for c in self.bounds.blocks(self.chunk_size_vx) if c.intersect(inside).n_voxels]
        touched.extend(c.n_voxels * self.dtype.itemsize for c in chunks)
        return read(self, box)

    monkeypatch.setattr(Volume, "read", recorded)
    return touched


@pytest.fixture(scope="module")
def tissue_run(tmp_path_factory):
    """The plan from metadata alone, made before there was any tissue; then the run and what it read."""
    folder = tmp_path_factory.mktemp("plan") / "run"
    config = RunConfig.model_validate({**TISSUE, "run": str(folder)})
    before = plan_run(config)
    assert not folder.exists()
    run = Run(str(folder), config)
    for stage in ("tissue", "nodes", "pairs"):
        run_one(config, stage)
    size = config.tissue.voxel_size_nm
    Encoder.untrained(config.encoder, voxel_size_nm=size, size_vx=16, seed=0).save(run.path("encoder"))
    reads = {}
    for stage in ("cubes", "embed"):
        with pytest.MonkeyPatch.context() as monkeypatch:
            reads[stage] = record_reads(monkeypatch)
            run_one(config, stage)
    return run, before, reads


def test_metadata_alone_are_right_within_a_factor_of_two(tissue_run):
    run, plan, _ = tissue_run
    nodes = read_nodes(run)
    told = plan["nodes"].value
    assert told.low < len(nodes) < told.high
    assert 0.5 < told.expected / len(nodes) < 2


def test_blocks_and_bytes_are_exact(tissue_run):
    run, plan, reads = tissue_run
    parts = files.glob(run.path("parts"), "*.parquet")
    assert expected(plan, "blocks") == len(parts) == 8
    assert plan["blocks"].value.is_exact
    assert expected(plan, "voxels") == 4 * 112 * 112 * 96
    for stage in ("cubes", "embed"):
        assert expected(plan, f"read_{stage}_bytes") == pytest.approx(sum(reads[stage]), rel=1e-12)
    assert expected(plan, "requests") > len(reads["cubes"]) + len(reads["embed"])


def test_all_blocks_sampled_give_nodes_segments_cubes_and_sizes_as_they_became(tissue_run):
    run = tissue_run[0]
    plan, nodes = plan_run(run.config, n_samples=99), read_nodes(run)
    assert expected(plan, "nodes") == expected(plan, "cubes_to_embed") == pytest.approx(len(nodes))
    assert plan["nodes"].value.is_exact
    assert expected(plan, "segments") == pytest.approx((nodes.parents < 0).sum())
    stored = len(read_columns(run.path("cubes_index.parquet"))["row"])
    assert plan["cubes_to_store"].value.low <= stored <= plan["cubes_to_store"].value.high
    assert expected(plan, "cubes_to_store") == pytest.approx(stored, rel=0.15)
    on_disk = sum(
        len(files.read_bytes(u)) for f in ("parts", "embeddings") for u in files.glob(run.path(f), "*")
    )
    told = plan["embeddings_bytes"].value
    assert told.low <= on_disk <= told.high
    assert told.expected == len(nodes) * 288 * 2


@pytest.mark.parametrize("seed", range(4))
def test_half_the_blocks_are_right_within_15_percent(tissue_run, seed):
    run = tissue_run[0]
    plan = plan_run(run.config, n_samples=4, seed=seed)
    assert expected(plan, "nodes") == pytest.approx(len(read_nodes(run)), rel=0.15)
    assert "4 of 8 blocks, standard error" in plan["nodes"].source


def test_the_told_interval_holds_the_true_number_for_nearly_all_samples(tissue_run):
    run = tissue_run[0]
    _, extent = volume_extents(run)
    blocks = sample_blocks(run, list(extent.bounds.blocks(run.config.cubes.block_vx)))
    n_nodes = len(read_nodes(run))
    for n in (3, 4, 5):
        told = [
            sampled_content(chosen, extent, run.config.plan, n_blocks=8).n_nodes
            for chosen in itertools.combinations(blocks, n)
        ]
        assert np.mean([t.low <= n_nodes <= t.high for t in told]) > 0.85
        assert np.mean([t.expected for t in told]) == pytest.approx(n_nodes)


def test_the_sample_is_a_function_of_its_seed(tissue_run):
    run = tissue_run[0]
    one, same, other = (plan_run(run.config, n_samples=3, seed=s) for s in (1, 1, 2))
    assert one.rows == same.rows
    assert one["nodes"].value != other["nodes"].value


def test_skeletons_of_sampled_blocks_are_like_those_made_in_one_piece(finished_run, volumes, tmp_path):
    config = RunConfig.model_validate(config_tree(volumes, tmp_path / "another run"))
    plan = plan_run(config, n_samples=3)
    nodes = read_nodes(Run(str(finished_run), config))
    assert expected(plan, "nodes") == pytest.approx(len(nodes), rel=0.15)
    assert expected(plan, "segments") == pytest.approx(6, abs=1)
    assert expected(plan, "blocks") == 3
    assert expected(plan, "cubes_to_embed") == 2 * expected(plan, "nodes")


def test_metadata_alone_reads_no_voxel_and_writes_nothing(volumes, tmp_path, monkeypatch):
    config = RunConfig.model_validate(config_tree(volumes, tmp_path / "run"))
    touched = record_reads(monkeypatch)
    plan_run(config)
    assert touched == []
    plan_run(config, n_samples=1)
    assert touched
    assert list(tmp_path.iterdir()) == []


def test_a_volume_reduced_on_the_fly_costs_its_finer_bytes(volumes, tmp_path):
    tree = config_tree(volumes, tmp_path / "run")
    tree["volume"] |= {"voxel_size_nm": [64, 64, 40], "downsample": True}
    whole = config_tree(volumes, tmp_path / "run")
    plan, finer = (plan_run(RunConfig.model_validate(t)) for t in (tree, whole))
    assert expected(plan, "voxels") * 4 == expected(finer, "voxels")
    assert expected(plan, "decoded_bytes") == expected(finer, "decoded_bytes")


def test_blocks_are_drawn_with_equal_probability_without_repeats():
    bounds = BoundingBox((5, 0, -3), (25, 10, 7))
    tiles = list(bounds.blocks((8, 8, 8)))
    drawn = [draw_blocks(bounds, (8, 8, 8), n=3, seed=s) for s in range(600)]
    assert all(len(set(boxes)) == 3 and boxes == [t for t in tiles if t in boxes] for boxes in drawn)
    counts = np.array([sum(tile in boxes for boxes in drawn) for tile in tiles])
    assert abs(counts - 600 * 3 / len(tiles)).max() < 5 * math.sqrt(600 * 3 / len(tiles))
    assert draw_blocks(bounds, (8, 8, 8), n=len(tiles), seed=0) == tiles


@pytest.fixture
def cubic_millimetre(tmp_path):
    """The two info files of a volume of 1 mm^3, without a single chunk, and a plan section with prices."""
    for name, kind, dtype in (("em", "image", "uint8"), ("seg", "segmentation", "uint64")):
        scale = {
            "key": "32_32_40",
            "size": [31250, 31250, 25000],
            "resolution": [32, 32, 40],
            "voxel_offset": [0, 0, 0],
            "chunk_sizes": [[128, 128, 128]],
            "encoding": "raw",
        }
        info = {"type": kind, "data_type": dtype, "num_channels": 1, "scales": [scale]}
        files.write_json(str(tmp_path / name / "info"), {"@type": "neuroglancer_multiscale_volume", **info})
    rates = dict.fromkeys(RateConfig.model_fields, 10.0) | {"stored_share_of_cube": 0.25}
    tree = {
        "name": "a cubic millimetre",
        "run": str(tmp_path / "run"),
        "volume": {
            "em": f"precomputed://file://{tmp_path}/em",
            "segmentation": f"precomputed://file://{tmp_path}/seg",
            "voxel_size_nm": [32, 32, 40],
        },
        "evaluate": {"untrained_baseline": False},
        "plan": {
            "rates": rates,
            "gpu_tflops": 20,
            "price_per_core_hour": 0.04,
            "price_per_gpu_hour": 2,
            "price_per_tb_month": 20,
            "price_per_tb_read": 0,
            "price_per_million_requests": 0.4,
        },
    }
    path = tmp_path / "mm3.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def test_a_cubic_millimetre_adds_up_by_hand(cubic_millimetre):
    plan = plan_run(load_config(str(cubic_millimetre)))
    nodes = 5.4e9 / 1.5 + 5.4 * (6e6 / 4 + 1e9 / 150)
    assert expected(plan, "nodes") == pytest.approx(nodes)
    assert 3e9 < nodes < 5e9
    assert expected(plan, "embeddings_bytes") == pytest.approx(nodes * 288 * 2)
    gflop = expected(plan, "gflop_per_cube")
    trained = 3 * 1000 * 2 * 64
    assert expected(plan, "gpu_hours") == pytest.approx((nodes + trained) * gflop / 20_000 / 3600)
    assert expected(plan, "encode_core_hours") == pytest.approx(nodes * gflop / 10 / 3600)
    voxels = 31250 * 31250 * 25000
    skeletonize = voxels * 8 / 1e7 / 3600 + voxels / 1e7 / 3600
    assert expected(plan, "skeletonize_core_hours") == pytest.approx(skeletonize)
    # blocks of 4 chunks are moved by half of one: with their margins they touch 5, at the border fewer
    times_read = expected(plan, "read_embed_bytes") / (voxels * 9)
    assert 0.98 * 5**3 / 4**3 < times_read < 5**3 / 4**3
    assert expected(plan, "gpus") == pytest.approx(2 * expected(plan, "gpu_hours"))
    assert expected(plan, "storage_per_month") == pytest.approx(expected(plan, "stored_bytes") / 1e12 * 20)
    assert expected(plan, "egress") == 0
    with_gpu = [expected(plan, k) for k in ("cores_beside_gpu", "gpus", "egress", "requests_cost")]
    assert expected(plan, "run_with_gpu") == pytest.approx(sum(with_gpu))
    hours = [r.value.expected for r in plan.rows if r.key.endswith("core_hours") and r.key != "core_hours"]
    assert expected(plan, "core_hours") == pytest.approx(sum(hours))


def test_a_box_of_nodes_is_planned_as_a_box(cubic_millimetre):
    path = str(cubic_millimetre)
    whole = plan_run(load_config(path))
    box = plan_run(load_config(path, ["nodes.box_nm=[[0, 0, 0], [100000, 200000, 300000]]"]))
    um3 = 100 * 200 * 300
    assert expected(box, "tissue_um3") == pytest.approx(um3, rel=1e-3)
    surface = 2 * 1e4 * (1 * 2 + 2 * 3 + 1 * 3)
    nodes = 5.4 * (um3 / 1.5 + surface / 4 + um3 / 150)
    assert expected(box, "nodes") == pytest.approx(nodes, rel=1e-3)
    edges = [1 + math.ceil((voxels - 64 - 512) / 512) for voxels in (3125, 6250, 7500)]  # the first is longer
    assert expected(box, "blocks") == math.prod(edges)
    assert expected(box, "read_embed_bytes") < 0.02 * expected(whole, "read_embed_bytes")
    for key in ("read_skeletonize_bytes", "skeletonize_core_hours"):  # skeletons are made of the whole volume
        assert expected(box, key) == expected(whole, key)
    assert expected(box, "skeletons_bytes") == pytest.approx(expected(whole, "skeletons_bytes"), rel=1e-3)


def test_a_box_beyond_the_volume_and_an_absent_list_of_ids_are_refused(cubic_millimetre, tmp_path):
    path = str(cubic_millimetre)
    with pytest.raises(ConfigError, match="lies beyond the volume"):
        plan_run(load_config(path, ["nodes.box_nm=[[2e6, 0, 0], [3e6, 1e6, 1e6]]"]))
    with pytest.raises(MissingDataError):
        plan_run(load_config(path, [f"nodes.ids={tmp_path}/absent.txt"]))


def test_without_em_skeletons_nodes_and_pairs_are_planned(cubic_millimetre):
    path = str(cubic_millimetre)
    whole, bare = plan_run(load_config(path)), plan_run(load_config(path, ["volume.em=null"]))
    keys = {row.key for row in bare.rows}
    assert not keys & {"cubes_to_embed", "read_embed_bytes", "cubes_bytes", "encode_core_hours", "gpu_hours"}
    for key in ("nodes", "read_skeletonize_bytes", "read_nodes_bytes", "skeletons_bytes", "pairs_core_hours"):
        assert expected(bare, key) == expected(whole, key)
    hours = sum(expected(bare, f"{stage}_core_hours") for stage in ("skeletonize", "nodes", "pairs"))
    assert expected(bare, "core_hours") == pytest.approx(hours)


def test_every_row_has_a_unit_an_order_and_a_source(cubic_millimetre):
    plan = plan_run(load_config(str(cubic_millimetre)))
    assert len({r.key for r in plan.rows}) == len(plan.rows)
    for row in plan.rows:
        assert row.unit
        assert row.source
        assert row.value.low <= row.value.expected <= row.value.high
    assert plan_table(plan).row_count == len(plan.rows)


def test_what_has_no_price_or_was_not_measured_is_not_told(cubic_millimetre):
    path = str(cubic_millimetre)
    unset = ["plan.gpu_tflops=null", "plan.price_per_tb_month=null"]
    plan = plan_run(load_config(path, unset))
    assert plan["gpu_hours"].value is None
    assert plan["gpu_hours"].source == "not measured: set plan.gpu_tflops"
    assert plan["storage_per_month"].source == "no price: set plan.price_per_tb_month"
    assert plan["run_with_gpu"].value is None
    assert plan["run_without_gpu"].value is not None
    row = next(r for r in plan_tree(plan)["rows"] if r["key"] == "gpu_hours")
    assert (row["low"], row["expected"], row["high"]) == (None, None, None)


def test_the_measured_rates_come_with_the_package_and_are_complete():
    loaded = load_rates(packaged_rates(), RateConfig())
    for name in set(RateConfig.model_fields) - {"encode_gflop_per_s"}:
        assert loaded[name].value > 0
    demo = load_config("configs/demo.yaml")
    for precision in (demo.embed.precision, demo.train.precision):
        rate = loaded.encoding(
            demo.encoder, size_vx=demo.cubes.size_vx, precision=precision, gflop_per_cube=1.0
        )
        assert rate.source == "measured rate of this encoder (demo)"


def test_the_plan_section_may_change_on_resume(tissue_run):
    config = tissue_run[0].config
    changed = config.model_copy(update={"plan": config.plan.model_copy(update={"cable_factor": 4.0})})
    assert run_one(changed, "nodes").url == tissue_run[0].url


def test_the_command_prints_a_table_and_json(cubic_millimetre):
    table = segclr("plan", str(cubic_millimetre))
    assert table.returncode == 0, table.stderr
    for word in ("a cubic millimetre", "nodes", "TB", "core-h", "GPU-h", "USD", "metadata", "Not counted"):
        assert word in table.stdout
    printed = segclr("plan", str(cubic_millimetre), "--json")
    tree = json.loads(printed.stdout)
    nodes = next(r for r in tree["rows"] if r["key"] == "nodes")
    assert (nodes["unit"], nodes["section"]) == ("nodes", "work")
    assert nodes["low"] < 4e9 < nodes["high"]


def test_wrong_input_is_told_in_one_line(config_file, volumes, tmp_path):
    volume = config_tree(volumes, tmp_path)["volume"]
    absent = str(config_file(volume=volume | {"em": f"precomputed://file://{tmp_path}/none"}))
    refused(segclr_here("plan", absent), 1, "no precomputed volume", "none")
    good = str(config_file())
    refused(segclr_here("plan", good, "--set", "plan.price_per_core_hour=-1"), 2, "plan.price_per_core_hour")
    refused(segclr_here("plan", good, "--set", "plan.rates_url=none.json"), 1, "none.json")
    assert segclr("plan", good, "--sample-blocks", "-1").returncode == 2


def test_tissue_that_is_not_made_yet_cannot_be_sampled(tmp_path):
    config = RunConfig.model_validate({**TISSUE, "run": str(tmp_path / "run")})
    with pytest.raises(MissingDataError, match="segclr tissue"):
        plan_run(config, n_samples=1)
    with pytest.raises(ConfigError, match="0 or more"):
        plan_run(config, n_samples=-1)
    large = config.model_copy(update={"cubes": config.cubes.model_copy(update={"size_vx": 97})})
    with pytest.raises(CubeError, match=r"97 voxels.*96 or less"):
        plan_run(large)
