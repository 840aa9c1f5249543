"""A convolution of gathered rows as one GPU kernel: what an output sees goes from the map into the product.

The plain way writes the gathered rows down, 27 times the map, and reads them again: that traffic, not
arithmetic, bounds it. Here a tile of outputs looks up its rows and multiplies them where they arrive (an
implicit matrix product). Written in Triton, which comes with PyTorch's CUDA builds for Linux.
"""

from __future__ import annotations

import contextlib

import torch
import triton
import triton.language as tl

from segclr.model.skip.neighbours import RowsSeen

__all__ = ["multiply_seen", "why_not_here"]

_OF_16_BITS = {64: (128, 64, 64, 4, 5), 128: (128, 128, 64, 8, 5), 256: (128, 256, 64, 8, 4)}
"""By the most channels out: outputs, channels out and channels in of a tile, warps and stages; the fastest of
six or seven that were tried on an H100."""
_OF_32_BITS = (64, 64, 32, 4, 3)


def why_not_here(device: torch.device, dtype: torch.dtype) -> str | None:
    """Why the kernel cannot run on a device, found by running its largest tile; None: it can.

    Triton compiles as it goes, for which it needs a C compiler and a device that it knows.
    """
    n = max(_OF_16_BITS)
    ones = torch.ones((n, n), dtype=dtype, device=device)
    out = torch.empty_like(ones)
    nothing = torch.zeros(n, dtype=dtype, device=device)
    at = torch.zeros(n, dtype=torch.int64, device=device)
    try:
        multiply_seen(
            out,
            ones,
            RowsSeen(at.to(torch.int32), at, at[:1]),
            weight=ones,
            bias=nothing,
            relu=True,
            scale=None,
            shift=None,
        )
        is_right = bool((out == n).all())
    except Exception as error:  # noqa: BLE001  whatever it is, there is another way
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
    return None if is_right else "its products are wrong"


def multiply_seen(
    out: torch.Tensor,
    rows: torch.Tensor,
    seen: RowsSeen,
    *,
    weight: torch.Tensor,
    bias: torch.Tensor,
    relu: bool,
    scale: torch.Tensor | None,
    shift: torch.Tensor | None,
) -> None:
    """``relu(seen @ weight + bias) * scale + shift`` into ``out`` [m, c_out], summed in float32.

    Args:
        out: contiguous, of the kind of ``rows`` and ``weight``; channels are multiples of 16.
        rows: [r, c_in].
        seen: which rows [m, k] each output sees.
        weight: [k * c_in, c_out].
        bias: [c_out].
        relu: whether negative sums become 0.
        scale: [c_out]; with None nothing is scaled or shifted.
        shift: [c_out].
    """
    n_in, n_out = rows.shape[1], out.shape[1]
    tile_m, most_n, most_k, warps, stages = _tiles(n_out, n_bytes=rows.element_size())
    tile_n, tile_k = _divisor(n_out, most_n), _divisor(n_in, most_k)
    grid = (n_out // tile_n * triton.cdiv(len(out), tile_m),)  # other axes of a grid end at 65,535
    is_scaled = scale is not None and shift is not None
    # Triton launches on the current device, wherever the tensors lie
    with torch.cuda.device(out.device) if out.is_cuda else contextlib.nullcontext():
        _kernel[grid](
            out,
            rows,
            seen.table,
            seen.firsts,
            seen.offsets,
            weight,
            bias,
            scale if is_scaled else bias,
            shift if is_scaled else bias,
            len(seen.firsts),
            len(seen.offsets),
            N_IN=n_in,
            N_OUT=n_out,
            RELU=relu,
            SCALED=is_scaled,
            TILE_M=tile_m,
            TILE_N=tile_n,
            TILE_K=tile_k,
            num_warps=warps,
            num_stages=stages,
        )


def _tiles(n_out: int, *, n_bytes: int) -> tuple[int, int, int, int, int]:
    if n_bytes != 2:
        return _OF_32_BITS
    return next((tiles for most, tiles in _OF_16_BITS.items() if n_out <= most), _OF_16_BITS[256])


def _divisor(n: int, most: int) -> int:
    """The largest power of two that divides ``n`` and is no more than ``most``."""
    return min(n & -n, most)


@triton.jit  # type: ignore[untyped-decorator]
def _kernel(  # type: ignore[no-untyped-def]
    out,
    rows,
    table,
    firsts,
    offsets,
    weight,
    bias,
    scale,
    shift,
    n_outputs,
    n_seen,
    N_IN: tl.constexpr,
    N_OUT: tl.constexpr,
    RELU: tl.constexpr,
    SCALED: tl.constexpr,
    TILE_M: tl.constexpr,
    TILE_N: tl.constexpr,
    TILE_K: tl.constexpr,
):
    # the tiles of one set of outputs run beside each other and share its rows
    n_tiles: tl.constexpr = N_OUT // TILE_N
    m = (tl.program_id(0) // n_tiles).to(tl.int64) * TILE_M + tl.arange(0, TILE_M)
    n = tl.program_id(0) % n_tiles * TILE_N + tl.arange(0, TILE_N)
    k = tl.arange(0, TILE_K)
    is_output = m < n_outputs
    first = tl.load(firsts + m, mask=is_output, other=0)
    steps: tl.constexpr = N_IN // TILE_K
    sums = tl.zeros((TILE_M, TILE_N), dtype=tl.float32)
    for i in range(n_seen * steps):
        at = first + tl.load(offsets + i // steps)
        row = tl.load(table + at, mask=is_output, other=0).to(tl.int64)
        channel = (i % steps) * TILE_K + k
        seen = tl.load(rows + row[:, None] * N_IN + channel[None, :], mask=is_output[:, None], other=0.0)
        weights = tl.load(weight + (i * TILE_K + k)[:, None] * N_OUT + n[None, :])
        sums = tl.dot(seen, weights, sums, input_precision="ieee")
    sums += tl.load(bias + n).to(tl.float32)[None, :]
    if RELU:
        sums = tl.where(sums < 0.0, 0.0, sums)  # a maximum with 0 would hide what is not a number
    if SCALED:
        sums = sums * tl.load(scale + n).to(tl.float32)[None, :] + tl.load(shift + n).to(tl.float32)[None, :]
    tl.store(out + m[:, None] * N_OUT + n[None, :], sums.to(out.dtype.element_ty), mask=is_output[:, None])
