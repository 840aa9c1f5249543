"""Commands on encoders alone: export one, import released weights."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["export", "import_weights"]


def export(
    encoder: Annotated[str, typer.Argument(help="Folder of an encoder (path or URL).")],
    out: Annotated[str, typer.Option("--out", help="File to write (path or URL): .onnx or .pt2.")],
) -> None:
    """Export an encoder as one file.

    It runs without this package, from cubes uint8 [n, z, y, x] to embeddings float32 [n, d], for any n. ONNX
    needs the extra export.

    Example: segclr export runs/demo/encoder --out encoder.onnx
    """
    from segclr.model.checkpoint import load_encoder
    from segclr.model.export import export_encoder

    export_encoder(load_encoder(encoder), out)
    typer.echo(out)


def import_weights(
    checkpoint: Annotated[str, typer.Argument(help="TensorFlow checkpoint, without .index and .data-*.")],
    out: Annotated[str, typer.Option("--out", help="Folder of the encoder (path or URL).")],
    voxel_size_nm: Annotated[
        tuple[float, float, float],
        typer.Option("--voxel-size-nm", help="nm (x, y, z) the weights were trained at; H01: 32 32 33."),
    ] = (32.0, 32.0, 40.0),
    size_vx: Annotated[int, typer.Option("--size-vx", min=1, help="Edge of the cubes, voxels.")] = 129,
) -> None:
    """Turn a released TensorFlow checkpoint into an encoder.

    Needs the extra tensorflow. Every variable is accounted for; afterwards TensorFlow is not needed.

    Example: segclr import-weights model.ckpt-216000.training_tf2resaved-1 --out encoders/microns
    """
    from segclr.model.tensorflow_import import import_tensorflow_checkpoint

    encoder = import_tensorflow_checkpoint(checkpoint, voxel_size_nm=voxel_size_nm, size_vx=size_vx)
    encoder.save(out)
    n = sum(p.numel() for p in encoder.network.parameters())
    typer.echo(f"{out}: {n / 1e6:.2f} M parameters, {encoder.config.embedding_dim} dimensions")
