"""What an error means, and how long to wait."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.retry import ErrorKind, deaths_allowed, delay_s, error_kind, most_attempts
from segclr.config import ClusterConfig
from segclr.errors import (
    AccessDeniedError,
    ConfigError,
    CorruptDataError,
    CubeError,
    LostWorkerError,
    MissingDataError,
    ReadTimeoutError,
    RunMismatchError,
    UnreachableError,
)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ReadTimeoutError("slow"), ErrorKind.transient),
        (UnreachableError("500"), ErrorKind.transient),
        (OSError(errno.EIO, "disk"), ErrorKind.transient),
        (RuntimeError("never seen"), ErrorKind.transient),
        (LostWorkerError("died"), ErrorKind.lost),
        (OSError(errno.ENOSPC, "full"), ErrorKind.full),
        (OSError(errno.EDQUOT, "quota"), ErrorKind.full),
        (ValueError("tensorstore: No space left on device"), ErrorKind.full),
        (ValueError("tensorstore: Disk quota exceeded"), ErrorKind.full),
        (CorruptDataError("crc"), ErrorKind.corrupt),
        (CubeError("outside"), ErrorKind.wrong),
        (MissingDataError("none"), ErrorKind.wrong),
        (AccessDeniedError("403"), ErrorKind.denied),
        (ConfigError("key"), ErrorKind.refused),
        (RunMismatchError("other"), ErrorKind.refused),
    ],
)
def test_every_error_has_a_kind(error, kind):
    assert error_kind(error) is kind


def test_the_kinds_have_the_attempts_that_the_rules_give_them():
    config = ClusterConfig(retries=3, worker_deaths=7)
    wanted = {"transient": 4, "full": 4, "lost": 7, "corrupt": 2, "wrong": 1, "denied": 1, "refused": 1}
    assert {kind.value: most_attempts(kind, config) for kind in ErrorKind} == wanted


def test_deaths_are_laid_to_a_part_that_chance_would_hardly_hit_so_often():
    config = ClusterConfig(worker_deaths=3)
    assert deaths_allowed(config, deaths=0, done=100) == 3
    assert deaths_allowed(config, deaths=9, done=0) == 3  # all of them die: no use in trying on
    assert deaths_allowed(config, deaths=50, done=50) == 10  # 2**-10 < 0.001 < 2**-9
    assert deaths_allowed(config, deaths=1000, done=1) == 30
    for deaths, done in ((1, 9), (30, 70), (60, 40)):
        n = deaths_allowed(config, deaths=deaths, done=done)
        assert n == 3 or (deaths / (deaths + done)) ** n <= 1e-3 < (deaths / (deaths + done)) ** (n - 1)


@given(st.text(max_size=8), st.integers(1, 10_000), st.floats(0, 10), st.floats(0, 100))
def test_waits_double_up_to_a_bound_less_at_most_half_and_are_the_same_again(part, attempt, first, most):
    config = ClusterConfig(retry_first_s=first, retry_most_s=most)
    longest = min(most, first * 2.0 ** min(attempt - 1, 60))
    waited = delay_s(part, attempt, config)
    assert longest / 2 <= waited <= longest
    assert waited == delay_s(part, attempt, config)


def test_parts_that_failed_together_do_not_come_back_together():
    waits = {delay_s(f"part-{i}", 1, ClusterConfig()) for i in range(50)}
    assert len(waits) == 50
