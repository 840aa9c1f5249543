"""What a run's training is watched by."""

import numpy as np
import pandas as pd
import pytest

from pipelines.cubes import pair_rows
from pipelines.pairs import held_out_segments
from pipelines.run import Run
from pipelines.watch import watch_digest, watch_of
from segclr.config import MonitorConfig
from segclr.errors import ConfigError


def with_probe(run, **values):
    monitor = MonitorConfig(probe_every=3, **values)
    return Run(run.url, run.config.model_copy(update={"monitor": monitor}))


def test_distances_are_those_of_the_held_out_pairs_in_the_runs_bins(labelled_run):
    watch = watch_of(labelled_run, pair_rows(labelled_run)[0])
    table = pd.read_parquet(labelled_run.path("pairs.parquet"))
    wanted = table[table["split"] == "validation"]["distance_nm"]
    np.testing.assert_array_equal(watch.distances.pairs_nm, wanted.to_numpy(np.float64))
    assert watch.distances.edges_nm == (0.0, 500.0, 1000.0, 1500.0, 2000.0)
    assert watch.probe is None


def test_the_probe_holds_labelled_cubes_of_held_out_cells_only(labelled_run):
    run = with_probe(labelled_run)
    probe = watch_of(run, pair_rows(run)[0]).probe
    index = pd.read_parquet(run.path("cubes_index.parquet")).set_index("row").loc[probe.rows]
    assert set(index["segment_id"]) == held_out_segments(run)
    names = run.config.labels.compartment_names
    assert probe.classes.tolist() == [names[segment] for segment in index["segment_id"]]
    assert len(set(zip(probe.groups.tolist(), index["segment_id"], strict=True))) == 2
    assert len(set(probe.rows.tolist())) == len(probe.rows)


def test_a_probe_looks_at_no_more_nodes_than_asked_for_and_evenly_over_cells(labelled_run):
    run = with_probe(labelled_run, probe_nodes=10)
    probe = watch_of(run, pair_rows(run)[0]).probe
    assert np.bincount(probe.groups).tolist() == [5, 5]


def test_a_probe_without_labels_is_refused(labelled_run):
    config = labelled_run.config
    unlabelled = config.model_copy(update={"labels": type(config.labels)()})
    run = with_probe(Run(labelled_run.url, unlabelled))
    with pytest.raises(ConfigError, match="probe_every is 3, but the run has no labels"):
        watch_of(run, pair_rows(run)[0])


def test_labels_count_only_where_a_probe_reads_them(labelled_run):
    config = labelled_run.config
    names = dict.fromkeys(config.labels.compartment_names, "axon")
    labels = config.labels.model_copy(update={"compartment_names": names})
    other = Run(labelled_run.url, config.model_copy(update={"labels": labels}))
    assert watch_digest(labelled_run) == watch_digest(other)
    assert watch_digest(with_probe(labelled_run)) != watch_digest(with_probe(other))
