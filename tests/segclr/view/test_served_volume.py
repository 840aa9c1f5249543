import json

import numpy as np
import pytest
import tensorstore

from segclr.data.volume import ArraySource, Volume
from segclr.geometry import BoundingBox
from segclr.view.served_volume import ServedVolume

SIZE_NM = (32.0, 32.0, 40.0)
OFFSET_VX = (5, -3, 7)
IDS = np.random.default_rng(0).integers(2**53, 2**64, (70, 66, 130), dtype=np.uint64)


def served(array=IDS, kind="segmentation"):
    halved = Volume(ArraySource(array[::2, ::2, ::2], (64.0, 64.0, 80.0)))
    return ServedVolume((Volume(ArraySource(array, SIZE_NM, OFFSET_VX)), halved), kind)


def written(volume: ServedVolume, folder) -> None:
    """All that can be asked for, as files."""
    info = json.loads(volume.content("info"))
    (folder / "info").write_bytes(volume.content("info"))
    for scale in info["scales"]:
        (folder / scale["key"]).mkdir()
        start = scale["voxel_offset"]
        stop = [a + n for a, n in zip(start, scale["size"], strict=True)]
        for box in BoundingBox(start, stop).blocks(scale["chunk_sizes"][0]):
            name = "_".join(f"{a}-{b}" for a, b in zip(box.start, box.stop, strict=True))
            (folder / scale["key"] / name).write_bytes(volume.content(f"{scale['key']}/{name}"))


@pytest.mark.parametrize("array", [IDS, (IDS % 256).astype(np.uint8), IDS.astype(">u8")])
def test_another_reader_of_the_format_reads_every_scale_at_its_place(tmp_path, array):
    volume = served(array)
    written(volume, tmp_path)
    for index, scale in enumerate(volume.scales):
        kvstore = {"driver": "file", "path": f"{tmp_path}/"}
        spec = {"driver": "neuroglancer_precomputed", "kvstore": kvstore, "scale_index": index}
        opened = tensorstore.open(spec, read=True).result()
        assert np.array_equal(opened[..., 0].read().result().T, scale.read(scale.bounds))
        assert opened.domain.origin[:3] == scale.bounds.start
        sizes_nm = [unit.multiplier for unit in opened.dimension_units[:3]]
        assert sizes_nm == list(scale.voxel_size_nm)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "0",
        "/info",
        "../info",
        "0/../info",
        "0/5-69_-3-61_7-71/",
        "0/5-69_-3-61_7-70",  # part of a chunk
        "0/6-70_-3-61_7-71",  # beside the grid
        "0/133-197_-3-61_7-71",  # beyond the volume; the one before ends at 135
        "1/5-69_-3-61_7-71",
        "2/5-69_-3-61_7-71",
        "0/-9999999999999999999999-69_-3-61_7-71",
    ],
)
def test_nothing_but_whole_chunks_can_be_asked_for(path):
    assert served().content("0/5-69_-3-61_7-71") is not None
    assert served().content(path) is None


def test_large_stored_chunks_are_served_in_pieces(tmp_path):
    class Sections(ArraySource):
        chunk_size_vx = (4096, 3000, 1)

    array = np.arange(2 * 1100 * 1300, dtype=np.uint16).reshape(2, 1100, 1300)
    volume = ServedVolume((Volume(Sections(array, SIZE_NM)),), "image")
    chunk = json.loads(volume.content("info"))["scales"][0]["chunk_sizes"][0]
    assert chunk == [1024, 750, 1]
    last = np.frombuffer(volume.content("0/1024-1300_750-1100_1-2"), "<u2")
    assert np.array_equal(last.reshape(350, 276), array[1, 750:, 1024:])
