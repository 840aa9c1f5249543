import os

import pytest

from pipelines import browser
from pipelines.browser import Browser
from segclr.errors import ConfigError, UnreachableError

PAGE = """<!doctype html><link rel="icon" href="data:,"><body>hello<script>
console.warn("a warning"); console.error("said", {a: 1}, 7);
new Worker(URL.createObjectURL(new Blob(["console.error('by a worker'); throw new Error('in a worker')"])));
setTimeout(() => { throw new Error("thrown late") }, 0);
fetch("file:///none").catch(() => {});
</script>"""

ERRORS = ("said Object 7", "by a worker", "in a worker", "thrown late", "file:///none")


def test_errors_of_a_page_and_its_workers_are_heard_and_nothing_is_left(chromium, tmp_path):
    (tmp_path / "page.html").write_text(PAGE)
    with Browser(f"file://{tmp_path}/page.html") as page:
        assert page.evaluate("document.body.innerText.slice(0, 5)") == "hello"
        for _ in range(150):
            heard = "\n".join(page.errors)
            if all(error in heard for error in ERRORS):
                break
            page.evaluate("new Promise(done => setTimeout(done, 200))")
        process, profile = page._process, page._profile.name
        with pytest.raises(UnreachableError, match="no_such_name is not defined"):
            page.evaluate("no_such_name")
    assert [error for error in ERRORS if error not in heard] == []
    assert "a warning" not in heard
    assert process.returncode is not None
    assert not os.path.exists(profile)  # noqa: PTH110


def test_a_browser_that_ends_is_told(chromium):
    with Browser("about:blank") as page:
        page._process.kill()
        with pytest.raises(UnreachableError, match="the browser has ended"):
            page.evaluate("1")


def test_a_page_that_is_not_there_is_told(chromium):
    with pytest.raises(UnreachableError, match=r"cannot open http://127.0.0.1:1/: net::ERR"):
        Browser("http://127.0.0.1:1/")


def test_a_machine_without_one_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(browser.shutil, "which", lambda _name: None)
    with pytest.raises(ConfigError, match="apt-get install chromium"):
        Browser("about:blank")
