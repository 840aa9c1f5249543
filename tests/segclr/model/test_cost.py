"""What a network needs, against PyTorch's own counters on real tensors and against sums over its layers."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from segclr.config import EncoderConfig
from segclr.model.cost import encoder_cost
from segclr.model.network import build_network

CONFIGS = {
    "published": EncoderConfig(width=0.125, bottleneck_hidden=16),
    "legacy": EncoderConfig(family="legacy"),
    "small": EncoderConfig(depth=10, stages=3, width=0.125, stem="medium", input="centred", heads="light"),
    "flat": EncoderConfig(depth=50, width=0.125, stem="patch", flat_strides=1, stages=2, norm="group"),
}
SIZE_VX = 17


@pytest.fixture(params=CONFIGS, scope="module")
def config(request):
    return CONFIGS[request.param]


def costs(config, *, training_cubes=4, inference_cubes=3):
    return encoder_cost(
        config, size_vx=SIZE_VX, training_cubes=training_cubes, inference_cubes=inference_cubes
    )


def cubes(n):
    cubes = torch.rand(n, 1, SIZE_VX, SIZE_VX, SIZE_VX)
    return cubes.contiguous(memory_format=torch.channels_last_3d)


def test_every_parameter_is_in_one_part(config):
    network = build_network(config, seed=0)
    assert sum(part.n_parameters for part in costs(config)) == sum(p.numel() for p in network.parameters())


def test_operations_add_up_to_what_pytorch_counts_on_real_tensors(config):
    network = build_network(config, seed=0).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.project(network(cubes(1)))
    assert sum(part.gflop for part in costs(config)) * 1e9 == pytest.approx(counter.get_total_flops())


def test_activations_for_training_are_those_that_autograd_keeps(config):
    network = build_network(config, seed=0).train()
    own = {t.data_ptr() for t in [*network.parameters(), *network.buffers()]}
    kept = {}

    def pack(tensor):
        if tensor.data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network.project(network(cubes(4)))
    wanted = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    assert sum(part.training_bytes for part in costs(config)) == pytest.approx(wanted, rel=0.02)


def test_activations_for_training_of_a_stem_are_the_sum_by_hand():
    """The cube, what comes out of the convolution, and what comes out of the norm (ReLU writes into it)."""
    config = EncoderConfig(depth=10, stages=1, width=0.125, stem="medium", heads="light")
    stem = next(part for part in costs(config, training_cubes=8) if part.name == "stem")
    n_out = 8 * 9**3
    mean_and_deviation = 2 * 8
    assert stem.training_bytes == 4 * (8 * SIZE_VX**3 + 2 * 8 * n_out + mean_and_deviation)


def test_activations_for_training_grow_with_the_batch_and_those_for_inference_are_far_fewer(config):
    once, twice = (sum(p.training_bytes for p in costs(config, training_cubes=n)) for n in (4, 8))
    assert twice == pytest.approx(2 * once, rel=0.05)
    most = max(part.inference_bytes for part in costs(config, inference_cubes=4))
    assert most < once


@pytest.mark.parametrize("name", ["published", "small"])
def test_the_most_memory_at_inference_is_near_what_the_allocator_saw(name):
    """The allocator also gives convolutions their scratch space, so it sees more."""
    config = CONFIGS[name]
    network = build_network(config, seed=0).eval()
    n = 32
    with torch.inference_mode():
        network(cubes(n))  # what is made once
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            network(cubes(n))
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    told = max(part.inference_bytes for part in costs(config, inference_cubes=n))
    assert 0.6 * most <= told <= 1.05 * most


def test_the_most_memory_of_a_norm_is_its_input_and_its_output():
    config = EncoderConfig(family="legacy")
    parts = {p.name: p for p in encoder_cost(config, size_vx=33, training_cubes=2, inference_cubes=5)}
    n_stem = 64 * 17**3
    assert parts["stem bn"].inference_bytes == 4 * 5 * (33**3 + 2 * n_stem)
    assert parts["stem bn"].shape == (64, 17, 17, 17)
