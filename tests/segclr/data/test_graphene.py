"""Graphene volumes against a server on loopback that answers as the PyChunkedGraph does."""

import gzip
import http.server
import json
import sys
import threading
import types
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
from cloudvolume import CloudVolume
from cloudvolume.datasource.graphene.metadata import GrapheneMetadata

from segclr.data import graphene
from segclr.data.access import Access
from segclr.data.volume import open_volume
from segclr.errors import (
    AccessDeniedError,
    ConfigError,
    MissingDataError,
    ReadTimeoutError,
    VolumeError,
)
from segclr.geometry import BoundingBox

SIZE = (8, 8, 40)
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"
SUPERVOXELS = np.array([0, 2**56 + 1, 2**56 + 2**53 + 1, 2**57 - 1], dtype=np.uint64)


def root_of(supervoxel, timestamp):
    """Roots change with time; all carry the layer of roots (4) in their highest byte."""
    return 0 if supervoxel == 0 else 4 * 2**56 + int(supervoxel) % 2**54 + int(timestamp) % 7


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def reply(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refused(self):
        server = self.server
        server.tokens.append(self.headers.get("Authorization"))
        if server.fault == "hang":
            server.released.wait(30)
            return True
        if server.fault:
            self.reply(b"no", server.fault)
        return bool(server.fault)

    def do_GET(self):
        if not self.refused():
            self.reply(json.dumps(self.server.info).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.refused():
            return
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        timestamp = int(parse_qs(urlparse(self.path).query)["timestamp"][0])
        self.server.timestamps.append(timestamp)
        roots = [root_of(v, timestamp) for v in np.frombuffer(body, np.uint64)]
        self.reply(np.array(roots, np.uint64).tobytes())


@pytest.fixture
def supervoxels():
    return np.random.default_rng(0).choice(SUPERVOXELS, (9, 10, 11))


@pytest.fixture
def server(tmp_path, supervoxels, monkeypatch):
    info = CloudVolume.create_new_info(
        1, "segmentation", "uint64", "compressed_segmentation", SIZE, (5, 6, 7),
        supervoxels.shape[::-1], chunk_size=(8, 8, 8),
    )  # fmt: skip
    cv = CloudVolume(f"file://{tmp_path}", info=info, progress=False)
    cv.commit_info()
    cv[:] = supervoxels.T[..., None]
    graph = {
        "chunk_size": [8, 8, 8],
        "n_layers": 4,
        "cv_mip": 0,
        "n_bits_for_layer_id": 8,
        "spatial_bit_masks": {str(i): 2 for i in range(1, 5)},
    }
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    served.daemon_threads = True
    served.info = {**info, "data_dir": f"file://{tmp_path}", "graph": graph}
    served.info |= {"app": {"supported_api_versions": [0, 1]}}
    served.fault, served.timestamps, served.tokens = None, [], []
    served.released = threading.Event()
    monkeypatch.setattr(GrapheneMetadata, "parse_token", lambda self, token: "0123abcd")
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield served
    served.released.set()
    served.shutdown()
    served.server_close()
    thread.join()


def url_of(server):
    return f"graphene://http://127.0.0.1:{server.server_address[1]}/segmentation/table/made"


def opened(server, **access):
    return open_volume(url_of(server), voxel_size_nm=SIZE, access=Access(**access))


@pytest.mark.parametrize("moment", [EARLY, LATE, "2026-02-01", "2026-02-01T01:00:00+01:00"])
def test_root_ids_of_the_moment_are_read(server, supervoxels, moment):
    volume = opened(server, timestamp=moment)
    late = datetime(2026, 2, 1, tzinfo=UTC).timestamp()
    timestamp = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() if moment == EARLY else late)
    want = np.vectorize(lambda v: root_of(v, timestamp), otypes=[np.uint64])(supervoxels)
    assert volume.dtype == np.uint64
    assert volume.bounds == BoundingBox((5, 6, 7), (16, 16, 16))
    assert np.array_equal(volume.read(volume.bounds), want)
    box = BoundingBox((3, 8, 9), (9, 12, 20))
    assert np.array_equal(volume.read(box)[:7, :, 2:], want[2:9, 2:6, 0:4])
    assert set(server.timestamps) == {timestamp}
    assert set(server.tokens) == {"Bearer 0123abcd"}


@pytest.mark.parametrize("access", [{}, {"timestamp": EARLY, "materialization": "a/1"}])
def test_one_moment_must_be_named(server, access):
    with pytest.raises(VolumeError, match=r"either timestamp .* or materialization"):
        opened(server, **access)


def test_a_moment_that_cannot_be_read_is_refused(server):
    with pytest.raises(VolumeError, match="ISO 8601"):
        opened(server, timestamp="last week")
    with pytest.raises(VolumeError, match="datastack/version"):
        opened(server, materialization="minnie65_public")


def test_a_materialization_stands_for_its_moment(server, monkeypatch):
    asked = []

    class Client:
        def __init__(self, datastack):
            self.materialize = types.SimpleNamespace(
                get_timestamp=lambda v: asked.append((datastack, v)) or self.at
            )

        at = datetime(2026, 2, 1)  # caveclient answers UTC without saying so

    monkeypatch.setitem(sys.modules, "caveclient", types.SimpleNamespace(CAVEclient=Client))
    graphene._materialized_s.cache_clear()
    volume = opened(server, materialization="made_public/1300")
    same = opened(server, timestamp=LATE)
    assert asked == [("made_public", 1300)]
    assert np.array_equal(volume.read(volume.bounds), same.read(same.bounds))


def test_a_materialization_without_caveclient_names_what_to_install(server, monkeypatch):
    monkeypatch.setitem(sys.modules, "caveclient", None)
    graphene._materialized_s.cache_clear()
    with pytest.raises(ConfigError, match=r"segclr\[cave\]"):
        opened(server, materialization="made_public/1")


@pytest.mark.parametrize(
    ("fault", "expected"), [(401, AccessDeniedError), (403, AccessDeniedError), (404, MissingDataError)]
)
def test_a_server_that_refuses_or_knows_nothing_is_told_apart(server, fault, expected):
    server.fault = fault
    with pytest.raises(expected):
        opened(server, timestamp=EARLY)


def test_a_token_that_expires_amid_the_run_is_denied(server, monkeypatch):
    monkeypatch.setattr("cloudvolume.frontends.graphene.retry", lambda call: call)  # waits up to a minute
    volume = opened(server, timestamp=EARLY)
    server.fault = 403
    with pytest.raises(AccessDeniedError, match="403"):
        volume.read(BoundingBox((5, 6, 7), (6, 7, 8)))


def test_a_server_that_hangs_ends_in_an_error_in_time(server):
    volume = opened(server, timestamp=EARLY, timeout_s=1)
    server.fault = "hang"
    with pytest.raises(ReadTimeoutError, match="within 1 s"):
        volume.read(volume.bounds)


def test_a_path_without_a_table_and_an_answer_that_is_none_are_refused(server):
    with pytest.raises(VolumeError, match="segmentation/table/NAME"):
        open_volume("graphene://http://127.0.0.1:1/x", voxel_size_nm=SIZE, access=Access(timestamp=EARLY))
    server.info = {"app": {"supported_api_versions": [1]}}
    with pytest.raises(VolumeError):
        opened(server, timestamp=EARLY)
