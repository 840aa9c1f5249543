import functools
import gzip
import http.server
import json
import threading

import numpy as np
import pytest
from cloudvolume import CloudVolume
from hypothesis import given, settings
from hypothesis import strategies as st
from osteoid import Skeleton as OsteoidSkeleton

from segclr.data.skeleton_sources import open_skeletons
from segclr.errors import CorruptDataError, MissingDataError, SkeletonError
from tests.segclr.data.skeleton_sources.forests import (
    IDS,
    RADIUS,
    edge_array,
    edges_of,
    encode,
    forests,
    write_precomputed_skeletons,
)

LINE = encode([[0, 0, 0], [1, 0, 0], [1, 2, 0]], [[0, 1], [1, 2]], np.array([1, 2, 3], np.float32))


def read(folder, *ids, **kwargs):
    source = open_skeletons(f"precomputed://{folder}", **kwargs)
    return source.read(np.array(ids, dtype=np.uint64))


@settings(max_examples=25)
@given(st.lists(forests(), min_size=1, max_size=5), st.sampled_from([None, 0, 3]))
def test_forests_round_trip_sharded_and_unsharded_with_ids_exact(tmp_path_factory, drawn, shard_bits):
    folder = tmp_path_factory.mktemp("skeletons")
    stored = dict(zip(IDS, drawn, strict=False))
    entries = {i: encode(p, edge_array(above), radii) for i, (p, above, radii) in stored.items()}
    write_precomputed_skeletons(folder, entries, shard_bits=shard_bits)
    source = open_skeletons(f"precomputed://{folder}")
    ids = source.segment_ids()
    assert ids.dtype == np.uint64
    assert ids.tolist() == sorted(stored)
    batch = source.read(ids)
    assert not len(batch.absent)
    assert [s.segment_id for s in batch.skeletons] == sorted(stored)
    for made in batch.skeletons:
        points, parents, radii = stored[made.segment_id]
        assert np.array_equal(made.points_nm, points)
        assert np.array_equal(made.radii_nm, radii)
        assert edges_of(made.parents) == edges_of(parents)


@pytest.mark.parametrize("shard_bits", [None, 2])
def test_absent_ids_are_named_in_order(tmp_path, shard_bits):
    write_precomputed_skeletons(tmp_path, {IDS[2]: LINE}, shard_bits=shard_bits)
    batch = read(tmp_path, 2**64 - 2, IDS[2], 5)
    assert [s.segment_id for s in batch.skeletons] == [IDS[2]]
    assert batch.absent.tolist() == [2**64 - 2, 5]
    assert read(tmp_path).skeletons == ()


def test_a_volume_leads_to_the_skeletons_its_info_names(tmp_path):
    (tmp_path / "info").write_text(json.dumps({"type": "segmentation", "skeletons": "skeletons_mip_2"}))
    write_precomputed_skeletons(tmp_path / "skeletons_mip_2", {5: LINE})
    assert open_skeletons(f"precomputed://file://{tmp_path}").segment_ids().tolist() == [5]


def test_the_transform_leads_to_nm_and_scales_radii_then_the_unit(tmp_path):
    transform = [2, 0, 0, 100, 0, 2, 0, 200, 0, 0, 2, 300]
    write_precomputed_skeletons(tmp_path, {5: LINE}, transform=transform)
    (made,) = read(tmp_path, 5).skeletons
    assert made.points_nm.tolist() == [[100, 200, 300], [102, 200, 300], [102, 204, 300]]
    assert made.radii_nm.tolist() == pytest.approx([2, 4, 6])
    (scaled,) = read(tmp_path, 5, unit_nm=(1, 10, 1)).skeletons
    assert scaled.points_nm.tolist() == [[100, 2000, 300], [102, 2000, 300], [102, 2040, 300]]


def test_any_affine_transform_equals_cloud_volumes_own(tmp_path):
    transform = [0.5, 1, 0, 3, -1, 2, 0.25, 0, 0, 0, 4, -7]
    volume = {"type": "segmentation", "data_type": "uint64", "num_channels": 1, "skeletons": "sk"}
    scale = {"key": "1", "size": [1, 1, 1], "resolution": [1, 1, 1], "encoding": "raw"}
    scales = [scale | {"chunk_sizes": [[1, 1, 1]], "voxel_offset": [0, 0, 0]}]
    (tmp_path / "info").write_text(json.dumps(volume | {"scales": scales}))
    write_precomputed_skeletons(tmp_path / "sk", {5: LINE}, transform=transform)
    expected = CloudVolume(f"file://{tmp_path}", progress=False).skeleton.get(5)
    (made,) = read(tmp_path, 5).skeletons
    assert made.points_nm == pytest.approx(expected.vertices)


def test_attributes_of_any_kind_are_passed_over_to_the_radius(tmp_path):
    skeleton = OsteoidSkeleton(np.zeros((2, 3), np.float32), np.array([[0, 1]], np.uint32))
    skeleton.kind, skeleton.axes = np.array([3, 4], np.uint8), np.ones((2, 3), np.float32)
    skeleton.radius = np.array([7, 8], np.float32)
    kind = {"id": "kind", "data_type": "uint8", "num_components": 1}
    axes = {"id": "axes", "data_type": "float32", "num_components": 3}
    skeleton.extra_attributes = [kind, axes, *RADIUS, kind]
    write_precomputed_skeletons(
        tmp_path, {5: skeleton.to_precomputed()}, vertex_attributes=[kind, axes, *RADIUS, kind]
    )
    assert read(tmp_path, 5).skeletons[0].radii_nm.tolist() == [7, 8]


