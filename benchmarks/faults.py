"""10,000 nodes over 64 blocks, embedded while everything goes wrong: what is lost, and is the rest right?

    .venv/bin/python benchmarks/faults.py [--kill-every 3] [--out benchmarks/results/faults.json]

256 tubes in noise, an untrained small encoder, two local workers. Undisturbed once, for the vectors. Then
on a volume with one EM chunk whose stored bytes are permanently damaged: while blocks are embedded, a worker
that has come up gets SIGKILL every few seconds, the disk fills up once in the middle, the main process gets
SIGKILL once, and the same command is given until it has nothing left to do. Counted are nodes embedded once,
more than once, not at all; nodes listed as lost, with the reasons; and the largest difference of any vector
from the undisturbed one. Needs root, for a small file system of its own that can be full.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import psutil
import yaml
from cloudvolume import CloudVolume
from processor import processor

VOXEL_NM = (32, 32, 40)
EDGE, PITCH, RADIUS, CHUNK, BLOCK = 256, 16, 6, 16, 64
SPACING_NM = 200
STARTED_S = 4.0  # a younger process is still importing: to kill those only keeps the machine busy
FIRST_ID = 2**63 + 5
DISK_MB = 48


def make_volume(folder: Path) -> None:
    """Tubes along x in a square grid, in noise; stored with gzip, whose checksum tells damage."""
    noise = np.random.default_rng(0).integers(60, 200, (EDGE, EDGE, EDGE), dtype=np.uint8)
    z, y = np.indices((EDGE, EDGE))
    inside = (z % PITCH - PITCH // 2) ** 2 + (y % PITCH - PITCH // 2) ** 2 < RADIUS**2
    number = (z // PITCH) * (EDGE // PITCH) + y // PITCH
    plane = np.where(inside, np.uint64(FIRST_ID) + number.astype(np.uint64), np.uint64(0))
    segmentation = np.repeat(plane[:, :, None], EDGE, axis=2)
    for name, kind, array in (("em", "image", noise), ("seg", "segmentation", segmentation)):
        info = CloudVolume.create_new_info(
            1, kind, str(array.dtype), "raw", VOXEL_NM, (0, 0, 0), (EDGE,) * 3, chunk_size=(CHUNK,) * 3
        )
        volume = CloudVolume(f"file://{folder / name}", info=info, progress=False, compress="gzip")
        volume.commit_info()
        volume[:] = array.T[..., None]
    (folder / "swc").mkdir()
    step = SPACING_NM / VOXEL_NM[0]
    xs = np.arange(step / 2, EDGE, step)
    for i in np.unique(number):
        at_z, at_y = (int(i) // (EDGE // PITCH) + 0.5) * PITCH, (int(i) % (EDGE // PITCH) + 0.5) * PITCH
        lines = [
            f"{n} 0 {x * VOXEL_NM[0]:.1f} {at_y * VOXEL_NM[1]} {at_z * VOXEL_NM[2]} 150 {n - 1 if n else -1}"
            for n, x in enumerate(xs)
        ]
        (folder / "swc" / f"{FIRST_ID + int(i)}.swc").write_text("\n".join(lines) + "\n")


def damage(folder: Path) -> str:
    """Flip a bit in the stored bytes of a chunk in the middle of the volume; answers its name."""
    scale = folder / "em" / "32_32_40"
    lo = EDGE // 2 + CHUNK  # a cube of a neighbouring block does not reach it
    name = "_".join(f"{lo}-{lo + CHUNK}" for _ in range(3))
    victim = scale / f"{name}.gz"
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 16
    victim.write_bytes(content)
    return name


def write_config(path: Path, volume: Path, run: Path) -> None:
    tree = {
        "name": "faults",
        "run": str(run),
        "volume": {
            "em": f"precomputed://file://{volume}/em",
            "segmentation": f"precomputed://file://{volume}/seg",
            "voxel_size_nm": list(VOXEL_NM),
        },
        "skeletons": {"source": "url", "url": f"swc://{volume}/swc", "precomputed": "none"},
        "nodes": {"spacing_nm": SPACING_NM, "smooth_nm": 0, "block_vx": [BLOCK] * 3},
        "cubes": {"size_vx": 16, "block_vx": [BLOCK] * 3},
        "encoder": {"depth": 10, "width": 0.125, "stem": "medium", "bottleneck_hidden": 16},
        "embed": {"batch_size": 32},
        "cluster": {"kind": "local", "workers": 2, "memory_gb": 2},
    }
    path.write_text(yaml.safe_dump(tree))


def work(config: Path) -> int:
    """The stages up to embeddings of an untrained encoder, as ``segclr`` would do them."""
    from pipelines.blocks import run_stage
    from pipelines.busy import run_held
    from pipelines.cluster import Executors
    from pipelines.embed import check_complete, compact_stage, embed_stage
    from pipelines.run import UNTRAINED, open_run
    from pipelines.train import untrained_stage
    from pipelines.workflow import STAGES
    from segclr.config import load_config
    from segclr.errors import SegclrError

    loaded = load_config(str(config))
    run = open_run(loaded)
    lost = []
    try:
        with run_held(run.url, shared=False), Executors(loaded.cluster) as executors:
            for command in ("skeletonize", "nodes"):
                for stage in STAGES[command](run):
                    lost += run_stage(run, stage, executors).lost
            for describe in (
                untrained_stage,
                lambda r: embed_stage(r, UNTRAINED),
                lambda r: compact_stage(r, UNTRAINED),
            ):
                lost += run_stage(run, describe(run), executors).lost
            check_complete(run, UNTRAINED)
    except SegclrError as error:
        print(f"ended: {error}", file=sys.stderr)
        return 1
    return 3 if lost else 0


def embedded(run: Path) -> int:
    return len(list((run / "records" / "untrained-embed").glob("*.json")))


def workers_of(process: subprocess.Popen) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        children = psutil.Process(process.pid).children(recursive=True)
        grown = [c for c in children if time.time() - c.create_time() > STARTED_S]
        return [c for c in grown if "spawn_main" in " ".join(_command(c))]
    return []


def _command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def disturbed(config: Path, run: Path, disk: Path, *, kill_every_s: float, told: dict) -> None:
    """Give the command again and again, until it ends with nothing left to do."""
    draw = random.Random(0)
    ballast = disk / "ballast"
    filled = main_killed = False
    while True:
        told["starts"] += 1
        process = subprocess.Popen(
            [sys.executable, __file__, "--work", str(config)], stderr=subprocess.PIPE, text=True
        )
        next_kill = time.monotonic() + kill_every_s
        while process.poll() is None:
            time.sleep(0.05)
            begun = (run / "records" / "untrained-encoder").exists()
            if begun and time.monotonic() > next_kill and (workers := workers_of(process)):
                with contextlib.suppress(psutil.Error):
                    draw.choice(workers).kill()
                    told["workers_killed"] += 1
                next_kill = time.monotonic() + kill_every_s
            if not filled and embedded(run) >= 16:
                filled = True
                with contextlib.suppress(OSError), ballast.open("wb") as file:
                    while True:
                        file.write(b"\0" * 65536)
                        file.flush()
            if filled and not main_killed and told["full_disk_ends"] and embedded(run) >= 40:
                main_killed = True
                process.send_signal(signal.SIGKILL)
                told["main_killed"] += 1
        said = process.stderr.read() if process.stderr else ""
        print(
            f"start {told['starts']} ended with {process.returncode}: {said.strip().splitlines()[-1:]}",
            flush=True,
        )
        if "the disk is full" in said:
            told["full_disk_ends"] += 1
        ballast.unlink(missing_ok=True)
        if process.returncode in (0, 3):
            return
        if told["starts"] > 20:
            print(said)
            sys.exit(1)


def compare(reference: Path, run: Path) -> dict:
    from pipelines.inspect import run_faults
    from pipelines.lost import lost_parts
    from segclr.store.embeddings import open_embeddings
    from segclr.store.parquet import read_folder

    nodes = read_folder(str(reference / "nodes"))
    wanted = list(zip(nodes["segment_id"].tolist(), nodes["node_id"].tolist(), strict=True))
    right, ours = (open_embeddings(str(f / "untrained" / "embeddings")).read_all() for f in (reference, run))
    found = list(zip(ours.segment_ids.tolist(), ours.node_ids.tolist(), strict=True))
    row = {k: i for i, k in enumerate(zip(right.segment_ids.tolist(), right.node_ids.tolist(), strict=True))}
    parts = list(lost_parts(str(run)))
    listed = set()
    for part in parts:
        table = read_folder(str(run / "lost" / part.stage))
        listed |= set(zip(table["segment_id"].tolist(), table["node_id"].tolist(), strict=True))
    difference = ours.embeddings - right.embeddings[[row[k] for k in found]]
    return {
        "nodes": len(wanted),
        "blocks": len(list((run / "records" / "untrained-embed").glob("*.json"))),
        "embedded_once": len(set(found)),
        "embedded_more_than_once": len(found) - len(set(found)),
        "listed_as_lost": len(listed),
        "both_embedded_and_lost": len(listed & set(found)),
        "neither": len(set(wanted) - set(found) - listed),
        "lost_parts": [
            {
                "stage": p.stage,
                "part": p.part,
                "nodes": p.n_nodes,
                "why": _without_path(str(p)),
            }
            for p in parts
        ],
        "largest_difference_of_a_vector": float(np.abs(difference).max()),
        "broken_promises": [f for f in run_faults(str(run))[0] if not f.endswith(": not done")],
    }


def _without_path(message: str) -> str:
    """A message without the folder that this benchmark worked in."""
    return re.sub(r"\S*file://\S*/(?=volume/)", "", message)


@contextlib.contextmanager
def small_disk(folder: Path):
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kill-every", type=float, default=3.0, help="s between SIGKILLs of a worker")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/faults.json"))
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        sys.exit(work(arguments.work))
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        (folder / "volume").mkdir()
        make_volume(folder / "volume")
        write_config(folder / "right.yaml", folder / "volume", folder / "right")
        begin = time.monotonic()
        assert (
            subprocess.run(
                [sys.executable, __file__, "--work", str(folder / "right.yaml")], check=False
            ).returncode
            == 0
        )
        undisturbed_s = time.monotonic() - begin
        told = {"starts": 0, "workers_killed": 0, "main_killed": 0, "full_disk_ends": 0}
        chunk = damage(folder / "volume")
        with small_disk(folder / "disk") as disk:
            write_config(folder / "wrong.yaml", folder / "volume", disk / "run")
            begin = time.monotonic()
            disturbed(folder / "wrong.yaml", disk / "run", disk, kill_every_s=arguments.kill_every, told=told)
            result = {
                "command": " ".join(["benchmarks/faults.py", *sys.argv[1:]]),
                "machine": f"{os.cpu_count()} cores, {processor()}",
                "kill_every_s": arguments.kill_every,
                "damaged_chunk": chunk,
                **told,
                "undisturbed_s": round(undisturbed_s, 1),
                "disturbed_s": round(time.monotonic() - begin, 1),
                **compare(folder / "right", disk / "run"),
            }
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(result, indent=1))
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
