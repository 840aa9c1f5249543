"""What all sections of the configuration share: frozen, strict, digested."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from segclr import files

__all__ = ["FREE", "Engine", "Section", "decisive", "digest"]

Triple = tuple[int, int, int]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Edge = Annotated[int, Field(ge=1)]
Size = tuple[Positive, Positive, Positive]
Point = tuple[float, float, float]
Precision = Literal["float32", "bfloat16", "float16", "auto"]
Engine = Literal["auto", "dense", "skip_empty", "openvino"]
Metric = Literal["euclidean", "path"]
Weighting = Literal["uniform", "gaussian"]
Range = tuple[float, float]
Share = Annotated[float, Field(ge=0, le=1)]


class _Free:
    """Marks a key that decides nothing in what a stage writes, or that later stages alone read.

    A run may go on with another value of it; a stage that reads it still refuses to mix results.
    """


FREE = _Free()


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused, nothing coerced from a wrong kind."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_flag_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic takes `steps: yes` for 1
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation in (int, float):
            msg = f"must be a number, got {value}"
            raise ValueError(msg)
        return value


def decisive(section: BaseModel) -> dict[str, Any]:
    """The values of a section as plain JSON, without the keys a run may change when it goes on."""
    tree = section.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        below = getattr(section, name)
        if any(isinstance(mark, _Free) for mark in field.metadata):
            del tree[name]
        elif isinstance(below, BaseModel):
            tree[name] = decisive(below)
    return tree


def digest(*values: BaseModel | Any) -> str:
    """Hex digest of configuration values, equal for equal decisive values."""
    plain = [decisive(v) if isinstance(v, BaseModel) else v for v in values]
    return files.sha256(json.dumps(plain, sort_keys=True).encode())
