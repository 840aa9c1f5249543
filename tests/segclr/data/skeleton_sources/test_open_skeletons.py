import pytest

from segclr.data.skeleton_sources import open_skeletons
from segclr.errors import ConfigError, SkeletonError


@pytest.mark.parametrize("url", ["/a/folder", "zarr://a", "http://a", "swc://", "precomputed:/a", "", "://a"])
def test_a_wrong_scheme_is_refused_with_those_allowed(url):
    with pytest.raises(
        SkeletonError, match="must begin with one of precomputed://, swc://, graphene://, l2://"
    ):
        open_skeletons(url)


@pytest.mark.parametrize("unit", [0, -1, float("nan"), float("inf"), (1, 2), (1, 0, 1)])
def test_a_unit_that_is_not_above_zero_is_refused(tmp_path, unit):
    with pytest.raises(ConfigError, match="unit_nm must be"):
        open_skeletons(f"swc://{tmp_path}", unit_nm=unit)
