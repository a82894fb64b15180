"""A script: what a SavedModel answers, seen by a process without this package.

It imports TensorFlow and TensorFlow Text and refuses the rest, so what it reports is
what a server will do. Run as `python -I probe.py MODEL ROWS ANSWERS`: the folder of the
model, a JSON file with texts by field, and the file to write.
"""

import json
import os
import sys

FORBIDDEN = ("transformers", "tokenizers", "tf_keras", "datasets", "kerastune_llm")
BATCH = 16


def main(model: str, rows: str, answers: str) -> None:
    """Ask a model in batches; writes ids and the outputs of each row.

    Args:
        model: Folder of the SavedModel.
        rows: JSON file: lists of texts of one length by field; for a model that takes
            token ids only, lists of ids by input.
        answers: JSON file to write: `input_ids`, and each output by its name.
    """
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    # Importing TensorFlow Text needs some Keras; TensorFlow brings one, not `tf_keras`.
    os.environ.pop("TF_USE_LEGACY_KERAS", None)
    sys.modules.update(dict.fromkeys(FORBIDDEN))
    import tensorflow as tf
    import tensorflow_text  # noqa: F401, brings the operations of the tokenizers

    signatures = tf.saved_model.load(model).signatures
    with open(rows, encoding="utf-8") as file:
        columns = json.load(file)
    takes_text = "tokenize" in signatures
    # Ids come one row at a time, so that none of them are padding.
    batch = BATCH if takes_text else 1
    count = len(next(iter(columns.values())))
    # Rows of like length together: few of them are padding.
    size = [
        sum(len(column[row]) for column in columns.values()) for row in range(count)
    ]
    order = sorted(range(count), key=size.__getitem__)
    found: dict[str, list] = {}
    for start in range(0, count, batch):
        chosen = order[start : start + batch]
        inputs = {
            name: tf.constant(
                [column[row] for row in chosen], tf.string if takes_text else tf.int32
            )
            for name, column in columns.items()
        }
        outputs = signatures["serving_default"](**inputs)
        tokens = signatures["tokenize"](**inputs) if takes_text else inputs
        ids = tf.ragged.boolean_mask(tokens["input_ids"], tokens["attention_mask"] == 1)
        values = {"input_ids": ids.to_list()}
        values |= {name: _plain(output) for name, output in outputs.items()}
        for name, column in values.items():
            filled = found.setdefault(name, [None] * count)
            for row, value in zip(chosen, column, strict=True):
                filled[row] = value
    with open(answers, "w", encoding="utf-8") as file:
        json.dump(found, file)


def _plain(output) -> list:  # noqa: ANN001, TensorFlow is not imported yet
    def text(value: object) -> object:
        if isinstance(value, list):
            return [text(part) for part in value]
        return value.decode("utf-8") if isinstance(value, bytes) else value

    return text(output.numpy().tolist())


if __name__ == "__main__":
    main(*sys.argv[1:])
