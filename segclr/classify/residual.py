"""The shallow residual network on embeddings."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["ResidualNetwork"]


class _Block(nn.Module):
    """h + W2 relu(W1 relu(h)), pre-activation (He 2016, 10.1007/978-3-319-46493-0_38)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)

    def forward(self, h: Tensor) -> Tensor:
        """Of the shape of h, [n, width]."""
        return h + self.second(torch.relu(self.first(torch.relu(h))))


class ResidualNetwork(nn.Module):
    """A dense layer to ``width``, residual blocks, and a layer that answers logits.

    Args:
        in_features: length of an embedding.
        width: of the hidden space.
        n_blocks: residual blocks; 0 leaves a linear map before the output.
        output: from the hidden space to logits.
        spread: squared length of the hidden vectors at the start, of standardised embeddings: what the output
            takes for near and far. Embeddings are far apart in many dimensions, and a kernel that sees
            no two of them near can only learn them by heart.
    """

    def __init__(
        self, in_features: int, *, width: int, n_blocks: int, output: nn.Module, spread: float
    ) -> None:
        """Draw the weights from torch's generator."""
        super().__init__()
        self.entry = nn.Linear(in_features, width)
        nn.init.normal_(self.entry.weight, std=math.sqrt(spread / (in_features * width)))
        nn.init.zeros_(self.entry.bias)
        self.blocks = nn.Sequential(*(_Block(width) for _ in range(n_blocks)))
        self.output = output

    def hidden(self, x: Tensor) -> Tensor:
        """What the output layer sees, [n, width]."""
        h: Tensor = self.blocks(self.entry(x))
        return h

    def forward(self, x: Tensor) -> Tensor:
        """Logits [n, k] of embeddings [n, in_features]."""
        return self.logits_of(self.hidden(x))

    def logits_of(self, h: Tensor) -> Tensor:
        """Logits [n, k] of what :meth:`hidden` answers; one output f is -f / 2 and f / 2 of two classes."""
        logits: Tensor = self.output(h)
        return torch.cat([-logits / 2, logits / 2], dim=1) if logits.shape[1] == 1 else logits

    def dense_layers(self) -> list[nn.Linear]:
        """The entry and both layers of every block."""
        return [self.entry, *self.block_layers()]

    def block_layers(self) -> list[nn.Linear]:
        """Both layers of every block: what a spectral bound holds."""
        return [m for m in self.blocks.modules() if isinstance(m, nn.Linear)]
