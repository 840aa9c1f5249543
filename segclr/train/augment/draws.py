"""Random numbers as a function of a view's key and of what they are for: no state, no order, no worker.

A view's key is a hash of the seed, of its pair's number in the endless sequence of samples, and of its side.
What a view draws under one name is unaffected by what else is drawn, so that a change switched on in the
configuration leaves all others as they were.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from segclr.errors import TrainingError

__all__ = ["Draws", "mixed", "view_keys"]

_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio: the step of splitmix64


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A bijection of 64-bit numbers whose bits look random.

    Source: the finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
    """
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def view_keys(seed: int, samples: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Keys of the two views of each sample, uint64 [2n]: all first views, then all second ones.

    Args:
        seed: of the run.
        samples: int64 [n], global numbers of the pairs.

    Raises:
        TrainingError: the seed does not fit into 64 bits.
    """
    if not 0 <= seed < 2**64:
        msg = f"a seed is a whole number from 0 to 2^64 - 1, got {seed}"
        raise TrainingError(msg)
    numbers = np.asarray(samples).astype(np.uint64) * np.uint64(2)
    views = np.concatenate([numbers, numbers + np.uint64(1)])
    start = mixed(np.array([seed], dtype=np.uint64) + np.uint64(_GOLDEN))
    return mixed(mixed(views + start) + np.uint64(_GOLDEN))


@dataclass(frozen=True, eq=False)
class Draws:
    """What n views draw.

    Attributes:
        keys: uint64 [n].
    """

    keys: NDArray[np.uint64]

    def __len__(self) -> int:
        """Number of views."""
        return len(self.keys)

    def bits(self, name: str, count: int = 1) -> NDArray[np.uint64]:
        """64 random bits, uint64 [n, count]."""
        stream = zlib.crc32(name.encode()) << 32  # names apart in the upper half, positions in the lower
        positions = np.arange(1, count + 1, dtype=np.uint64) + np.uint64(stream)
        return mixed(self.keys[:, None] ^ mixed(positions * np.uint64(_GOLDEN)))

    def unit(self, name: str, count: int = 1) -> NDArray[np.float64]:
        """Uniform in [0, 1), float64 [n, count]."""
        return (self.bits(name, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def between(self, name: str, limits: tuple[float, float]) -> torch.Tensor:
        """Uniform between two limits, float32 [n]."""
        low, high = limits
        return torch.from_numpy(low + (high - low) * self.unit(name)[:, 0]).float()

    def below(self, name: str, high: int, count: int = 1) -> torch.Tensor:
        """Uniform whole numbers 0 ... high - 1, int64 [n, count]."""
        return torch.from_numpy((self.unit(name, count) * high).astype(np.int64))

    def chance(self, name: str, probability: float, count: int = 1) -> torch.Tensor:
        """True with a probability, bool [n, count]."""
        return torch.from_numpy(self.unit(name, count) < probability)
