"""The GPU's kernel, run by Triton's interpreter: the products of the plain way."""

import os
import platform
import subprocess
import sys

import pytest
import torch

from segclr.model.skip.fused_where import is_fused

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="Triton is for Linux on x86-64"
)
CPU = torch.device("cpu")

SCRIPT = """
import torch
from segclr.model.skip.convolution import RowConvolution
from segclr.model.skip.folded import FoldedConvolution
from segclr.model.skip.sparse_map import SparseMap
from segclr.model.skip.window import Window

torch.manual_seed(0)
dtype = getattr(torch, "{dtype}")
weight, bias = torch.randn({n_out}, {n_in}, *({kernel},) * 3), torch.randn({n_out})
scale, shift = (torch.rand({n_out}) + 0.5, torch.randn({n_out})) if {scaled} else (None, None)
folded = FoldedConvolution(weight, bias, relu={relu}, scale=scale, shift=shift)
window = Window.same((5, 6, 7), kernel=({kernel},) * 3, stride=({stride},) * 3)
convolution = RowConvolution(folded, window, dtype=dtype)
table = torch.randint(0, 300, (3, 5, 6, 7), dtype=torch.int32)
seen = SparseMap(torch.randn(300, {n_in}).to(dtype), table, 2)
n_out = window.n_out[0] * window.n_out[1] * window.n_out[2]
at = torch.randperm(3 * n_out)[: {n_outputs}].sort().values
want, got = (torch.full((len(at), {n_out}), torch.nan, dtype=dtype) for _ in range(2))
convolution.fill(want, seen, at)
convolution._is_fused = True
convolution.fill(got, seen, at)
away = float((got.double() - want.double()).norm() / want.double().norm())
assert away <= {tolerance}, away
print(len(at), "equal")
"""
CASES = {
    "relu and scale, a last tile that is not full": {"relu": True, "scaled": True},
    "strided, no relu": {"stride": 2, "n_in": 32, "n_out": 16, "relu": False, "scaled": False},
    "a shortcut of 48 channels": {"kernel": 1, "stride": 2, "n_in": 48, "n_out": 80},
    "several tiles of channels": {"n_in": 64, "n_out": 256, "n_outputs": 5},
}
PLAIN = {"kernel": 3, "stride": 1, "n_in": 16, "n_out": 32, "relu": True, "scaled": False, "n_outputs": 37}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float16", 1e-3)])
def test_the_kernel_gives_the_products_of_the_plain_way(case, dtype, tolerance):
    """In a process of its own: what is compiled for a device cannot be interpreted any more."""
    assert interpreted(SCRIPT.format(dtype=dtype, tolerance=tolerance, **PLAIN | CASES[case])).endswith(
        "equal\n"
    )


def interpreted(script):
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_where_the_kernel_runs_nothing_speaks_against_it():
    script = (
        "import torch; from segclr.model.skip.fused import why_not_here; "
        "print(*(why_not_here(torch.device('cpu'), kind) for kind in (torch.float32, torch.float16)))"
    )
    assert interpreted(script) == "None None\n"


def test_where_it_does_not_the_plain_way_is_taken_with_one_warning(monkeypatch):
    monkeypatch.setattr("segclr.model.skip.fused.why_not_here", lambda *_: "RuntimeError: no C compiler")
    there = torch.device("cuda:99")
    with pytest.warns(UserWarning, match=r"Triton does not work on cuda:99.*slower.*no C compiler"):
        assert not is_fused(there, torch.float32, n_in=64, n_out=64)
    assert not is_fused(there, torch.float32, n_in=64, n_out=128)  # found out once
    assert not is_fused(CPU, torch.float32, n_in=64, n_out=64)


def test_a_kernel_that_cannot_be_compiled_is_told_with_its_reason():
    """Compiled, not interpreted, it cannot run on a CPU."""
    from segclr.model.skip.fused import why_not_here

    assert "Error: " in why_not_here(CPU, torch.float32)


COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from segclr.model.skip.fused import _kernel, _tiles

tile_m, tile_n, tile_k, warps, stages = _tiles(256, n_bytes={n_bytes})
tensors = ("out", "rows", "weight", "bias", "scale", "shift")
signature = dict.fromkeys(tensors, "*{kind}") | {{"table": "*i32", "firsts": "*i64", "offsets": "*i64"}}
signature |= {{"n_outputs": "i32", "n_seen": "i32"}}
sizes = {{"N_IN": 256, "N_OUT": 256, "RELU": True, "SCALED": True}}
sizes |= {{"TILE_M": tile_m, "TILE_N": tile_n, "TILE_K": tile_k}}
in_order = {{name: signature.get(name, "constexpr") for name in _kernel.arg_names}}
source = ASTSource(_kernel, in_order, {{(_kernel.arg_names.index(k),): v for k, v in sizes.items()}})
options = {{"num_warps": warps, "num_stages": stages}}
built = triton.compile(source, target=GPUTarget("cuda", {capability}, 32), options=options)
print("max.f32" in built.asm["ptx"], built.metadata.shared <= {memory})
"""


@pytest.mark.parametrize(("kind", "n_bytes"), [("bf16", 2), ("fp32", 4)])
@pytest.mark.parametrize(("capability", "memory"), [(80, 166_912), (90, 232_448)])
def test_it_compiles_for_gpus_fits_them_and_hides_nothing_that_is_not_a_number(
    kind, n_bytes, capability, memory
):
    """A GPU's maximum of NaN and 0 is 0; the interpreter's is not, so the compiled code is looked at."""
    script = COMPILED.format(kind=kind, n_bytes=n_bytes, capability=capability, memory=memory)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[-2000:]) == (0, "")
    assert done.stdout == "False True\n"
