"""Empty space skipped: the same embeddings as of whole cubes, whatever is where in them."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segclr.config import EncoderConfig
from segclr.errors import EncoderError
from segclr.model.inference import predict
from segclr.model.network import build_network
from segclr.model.skip import SkipEmptyPredictor
from segclr.model.skip.sparse_map import MapStore

TOLERANCE = 1e-5


def network(**config):
    """With statistics and biases that leave no activation of an empty cube at zero."""
    net = build_network(EncoderConfig(**config), seed=0).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm3d | torch.nn.BatchNorm1d):
                module.running_mean.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
                if isinstance(module, torch.nn.BatchNorm1d):  # the head drives cubes apart
                    module.running_var.div_(100)
                module.weight.uniform_(-0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.3, generator=generator)
            elif isinstance(module, torch.nn.Conv3d):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
    return net


def small(**changes):
    return network(**({"depth": 10, "width": 0.125, "stages": 3, "bottleneck_hidden": 16} | changes))


@pytest.fixture(scope="module")
def legacy():
    return network(family="legacy")


def there(net, device):
    """A copy on a device: the network of several tests stays where it is."""
    return copy.deepcopy(net).to(device)


def textured(mask, seed=0):
    grey = np.random.default_rng(seed).integers(1, 256, mask.shape)
    return torch.from_numpy(np.where(mask, grey, 0).astype(np.uint8))


def shapes(edge):
    """Masks [n, z, y, x]: single voxels, lines along each axis, random ones, all and nothing."""
    first, middle, last = 0, edge // 2, edge - 1
    for place in [(first,) * 3, (last,) * 3, (first, middle, middle), (middle, last, middle), (middle,) * 3]:
        mask = np.zeros((edge,) * 3, bool)
        mask[place] = True
        yield mask
    for axis in range(3):
        mask = np.zeros((edge,) * 3, bool)
        mask[tuple(slice(None) if a == axis else middle for a in range(3))] = True
        yield mask
    rng = np.random.default_rng(0)
    for occupancy in (0, 0.002, 0.05, 0.5, 1):
        yield rng.random((edge,) * 3) < occupancy


def of_whole_cubes(net, cubes):
    with torch.inference_mode():
        return net(cubes[:, None].float() / 255)


def assert_same(got, want):
    assert got.dtype == torch.float32
    assert (got - want).abs().max() <= TOLERANCE * want.abs().max()


@pytest.mark.parametrize("edge", [16, 21])
def test_the_published_network_gives_the_same(legacy, edge, device):
    cubes = textured(np.stack(list(shapes(edge))))
    predict = SkipEmptyPredictor(there(legacy, device), size_vx=edge, dtype=torch.float32)
    assert_same(predict(cubes.to(device)).cpu(), of_whole_cubes(legacy, cubes))


@pytest.mark.parametrize("edge", [12, 13])
@pytest.mark.parametrize("stem", ["large", "medium", "small", "patch"])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"flat_strides": 1},
        {"flat_strides": 2, "flat_kernels": True, "input": "centred"},
        {"depth": 50, "input": "centred"},
    ],
    ids=["plain", "flat", "flat-kernels-centred", "bottleneck-centred"],
)
def test_the_modern_family_gives_the_same(stem, more, edge, device):
    net = small(stem=stem, **more)
    cubes = textured(np.stack(list(shapes(edge))))
    predict = SkipEmptyPredictor(there(net, device), size_vx=edge, dtype=torch.float32)
    assert_same(predict(cubes.to(device)).cpu(), of_whole_cubes(net, cubes))


@given(st.data())
@settings(max_examples=25)
def test_any_mask_gives_the_same(data):
    edge = data.draw(st.sampled_from([7, 10]))
    net = small(stem=data.draw(st.sampled_from(["large", "medium"])), stages=2)
    voxel = st.tuples(*[st.integers(0, edge - 1)] * 3)
    masks = np.zeros((2, edge, edge, edge), bool)
    for mask in masks:
        for corner, size in data.draw(st.lists(st.tuples(voxel, voxel), max_size=3)):
            mask[tuple(slice(c, c + s + 1) for c, s in zip(corner, size, strict=True))] = True
    cubes = textured(masks)
    predict = SkipEmptyPredictor(net, size_vx=edge, dtype=torch.float32)
    assert_same(predict(cubes), of_whole_cubes(net, cubes))


def test_every_cube_of_these_tests_is_far_from_the_empty_one(legacy):
    """Else an answer that leaves out too much would pass."""
    vectors = of_whole_cubes(legacy, textured(np.stack([*shapes(21), np.zeros((21,) * 3)])))
    is_empty = torch.tensor([not mask.any() for mask in shapes(21)])
    away = (vectors[:-1] - vectors[-1]).abs().amax(dim=1)
    assert (away[~is_empty] > 10 * TOLERANCE * vectors.abs().max()).all()


def test_a_batch_equals_one_by_one_in_any_order(legacy, device):
    cubes = textured(np.stack(list(shapes(16)))).to(device)
    predict = SkipEmptyPredictor(there(legacy, device), size_vx=16, dtype=torch.float32)
    batch = predict(cubes)
    single = torch.cat([predict(cube[None]) for cube in cubes.flip(0)]).flip(0)
    assert_same(single, batch)


def test_the_constants_of_the_empty_cube_count(legacy, monkeypatch):
    """Zeros in their place would be far off: so the tests above do see them."""
    cubes = textured(np.stack(list(shapes(21)))[:8])
    want = of_whole_cubes(legacy, cubes)
    learn = MapStore.learn

    def learn_zeros(store):
        learn(store)
        store._rows[1:] = 0

    monkeypatch.setattr(MapStore, "learn", learn_zeros)
    wrong = SkipEmptyPredictor(legacy, size_vx=21, dtype=torch.float32)(cubes)
    assert ((wrong - want).abs().amax(dim=1) > 100 * TOLERANCE * want.abs().max()).all()


def test_constants_depend_on_the_place(legacy):
    """One row a map, the middle's, would be wrong too: borders have their own constants."""
    predict = SkipEmptyPredictor(legacy, size_vx=21, dtype=torch.float32)
    rows = predict._layers.blocks[0].stores[-1]._rows[1:]
    assert (rows.std(dim=0) > 1e-3).any()


