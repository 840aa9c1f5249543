import json
import time

import numpy as np
import pytest
import tensorstore

from segclr.data.access import Access
from segclr.data.bytestore import ByteStore, Deadline, kvstore_spec, translated
from segclr.data.volume import open_volume
from segclr.errors import (
    AccessDeniedError,
    CorruptDataError,
    MissingDataError,
    ReadTimeoutError,
    SegclrError,
    UnreachableError,
    VolumeError,
)
from segclr.geometry import BoundingBox
from tests.segclr.data.loopback import serving

EM = np.random.default_rng(0).integers(1, 256, (20, 20, 20), dtype=np.uint8)
SIZE = (8, 8, 10)
CHUNK = r"/8_8_10/0-16_0-16_0-16$|/c/0/0/0$|/0/0/0$|shard$"


def write_precomputed(folder):
    scale = {"size": [20] * 3, "encoding": "raw", "chunk_size": [16] * 3, "resolution": SIZE}
    return write_with(folder, scale)


def write_sharded(folder):
    sharding = {
        "@type": "neuroglancer_uint64_sharded_v1",
        "preshift_bits": 1,
        "minishard_bits": 1,
        "shard_bits": 0,
        "hash": "identity",
    }
    scale = {"size": [20] * 3, "encoding": "raw", "chunk_size": [16] * 3, "resolution": SIZE}
    return write_with(folder, {**scale, "sharding": sharding})


def write_with(folder, scale):
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "multiscale_metadata": {"data_type": "uint8", "num_channels": 1, "type": "image"},
        "scale_metadata": scale,
        "create": True,
    }
    tensorstore.open(spec).result()[..., 0].write(EM.T).result()
    return "precomputed"


def write_zarr(folder, array=EM, chunk=16):
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{folder}/0/"},
        "metadata": {
            "shape": array.shape,
            "data_type": "uint8",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [chunk] * 3}},
        },
        "create": True,
    }
    tensorstore.open(spec).result().write(array).result()
    axes = [{"name": a, "type": "space", "unit": "nanometer"} for a in "zyx"]
    steps = [{"type": "scale", "scale": [10, 8, 8]}]
    levels = [{"path": "0", "coordinateTransformations": steps}]
    ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    (folder / "zarr.json").write_text(json.dumps(group))
    return "zarr"


def write_many(folder):
    """A Zarr volume of 64 chunks, none of them 0."""
    write_zarr(folder, array=np.ones((16, 16, 16), dtype=np.uint8), chunk=4)


def write_n5(folder):
    spec = {
        "driver": "n5",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "metadata": {
            "dimensions": [20] * 3,
            "blockSize": [16] * 3,
            "dataType": "uint8",
            "compression": {"type": "raw"},
        },
        "create": True,
    }
    tensorstore.open(spec).result().write(EM.T).result()
    attributes = json.loads((folder / "attributes.json").read_text())
    attributes["pixelResolution"] = {"dimensions": SIZE, "unit": "nm"}
    (folder / "attributes.json").write_text(json.dumps(attributes))
    return "n5"


FORMATS = [write_precomputed, write_sharded, write_zarr, write_n5]


@pytest.fixture(params=FORMATS, ids=lambda f: f.__name__.removeprefix("write_"))
def served(request, tmp_path):
    scheme = request.param(tmp_path)
    with serving(tmp_path) as faults:
        yield f"{scheme}://{faults.url}", faults


def opened(url, **access):
    return open_volume(url, voxel_size_nm=SIZE, access=Access(**access))


def read(url, **access):
    volume = opened(url, **access)
    return volume.read(volume.bounds)


def test_a_volume_is_read_from_a_web_server(served):
    assert np.array_equal(read(served[0]), EM)


def test_chunks_that_a_server_compresses_are_read(tmp_path):
    write_precomputed(tmp_path)
    with serving(tmp_path) as faults:
        faults.set(".", "gzip")
        assert np.array_equal(read(f"precomputed://{faults.url}"), EM)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("missing", ["error", "background"])
def test_a_refused_chunk_is_denied_and_never_missing(served, status, missing):
    url, faults = served
    faults.set(CHUNK, status)
    volume = opened(url, missing=missing, timeout_s=20)
    with pytest.raises(AccessDeniedError, match=f"denied.*{status}"):
        volume.read(volume.bounds)
    assert volume.n_missing_chunks == 0


@pytest.mark.parametrize("status", [401, 403])
def test_refused_metadata_are_denied_and_not_an_absent_volume(served, status):
    url, faults = served
    faults.set(".", status)
    with pytest.raises(AccessDeniedError, match="denied"):
        opened(url)
    assert issubclass(AccessDeniedError, PermissionError)


def test_a_volume_that_is_not_there_is_missing(served):
    url, faults = served
    faults.set(".", 404)
    with pytest.raises(MissingDataError):
        opened(url)


def test_a_chunk_that_is_not_there_follows_the_policy(tmp_path):
    for name, write in (("a", write_precomputed), ("b", write_sharded)):
        (tmp_path / name).mkdir()
        write(tmp_path / name)
    with serving(tmp_path) as faults:
        faults.set(CHUNK, 404)
        for name, n_missing in (("a", 1), ("b", 8)):
            url = f"precomputed://{faults.url}/{name}"
            with pytest.raises(VolumeError, match=r"missing.*volume\.missing: background"):
                read(url)
            volume = opened(url, missing="background")
            values = volume.read(volume.bounds)
            assert volume.n_missing_chunks == n_missing
            volume.read(volume.bounds)
            assert volume.n_missing_chunks == n_missing
            want = EM.copy()
            want[(slice(None, 16),) * 3 if name == "a" else slice(None)] = 0
            assert np.array_equal(values, want)


