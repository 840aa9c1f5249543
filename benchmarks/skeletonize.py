"""Skeletons in blocks on two workers against one plain kimimaro call over the whole volume, on real tissue.

python benchmarks/skeletonize.py            # about ten minutes on two cores

Needs ../shared/data/pinky40 (mouse visual cortex at 32x32x40 nm, 256x256x512 voxels, 2,511 segments).
"""

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from processor import processor

VOXEL_NM = (32, 32, 40)
BLOCK_VX = (128, 128, 256)
VOLUME = Path(__file__).resolve().parents[2] / "shared" / "data" / "pinky40"
RESULT = Path(__file__).parent / "results" / "skeletonize.json"


def read_labels():
    from segclr import open_volume

    volume = open_volume(f"precomputed://file://{VOLUME}", voxel_size_nm=VOXEL_NM)
    return volume.read(volume.bounds)


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def plain() -> dict:
    """One call of kimimaro, as its README has it, with this project's parameters."""
    import cc3d
    import fastremap
    import kimimaro

    labels = read_labels()
    ids, counts = np.unique(labels, return_counts=True)
    large = ids[(counts >= 1000) & (ids > 0)]
    begin = time.monotonic()
    kept = np.asfortranarray(fastremap.mask_except(labels, large.tolist()).T)
    found = kimimaro.skeletonize(
        kept,
        teasar_params={
            "scale": 1.5,
            "const": 300,
            "pdrf_scale": 100_000,
            "pdrf_exponent": 4,
            "soma_detection_threshold": np.inf,
            "soma_acceptance_threshold": np.inf,
        },
        anisotropy=VOXEL_NM,
        dust_threshold=0,
        progress=False,
        parallel=1,
    )
    seconds = time.monotonic() - begin
    cable = {str(k): float(s.cable_length()) for k, s in found.items()}
    components = int(cc3d.connected_components(kept, connectivity=26).max())
    return {"seconds": seconds, "cable_nm": cable, "components": components, "peak_gb": peak_gb()}


def one_block() -> dict:
    """Bytes a voxel that a block of 256^3 takes at most: of real tissue, and filled by one object."""
    import kimimaro  # noqa: F401  its own memory is not the block's

    from segclr.config import SkeletonConfig
    from segclr.data.skeletonize import find_components, skeletonize_block
    from segclr.geometry import BoundingBox

    whole = read_labels()
    box = BoundingBox((0, 0, 0), (256, 256, 256))
    before, result = peak_gb(), {}
    for name in ("real", "one_object"):
        labels = whole[:256].astype(np.uint64)
        if name == "one_object":
            labels[:] = 1
            labels[::64, ::64, ::64] = 0
        components = find_components(labels, np.unique(labels[labels > 0]))
        del labels
        skeletonize_block(components, SkeletonConfig(), voxel_size_nm=VOXEL_NM, block=box, bounds=box)
        result[name] = (peak_gb() - before) * 1e9 / box.n_voxels
    return result


def blocks(workers: int) -> dict:
    """The command, as a user runs it."""
    from cloudvolume import CloudVolume

    from segclr.data.nodes import NodeTable
    from segclr.data.skeleton import edge_lengths_nm
    from segclr.store.parquet import read_columns

    with tempfile.TemporaryDirectory() as folder:
        layer = CloudVolume(f"file://{VOLUME}", mip=2).info | {"type": "image", "data_type": "uint8"}
        CloudVolume(f"file://{folder}/em", info=layer).commit_info()  # never read: there is no EM of pinky40
        config = Path(folder) / "config.json"
        volume = {"em": f"precomputed://file://{folder}/em", "segmentation": f"precomputed://file://{VOLUME}"}
        tree = {
            "name": "pinky40",
            "run": f"{folder}/run",
            "volume": volume | {"voxel_size_nm": VOXEL_NM},
            "skeletons": {"block_vx": BLOCK_VX},
            "cluster": {"workers": workers},
        }
        config.write_text(json.dumps(tree))
        begin = time.monotonic()
        command = [sys.executable, "-c", "from pipelines.cli import main; main()", "skeletonize"]
        subprocess.run([*command, "--config", str(config)], check=True)
        seconds = time.monotonic() - begin
        cable, trees = {}, 0
        for path in sorted((Path(folder) / "run" / "skeletons").glob("*.parquet")):
            table = NodeTable.from_columns(read_columns(str(path)))
            for segment_id, rows in table.segments():
                lengths = edge_lengths_nm(table.points_nm[rows], table.parents[rows])
                cable[str(segment_id)] = float(lengths.sum())
            trees += int((table.parents < 0).sum())
    return {"seconds": seconds, "cable_nm": cable, "trees": trees}


def in_process(call: str) -> dict:
    """A part of this script in a process of its own, so that its peak of memory is its own."""
    here = str(Path(__file__).parent)
    code = f"import json, sys; sys.path.insert(0, {here!r}); import skeletonize as s; "
    code += f"print(json.dumps(s.{call}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    load_before = os.getloadavg()[0]
    whole = in_process("plain()")
    memory = in_process("one_block()")
    cut = blocks(workers=2)
    ours, theirs = cut["cable_nm"], whole["cable_nm"]
    both = sorted(ours.keys() & theirs.keys())
    gap = np.array([ours[k] - theirs[k] for k in both])
    length = np.array([theirs[k] for k in both])
    off = (abs(gap) > 0.1 * length) & (abs(gap) > 2000)
    result = {
        "machine": f"{processor()}, 2 shared cores, CPU only, Python {platform.python_version()}",
        "load_before": round(load_before, 2),
        "load_after": round(os.getloadavg()[0], 2),
        "block_vx": BLOCK_VX,
        "seconds_plain_kimimaro_whole_volume_one_process": round(whole["seconds"], 1),
        "seconds_segclr_skeletonize_blocks_two_workers": round(cut["seconds"], 1),
        "times_faster": round(whole["seconds"] / cut["seconds"], 2),
        "segments": [len(theirs), len(ours)],
        "components_and_trees": [whole["components"], cut["trees"]],
        "cable_mm": [round(sum(theirs.values()) / 1e6, 3), round(sum(ours.values()) / 1e6, 3)],
        "cable_ratio": round(sum(ours.values()) / sum(theirs.values()), 4),
        "segments_off_by_over_10_percent_and_2_um": int(off.sum()),
        "mean_absolute_cable_difference": round(float(abs(gap).sum() / length.sum()), 4),
        "peak_gb_whole_volume_plain": round(whole["peak_gb"], 2),
        "peak_bytes_per_voxel_of_a_block": {k: round(v, 1) for k, v in memory.items()},
    }
    print(json.dumps(result, indent=1))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
