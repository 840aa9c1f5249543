"""The whole trainable network: residual backbone, bottleneck to the embedding, projection for the loss."""

from __future__ import annotations

import torch
from torch import nn

from segclr.config import EncoderConfig
from segclr.model.heads import MlpHead, light_projection
from segclr.model.legacy import LegacyResNet3d
from segclr.model.resnet3d import ResNet3d
from segclr.model.transfer import Transfer, fitting_weights, take_weights

__all__ = ["EncoderNetwork", "build_network", "starting_weights"]


class EncoderNetwork(nn.Module):
    """Cubes to embeddings; ``project`` goes on to the vectors that only the loss sees."""

    def __init__(self, backbone: nn.Module, bottleneck: nn.Module, projection: nn.Module) -> None:
        """Chain the three parts."""
        super().__init__()
        self.backbone = backbone
        self.bottleneck = bottleneck
        self.projection = projection

    def forward(self, cubes: torch.Tensor) -> torch.Tensor:
        """Cubes [n, 1, z, y, x], grey 0 to 1 -> embeddings [n, embedding_dim]."""
        embeddings: torch.Tensor = self.bottleneck(self.backbone(cubes))
        return embeddings

    def project(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Embeddings [n, embedding_dim] -> [n, projection_dim], not yet normalised."""
        projections: torch.Tensor = self.projection(embeddings)
        return projections

    @torch.no_grad()
    def rescale_embeddings(self, *, scale: float, offset: torch.Tensor) -> None:
        """Make every embedding ``scale * embedding + offset`` [embedding_dim], in the last layer's weights.

        Every kind of bottleneck ends in a weight of one row a dimension and a bias.
        """
        *_, weight, bias = self.bottleneck.parameters()
        weight.mul_(scale)
        bias.mul_(scale).add_(offset)


def build_network(config: EncoderConfig, *, seed: int) -> EncoderNetwork:
    """The network that training starts from: random, a function of configuration and seed.

    Where ``config.init_from`` names an encoder, the tensors of it that fit are taken (``take_weights``).
    PyTorch's own random state is untouched. Weights are laid out channels last, which the 3-D convolutions
    of CPUs and GPUs run fastest on.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = LegacyResNet3d() if config.family == "legacy" else ResNet3d(config)
        n_features, dim, hidden = backbone.n_features, config.embedding_dim, config.bottleneck_hidden
        bottleneck: nn.Module
        projection: nn.Module
        if config.heads == "light":
            bottleneck = nn.Linear(n_features, dim)
            projection = light_projection(dim, config.projection_dim, norm=config.norm)
        else:
            bottleneck = MlpHead((n_features, hidden, hidden, dim), norm=config.norm)
            projection = MlpHead((dim, dim, dim, config.projection_dim), norm=config.norm)
        network = EncoderNetwork(backbone, bottleneck, projection)
    if config.init_from is not None:
        take_weights(network, config.init_from)
    return network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def starting_weights(config: EncoderConfig) -> Transfer | None:
    """What ``build_network`` takes from ``config.init_from``, told without doing it; None: nothing.

    Raises:
        MissingDataError: there is no such encoder.
        CorruptDataError: its files are damaged.
        EncoderError: none of its convolutions fits.
    """
    if config.init_from is None:
        return None
    with torch.device("meta"):
        return fitting_weights(build_network(config.architecture, seed=0), config.init_from)
