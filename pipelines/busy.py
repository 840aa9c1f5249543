"""One process at a time on a run's folder, as far as its file system can tell.

The lock is the kernel's: it ends with the process that holds it, however that ends, so there is no stale
lock and no clock. Where there is none (an object store, some network file systems) two runs at once only
waste time: each part is whole, and the same whoever writes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator

from segclr import files
from segclr.errors import ConfigError, RunBusyError

__all__ = ["run_held"]


@contextlib.contextmanager
def run_held(url: str, *, shared: bool) -> Iterator[None]:
    """Hold a run's folder, which is made where it is absent, and is gone at the end where it is empty.

    Args:
        url: of the folder.
        shared: together with others who share it: the processes of an array.

    Raises:
        RunBusyError: another process holds it.
        ConfigError: it cannot be made or read.
    """
    if not files.is_local(url):
        yield
        return
    path = files.local_path(url)
    try:
        path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        msg = f"the run folder {url} cannot be made or read: {error.strerror or error}"
        raise ConfigError(msg) from error
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                msg = (
                    f"another process works on {url}; wait for it or stop it. Several at once: "
                    "--part i --of N, each with an i of its own"
                )
                raise RunBusyError(msg) from error
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.rmdir()  # only where nothing came of it: a wrong configuration leaves nothing behind
    finally:
        os.close(descriptor)
