import gc
import socket
from dataclasses import dataclass
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from pipelines.data_server import serve, stop_serving
from segclr.errors import ConfigError, CorruptDataError


@dataclass(frozen=True)
class Files:
    files: dict[str, bytes]

    def content(self, path: str) -> bytes | None:
        if path == "damaged":
            msg = "damaged is damaged"
            raise CorruptDataError(msg)
        return self.files.get(path)


@pytest.fixture
def url():
    yield serve({"things": Files({"info": b"{}", "0/a": b"\0\1"})}, bind="127.0.0.1", port=0)["things"]
    stop_serving()


def status(url: str) -> int:
    with pytest.raises(HTTPError) as caught:
        urlopen(url)
    caught.value.close()
    return caught.value.code


def test_what_was_handed_over_is_served_and_no_other_page_may_read_it(url):
    with urlopen(f"{url}/0/a") as answer:
        assert answer.read() == b"\0\1"
        assert answer.headers["Access-Control-Allow-Origin"] is None
    with urlopen(f"{url}/info") as answer:
        assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "path",
    ["/none", "/../things/none", "/%2e%2e/%2e%2e/etc/passwd", "/..%2finfo", "//etc/passwd", "x/info", ""],
)
def test_nothing_else_is(url, path):
    assert status(url + path) == 404


def test_the_token_is_needed(url):
    token = url.split("/")[-2]
    assert len(token) >= 32
    assert status(url.replace(token, "0" * len(token)) + "/info") == 404
    assert status(url.replace(token, "") + "/info") == 404


def test_what_cannot_be_read_is_an_error_that_says_why(url, caplog):
    with pytest.raises(HTTPError) as caught:
        urlopen(f"{url}/damaged")
    with caught.value as error:
        assert (error.code, error.read()) == (500, b"damaged is damaged")
    assert "things/damaged cannot be shown: damaged is damaged" in caplog.text


def test_it_listens_on_loopback_alone(url):
    port = int(url.split(":")[2].split("/")[0])
    for address, reached in (("127.0.0.1", True), ("127.0.0.2", False)):
        with socket.socket() as client:
            client.settimeout(5)
            assert (client.connect_ex((address, port)) == 0) is reached


def test_an_address_of_another_machine_is_told():
    with pytest.raises(ConfigError, match=r"cannot listen on 192.0.2.1, port 0"):
        serve({}, bind="192.0.2.1", port=0)


def test_a_port_that_is_taken_is_told():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1, port {port}"):
            serve({}, bind="127.0.0.1", port=port)
    gc.collect()  # a socket left open would be an error here
