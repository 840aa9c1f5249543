import pytest
from pydantic import ValidationError

from segclr.config import TissueConfig
from segclr.data.neuropil import CELL_TYPES
from segclr.data.neuropil.cells import plan_cells
from segclr.data.neuropil.grow import grow


def _grown(config, seed, block):
    cells = plan_cells(config, seed=seed, block=block)
    arbors = grow(config, cells, seed=seed, block=block)
    return [cells[i] for i in set(arbors.cells.tolist())]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_default_tissue_has_three_cells_of_every_class_on_each_side(seed):
    config = TissueConfig()
    cells = [c for block in range(config.n_blocks) for c in _grown(config, seed, block)]
    for cell_type in CELL_TYPES:
        for split in ("train", "test"):
            assert sum(c.cell_type == cell_type and c.split == split for c in cells) >= 3
    assert len({c.segment_id for c in cells}) == len(cells)


def test_somata_lie_inside_the_block_and_apart_from_each_other():
    config = TissueConfig()
    somata = [c for c in plan_cells(config, seed=5, block=0) if c.soma_nm is not None]
    assert len(somata) >= 6
    size = [n * s for n, s in zip(config.block_size_vx, config.voxel_size_nm, strict=True)]
    for i, cell in enumerate(somata):
        assert (cell.soma_nm > cell.soma_axes_nm).all()
        assert (cell.soma_nm + cell.soma_axes_nm < size).all()
        for other in somata[:i]:
            apart = ((cell.soma_nm - other.soma_nm) ** 2).sum() ** 0.5
            assert apart > cell.soma_axes_nm.max() + other.soma_axes_nm.max()


def test_a_soma_without_room_leaves_its_cell_as_a_piece():
    tight = TissueConfig(block_size_vx=(64, 64, 64), somata_per_class=4)
    cells = plan_cells(tight, seed=0, block=0)
    assert sum(c.soma_nm is not None for c in cells) <= 1
    assert {c.cell_type for c in cells} == set(CELL_TYPES)


@pytest.mark.parametrize("size", [(48, 64, 64), (64, 72, 64)])
def test_a_block_that_cannot_be_cut_into_chunks_is_refused(size):
    with pytest.raises(ValidationError, match="multiples of 16 and at least 64"):
        TissueConfig(block_size_vx=size)
