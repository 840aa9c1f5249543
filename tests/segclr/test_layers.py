import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import segclr

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in ("segclr/data", "segclr/store", "segclr/aggregate")
    for p in (ROOT / package).rglob("*.py")
)
SOURCES = sorted(p for package in ("segclr", "pipelines") for p in (ROOT / package).rglob("*.py"))


def run(*arguments):
    env = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, env=env, check=False
    )


def loaded_after(code):
    done = run("-c", f"import sys\n{code}\nprint(*sorted(sys.modules))")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_import_contracts_hold(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    # in a process of its own: within one that has loaded TensorFlow it crashes
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_importing_segclr_is_light():
    heavy = {
        "torch",
        "pandas",
        "cloudvolume",
        "tensorstore",
        "zarr",
        "pyarrow",
        "scipy",
        "sklearn",
        "matplotlib",
        "dask",
        "numba",
    }
    assert not loaded_after("import segclr") & heavy


def test_numba_is_loaded_only_where_nodes_are_averaged():
    assert "numba" not in loaded_after("import segclr.aggregate.pool, segclr.classify, pipelines.cli")


def test_reading_aggregating_and_classifying_work_without_torch():
    code = "import " + ", ".join([*MODULES, "segclr.classify", "segclr.explore", "segclr.view"])
    code += (
        "\nfrom segclr import EmbeddingTable, aggregate, classify, cut_cubes, open_embeddings, open_volume"
    )
    loaded = loaded_after(code)
    assert set(MODULES) <= loaded
    assert not {m for m in loaded if m.split(".")[0] in ("torch", "pytorch_lightning", "lightning")}


def test_every_public_name_resolves():
    for name in segclr.__all__:
        assert getattr(segclr, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        segclr.nothing  # noqa: B018


@pytest.mark.parametrize("first", ["import segclr.aggregate", "import segclr.aggregate.pool", ""])
def test_aggregate_is_the_function_whatever_was_imported_before(first):
    loaded_after(f"import segclr\n{first}\nassert callable(segclr.aggregate), segclr.aggregate")


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_has_a_noun_for_a_name_and_is_no_longer_than_500_lines(path):
    assert path.stem not in {"utils", "helpers", "common", "misc"}
    assert len(path.read_text().splitlines()) <= 500


def help_of(*command):
    done = run(
        "-c", "import sys; from pipelines.cli import main; sys.argv[0] = 'segclr'; main()", *command, "--help"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def commands_in(text):
    return re.findall(r"^  (\S+)  ", text.partition("Commands:")[2], re.MULTILINE)


def test_the_help_lists_the_stages_and_every_commands_help_has_an_example():
    top = commands_in(help_of())
    assert {"demo", "run", "nodes", "pairs", "cubes", "train", "embed", "aggregate", "status"} <= set(top)
    nested = [("classify", c) for c in commands_in(help_of("classify"))]
    assert len(nested) >= 3
    # one process for all: each would import the same again
    wanted = [*((c,) for c in top if c != "classify"), *nested]
    code = (
        "from typer.testing import CliRunner\nfrom pipelines.cli import app\n"
        f"for c in {wanted!r}:\n"
        "    r = CliRunner().invoke(app, [*c, '--help'])\n"
        "    assert r.exit_code == 0, (c, r.output)\n"
        "    assert 'Example' in r.output and ' '.join(('segclr', *c)) in r.output, (c, r.output)\n"
    )
    done = run("-c", code)
    assert done.returncode == 0, done.stderr


def test_help_does_not_import_what_is_slow():
    code = "from typer.testing import CliRunner\nfrom pipelines.cli import app\n"
    code += "CliRunner().invoke(app, ['--help'])"
    assert not loaded_after(code) & {
        "torch",
        "pandas",
        "cloudvolume",
        "zarr",
        "dask",
        "sklearn",
        "matplotlib",
    }
