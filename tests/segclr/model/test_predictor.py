"""The dense predictor: compiled the same, and eager where nothing compiles."""

import subprocess
import sys

import pytest
import torch

from segclr.config import EncoderConfig
from segclr.model.network import build_network
from segclr.model.predictor import DensePredictor, _true_float32

CPU = torch.device("cpu")


@pytest.fixture
def network():
    config = EncoderConfig(depth=10, width=0.125, stem="medium", stages=1, heads="light")
    return build_network(config, seed=0).eval()


@pytest.fixture
def cubes():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 5, 5, 5), dtype=torch.uint8, generator=generator)


def test_compiled_is_the_same_and_a_smaller_last_batch_is_filled_up(network, cubes, monkeypatch):
    seen = []

    def compiled(program, **_options):
        def run(x):
            seen.append(len(x))
            return program(x)

        return run

    monkeypatch.setattr(torch, "compile", compiled)
    predict = DensePredictor(network, device=CPU, dtype=torch.float32, compiled=True)
    want = DensePredictor(network, device=CPU, dtype=torch.float32)(cubes)
    assert torch.allclose(predict(cubes), want, rtol=1e-5, atol=1e-7)
    assert torch.allclose(predict(cubes[:2]), want[:2], rtol=1e-5, atol=1e-7)
    assert seen == [3, 3]


def test_without_a_compiler_it_goes_on_with_one_warning(network, cubes, monkeypatch):
    import torch._inductor.config as inductor

    monkeypatch.setattr(inductor.cpp, "cxx", ("/bin/false",))
    predict = DensePredictor(network, device=CPU, dtype=torch.float32, compiled=True)
    want = DensePredictor(network, device=CPU, dtype=torch.float32)(cubes)
    with pytest.warns(UserWarning, match=r"torch.compile does not work here") as caught:
        got = predict(cubes)
    assert len(caught) == 1
    assert torch.equal(got, want)
    assert torch.equal(predict(cubes), want)


def test_float32_on_a_gpu_is_no_tensorfloat_and_all_is_as_before_afterwards(monkeypatch):
    cudnn = torch.backends.cudnn
    monkeypatch.setattr(cudnn, "deterministic", True)
    assert cudnn.allow_tf32
    with _true_float32(torch.device("cuda")):
        assert not cudnn.allow_tf32
        assert cudnn.deterministic
    assert cudnn.allow_tf32
    with _true_float32(CPU):
        assert cudnn.allow_tf32


@pytest.mark.parametrize("where", ["", ".cudnn", ".cudnn.conv"])
def test_what_the_user_chose_for_float32_stands(where):
    """In a process of its own: PyTorch cannot go back."""
    script = f"""
import torch
from segclr.model.predictor import _true_float32
torch.backends{where}.fp32_precision = "ieee"
with _true_float32(torch.device("cuda")):
    assert torch.backends{where}.fp32_precision == "ieee"
assert torch.backends{where}.fp32_precision == "ieee"
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