@pytest.mark.parametrize("config", [{"family": "legacy"}, {"depth": 18, "input": "centred", "width": 0.5}])
def test_bfloat16_points_the_same_way(config, device):
    net = network(**config)
    cubes = textured(np.stack(list(shapes(21))))
    predict = SkipEmptyPredictor(there(net, device), size_vx=21, dtype=torch.bfloat16)
    got = predict(cubes.to(device)).cpu()
    assert torch.cosine_similarity(got, of_whole_cubes(net, cubes)).min() >= 0.999


def test_group_norm_is_refused_by_name():
    with pytest.raises(EncoderError, match=r"group norm mixes all of space.*dense or auto"):
        SkipEmptyPredictor(small(norm="group"), size_vx=9, dtype=torch.float32)


def test_little_is_computed_of_a_little_occupied_cube(legacy):
    mask = np.zeros((33,) * 3, bool)
    mask[16, 16, 16] = True
    predict = SkipEmptyPredictor(legacy, size_vx=33, dtype=torch.float32)
    predict(textured(mask[None]))
    n_active = [store.n_active for store in predict._layers.stores]
    assert n_active[0] == 3 * 3 * 4  # outputs of the 7^3 kernel of stride 2; along x a word is two voxels
    assert n_active[1] <= 3**3
    assert n_active[2] <= 5**3


@pytest.mark.parametrize("n_cubes", [2, 9])
def test_after_full_memory_a_smaller_batch_fits(n_cubes, monkeypatch):
    """What the layers before the full one took is given back: else not even one cube would fit any more."""
    net = small(stages=2)
    cubes = textured(np.stack(list(shapes(13)))[-1:]).repeat(n_cubes, 1, 1, 1)
    predictor = SkipEmptyPredictor(net, size_vx=13, dtype=torch.float32)
    want = predictor(cubes[:1])
    limit, room = 1.2 * sum(store._rows.nbytes for store in predictor._layers.stores), MapStore.room

    def limited(store, n_active):
        got = room(store, n_active)
        if sum(s._rows.nbytes for s in predictor._layers.stores) > limit:
            raise torch.OutOfMemoryError
        return got

    monkeypatch.setattr(MapStore, "room", limited)
    with pytest.warns(UserWarning, match=r"does not fit.*going on with"):
        got = predict(predictor, cubes, batch_size=n_cubes, device=torch.device("cpu"))
    assert_same(got, want.expand(n_cubes, -1))
