"""Real data beside the project (``../shared``); a test that needs it skips where it is absent.

One other skip is allowed: tests/pipelines/test_slurm.py, where Debian's slurm-wlm and munge are not installed
or the tests do not run as root. ``.ci/run`` installs them; pip cannot.
"""

from pathlib import Path

import hypothesis
import pytest

# No test holds a timing: machines are shared.
hypothesis.settings.register_profile("segclr", deadline=None)
hypothesis.settings.load_profile("segclr")

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
