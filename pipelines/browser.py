"""A headless Chromium that opens one page, and says what went wrong in it.

It is driven through a pair of pipes (``--remote-debugging-pipe``): no port is opened on which others could
drive it, and no driver program is needed. Protocol: chromedevtools.github.io/devtools-protocol.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from types import TracebackType
from typing import Any, Self

from segclr.errors import ConfigError, UnreachableError

__all__ = ["Browser", "find_browser"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # containers and cluster nodes rarely allow one; the page is our own
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
)
_ANSWER_S = 60.0
_END_S = 10.0


def find_browser() -> str | None:
    """Path of a Chromium or Chrome on this machine, if there is one."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


class Browser:
    """A page in a browser of its own; a context manager, at whose end nothing of it is left.

    Attributes:
        errors: what the page and its workers wrote to the console as errors, threw, or failed to load.

    Raises:
        ConfigError: there is no Chromium on this machine.
        UnreachableError: it does not start or does not answer, or the page cannot be opened.
    """

    def __init__(self, url: str, *, width_px: int = 1200, height_px: int = 800) -> None:
        """Open a page and wait until it has loaded."""
        self.errors: list[str] = []
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._loaded, self._writing = threading.Event(), threading.Lock()
        self._profile = tempfile.TemporaryDirectory(prefix="segclr-browser-", ignore_cleanup_errors=True)
        try:
            self._process = self._start(f"--window-size={width_px},{height_px}")
        except BaseException:
            self._profile.cleanup()
            raise
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            target = self._ask("Target.createTarget", {"url": "about:blank"})["targetId"]
            attached = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True})
            self._session: str = attached["sessionId"]
            self._watch(self._session)
            for method in ("Log.enable", "Page.enable"):
                self._ask(method, session=self._session)
            self._go_to(url)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """The page."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the browser."""
        self.close()

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page, which must be one that JSON holds.

        Raises:
            UnreachableError: the page throws, or the browser does not answer.
        """
        wanted = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self._ask("Runtime.evaluate", wanted, session=self._session)
        if "exceptionDetails" in answer:
            msg = f"the page cannot evaluate {expression!r}: {_thrown(answer['exceptionDetails'])}"
            raise UnreachableError(msg)
        return answer["result"].get("value")

    def close(self) -> None:
        """End the browser and delete its profile."""
        with contextlib.suppress(OSError):  # it may have ended before
            self._to.close()  # at the end of its pipe Chromium ends
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._from.close()
        self._profile.cleanup()

    def _start(self, *flags: str) -> subprocess.Popen[bytes]:
        path = find_browser()
        if path is None:
            msg = (
                f"no Chromium on this machine: install one of {', '.join(_NAMES)} (Debian: apt-get install "
                "chromium), or use `segclr view` without --screenshot"
            )
            raise ConfigError(msg)
        (read_there, write_here), (read_here, write_there) = os.pipe(), os.pipe()
        self._to, self._from = os.fdopen(write_here, "wb"), os.fdopen(read_here, "rb")
        # Chromium reads from descriptor 3 and writes to 4; a shell puts them there.
        script = f'exec "$0" "$@" 3</dev/fd/{read_there} 4>/dev/fd/{write_there}'
        own = (*_FLAGS, *flags, f"--user-data-dir={self._profile.name}", "--remote-debugging-pipe")
        try:
            return subprocess.Popen(
                ["/bin/sh", "-c", script, path, *own, "about:blank"],
                pass_fds=(read_there, write_there),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for us, who then end it
            )
        finally:
            os.close(read_there)
            os.close(write_there)

    def _go_to(self, url: str) -> None:
        self._loaded.clear()
        told = self._ask("Page.navigate", {"url": url}, session=self._session).get("errorText")
        if told is None and not self._loaded.wait(_ANSWER_S):
            told = f"not loaded within {_ANSWER_S:g} s"
        if told is not None:
            msg = f"the browser cannot open {url}: {told}"
            raise UnreachableError(msg)

    def _ask(
        self, method: str, params: dict[str, Any] | None = None, *, session: str | None = None
    ) -> dict[str, Any]:
        future = self._send(method, params, session=session)
        try:
            answer = future.result(_ANSWER_S)
        except FutureTimeoutError as error:
            msg = f"the browser does not answer {method} within {_ANSWER_S:g} s"
            raise UnreachableError(msg) from error
        if "error" in answer:
            msg = f"the browser refuses {method}: {answer['error'].get('message')}"
            raise UnreachableError(msg)
        return dict(answer["result"])

    def _send(
        self, method: str, params: dict[str, Any] | None = None, *, session: str | None = None
    ) -> Future[dict[str, Any]]:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params or {}}
        if session is not None:
            message["sessionId"] = session
        future = self._waiting[number] = Future()
        try:
            with self._writing:  # the reader, too, sends
                self._to.write(json.dumps(message).encode() + b"\0")
                self._to.flush()
        except (OSError, ValueError) as error:  # broken, or closed by us
            msg = f"the browser has ended: {error}"
            raise UnreachableError(msg) from error
        return future

    def _watch(self, session: str) -> None:
        """Hear of errors of a page or worker, and of the workers that it starts."""
        self._send("Runtime.enable", session=session)
        follow = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True}
        self._send("Target.setAutoAttach", follow, session=session)

    def _read(self) -> None:
        """Take what comes, until the browser ends."""
        with contextlib.suppress(UnreachableError):  # it ends while it is answered
            self._take_all()
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(UnreachableError("the browser has ended"))

    def _take_all(self) -> None:
        left = b""
        while read := self._from.read1():
            *messages, left = (left + read).split(b"\0")
            for message in messages:
                self._take(json.loads(message))

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._waiting.pop(message["id"]).set_result(message)
            return
        method, params = message["method"], message["params"]
        if method == "Target.attachedToTarget":
            self._watch(params["sessionId"])
            self._send("Runtime.runIfWaitingForDebugger", session=params["sessionId"])
        elif method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            words = (a.get("description", a.get("value", "")) for a in params["args"])
            self.errors.append(" ".join(str(word) for word in words))
        elif method == "Runtime.exceptionThrown":
            self.errors.append(_thrown(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}".strip())


def _thrown(details: dict[str, Any]) -> str:
    return str(details.get("exception", {}).get("description", details.get("text", "")))
