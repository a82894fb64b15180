"""`kerastune launch`: workers here, and the files that start them elsewhere."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

import kerastune_llm
from kerastune_llm.cli import main
from kerastune_llm.commands.launch import launch
from kerastune_llm.config import merge
from kerastune_llm.models.checkpoint import save_model
from tests.commands.runs import differing, outcome, tiny_job
from tests.commands.test_resume import At
from tests.commands.worker_dies import LAST
from tests.tiny_models import tiny
from tests.tiny_tokenizers import fast_tokenizer

DIES = Path(__file__).with_name("worker_dies.py")
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> dict:
    """Without dropout, which differs by replica; not Adam, which enlarges rounding."""
    folder = tmp_path_factory.mktemp("job")
    job = tiny_job(folder)
    rates = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = tiny("bert", num_labels=2, **rates)
    save_model(model, fast_tokenizer(with_types=True), folder / "bert")
    return merge(job, {"optim": {"name": "sgd", "learning_rate": 0.1}})


@pytest.fixture(scope="module")
def alone(job, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("alone") / "run"
    return kerastune_llm.train({**job, "output": output}).run


@pytest.fixture(scope="module")
def together(job, tmp_path_factory) -> Path:
    """The run of two workers, in one go."""
    folder = tmp_path_factory.mktemp("together")
    config = folder / "config.json"
    config.write_text(json.dumps({**job, "output": str(folder / "run")}))
    assert launch(["train", "--config", str(config)], workers=2) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def broken(job, tmp_path_factory) -> tuple[Path, int, str]:
    """A run of two workers, the second of which is killed after update 7."""
    folder = tmp_path_factory.mktemp("workers")
    config = folder / "config.json"
    config.write_text(json.dumps({**job, "output": str(folder / "run")}))
    errors = folder / "errors.txt"
    with errors.open("w") as to:
        code = subprocess.run(
            [sys.executable, "-c", _LAUNCH, str(DIES), str(config)],
            stdout=subprocess.DEVNULL,
            stderr=to,
            env={**os.environ, "TMPDIR": str(folder)},
        ).returncode
    return folder / "run", code, errors.read_text()


_LAUNCH = """
import sys
from kerastune_llm.commands.launch import launch
sys.exit(launch(sys.argv[2:], workers=2, program=[sys.executable, sys.argv[1]]))
"""


def history(run: Path) -> list[dict]:
    lines = (run / "metrics.jsonl").read_text().split("\n")
    return [json.loads(line) for line in lines if line]


def losses(run: Path) -> list[float]:
    return [record["loss"] for record in history(run) if "loss" in record]


def assert_same_but_for_rounding(run: Path, other: Path) -> None:
    """Where a sum is made of two, it rounds otherwise."""
    np.testing.assert_allclose(losses(run), losses(other), rtol=TOLERANCE)
    one, two = (load_file(x / "model/model.safetensors") for x in (run, other))
    assert one.keys() == two.keys()
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, atol=TOLERANCE, err_msg=name)


@pytest.mark.slow
def test_two_workers_are_as_one_process(alone, together):
    assert len(losses(together)) == 10
    assert_same_but_for_rounding(together, alone)


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_job_and_resume_goes_on(together, broken, tmp_path):
    run, code, errors = broken
    assert code == 128 + 9
    assert "worker 1 ended with code 137; ending the others" in errors
    assert "Another worker (/job:worker/replica:0/task:1) was lost" in errors
    assert "Traceback" not in errors
    # What the others write for themselves is no part of it: one event file, one log.
    assert len(list((run / "tensorboard").iterdir())) == 1
    assert not (run / "metrics.json").exists()
    run = Path(shutil.copytree(run, tmp_path / "run"))
    assert launch(["resume", str(run)], workers=2) == 0
    assert not differing(outcome(together), outcome(run))


@pytest.mark.slow
def test_a_run_goes_on_with_fewer_workers_and_with_more(job, alone, broken, tmp_path):
    run = Path(shutil.copytree(broken[0], tmp_path / "run"))
    stop = At(LAST + 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
    values = {**job, "output": run}
    assert kerastune_llm.train(values, callbacks=[stop], resume=True).interrupted
    assert "devices: 2, now 1" in (run / "log.txt").read_text()
    assert launch(["resume", str(run)], workers=2) == 0
    assert "devices: 1, now 2" in (run / "log.txt").read_text()
    assert_same_but_for_rounding(run, alone)


def test_a_worker_that_never_arrives_ends_the_run(tmp_path, monkeypatch, capsys):
    free = ("127.0.0.1", 0)
    with socket.create_server(free) as one, socket.create_server(free) as two:
        places = [f"127.0.0.1:{x.getsockname()[1]}" for x in (one, two)]
    task = {"type": "worker", "index": 0}
    cluster = {"cluster": {"worker": places}, "task": task}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    argv = ["train", "cola", "--output", str(tmp_path / "run")]
    assert main([*argv, "--runtime.worker-timeout", "0.01"]) == 2
    error = capsys.readouterr().err
    assert f"1 of 2 workers did not arrive within 0.01 seconds: {places[1]}" in error
    assert not (tmp_path / "run").exists()


COMMAND = ["train", "cola", "--task.input-template", "{a} 'b' $c", "--output", "o"]


def test_the_slurm_file_is_bash_that_runs_the_command(capsys, tmp_path):
    assert main(["launch", "--print", "slurm", "--", *COMMAND]) == 0
    script = tmp_path / "script.sh"
    script.write_text(capsys.readouterr().out)
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    text = script.read_text()
    assert "kerastune train cola" in text
    assert "#SBATCH --nodes=2" in text


def test_the_kubernetes_file_is_a_job_of_workers(capsys):
    """By the fields of Kubeflow's TFJob v1: what it does not know, it refuses."""
    words = ["launch", "--print", "kubernetes", "--nodes", "3", "--", *COMMAND]
    assert main(words) == 0
    job = yaml.safe_load(capsys.readouterr().out)
    assert job.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "TFJob")
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", job["metadata"]["name"])
    assert job["spec"].keys() == {"runPolicy", "tfReplicaSpecs"}
    assert job["spec"]["runPolicy"]["cleanPodPolicy"] in ("None", "Running", "All")
    assert job["spec"]["tfReplicaSpecs"].keys() == {"Worker"}
    workers = job["spec"]["tfReplicaSpecs"]["Worker"]
    assert workers.keys() == {"replicas", "restartPolicy", "template"}
    assert workers["replicas"] == 3
    assert workers["restartPolicy"] in ("Always", "OnFailure", "Never", "ExitCode")
    pod = workers["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > 30  # which a run may take to save
    [container] = pod["containers"]
    # The training operator looks for these two names; TF_CONFIG has the port.
    assert container["name"] == "tensorflow"
    [port] = container["ports"]
    assert port["name"] == "tfjob-port" and isinstance(port["containerPort"], int)
    assert container["command"] == ["kerastune", *COMMAND]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_the_tpu_file_is_bash_that_hands_the_command_on(capsys, tmp_path):
    """Run with a `gcloud` that shows what it is told, and as the other machine does."""
    assert main(["launch", "--print", "tpu-vm", "--", *COMMAND]) == 0
    script = tmp_path / "script.sh"
    script.write_text(capsys.readouterr().out)
    shown = tmp_path / "gcloud"
    shown.write_text(f"#!/bin/bash\nprintf '%s\\0' \"$@\" >> {tmp_path}/told\n")
    kerastune = tmp_path / ".local/bin/kerastune"
    kerastune.parent.mkdir(parents=True)
    kerastune.write_text('#!/bin/bash\nprintf \'%s\\0\' "$TPU_NAME" "$@"\n')
    for program in (shown, kerastune):
        program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    subprocess.run(["bash", script], env=environment, check=True, capture_output=True)
    told = (tmp_path / "told").read_text().split("\0")
    assert told.count("ssh") == 2 and told.count("create") == 1
    run = told[len(told) - 1 - told[::-1].index("ssh") :]
    [command] = [x.removeprefix("--command=") for x in run if x.startswith("--comm")]
    there = subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True
    )
    assert there.stdout.decode().split("\0")[:-1] == ["local", *COMMAND]


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--workers", "2"], "What are the workers to run?"),
        (["--workers", "2", "--", "list"], "What are the workers to run?"),
        (["--", "train", "cola"], "How many workers?"),
        (["--workers", "2", "--print", "slurm", "--", "train"], "--print starts none"),
        (["--print", "tpu-vm", "--nodes", "2", "--", "train"], "one machine"),
        (["--workers", "2", "--port-base", "65535", "--", "train"], "no such ports"),
    ],
)
def test_refusals(argv, message, capsys):
    assert main(["launch", *argv]) == 2
    assert message in capsys.readouterr().err
