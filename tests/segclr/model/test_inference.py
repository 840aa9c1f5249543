"""Batches of inference: order, memory, finiteness."""

import pytest
import torch

from segclr.errors import EncoderError
from segclr.model import encode

CPU = torch.device("cpu")
NO_MEMORY = torch.OutOfMemoryError("CUDA out of memory")


class Means:
    """A stand-in for a network that fits ``limit`` cubes into memory and notes its batches."""

    def __init__(self, limit=1000, error=NO_MEMORY):
        self.limit, self.error, self.sizes = limit, error, []

    def __call__(self, x):
        if len(x) > self.limit:
            raise self.error
        self.sizes.append(len(x))
        return x.mean(dim=(2, 3, 4))


def run(network, n=10, batch_size=4):
    cubes = torch.randint(0, 256, (n, 3, 3, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = encode(network, cubes, batch_size=batch_size, device=CPU, dtype=torch.float32)
    assert torch.allclose(found[:, 0], cubes.float().mean(dim=(1, 2, 3)) / 255)
    return found


def test_rows_keep_their_order_and_the_last_batch_is_smaller():
    network = Means()
    run(network)
    assert network.sizes == [4, 4, 2]


@pytest.mark.parametrize(
    "error",
    [NO_MEMORY, RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")],
)
def test_a_batch_that_does_not_fit_is_halved_with_one_warning(error):
    network = Means(limit=2, error=error)
    with pytest.warns(UserWarning, match="a batch of 8 cubes does not fit") as caught:
        run(network, batch_size=8)
    assert len(caught) == 1
    assert network.sizes == [2] * 5


def test_one_cube_that_does_not_fit_is_an_error():
    with pytest.raises(EncoderError, match="one cube of shape"), pytest.warns(UserWarning, match="batch"):
        run(Means(limit=0))


def test_other_errors_of_the_network_are_not_swallowed():
    with pytest.raises(RuntimeError, match="a true fault"):
        run(Means(limit=0, error=RuntimeError("a true fault")))


def test_embeddings_that_are_not_finite_are_counted_and_refused():
    cubes = torch.zeros(5, 3, 3, 3, dtype=torch.uint8)
    cubes[3:] = 1
    with pytest.raises(EncoderError, match="3 of 5 embeddings are not finite"):
        encode(
            lambda x: 1 - torch.log(x.mean(dim=(2, 3, 4))),
            cubes,
            batch_size=2,
            device=CPU,
            dtype=torch.float32,
        )