def test_server_errors_that_pass_are_retried(served):
    url, faults = served
    faults.set(CHUNK, 500, times=1)
    faults.set(CHUNK, 429, times=1)
    assert np.array_equal(read(url), EM)


def test_server_errors_that_stay_end_in_an_error_in_time(served):
    url, faults = served
    faults.set(CHUNK, 503)
    start = time.monotonic()
    with pytest.raises((UnreachableError, ReadTimeoutError)):
        read(url, timeout_s=1.5)
    assert time.monotonic() - start < 20
    assert not issubclass(UnreachableError, VolumeError)  # the runner tries these again
    assert not issubclass(ReadTimeoutError, VolumeError)


def test_a_server_that_hangs_ends_in_an_error_in_time(served):
    url, faults = served
    volume = opened(url, timeout_s=1.5)
    faults.set(CHUNK, "hang")
    start = time.monotonic()
    with pytest.raises(ReadTimeoutError, match=r"1\.5 s"):
        volume.read(volume.bounds)
    assert time.monotonic() - start < 20


def test_after_a_server_hung_other_servers_and_the_same_one_can_be_read(tmp_path, served):
    url, _faults = served
    many = tmp_path / "many"
    write_many(many)
    healthy = opened(url, timeout_s=10)
    with serving(many) as other:
        volume = opened(f"zarr://{other.url}", timeout_s=2)
        other.set("/c/", "hang")
        with pytest.raises(ReadTimeoutError):
            volume.read(volume.bounds)  # 64 chunks: more requests than are allowed at a time
        assert np.array_equal(healthy.read(healthy.bounds), EM)
        assert np.array_equal(read(url), EM)
        other.rules.clear()
        assert volume.read(BoundingBox((0, 0, 0), (4, 4, 4))).all()


def test_a_server_that_hangs_from_the_start_ends_in_an_error_in_time(served):
    url, faults = served
    faults.set(".", "hang")
    with pytest.raises(ReadTimeoutError, match="1 s"):
        opened(url, timeout_s=1)


def test_a_body_that_is_cut_off_is_fetched_again_and_never_taken_for_whole(served):
    url, faults = served
    faults.set(CHUNK, "cut", times=1)
    assert np.array_equal(read(url), EM)
    faults.set(CHUNK, "cut")
    with pytest.raises(SegclrError):
        read(url, timeout_s=1.5)


def test_a_login_page_instead_of_a_chunk_is_corrupt_data(tmp_path):
    write_precomputed(tmp_path)
    with serving(tmp_path) as faults:
        url = f"precomputed://{faults.url}"
        faults.set(CHUNK, "html", times=1)
        assert np.array_equal(read(url), EM)  # fetched once more
        faults.set(CHUNK, "html")
        with pytest.raises(CorruptDataError, match="cannot be decoded"):
            read(url)


def test_no_server_is_unreachable():
    with pytest.raises((UnreachableError, ReadTimeoutError)):
        opened("precomputed://http://127.0.0.1:9/x", timeout_s=1.5)


def test_public_buckets_are_read_without_credentials():
    https = {"driver": "http", "base_url": "https://storage.googleapis.com", "path": "/bucket/a/b/"}
    assert kvstore_spec("gs://bucket/a/b", anonymous=True) == https
    s3 = {"driver": "s3", "bucket": "bucket", "path": "a/"}
    anonymous = {"aws_credentials": {"type": "anonymous"}}
    assert kvstore_spec("s3://bucket/a/", anonymous=True) == {**s3, **anonymous}
    assert kvstore_spec("s3://bucket/a/", anonymous=False) == s3
    assert kvstore_spec("gs://bucket", anonymous=False) == {"driver": "gcs", "bucket": "bucket", "path": ""}


@pytest.mark.parametrize("anonymous", [True, False])
@pytest.mark.parametrize(
    "url", ["gs://some-bucket/a", "s3://some-bucket/a", "https://example.org/a", "/tmp/a"]
)
def test_tensorstore_takes_every_description(url, anonymous):
    assert tensorstore.KvStore.Spec(kvstore_spec(url, anonymous=anonymous)).path.endswith("a/")


def test_a_store_of_another_kind_is_refused():
    with pytest.raises(VolumeError, match="ftp://x"):
        opened("precomputed://ftp://x")


@pytest.mark.parametrize("choice", [{"missing": "zero"}, {"timeout_s": 0}, {"timeout_s": float("nan")}])
def test_choices_that_mean_nothing_are_refused(choice):
    with pytest.raises(VolumeError, match=next(iter(choice))):
        Access(**choice)


@pytest.mark.parametrize(
    ("status", "said"), [(302, "sends elsewhere .HTTP 302., which is not followed"), (400, "HTTP 400")]
)
def test_what_a_server_did_is_not_called_damage(tmp_path, status, said):
    (tmp_path / "key").write_bytes(b"whole")
    with serving(tmp_path) as server:
        server.set("key", status)
        with pytest.raises(UnreachableError, match=said):
            ByteStore(server.url).read("key", Deadline(20))


def test_a_server_without_ranges_is_named_as_the_cause():
    error = ValueError("DATA_LOSS: Requested byte range [16, 32) was ignored by server")
    found = translated(error, what="the shard", timeout_s=1)
    assert isinstance(found, UnreachableError)
    assert "whole files where a range of bytes is asked for" in str(found)


def test_a_message_ends_before_tensorstores_own_description():
    error = ValueError(
        "NOT_FOUND: no metadata [tensorstore_spec='{\"context\": {}}'] [source locations='a.cc']"
    )
    assert str(translated(error, what="the array", timeout_s=1)) == "the array: no metadata"
