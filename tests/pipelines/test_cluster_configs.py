"""The files in ``configs/clusters``: their keys are the section's, and the commands in them are accepted."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines.array import Share
from pipelines.cli_options import read_config, read_share
from pipelines.jobqueue import _cluster_class, job_options
from segclr.config import ClusterConfig, JobConfig
from segclr.errors import ConfigError
from tests.pipelines.conftest import segclr

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "clusters"
KINDS = ("local", "slurm", "lsf", "pbs", "scheduler")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_makes_the_section_of_its_kind(config_file, kind):
    config = read_config(str(config_file()), None, str(FOLDER / f"{kind}.yaml"))
    assert config.cluster.kind == kind
    told = yaml.safe_load((FOLDER / f"{kind}.yaml").read_text())
    made = config.cluster.model_dump(mode="json")
    assert all(made[key] == value for key, value in told.items() if key != "jobs")


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_has_a_comment(kind):
    lines = (FOLDER / f"{kind}.yaml").read_text().splitlines()
    keys = [line for line in lines if re.match(r"\s*\w+:", line) and not line.startswith(("kind:", "jobs:"))]
    assert all("#" in line for line in keys)


@pytest.mark.parametrize("kind", ["slurm", "lsf", "pbs"])
def test_a_batch_systems_file_has_every_key_of_a_job(kind):
    assert set(yaml.safe_load((FOLDER / f"{kind}.yaml").read_text())["jobs"]) == set(JobConfig.model_fields)


def test_set_wins_over_the_file_and_a_kind_is_a_word(config_file):
    path = str(config_file())
    assert read_config(path, ["cluster.workers=3"], str(FOLDER / "local.yaml")).cluster.workers == 3
    assert read_config(path, None, "pbs").cluster.kind == "pbs"
    with pytest.raises(ConfigError, match="--cluster takes one of none, local, slurm"):
        read_config(path, None, "sge")
    with pytest.raises(ConfigError, match="no configuration file"):
        read_config(path, None, "none.yaml")


def test_shares_are_refused_that_cannot_be():
    assert read_share(None, None).is_whole
    assert read_share(3, 16) == Share(3, 16)
    for part, of in ((1, None), (None, 4), (4, 4), (-1, 4)):
        with pytest.raises(ConfigError, match="--part"):
            read_share(part, of)


@pytest.mark.parametrize("n_parts", [0, 1, 5, 16])
@pytest.mark.parametrize("of", [1, 2, 7])
def test_shares_divide_the_parts(n_parts, of):
    parts = [f"p{i}" for i in range(n_parts)]
    shares = [Share(i, of).mine(parts) for i in range(of)]
    assert sorted(part for share in shares for part in share) == sorted(parts)


def job_script(kind: str, **jobs) -> str:
    config = ClusterConfig(kind=kind, memory_gb=2, jobs=JobConfig(**jobs))
    options = {
        k: v
        for k, v in job_options(config).items()
        if k not in ("n_workers", "scheduler_options", "silence_logs")
    }
    job_class = _cluster_class(kind).job_cls
    return job_class(scheduler="tcp://127.0.0.1:1", name="one", **options).job_script()


LINES = {
    "slurm": "-p fast|-A lab|-t 02:00:00|--cpus-per-task=4|-x bad",
    "lsf": '-q fast|-P "lab"|-W 02:00|-n 4|-x bad',
    "pbs": "-q fast|-A lab|-l walltime=02:00:00|-l select=1:ncpus=4:mem=4000MB|-x bad",
}


@pytest.mark.parametrize("kind", LINES)
def test_a_job_asks_for_what_the_file_says(kind):
    script = job_script(
        kind,
        queue="fast",
        account="lab",
        walltime="02:00" if kind == "lsf" else "02:00:00",
        processes=2,
        cores=4,
        directives=["-x bad"],
        prologue=["module load python"],
        lifetime_s=600,
        stagger_s=30,
    )
    for line in (
        *LINES[kind].split("|"),
        "module load python",
        "--lifetime 600s",
        "--lifetime-stagger 30s",
        "--nworkers 2",
        "--nthreads 1",
    ):
        assert line in script, script


def test_directives_can_be_skipped_and_gpus_make_one_worker_each():
    assert "#SBATCH --mem=2G" in job_script("slurm")
    assert "#SBATCH --mem" not in job_script("slurm", skip_directives=["--mem"])
    config = ClusterConfig(kind="slurm", gpus=4)
    assert job_options(config)["processes"] == 4
    assert "GPU=1" in job_options(config)["worker_extra_args"]


def test_schedulers_listen_on_loopback_unless_told_otherwise():
    assert job_options(ClusterConfig(kind="slurm"))["scheduler_options"]["host"] == "127.0.0.1"
    told = job_options(ClusterConfig(kind="slurm", jobs=JobConfig(interface="ib0")))
    assert told["interface"] == "ib0"
    assert told["scheduler_options"] == {"dashboard_address": "127.0.0.1:0"}


def test_the_kubernetes_job_parses_and_its_command_is_accepted(config_file):
    job = yaml.safe_load((FOLDER / "kubernetes_job.yaml").read_text())
    spec = job["spec"]
    container = spec["template"]["spec"]["containers"][0]
    arguments = [a.replace("$(JOB_COMPLETION_INDEX)", "15") for a in container["args"]]
    assert arguments[arguments.index("--of") + 1] == str(spec["completions"])
    assert (job["kind"], spec["completionMode"], container["command"]) == ("Job", "Indexed", ["segclr"])
    arguments[1] = str(config_file())
    told = segclr(*arguments, "--set", "train.no_such_key=1")  # all options are read before the keys
    assert told.returncode == 2
    assert "train.no_such_key: unknown key" in told.stderr


def test_the_array_script_is_shell_and_its_command_is_accepted(config_file):
    script = FOLDER / "slurm_array.sbatch"
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    text = re.sub(r"\\\n", " ", script.read_text())
    line = next(line for line in text.splitlines() if line.startswith('"$segclr" run'))
    line = re.sub(r'"\$\(\([^)]*\)\)"', "3", line.replace('"$SLURM_ARRAY_TASK_COUNT"', "4").rstrip("& "))
    arguments = shlex.split(line.replace('"$config"', str(config_file())).replace('"$@"', ""))[1:]
    told = segclr(*arguments, "--set", "train.no_such_key=1")
    assert told.returncode == 2
    assert "train.no_such_key: unknown key" in told.stderr


def test_the_library_for_batch_systems_does_not_take_ctrl_c_for_itself():
    """Its import makes of Ctrl-C an exit with status 0: a run that was interrupted would look done."""
    code = "import signal; from pipelines.jobqueue import _cluster_class; _cluster_class('slurm'); "
    code += "signal.raise_signal(signal.SIGINT)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "KeyboardInterrupt" in ended.stderr
    assert ended.returncode != 0
