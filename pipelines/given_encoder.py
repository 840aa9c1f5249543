"""The configuration of a run that embeds with a finished encoder follows that encoder."""

from __future__ import annotations

from segclr.config import RunConfig
from segclr.errors import ConfigError

__all__ = ["follow_encoder"]

_MAY_DIFFER = 0.05


def follow_encoder(config: RunConfig) -> RunConfig:
    """The configuration with the given encoder's architecture and cubes; as it is where a run trains its own.

    Raises:
        ConfigError: it sets another architecture or cube than the encoder's, or a volume of other voxels.
        MissingDataError: there is no encoder.
        EncoderError: its description cannot be understood.
    """
    url = config.embed.encoder
    if url is None:
        return config
    from segclr.embed.kind import cube_kind
    from segclr.model.folder import read_description

    given = read_description(url)
    if "encoder" in config.model_fields_set and config.encoder.architecture != given.config:
        msg = f"the section encoder describes another network than {url}: leave it out"
        raise ConfigError(msg)
    wanted = _voxel_size_nm(config)
    pairs = zip(wanted, given.voxel_size_nm, strict=True)
    if any(abs(a - b) > _MAY_DIFFER * b for a, b in pairs):
        msg = (
            f"{url} was trained at voxels of {_text(given.voxel_size_nm)} nm (x, y, z), the run reads "
            f"{_text(wanted)} nm: set volume.voxel_size_nm to the encoder's (with volume.downsample: true "
            "where it is not stored), or train at yours (encoder.init_from starts from this one)"
        )
        raise ConfigError(msg)
    kind = cube_kind(given.training)
    seen = {"size_vx": given.size_vx, "content": kind.content, "rounding": kind.rounding}
    for key in config.cubes.model_fields_set & seen.keys():
        wished = getattr(config.cubes, key)
        if wished != seen[key]:
            msg = f"cubes.{key} is {wished}, but {url} was trained on {seen[key]}: leave it out"
            raise ConfigError(msg)
    cubes = config.cubes.model_copy(update=seen)
    return config.model_copy(update={"encoder": given.config, "cubes": cubes})


def _voxel_size_nm(config: RunConfig) -> tuple[float, float, float]:
    section = config.volume or config.tissue
    assert section is not None  # the configuration refuses to have neither
    return section.voxel_size_nm


def _text(size_nm: tuple[float, float, float]) -> str:
    return " x ".join(f"{v:g}" for v in size_nm)
