"""Real data beside the project (``../shared``); a test that needs it skips where it is absent.

Two other skips are allowed, of what ``.ci/run`` installs and pip cannot: tests/pipelines/test_slurm.py, where
Debian's slurm-wlm and munge are not installed or the tests do not run as root, and what opens a browser,
where there is no Chromium. On other systems than Linux on x86-64 two more: Triton and signal stacks.
"""

import signal
from pathlib import Path

import hypothesis
import pytest

from pipelines.browser import find_browser

# No test holds a timing: machines are shared. Drawn cases are the same every time, so that a change is blamed
# for what it did alone; `make hunt` looks for cases that nobody has seen.
hypothesis.settings.register_profile("segclr", deadline=None, derandomize=True)
hypothesis.settings.register_profile("hunt", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("segclr")

# A suite that is started in the background ignores Ctrl-C, and so would the commands that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no real data at {SHARED / 'data'}")
    return SHARED / "data"


@pytest.fixture(scope="session")
def shared_fixtures(shared_data: Path) -> Path:
    folder = shared_data.parent / "fixtures"
    if not folder.is_dir():
        pytest.skip(f"no reference fixtures at {folder}")
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """For tests that open a headless browser."""
    path = find_browser()
    if path is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    return path


@pytest.fixture(autouse=True)
def _ctrl_c_as_before():
    """A library that takes Ctrl-C for itself would change how a run ends, and tests that come after."""
    before = signal.getsignal(signal.SIGINT)
    yield
    after = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)
    assert after is before
