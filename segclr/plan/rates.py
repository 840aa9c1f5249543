"""How fast the work goes: rates measured by ``benchmarks/rates.py`` and what a configuration sets instead."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segclr import files
from segclr.config import EncoderConfig, RateConfig
from segclr.errors import ConfigError, CorruptDataError

__all__ = ["EncoderRate", "MeasuredRates", "Rate", "Rates", "load_rates"]


class EncoderRate(BaseModel):
    """The speed of one encoder, as it was measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    config: EncoderConfig
    size_vx: int = Field(ge=1)
    precision: str
    device: str = Field(description="cpu core, or the name of a GPU")
    gflop_per_cube: float = Field(gt=0)
    cubes_per_s: float = Field(gt=0)

    @property
    def gflop_per_s(self) -> float:
        """Work done a second."""
        return self.gflop_per_cube * self.cubes_per_s


class MeasuredRates(BaseModel):
    """The content of a file of rates; fields beside these describe the measurement."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    machine: str
    rates: RateConfig
    encoders: tuple[EncoderRate, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Rate:
    """A rate and where it comes from, as a table shows it."""

    value: float
    source: str


@dataclass(frozen=True)
class Rates:
    """Rates for one run.

    Attributes:
        measured: on some machine.
        overrides: of the configuration, which win.
    """

    measured: MeasuredRates
    overrides: RateConfig

    def __getitem__(self, name: str) -> Rate:
        """A rate by its key in ``plan.rates``.

        Raises:
            ConfigError: it is neither set nor measured.
        """
        value = getattr(self.overrides, name)
        if value is not None:
            return Rate(value, f"config plan.rates.{name}")
        value = getattr(self.measured.rates, name)
        if value is None:
            msg = f"the rate {name} was not measured: set plan.rates.{name}, or run benchmarks/rates.py"
            raise ConfigError(msg)
        return Rate(value, "measured rate")

    def encoding(self, config: EncoderConfig, *, size_vx: int, precision: str, gflop_per_cube: float) -> Rate:
        """GFLOP/s of one core on an encoder; of another by the nearest one's where it was not measured."""
        if self.overrides.encode_gflop_per_s is not None:
            return self["encode_gflop_per_s"]
        known = [e for e in self.measured.encoders if e.device == "cpu core"]
        for e in known:
            if (e.config, e.size_vx, e.precision) == (config, size_vx, precision):
                return Rate(e.gflop_per_s, f"measured rate of this encoder ({e.name})")
        if not known:
            msg = "no encoder was measured on a CPU core: set plan.rates.encode_gflop_per_s"
            raise ConfigError(msg)
        like = [e for e in known if e.precision == precision] or known
        nearest = min(like, key=lambda e: abs(math.log(e.gflop_per_cube / gflop_per_cube)))
        return Rate(nearest.gflop_per_s, f"rate of another encoder ({nearest.name}), scaled by FLOPs")

    def gpu_encoding(self, config: EncoderConfig, *, size_vx: int, precision: str) -> EncoderRate | None:
        """This encoder's rate on a GPU, where one was measured; no other encoder's stands in."""
        for e in self.measured.encoders:
            if e.device != "cpu core" and (e.config, e.size_vx, e.precision) == (config, size_vx, precision):
                return e
        return None


def load_rates(url: str, overrides: RateConfig) -> Rates:
    """Rates of a file that ``benchmarks/rates.py`` wrote.

    Raises:
        MissingDataError: there is no such file.
        CorruptDataError: it is not what that script writes.
    """
    content = files.read_json(url)
    try:
        return Rates(MeasuredRates.model_validate(content), overrides)
    except ValidationError as error:
        keys = ", ".join(".".join(map(str, e["loc"])) or "the whole" for e in error.errors()[:3])
        msg = f"{url} is no file of rates: {keys} does not fit; benchmarks/rates.py writes one"
        raise CorruptDataError(msg) from error