@pytest.mark.parametrize("attributes", [[], RADIUS])
def test_without_a_radius_it_is_unknown(tmp_path, attributes):
    write_precomputed_skeletons(tmp_path, {5: encode(np.zeros((1, 3)), [])}, vertex_attributes=attributes)
    assert np.isnan(read(tmp_path, 5).skeletons[0].radii_nm).all()


def test_a_skeleton_without_vertices_is_read_as_such(tmp_path):
    write_precomputed_skeletons(tmp_path, {5: encode(np.zeros((0, 3)), [], np.zeros(0, np.float32))})
    assert len(read(tmp_path, 5).skeletons[0]) == 0


def test_a_skeleton_with_a_cycle_is_refused_by_segment_and_edge(tmp_path):
    loop = encode(np.arange(12).reshape(4, 3), [[0, 1], [1, 2], [2, 3], [3, 1]], np.ones(4, np.float32))
    write_precomputed_skeletons(tmp_path, {IDS[3]: loop})
    with pytest.raises(SkeletonError, match=rf"segment {IDS[3]}: 4 edges .*edge from vertex \d to \d"):
        read(tmp_path, IDS[3])


def test_an_edge_to_no_vertex_is_refused(tmp_path):
    write_precomputed_skeletons(tmp_path, {5: encode(np.zeros((2, 3)), [[0, 2]], np.ones(2, np.float32))})
    with pytest.raises(SkeletonError, match="segment 5: an edge must join"):
        read(tmp_path, 5)


@pytest.mark.parametrize("content", [b"", LINE[:7], LINE[:-1], LINE + b"\0", LINE[: len(LINE) // 2]])
def test_a_torn_entry_is_corrupt_data(tmp_path, content):
    write_precomputed_skeletons(tmp_path, {5: content})
    with pytest.raises(CorruptDataError, match=r"segment 5 .*damaged"):
        read(tmp_path, 5)


@pytest.mark.parametrize("content", [gzip.compress(LINE, mtime=0)[:-9], b"", b"<html>please log in</html>"])
def test_a_torn_compressed_entry_is_corrupt_data(tmp_path, content):
    write_precomputed_skeletons(tmp_path, {})
    (tmp_path / "5.gz").write_bytes(gzip.compress(LINE))
    assert len(read(tmp_path, 5).skeletons) == 1
    (tmp_path / "5.gz").write_bytes(content)
    with pytest.raises(CorruptDataError, match=r"cannot be decoded|damaged"):
        read(tmp_path, 5)


@pytest.mark.parametrize("keep", [10, 40, 120, -30])
def test_a_torn_shard_is_corrupt_data(tmp_path, keep):
    write_precomputed_skeletons(tmp_path, dict.fromkeys(IDS, LINE), shard_bits=0)
    (shard,) = tmp_path.glob("*.shard")
    shard.write_bytes(shard.read_bytes()[:keep])
    source = open_skeletons(f"precomputed://{tmp_path}")
    with pytest.raises(CorruptDataError, match=r"cannot be decoded|damaged"):
        source.read(np.array(IDS, dtype=np.uint64))
    with pytest.raises(CorruptDataError, match="cannot be decoded"):
        source.segment_ids()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "keys and values"),
        ('{"type": "image"}', "names no skeletons"),
        ('{"@type": "neuroglancer_skeletons", "transform": [1, 2]}', "cannot be used"),
        ('{"@type": "neuroglancer_skeletons", "transform": [1,0,0,0, 0,0,0,0, 0,0,1,0]}', "flattens space"),
        ('{"@type": "neuroglancer_skeletons", "vertex_attributes": [{}]}', "cannot be used"),
        ('{"@type": "neuroglancer_skeletons", "sharding": {"@type": "other"}}', "cannot be used"),
    ],
)
def test_an_info_that_cannot_be_used_is_refused(tmp_path, text, message):
    (tmp_path / "info").write_text(text)
    with pytest.raises(SkeletonError, match=message):
        open_skeletons(f"precomputed://{tmp_path}")


def test_an_absent_folder_is_missing_data(tmp_path):
    with pytest.raises(MissingDataError, match="no info file"):
        open_skeletons(f"precomputed://{tmp_path}/nothing")
    (tmp_path / "info").write_text('{"skeletons": "gone"}')
    with pytest.raises(MissingDataError, match="gone"):
        open_skeletons(f"precomputed://{tmp_path}")


class Handler(http.server.SimpleHTTPRequestHandler):
    def send_head(self):
        if self.path.endswith(("/403", "/secret/info")):
            self.send_error(403)
            return None
        return super().send_head()

    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path):
    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"precomputed://http://127.0.0.1:{server.server_address[1]}/sk"
        server.shutdown()
        thread.join()


def test_over_http_absent_is_absent_and_forbidden_is_an_error(tmp_path, served):
    write_precomputed_skeletons(tmp_path / "sk", {5: LINE})
    source = open_skeletons(served)
    batch = source.read(np.array([5, 404], dtype=np.uint64))
    assert (len(batch.skeletons), batch.absent.tolist()) == (1, [404])
    with pytest.raises(CorruptDataError, match="refused"):
        source.read(np.array([5, 403], dtype=np.uint64))
    with pytest.raises(CorruptDataError, match="refused"):
        open_skeletons(served.replace("/sk", "/secret"))
    with pytest.raises(MissingDataError, match="no info file"):
        open_skeletons(served.replace("/sk", "/nothing"))
