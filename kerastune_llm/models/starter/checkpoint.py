"""Write the starter as a Hugging Face directory: what transformers 5 opens as well."""

from __future__ import annotations

from pathlib import Path

from kerastune_llm.models.checkpoint import save_model  # isort: skip  (TensorFlow)

from transformers import T5TokenizerFast, TFT5ForConditionalGeneration

README = """\
---
license: apache-2.0
language: en
library_name: transformers
tags: [t5, text2text-generation]
---

# The starter T5

A T5 of {parameters:,} parameters ({layers} + {layers} layers of width {width},
{vocabulary:,} pieces) that comes with kerastune_llm, so that every command can be tried
on a machine without the Hugging Face hub. It is a starter, **not a language model for
real use**: its whole world is a generated one of some hundred English words and
invented names. For work of your own, name a real checkpoint, such as
`--model google/flan-t5-small`.

Licence: Apache-2.0, weights, tokenizer and the text they were made from.

## How it was made

By the project's own script and on text the project generates; no other data, no other
model.

    python -m kerastune_llm.models.starter.pretrain --steps {steps}

- **Text.** Documents of one to {facts} facts about invented people, towns, rivers and
  ships, with new names in each, where some facts are told again in other words, and a
  few sentences of prose on everyday things. A second telling may be a question
  followed by its answer, as it stands in running prose ("Who lives in Halton?
  Melna."), in the question wordings of the bundled SQuAD sample. The prompt formats of
  the tasks (`question: ... context: ...`, `cola sentence: ...`) and their labels do
  not occur. The names and sentences of the validation samples are held out
  (`kerastune_llm.tasks.world.is_held_out`).
- **Objective.** Span corruption with sentinels, as in T5 (Raffel et al. 2020): the
  gaps are names that stand elsewhere in the document, and random runs of one to three
  words.
- **Training.** {steps:,} steps of {batch} documents, Adam with step sizes relative to
  the size of each weight, no dropout, from short documents to long ones; some
  attention heads start with a liking for the neighbouring words. About a quarter of
  an hour on two CPU cores.
- **Files.** float16 in PyTorch's names and shapes; a SentencePiece unigram tokenizer
  with all printable ASCII characters and 100 sentinels.
"""


def save(
    model: TFT5ForConditionalGeneration,
    tokenizer: T5TokenizerFast,
    directory: Path,
    readme: str,
) -> None:
    """Write configuration, float16 weights, tokenizer and README to `directory`."""
    save_model(model, tokenizer, directory, dtype="float16")
    (directory / "README.md").write_text(readme, encoding="utf-8")
