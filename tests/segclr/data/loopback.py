"""A web server on loopback that serves a folder and misbehaves on demand."""

from __future__ import annotations

import contextlib
import functools
import gzip
import http.server
import re
import threading
from pathlib import Path


class Faults:
    """What to do with requests whose path matches: (pattern, what), tried in order.

    ``what``: a status code; "hang", "cut" (closes amid the body), "html" (a login page with 200), "gzip".
    A third member is the number of times; the request log is kept in ``log``.
    """

    def __init__(self, folder):
        self.folder, self.rules, self.log, self.url = Path(folder), [], [], ""
        self.released = threading.Event()

    def set(self, pattern, what, times=10**9):
        self.rules.append([re.compile(pattern), what, times])

    def match(self, path):
        for rule in self.rules:
            if rule[0].search(path) and rule[2] > 0:
                rule[2] -= 1
                return rule[1]
        return None


class _Handler(http.server.BaseHTTPRequestHandler):
    def __init__(self, faults, *args):
        self.faults = faults
        super().__init__(*args)

    def log_message(self, *args):
        pass

    def do_GET(self):
        faults = self.faults
        faults.log.append(self.path)
        what = faults.match(self.path)
        if isinstance(what, int):
            self.send_response(what)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if what == "hang":
            faults.released.wait(60)
            return
        file = faults.folder / self.path.lstrip("/").split("?")[0]
        body = b"<html>please log in</html>" if what == "html" else None
        if body is None and not file.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = file.read_bytes() if body is None else body
        status, found = 200, re.match(r"bytes=(\d+)-(\d*)$", self.headers.get("Range", ""))
        size = len(body)
        if found:
            first, last = int(found[1]), int(found[2] or size - 1)
            body, status = body[first : last + 1], 206
        if what == "gzip":
            body = gzip.compress(body)
        self.send_response(status)
        if found:
            self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{size}")
        if what == "gzip":
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if what == "cut" else body)
        if what == "cut":
            self.close_connection = True


@contextlib.contextmanager
def serving(folder):
    """The server's faults; its address is their ``url``."""
    faults = Faults(folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, faults))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    faults.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield faults
    finally:
        faults.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
