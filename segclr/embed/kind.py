"""What the cubes of an encoder show: written beside its weights, so that it sees what it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, get_args

from segclr.data.cubes import Content
from segclr.errors import EncoderError
from segclr.geometry import Rounding

if TYPE_CHECKING:
    from segclr.config import CubeConfig

__all__ = ["CubeKind", "cube_kind"]

_KEY = "cubes"


@dataclass(frozen=True)
class CubeKind:
    """How cubes are cut, besides their size.

    Attributes:
        content: masked EM, all EM, or the mask alone.
        rounding: which voxel they are centred on.
    """

    content: Content = "masked"
    rounding: Rounding = "floor"

    @classmethod
    def of_config(cls, config: CubeConfig) -> Self:
        """As configured."""
        return cls(config.content, config.rounding)

    def noted(self, training: Mapping[str, Any]) -> dict[str, Any]:
        """An encoder's account of its training, with this in it."""
        return {**training, _KEY: {"content": self.content, "rounding": self.rounding}}


def cube_kind(training: Mapping[str, Any]) -> CubeKind:
    """What an encoder's account of its training tells; masked EM where it does not, as the released ones.

    Raises:
        EncoderError: it tells what this version does not know.
    """
    told = training.get(_KEY, {})
    kind = CubeKind(**told) if isinstance(told, dict) and set(told) <= {"content", "rounding"} else None
    if kind is None or kind.content not in get_args(Content) or kind.rounding not in get_args(Rounding):
        msg = (
            f"the encoder was trained on cubes {told!r}; known are content {', '.join(get_args(Content))} "
            f"and rounding {', '.join(get_args(Rounding))}"
        )
        raise EncoderError(msg)
    return kind
