import pytest

from segclr.config import TissueConfig
from segclr.data.neuropil import TissueBlock, make_block


@pytest.fixture(scope="session")
def small_tissue() -> TissueConfig:
    """Two blocks of 6 um, away from the origin."""
    return TissueConfig(n_blocks=2, block_size_vx=(96, 112, 80), offset_vx=(40, 7, 3), somata_per_class=1)


@pytest.fixture(scope="session")
def small_blocks(small_tissue: TissueConfig) -> tuple[TissueBlock, TissueBlock]:
    return make_block(small_tissue, seed=3, block=0), make_block(small_tissue, seed=3, block=1)
