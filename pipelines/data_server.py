"""What a browser cannot read by itself, served on the viewer's own port behind a random token.

Only what was handed over can be asked for, by name: no request becomes a path of the file system. The page
and its data come from one origin, so no other page may read them.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Mapping
from typing import Any, Protocol

import tornado.web

from segclr.errors import ConfigError, SegclrError

__all__ = ["Served", "serve", "stop_serving"]

_log = logging.getLogger("segclr.view")


class Served(Protocol):
    """Something made of files, which need not exist."""

    def content(self, path: str) -> bytes | None:
        """The file at a path, or None where there is none; may take a while.

        Raises:
            SegclrError: it is there and cannot be read.
        """
        ...


class _Handler(tornado.web.RequestHandler):
    """One file of one served thing."""

    def initialize(self, things: Mapping[str, Served]) -> None:
        self._things = things

    async def get(self, name: str, path: str) -> None:
        thing = self._things.get(name)
        try:
            content = None if thing is None else await asyncio.to_thread(thing.content, path)
        except SegclrError as error:
            _log.warning("%s/%s cannot be shown: %s", name, path, error)
            self.set_status(500)
            self.finish(str(error))
            return
        if content is None:
            self.set_status(404)
            self.finish("not found")
            return
        self.set_header("Content-Type", "application/json" if path == "info" else "application/octet-stream")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(content)


class _NoIcon(tornado.web.RequestHandler):
    """Browsers ask for one, and call its absence an error."""

    def get(self) -> None:
        self.set_status(204)


def serve(things: Mapping[str, Served], *, bind: str, port: int) -> dict[str, str]:
    """Begin to serve beside Neuroglancer's pages; answers the URL of each thing, by name.

    Args:
        things: what to serve, by a name that may stand in a URL.
        bind: address to listen on; anyone who can reach it and knows the token can read.
        port: to listen on; 0: any that is free.

    Raises:
        ConfigError: it cannot listen there.
    """
    server = _start(bind, port)
    token = secrets.token_urlsafe(24)
    data = (rf"/data/{token}/([^/]+)/(.+)", _Handler, {"things": things})
    server.app.add_handlers(r".*", [data, (r"/favicon\.ico", _NoIcon)])
    return {name: f"{server.server_url}/data/{token}/{name}" for name in things}


def _start(bind: str, port: int) -> Any:
    """Neuroglancer's server, which is one a process."""
    import neuroglancer.server

    neuroglancer.server.set_server_bind_address(bind, port)
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    try:
        # Tried first, since tornado leaves a socket open that it cannot bind.
        socket.create_server((bind, port), family=family).close()
        neuroglancer.server.start()
    except (OSError, OverflowError) as error:
        msg = f"cannot listen on {bind}, port {port}: {error}"
        raise ConfigError(msg) from error
    return neuroglancer.server.global_server


def stop_serving() -> None:
    """End Neuroglancer's server and all it serves."""
    import neuroglancer.server

    neuroglancer.server.stop()
