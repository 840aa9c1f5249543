"""Which number format a training takes, and why bfloat16 on a CPU is not always one."""

import pytest
import torch
import torch.nn.functional as F

from segclr.config import EncoderConfig
from segclr.errors import TrainingError
from segclr.model import build_network
from segclr.train.precision import resolve_training_precision, small_maps

CPU = torch.device("cpu")


def backbone(**keys):
    return build_network(EncoderConfig(depth=10, width=0.125, **keys), seed=0).backbone


def test_convolutions_on_one_and_two_voxels_are_found_and_named():
    network = backbone(stem="patch")  # 9 -> 5 -> 3 -> stages 3, 2, 1, 1
    network.train()
    small = small_maps(network, size_vx=9)
    assert [line.split(" ")[0] for line in small] == [
        "stages.1.0.main.3",
        "stages.2.0.main.0",
        "stages.2.0.main.3",
        "stages.3.0.main.0",
        "stages.3.0.main.3",
    ]
    assert "stages.1.0.main.3 with kernel (3, 3, 3) sees a map of (2, 2, 2)" in small[0]
    assert network.training
    assert small_maps(network, size_vx=65) == []
    assert small_maps(backbone(stem="patch", stages=1), size_vx=9) == []


@pytest.mark.parametrize(("size_vx", "found"), [(5, 1), (7, 1), (8, 0), (33, 0)])
def test_a_stem_on_hardly_more_than_its_kernel_is_found(size_vx, found):
    small = small_maps(backbone(stem="large", stages=1), size_vx=size_vx)
    assert sum("stem" in line for line in small) == found


def test_auto_falls_back_to_float32_and_bfloat16_is_refused(monkeypatch):
    monkeypatch.setattr("segclr.model.precision.has_fast_bfloat16", lambda _: True)
    network = backbone(stem="patch")

    def resolve(precision, size_vx, device=CPU):
        return resolve_training_precision(precision, device, backbone=network, size_vx=size_vx)

    assert resolve("auto", 9) == torch.float32
    assert resolve("auto", 65) == torch.bfloat16
    assert resolve("bfloat16", 65) == torch.bfloat16
    assert resolve("bfloat16", 9, torch.device("cuda", 0)) == torch.bfloat16
    assert resolve("float32", 9) == torch.float32
    with pytest.raises(
        TrainingError, match=r"stages\.1\.0\.main\.3 .* take train\.precision auto or float32"
    ):
        resolve("bfloat16", 9)


@pytest.mark.parametrize("n_out", [8, 16, 32])
@pytest.mark.parametrize(
    ("edge", "kernel", "stride"),
    [
        (3, 3, 2),
        (4, 3, 2),
        (3, 3, 1),
        (4, 3, 1),
        (5, 3, 1),
        (1, 1, 2),
        (2, 1, 2),
        (8, 7, 2),
        (9, 7, 2),
        (13, 5, 2),
    ],
)
def test_bfloat16_gradients_that_are_allowed_are_right(edge, kernel, stride, n_out):
    n_in = 2 if kernel > 3 else 16
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, n_in, edge, edge, edge, generator=generator).bfloat16()
    weight = torch.randn(n_out, n_in, *[kernel] * 3, generator=generator).bfloat16()
    x, weight = (t.contiguous(memory_format=torch.channels_last_3d) for t in (x, weight))
    exact = weight.double().requires_grad_()
    output = F.conv3d(x.double(), exact, stride=stride, padding=kernel // 2)
    above = torch.randn(output.shape, generator=generator).bfloat16()
    output.backward(above.double())
    for _ in range(3):  # memory that was used before must not show
        torch.full((exact.numel(),), torch.nan, dtype=torch.bfloat16)
        fast = weight.clone().requires_grad_()
        F.conv3d(x, fast, stride=stride, padding=kernel // 2).backward(above)
        assert (fast.grad - exact.grad).abs().max() < 0.02 * exact.grad.abs().max()
