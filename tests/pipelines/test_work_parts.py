import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.node_blocks import block_counts
from pipelines.nodes import read_nodes
from pipelines.run import Run
from pipelines.work_parts import WorkPart, part_nodes, plan_parts, work_parts
from segclr.config import RunConfig
from tests.pipelines.conftest import config_tree


def rows_of_table(table):
    columns = (table.segment_ids.tolist(), table.node_ids.tolist(), table.points_nm.tolist())
    return list(zip(*columns, strict=True))


def rows_of(part, counts):
    blocks = [(b, i) for b in part.blocks for i in range(counts[b])]
    return blocks if part.rows is None else blocks[slice(*part.rows)]


@given(
    st.one_of(
        st.dictionaries(st.integers(0, 5000), st.integers(1, 30), max_size=40),
        st.builds(lambda n, k: dict.fromkeys(range(3, 3 + n), k), st.integers(505, 530), st.integers(1, 9)),
    ),
    st.integers(1, 70),
)
def test_parts_hold_every_row_once_and_no_part_more_than_it_may(counts, most):
    counts = dict(sorted(counts.items()))
    parts = list(plan_parts(counts, most_nodes=most))
    rows = [row for part in parts for row in rows_of(part, counts)]
    assert rows == [(b, i) for b in counts for i in range(counts[b])]
    assert all(0 < len(rows_of(part, counts)) <= most for part in parts)
    assert [WorkPart.from_name(p.name) for p in parts] == parts


def test_eight_blocks_go_together_where_there_are_many_and_they_are_small_enough():
    together = list(plan_parts(dict.fromkeys(range(512), 10), most_nodes=80))
    assert [p.blocks for p in together] == [tuple(range(i, i + 8)) for i in range(0, 512, 8)]
    for counts, most in ((dict.fromkeys(range(511), 10), 80), (dict.fromkeys(range(512), 10), 79)):
        assert all(len(p.blocks) == 1 for p in plan_parts(counts, most_nodes=most))


@pytest.mark.parametrize("name", ["block-", "shard-0000-of-0004", "block-1-rows-2", "block-1+"])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="no part's name"):
        WorkPart.from_name(name)


@pytest.mark.parametrize("most_nodes", [7, 32_768])
def test_the_parts_of_a_run_hold_its_nodes_once_each_sorted_along_z(finished_run, volumes, most_nodes):
    tree = config_tree(volumes, finished_run)
    tree["cubes"]["part_nodes"] = most_nodes
    run = Run(str(finished_run), RunConfig(**tree))
    tables = [part_nodes(run, part) for part in work_parts(run)]
    assert sum(block_counts(run).values()) == sum(map(len, tables)) == len(read_nodes(run))
    assert all(len(t) <= most_nodes for t in tables)
    got = sorted(
        (int(s), int(n), *p)
        for t in tables
        for s, n, p in zip(t.segment_ids, t.node_ids, t.points_nm.tolist(), strict=True)
    )
    nodes = read_nodes(run)
    assert got == [
        (int(s), int(n), *p)
        for s, n, p in zip(nodes.segment_ids, nodes.node_ids, nodes.points_nm.tolist(), strict=True)
    ]
    for table in tables:
        z = np.floor(table.points_nm[:, 2] / 40)
        assert (np.diff(z) >= 0).all()
