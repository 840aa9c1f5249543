"""Checkpoint files: checked when read, older ones to fall back on."""

import pickle

import pytest
import torch

from segclr.errors import CorruptDataError, MissingDataError
from segclr.train.checkpoints import (
    CheckedCheckpoints,
    checkpoint_url,
    newest_checkpoint,
    read_checkpoint,
    remove_all_but,
)


def save(folder, step):
    checkpoint = {"global_step": step, "state_dict": {"w": torch.full((3,), float(step))}}
    CheckedCheckpoints().save_checkpoint(checkpoint, checkpoint_url(folder, step))


@pytest.fixture
def folder(tmp_path):
    for step in (100, 200, 1000):
        save(str(tmp_path), step)
    return tmp_path


def test_the_newest_is_found_and_read_back(folder):
    url, checkpoint = newest_checkpoint(str(folder))
    assert url == checkpoint_url(str(folder), 1000)
    assert torch.equal(checkpoint["state_dict"]["w"], torch.full((3,), 1000.0))


def test_a_folder_that_is_not_there_has_no_checkpoint(tmp_path):
    assert newest_checkpoint(str(tmp_path / "none")) is None


def test_a_truncated_newest_falls_back_to_the_older_with_a_warning(folder):
    path = folder / "step-00001000.ckpt"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.warns(UserWarning, match=r"step-00001000\.ckpt fails its checksum.*older"):
        url, _ = newest_checkpoint(str(folder))
    assert url == checkpoint_url(str(folder), 200)


def test_where_every_finished_checkpoint_is_damaged_there_is_no_starting_anew(folder):
    for path in folder.glob("*.ckpt"):
        path.write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="fails its checksum"),
        pytest.raises(CorruptDataError, match="there is no older one; delete"),
    ):
        newest_checkpoint(str(folder))


def test_a_foreign_file_without_a_record_is_not_even_read(tmp_path):
    (tmp_path / "step-00000100.ckpt").write_bytes(pickle.dumps({"global_step": 100}))
    assert newest_checkpoint(str(tmp_path)) is None


def test_a_checkpoint_without_its_record_was_never_finished(folder):
    (folder / "step-00001000.json").unlink()
    url, _ = newest_checkpoint(str(folder))
    assert url == checkpoint_url(str(folder), 200)
    with pytest.raises(MissingDataError):
        read_checkpoint(checkpoint_url(str(folder), 1000))


def test_a_foreign_pickle_is_never_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    CheckedCheckpoints().save_checkpoint({"global_step": 1}, checkpoint_url(str(tmp_path), 1))
    path = tmp_path / "step-00000001.ckpt"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CorruptDataError, match="checksum"):
        read_checkpoint(str(path))
    CheckedCheckpoints().save_checkpoint({"global_step": 1, "x": Evil()}, str(path))
    with pytest.raises(CorruptDataError, match="not a checkpoint of this package"):
        read_checkpoint(str(path))


def test_files_without_a_record_displace_no_finished_checkpoint(folder):
    for step in (1001, 9999):
        (folder / f"step-{step:08d}.ckpt").write_bytes(b"killed while it was written")
    remove_all_but(str(folder), keep=2)
    assert sorted(p.name for p in folder.glob("*.json")) == ["step-00000200.json", "step-00001000.json"]
    assert newest_checkpoint(str(folder))[0] == checkpoint_url(str(folder), 1000)
    remove_all_but(str(folder), keep=3)  # more than there are
    assert len(list(folder.glob("*.json"))) == 2


def test_only_the_newest_are_kept(folder):
    remove_all_but(str(folder), keep=2)
    assert sorted(p.name for p in folder.iterdir()) == [
        "step-00000200.ckpt",
        "step-00000200.json",
        "step-00001000.ckpt",
        "step-00001000.json",
    ]
