"""The benchmark: encoders trained on one made tissue, judged on others."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from segclr.config.section import FREE, Edge, Section

__all__ = ["BenchmarkConfig"]

Seed = Annotated[int, Field(ge=0, lt=2**31)]


class BenchmarkConfig(Section):
    """What encoders are judged by, on tissues that none of them and no number was made with."""

    test_seeds: tuple[Seed, ...] = Field(
        (201, 202, 203, 204, 205), min_length=1, description="of the tissues that all is judged on"
    )
    test_blocks: int = Field(4, ge=1, description="blocks of each of these tissues")
    n_labels: tuple[Edge, ...] = Field(
        (10, 30, 100, 300, 1000, 3000), description="labelled nodes that linear classifiers are fitted on"
    )
    repeats: int = Field(5, ge=1, description="draws of each number of labelled nodes")
    supervised_labels: tuple[Edge, ...] = Field(
        (1000,), description="labelled nodes that supervised networks are trained on; and one on all"
    )
    unknown_radius_um: float = Field(
        10.0, ge=0, description="within which vectors are averaged where a cell type is left out"
    )
    quick: Annotated[tuple[str, ...], FREE] = Field(
        (), description="what `segclr run --quick` sets, as key=value: a small benchmark to see that it works"
    )

    @model_validator(mode="after")
    def _check_seeds(self) -> Self:
        if len(set(self.test_seeds)) < len(self.test_seeds):
            msg = f"test_seeds must differ, got {list(self.test_seeds)}"
            raise ValueError(msg)
        return self
