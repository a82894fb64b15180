"""Writing a served model in the layout that TensorFlow Serving loads.

```
DIR/models.config
DIR/<name>/<version>/
    saved_model.pb  variables/  assets/  fingerprint.pb
    assets.extra/tf_serving_warmup_requests  assets.extra/examples.json
    export.json  README.md  SHA256SUMS
```
"""

import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from kerastune_llm.backend import keras, tf
from kerastune_llm.errors import UserError
from kerastune_llm.models.whole_folder import whole_folder
from kerastune_llm.rundir import sha256_of, write_json, write_text
from kerastune_llm.serving.answers import answer_output
from kerastune_llm.serving.card import serving_card
from kerastune_llm.serving.graph import DEFAULT, ServedModel, Service
from kerastune_llm.serving.parity import (
    Examples,
    Parity,
    compare,
    probe_in_fresh_process,
)
from kerastune_llm.serving.shown_examples import write_examples
from kerastune_llm.serving.warmup import write_warmup

logger = logging.getLogger(__name__)

FACTS, CARD, CHECKSUMS, CONFIG = (
    "export.json",
    "README.md",
    "SHA256SUMS",
    "models.config",
)
EXTRA = "assets.extra"
WARMUP_BATCHES = (1, 8)
_MODEL_CONFIG = """\
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
  }}
"""


def export_savedmodel(
    model: keras.Model,
    tokenizer: PreTrainedTokenizerBase,
    service: Service,
    folder: Path,
    *,
    name: str,
    version: int = 1,
    examples: Examples,
) -> Parity:
    """Write `folder/<name>/<version>/`, tried out in a process of its own, or nothing.

    Args:
        model: The model; a delta is merged where it can be.
        tokenizer: Its tokenizer.
        service: What is asked and answered.
        folder: Holds models by name; made when it is absent.
        name: The name the model is served under.
        version: A whole number; servers take the highest.
        examples: Rows that must be answered as they are here; the first ones become
            warm-up requests.

    Returns:
        What comparing came to. A model takes ids only where its tokenizer has no
        graph form; the tokenizer's files are then beside it.

    Raises:
        UserError: The version exists, the place cannot be written, or an answer of the
            exported model differs from the example's. Nothing is then written.
    """
    place = Path(folder).expanduser() / name / str(version)
    _check(place, name, version)
    served = ServedModel(model, tokenizer, service)
    with (
        _no_empty_folders(place),
        whole_folder(
            place, marker="saved_model.pb", replaced=(), what="exported model"
        ) as new,
    ):
        signatures = served.signatures()
        tf.saved_model.save(served, str(new), signatures=signatures)
        _, inputs = signatures[DEFAULT].structured_input_signature
        ids = examples.id_columns(inputs) if served.id_only else None
        parity = _checked(new, tokenizer, service, examples, ids)
        if served.id_only:
            logger.warning("the model takes token ids only: %s", served.id_only)
            tokenizer.save_pretrained(new / EXTRA / "tokenizer")
        else:
            _write_warmup(new, name, examples)
            write_examples(new / EXTRA, examples.fields)
        facts = {
            "name": name,
            "version": version,
            **_facts(service, examples),
            "signatures": dict(map(_described, signatures, signatures.values())),
            "id_only": served.id_only,
            "compared": parity.describe(),
        }
        write_json(new / FACTS, facts)
        write_text(new / CARD, serving_card(name, facts))
        write_text(new / CHECKSUMS, checksums(new))
    write_models_config(place.parents[1])
    return parity


def checksums(folder: Path) -> str:
    """SHA-256 of every file below a folder, in the form that `sha256sum -c` reads."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    digests = (
        (sha256_of(path), path.relative_to(folder))
        for path in files
        if path.name != CHECKSUMS
    )
    return "".join(f"{digest}  {path}\n" for digest, path in digests)


def write_models_config(folder: Path) -> None:
    """Write the `models.config` of all models in a folder, as seen in a container."""
    names = sorted({path.parents[1].name for path in folder.glob("*/*/saved_model.pb")})
    models = "".join(_MODEL_CONFIG.format(name=name) for name in names)
    write_text(folder / CONFIG, f"model_config_list {{\n{models}}}\n")


def _check(place: Path, name: str, version: int) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or version < 1:
        raise UserError(
            "A model is served under a plain name and a positive version.",
            accepted="letters, digits, - and _; a whole number from 1",
            received=f"{name!r}, {version}",
        )
    if place.exists():
        raise UserError(
            f"Version {version} of {name} exists already.",
            received=str(place),
            mend="another version, or another folder",
        )


def _checked(
    new: Path,
    tokenizer: PreTrainedTokenizerBase,
    service: Service,
    examples: Examples,
    ids: dict[str, list[list[int]]] | None,
) -> Parity:
    """Compare what the model answers to texts, or where there are any, to `ids`."""
    found = probe_in_fresh_process(new, ids or examples.fields)
    answer = answer_output(service.task, as_text=service.as_text)
    if ids and service.as_text:
        generated = [[i for i in row if i >= 0] for row in found["output_ids"]]
        texts = tokenizer.batch_decode(generated, skip_special_tokens=True)
        found[answer] = [text.strip() for text in texts]
    parity = compare(found, examples, tokenizer, answer=answer)
    if parity.differences:
        raise UserError(
            "The exported model does not answer as the model does; nothing is written. "
            + parity.describe(),
            mend="kerastune export RUN --to transformers DIR exports it without its "
            "tokenizer in the graph",
        )
    logger.info("in a process of its own: %s", parity.describe())
    return parity


def _write_warmup(new: Path, name: str, examples: Examples) -> None:
    requests = [
        {field: texts[:size] for field, texts in examples.fields.items()}
        for size in WARMUP_BATCHES
    ]
    write_warmup(new / EXTRA, requests, name=name, signature=DEFAULT)


def _described(
    name: str, function: tf.types.experimental.ConcreteFunction
) -> tuple[str, dict[str, list[str]]]:
    """A signature's name, and the names of what it takes and gives."""
    _, inputs = function.structured_input_signature
    return name, {"inputs": list(inputs), "outputs": list(function.structured_outputs)}


def _facts(service: Service, examples: Examples) -> dict[str, object]:
    task = service.task
    return {
        "format": 1,
        "task": task.name,
        "kind": task.kind,
        "as_text": service.as_text,
        "fields": list(service.fields),
        "answer": answer_output(task, as_text=service.as_text),
        "labels": list(task.labels),
        "max_input_tokens": service.max_input_tokens,
        "max_new_tokens": service.max_new_tokens if service.as_text else None,
        "num_beams": service.num_beams if service.as_text else None,
        "weights": service.smaller.facts() if service.smaller else None,
        "tensorflow": tf.__version__,
        "example": {name: texts[0] for name, texts in examples.fields.items()},
    }


@contextlib.contextmanager
def _no_empty_folders(place: Path) -> Iterator[None]:
    """Take away the folders that were made for an export that then failed."""
    made = [
        folder for folder in (place.parent, *place.parents[1:2]) if not folder.exists()
    ]
    try:
        yield
    except BaseException:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
