"""What runs export opens in PyTorch: the same logits, the same answers.

PyTorch and transformers 5 run in an environment of their own, `.venv-interop`; here
there is only TensorFlow.
"""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from kerastune_llm.backend import keras, tf
from kerastune_llm.commands.export import export
from kerastune_llm.commands.finish import begin_run
from kerastune_llm.commands.job import Job, assemble
from kerastune_llm.commands.saved import save_trained
from kerastune_llm.config import RunConfig
from kerastune_llm.methods.apply import apply_method
from kerastune_llm.models.loading import load_model
from kerastune_llm.rundir import RunDir
from tests.tiny_tokenizers import fast_tokenizer

REPOSITORY = Path(__file__).parents[2]
PYTHON = REPOSITORY / ".venv-interop" / "bin" / "python"
CONFIGS = REPOSITORY / "tests" / "models" / "tiny_configs.json"
TOLERANCE = 1e-4

pytestmark = [
    pytest.mark.slow,
    pytest.mark.interop,
    pytest.mark.skipif(not PYTHON.exists(), reason="no .venv-interop (make interop)"),
]

SEQ2SEQ = ["t5", "t5-untied", "mt5", "bart", "pegasus", "marian"]
CLASSIFIERS = ["bert", "distilbert", "roberta", "electra", "albert", "mpnet"]
MODELS = [
    *(f"seq2seq-{name}" for name in SEQ2SEQ),
    *(f"classification-{name}" for name in (*CLASSIFIERS, "deberta-v2")),
]
METHODS = {"full": {}, "lora": {"rank": 2}}
CASES = [f"{model}-{method}" for model in MODELS for method in METHODS]


def run_script(script: str, *arguments: Path) -> None:
    command = [PYTHON, Path(__file__).with_name(script), *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def chosen_configs() -> dict[str, dict[str, dict]]:
    """The configurations of `MODELS`, by kind."""
    every = json.loads(CONFIGS.read_text())
    return {
        kind: {n: v for n, v in configs.items() if f"{kind}-{n}" in MODELS}
        for kind, configs in every.items()
    }


def trained(job: Job) -> keras.Model:
    """A model that no step has trained, but every trainable weight has moved."""
    model = load_model(job.config.model, kind=job.model_kind, labels=job.task.labels)
    apply_method(model, job.config.method.name, **job.config.method.options)
    for number, variable in enumerate(model.trainable_variables):
        noise = np.random.default_rng(number).normal(0, 0.03, variable.shape)
        variable.assign_add(tf.cast(noise, variable.dtype))
    return model


def finished_run(checkpoint: Path, method: str, folder: Path) -> tuple[RunDir, Job]:
    """The run directory that training by `method` leaves."""
    kind = checkpoint.name.partition("-")[0]
    config = RunConfig.parse(
        {
            "task": "squad" if kind == "seq2seq" else "cola",
            "model": str(checkpoint),
            "method": {"name": method, **METHODS[method]},
            "data": {"max_input_tokens": 16, "max_target_tokens": 16},
        }
    )
    return RunDir.create(folder), assemble(config)


def export_case(checkpoint: Path, case: str, output: Path) -> dict[str, np.ndarray]:
    """Export one run; the logits and the answers of its model here."""
    run, job = finished_run(checkpoint, case.rpartition("-")[2], output / f"{case}.run")
    begin_run(run, job)
    model = trained(job)
    reference = dict(np.load(checkpoint / "reference.npz"))
    reference.pop("logits")
    tensors = {name: tf.constant(value) for name, value in reference.items()}
    here = {"logits": model(tensors, training=False).logits.numpy()}
    if job.as_text:
        here["generated"] = model.generate(
            input_ids=tensors["input_ids"],
            attention_mask=tensors["attention_mask"],
            max_new_tokens=8,
            num_beams=1,
            do_sample=False,
        ).numpy()
    save_trained(model, job, whole=run.model, adapter=run.adapter)
    export(run.path, "transformers", output / case)
    np.savez(output / case / "inputs.npz", **reference)
    return here


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[Path, dict[str, dict[str, np.ndarray]]]:
    """Every case exported and opened by PyTorch; what its model says here."""
    checkpoints = tmp_path_factory.mktemp("checkpoints")
    output = tmp_path_factory.mktemp("exported")
    configs = checkpoints / "configs.json"
    configs.write_text(json.dumps(chosen_configs()))
    run_script("make_checkpoints.py", configs, checkpoints)
    here = {}
    for case in CASES:
        checkpoint = checkpoints / case.rpartition("-")[0]
        fast_tokenizer(with_types=False).save_pretrained(checkpoint)
        here[case] = export_case(checkpoint, case, output)
    run_script("check_directories.py", *(output / case for case in CASES))
    return output, here


@pytest.mark.parametrize("case", CASES)
def test_pytorch_gives_our_logits(exported, case):
    output, here = exported
    opened = np.load(output / case / "opened.npz")
    np.testing.assert_allclose(opened["logits"], here[case]["logits"], atol=TOLERANCE)
    keys = json.loads((output / case / "opened.json").read_text())
    assert not keys["missing_keys"] and not keys["mismatched_keys"]


@pytest.mark.parametrize("case", [case for case in CASES if "seq2seq" in case])
def test_pytorch_gives_our_answers(exported, case):
    output, here = exported
    opened = np.load(output / case / "opened.npz")["generated"]
    np.testing.assert_array_equal(opened, here[case]["generated"])


def test_the_answers_are_of_many_kinds(exported):
    """A single answer from all models would prove nothing."""
    _, here = exported
    answers = [said["generated"] for said in here.values() if "generated" in said]
    assert len({tuple(row) for rows in answers for row in rows}) > len(SEQ2SEQ)


@pytest.mark.parametrize("model", MODELS)
def test_the_merged_change_is_there(exported, model):
    _, here = exported
    full, lora = (here[f"{model}-{method}"]["logits"] for method in METHODS)
    assert abs(full - lora).max() > 100 * TOLERANCE
