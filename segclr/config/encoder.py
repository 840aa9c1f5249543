"""Architecture of the encoder."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from segclr.config.section import Section

__all__ = ["STEM_STRIDES", "EncoderConfig", "Stem"]


Stem = Literal["large", "medium", "small", "patch"]
STEM_STRIDES: dict[Stem, int] = {"large": 2, "patch": 2, "medium": 1, "small": 0}


class EncoderConfig(Section):
    """Architecture of the encoder."""

    family: Literal["modern", "legacy"] = Field(
        "modern",
        description="legacy: the network of the released weights, to the last layer; of the keys below it "
        "takes embedding_dim, projection_dim and init_from only",
    )
    depth: Literal[10, 18, 34, 50] = Field(18, description="layers of the residual network")
    stages: int = Field(4, ge=1, le=4, description="stages of residual blocks kept; fewer for small cubes")
    width: float = Field(1.0, gt=0, description="factor on the 64, 128, 256, 512 channels")
    stem: Stem = Field(
        "large",
        description="large: 7^3 stride 2 and max-pool, stride 4 in all; patch: 2^3 voxels to channels and "
        "3^3 stride 2, stride 4 in all, the fastest on CPUs; medium: 5^3 stride 2; small: 3^3 stride 1",
    )
    flat_strides: int = Field(
        0,
        ge=0,
        description="number of strides, the network's first, that halve y and x and leave z: 1 where voxels "
        "are about twice as deep as wide (16x16x33 nm), 2 where four times (8x8x33 nm)",
    )
    flat_kernels: bool = Field(
        default=False, description="kernels before the last flat stride are 1 voxel deep in z"
    )
    input: Literal["grey", "centred"] = Field(
        "grey",
        description="grey: as published; centred: grey less its mean within the mask, and the mask as a "
        "second channel, which small encoders learn from much faster",
    )
    norm: Literal["batch", "group"] = Field("batch", description="kind of normalisation")
    heads: Literal["published", "light"] = Field(
        "published",
        description="published: three normed layers each to embedding and loss; light: one layer to "
        "the embedding, two to the loss, which learn in hundreds of steps instead of thousands",
    )
    bottleneck_hidden: int = Field(512, ge=1, description="width of the published bottleneck's hidden layers")
    embedding_dim: int = Field(64, ge=1, description="length of an embedding")
    projection_dim: int = Field(16, ge=1, description="length of the vector the loss sees")
    init_from: str | None = Field(
        None,
        min_length=1,
        description="URL of an encoder whose tensors training starts from where name and shape fit, be it of "
        "another voxel size, depth or width; the rest is random. null: all random",
    )

    @property
    def architecture(self) -> Self:
        """The network alone, without where training starts from."""
        return self.model_copy(update={"init_from": None})

    @property
    def n_strides(self) -> int:
        """Strides of the network, from the stem to the last stage."""
        return STEM_STRIDES[self.stem] + self.stages - 1

    @model_validator(mode="after")
    def _check_strides(self) -> Self:
        if self.flat_strides > self.n_strides:
            msg = (
                f"flat_strides is {self.flat_strides}, but stem {self.stem} and {self.stages} stages have "
                f"{self.n_strides} strides"
            )
            raise ValueError(msg)
        if self.flat_kernels and self.flat_strides == 0:
            msg = "flat_kernels lie before flat strides: set flat_strides to 1 or more"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _check_family(self) -> Self:
        if self.family == "legacy":
            own = {"family", "embedding_dim", "projection_dim", "init_from"}
            changed = [
                k
                for k, f in type(self).model_fields.items()
                if k not in own and getattr(self, k) != f.default
            ]
            if changed:
                msg = f"family legacy is one fixed network; leave out {', '.join(changed)}"
                raise ValueError(msg)
        return self
