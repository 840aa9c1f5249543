"""A small CAVE: recorded answers, behind caveclient's interface or behind a server on loopback.

The answers have the shape that caveclient 8.2 expects of PyChunkedGraph 2 and PCGL2Cache 1; the numbers are
made up: a ring and a twig and another ring, a segment within one chunk, an outdated root.
"""

import http.server
import json
import threading
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import requests

ANSWERS = json.loads((Path(__file__).parent / "cave_answers.json").read_text())
GRAPH = "/segmentation/api/v1/table/test_v1"


def answer(path, body):
    """Status and value for one request."""
    *_, last = path.split("/")
    if path in ANSWERS:
        return 200, ANSWERS[path]
    if path == "/l2cache/api/v1/table/test_v1/attributes":
        return 200, {str(i): ANSWERS["attributes"][str(i)] for i in body["l2_ids"]}
    if path == f"{GRAPH}/is_latest_roots":
        return 200, {"is_latest": [i in ANSWERS["latest"] for i in body["node_ids"]]}
    if path == f"{GRAPH}/root_timestamps":
        known = [ANSWERS["timestamps"].get(str(i)) for i in body["node_ids"]]
        return (400, {"message": "no such root"}) if None in known else (200, {"timestamp": known})
    if path == f"{GRAPH}/lineage_graph_multiple":
        return 200, ANSWERS["lineage"][str(body["root_ids"][0])]
    if path.startswith(f"{GRAPH}/node/") and last in ("lvl2_graph", "leaves"):
        return 200, ANSWERS[last][path.split("/")[-2]]
    return 404, {"message": f"no {path}"}


class RecordedClient:
    """As much of ``caveclient.CAVEclient`` as is used."""

    def __init__(self, datastack_name, *, server_address, version, write_server_cache):
        assert version in (None, 1)
        self._ask(f"/info/api/v2/datastack/full/{datastack_name}")
        self.chunkedgraph = self.l2cache = self

    def _ask(self, path, body=None):
        status, value = answer(path, body)
        if status >= 400:
            response = requests.Response()
            response.status_code = status
            raise requests.HTTPError(value["message"], response=response)
        return value

    def is_latest_roots(self, root_ids):
        return np.array(self._ask(f"{GRAPH}/is_latest_roots", {"node_ids": root_ids.tolist()})["is_latest"])

    def get_latest_roots(self, root_id):
        self._ask(f"{GRAPH}/root_timestamps", {"node_ids": [root_id]})
        graph = self._ask(f"{GRAPH}/lineage_graph_multiple", {"root_ids": [root_id]})
        old = {link["source"] for link in graph["links"]}
        return np.array([node["id"] for node in graph["nodes"] if node["id"] not in old])

    def level2_chunk_graph(self, root_id):
        return self._ask(f"{GRAPH}/node/{root_id}/lvl2_graph")["edge_graph"]

    def get_leaves(self, root_id, stop_layer):
        assert stop_layer == 2
        return np.int64(self._ask(f"{GRAPH}/node/{root_id}/leaves")["leaf_ids"])

    def get_l2data(self, l2_ids, attributes):
        assert attributes == ["rep_coord_nm", "max_dt_nm"]
        return self._ask("/l2cache/api/v1/table/test_v1/attributes", {"l2_ids": l2_ids})


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self._answer(None)

    def do_POST(self):
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body):
        status, value = answer(urlsplit(self.path).path, body)
        address = f"http://127.0.0.1:{self.server.server_address[1]}"
        content = json.dumps(value).replace("{server}", address).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@contextmanager
def served():
    """The address of a server on loopback."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
