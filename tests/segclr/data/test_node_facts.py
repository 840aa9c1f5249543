import networkx as nx
import numpy as np
from hypothesis import given

from segclr.data.node_facts import NodeType, cable_table, node_facts
from segclr.data.nodes import NodeTable
from tests.segclr.data.test_tree import forests, graph_of


def made_table(made, segment_id=2**64 - 1):
    points, parents = made
    n = len(parents)
    return NodeTable(
        segment_ids=np.full(n, segment_id, np.uint64),
        node_ids=np.arange(n, dtype=np.uint32),
        points_nm=points.astype(np.float32),
        radii_nm=np.arange(n, dtype=np.float32),
        parents=parents.astype(np.int32),
    )


@given(forests(), forests())
def test_facts_of_many_segments_are_those_of_their_graphs(one, other):
    nodes = NodeTable.concatenate([made_table(one), made_table(other, 2**53 + 1)])
    facts, cables = node_facts(nodes), cable_table(nodes)
    distances, kinds, lengths = [], [], []
    for points, parents in (other, one):  # sorted by id
        graph = graph_of(points.astype(np.float32).astype(float), parents)
        lengths.append(graph.size(weight="weight"))
        roots = np.flatnonzero(parents < 0).tolist()
        from_root = nx.multi_source_dijkstra_path_length(graph, roots)
        distances += [from_root[i] for i in range(len(parents))]
        kinds += [
            NodeType.LEAF if d < 2 else NodeType.PATH if d == 2 else NodeType.BRANCH for _, d in graph.degree
        ]
    np.testing.assert_allclose(facts["distance_to_root_nm"], distances, rtol=1e-5)
    assert facts["type"].tolist() == kinds
    assert cables["segment_id"].tolist() == [2**53 + 1, 2**64 - 1]
    assert cables["n_nodes"].tolist() == [len(other[1]), len(one[1])]
    np.testing.assert_allclose(cables["cable_nm"], lengths, rtol=1e-9)


def test_a_soma_is_told_by_radius_only_where_asked_for():
    nodes = made_table((np.zeros((4, 3)), np.array([-1, 0, 1, 2])))
    assert "is_soma" not in node_facts(nodes)
    assert node_facts(nodes, soma_radius_nm=2)["is_soma"].tolist() == [False, False, True, True]
