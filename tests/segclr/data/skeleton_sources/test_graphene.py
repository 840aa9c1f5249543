"""A graph's server on loopback that answers its info; the skeletons are precomputed beside it."""

import http.server
import json
import threading

import cloudvolume.datasource.graphene.metadata as graphene_metadata
import numpy as np
import pytest

from segclr.data.skeleton_sources import open_skeletons
from segclr.errors import MissingDataError, SkeletonError
from tests.segclr.data.skeleton_sources.forests import encode, write_precomputed_skeletons

ROOT = 864691135591041291


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Answers ``serve(**keys of the info) -> URL``."""
    monkeypatch.setattr(graphene_metadata, "cave_credentials", lambda _domain: "0a" * 16)
    info = {
        "app": {"supported_api_versions": [0, 1]},
        "data_dir": f"file://{tmp_path}/bucket",
        "graph": {"n_layers": 4, "chunk_size": [64, 64, 64], "n_bits_for_layer_id": 8},
        "type": "segmentation",
        "data_type": "uint64",
        "num_channels": 1,
        "scales": [
            {
                "key": "8_8_40",
                "size": [64, 64, 64],
                "resolution": [8, 8, 40],
                "voxel_offset": [0, 0, 0],
                "encoding": "raw",
                "chunk_sizes": [[64, 64, 64]],
            }
        ],
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            known = self.path == "/segmentation/table/test_v1/info"
            body = json.dumps(info).encode() if known else b""
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def serve(table="test_v1", **keys):
            info.update(keys)
            return f"graphene://http://127.0.0.1:{server.server_address[1]}/segmentation/table/{table}"

        yield serve
        server.shutdown()
        thread.join()


def test_the_skeletons_that_the_graphs_info_names_are_read(tmp_path, served):
    entry = encode([[0, 0, 0], [8, 0, 0]], [[0, 1]], np.ones(2, np.float32))
    write_precomputed_skeletons(tmp_path / "bucket" / "sk", {ROOT: entry})
    url = served(skeletons="sk")
    source = open_skeletons(url)
    assert source.url == url
    batch = source.read(np.array([ROOT, 7], dtype=np.uint64))
    assert batch.skeletons[0].points_nm.tolist() == [[0, 0, 0], [8, 0, 0]]
    assert batch.absent.tolist() == [7]
    with pytest.raises(SkeletonError, match="give segment_ids"):
        source.segment_ids()


def test_a_graph_without_skeletons_is_refused_with_a_way_out(served):
    with pytest.raises(SkeletonError, match="names no skeletons; use l2://"):
        open_skeletons(served())


def test_a_server_that_knows_no_such_table_is_missing_data(served):
    with pytest.raises(MissingDataError, match="404"):
        open_skeletons(served(table="other"))


def test_an_address_that_is_no_graph_is_refused():
    with pytest.raises(SkeletonError, match="cannot be opened"):
        open_skeletons("graphene://http://127.0.0.1:1/nonsense")
