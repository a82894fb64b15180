"""Which processes a run is spread over, read from the environment."""

import json
import socket

import pytest

from kerastune_llm.errors import UserError
from kerastune_llm.training.cluster import find_cluster, wait_for_workers
from kerastune_llm.training.strategy import get_strategy

SLURM = {
    "SLURM_PROCID": "3",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
}


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    for name in ("TF_CONFIG", *SLURM):
        monkeypatch.delenv(name, raising=False)


def tf_config(cluster: object, kind: str = "worker", index: int = 0) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


def test_the_chief_comes_first(monkeypatch):
    cluster = {"worker": ["b:2", "c:3"], "chief": ["a:1"]}
    monkeypatch.setenv("TF_CONFIG", tf_config(cluster, "worker", 1))
    found = find_cluster()
    assert found.addresses == ("a:1", "b:2", "c:3")
    assert (found.index, found.port) == (2, 3)


def test_one_worker_is_no_cluster(monkeypatch):
    assert find_cluster() is None
    monkeypatch.setenv("TF_CONFIG", tf_config({"worker": ["a:1"]}))
    assert find_cluster() is None


@pytest.mark.parametrize(
    "machines, tasks, rank, addresses, index",
    [
        # As Slurm writes them: two tasks on each of two; one on each of five; unequal
        # numbers; all on one machine.
        ("gpu[07-08]", "2(x2)", 3, "gpu07:8888 gpu07:8889 gpu08:8888 gpu08:8889", 3),
        ("n[1-2],m5,o[009-010]", "1(x5)", 0, "n1 n2 m5 o009 o010", 0),
        ("cn-a[3,7-8]", "1(x3)", 2, "cn-a3 cn-a7 cn-a8", 2),
        ("a1,b2", "2,1", 2, "a1:8888 a1:8889 b2:8888", 2),
        ("node42", "3", 1, "node42:8888 node42:8889 node42:8890", 1),
        ("ip-10-0-1-[9-10]", "1(x2)", 1, "ip-10-0-1-9 ip-10-0-1-10", 1),
    ],
)
def test_slurm_tells_the_workers_by_its_step(
    monkeypatch, machines, tasks, rank, addresses, index
):
    expected = [x if ":" in x else f"{x}:8888" for x in addresses.split()]
    monkeypatch.setenv("SLURM_STEP_NODELIST", machines)
    monkeypatch.setenv("SLURM_STEP_TASKS_PER_NODE", tasks)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", str(len(expected)))
    monkeypatch.setenv("SLURM_PROCID", str(rank))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    found = find_cluster()
    assert list(found.addresses) == expected
    assert found.index == index


def test_a_slurm_step_of_one_task_is_no_cluster(monkeypatch):
    # In the script of `sbatch` itself there is no step yet.
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert find_cluster() is None
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert find_cluster() is None


@pytest.mark.parametrize(
    "changes",
    [
        {"SLURM_STEP_NODELIST": "rack[1-2]node[3-4]"},
        {"SLURM_STEP_NODELIST": "gpu[1-2]-ib"},
        {"SLURM_STEP_TASKS_PER_NODE": "two"},
        {"SLURM_PROCID": None},
    ],
)
def test_a_slurm_step_that_is_not_understood_is_shown(monkeypatch, changes):
    for name, value in {**SLURM, **changes}.items():
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="(?s)Slurm's description.*TF_CONFIG") as error:
        find_cluster()
    for name, value in changes.items():
        assert f"{name}={value or 'not set'}" in str(error.value)


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "not the description of a cluster"),
        ('{"cluster": {}, "task": {}}', "not the description of a cluster"),
        (tf_config({"worker": ["a:1", "b"]}), "not the description of a cluster"),
        (tf_config({"worker": ["a:1"]}, index=1), "not the description of a cluster"),
        (tf_config({"worker": ["a:1"], "ps": ["b:2"]}), "tasks that are not workers"),
    ],
)
def test_what_is_no_cluster_of_workers_is_refused(monkeypatch, text, message):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=message):
        find_cluster()


def test_a_strategy_that_does_not_fit_the_environment_is_refused(monkeypatch):
    with pytest.raises(UserError, match="neither TF_CONFIG nor Slurm names any"):
        get_strategy("multiworker")
    monkeypatch.setenv("TF_CONFIG", tf_config({"worker": ["a:1", "b:2"]}))
    with pytest.raises(UserError, match="every worker .* would train alone"):
        get_strategy("one")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        return opened.getsockname()[1]


def test_a_worker_that_never_arrives_is_named(monkeypatch):
    own, there, missing = free_port(), free_port(), free_port()
    places = [f"127.0.0.1:{port}" for port in (own, there, missing)]
    monkeypatch.setenv("TF_CONFIG", tf_config({"worker": places}))
    error = pytest.raises(UserError, match="1 of 3 workers did not arrive")
    with socket.create_server(("127.0.0.1", there)), error as error:
        wait_for_workers(find_cluster(), timeout=0.0)
    assert places[2] in str(error.value)
    assert places[1] not in str(error.value)
    assert "--runtime.worker-timeout" in str(error.value)


def test_a_port_that_is_taken_is_named(monkeypatch):
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        places = [f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}"]
        monkeypatch.setenv("TF_CONFIG", tf_config({"worker": places}))
        with pytest.raises(UserError, match="cannot listen on its port"):
            wait_for_workers(find_cluster(), timeout=0.0)
