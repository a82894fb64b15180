"""One workload done as a user of PyTorch does it: transformers' Trainer, and PEFT.

.venv-interop/bin/python tests/benchmarks/side_pytorch.py SPEC.json RESULT.json
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import transformers
from peft import LoraConfig, get_peft_model
from workloads import Spec, Workload, exact_match, read_rows

BEGAN = time.time()


class StepTimes(transformers.TrainerCallback):
    """When each step ended, evaluations left out."""

    def __init__(self) -> None:
        self.first: float | None = None
        self.seconds: list[float] = []
        self._last = 0.0

    def on_epoch_begin(self, *_, **__) -> None:
        self._last = time.perf_counter()

    def on_step_end(self, *_, **__) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now
        self.first = self.first or time.time()


def encode(rows: list[dict], tokenizer, workload: Workload) -> list[dict]:
    texts = [row["input"] for row in rows]
    encoded = tokenizer(texts, truncation=True, max_length=workload.max_input_tokens)
    if workload.task == "cola":
        labels = [row["target"] for row in rows]
    else:
        targets = [row["target"] for row in rows]
        labels = tokenizer(
            text_target=targets, truncation=True, max_length=workload.max_target_tokens
        )["input_ids"]
    names = encoded.keys()
    return [
        {**{name: encoded[name][n] for name in names}, "labels": labels[n]}
        for n in range(len(rows))
    ]


def load(spec: Spec) -> torch.nn.Module:
    transformers.set_seed(spec.seed)
    if spec.workload.task == "cola":
        auto = transformers.AutoModelForSequenceClassification
    else:
        auto = transformers.AutoModelForSeq2SeqLM
    return auto.from_pretrained(spec.model)


def with_method(model: torch.nn.Module, workload: Workload) -> torch.nn.Module:
    if workload.method == "lora":
        options = workload.options
        targets = ["query", "value"] if workload.task == "cola" else ["q", "v"]
        config = LoraConfig(
            task_type="SEQ_CLS" if workload.task == "cola" else "SEQ_2_SEQ_LM",
            r=options["rank"],
            lora_alpha=options["alpha"],
            target_modules=targets,
        )
        return get_peft_model(model, config)
    if workload.method == "head":
        head = model.classifier if workload.task == "cola" else model.lm_head
        model.requires_grad_(False)
        head.requires_grad_(True)
    return model


class Scores:
    """What a run's metrics are computed of, and the last of them.

    Without it the Trainer would compute the loss alone, and generate no answers.
    """

    def __init__(self, tokenizer, *, is_text: bool) -> None:
        self.tokenizer = tokenizer
        self.is_text = is_text
        self.predictions: list | None = None

    def __call__(self, outputs: transformers.EvalPrediction) -> dict[str, float]:
        if not self.is_text:
            self.predictions = outputs.predictions.argmax(-1).tolist()
            return {}
        pair = outputs.predictions, outputs.label_ids
        return {"exact_match": exact_match(self.tokenizer, *pair)}


def make_trainer(
    spec: Spec, tokenizer, times: StepTimes, scores: Scores
) -> transformers.Trainer:
    workload = spec.workload
    rows, validation = (
        encode(read_rows(path), tokenizer, workload)
        for path in (spec.train, spec.validation)
    )
    model = with_method(load(spec), workload)
    kind, arguments = transformers.Trainer, transformers.TrainingArguments
    collate = transformers.DataCollatorWithPadding(tokenizer)
    options = {}
    if scores.is_text:
        kind = transformers.Seq2SeqTrainer
        arguments = transformers.Seq2SeqTrainingArguments
        collate = transformers.DataCollatorForSeq2Seq(tokenizer, model=model)
        longest = workload.max_target_tokens + 1
        options = {"predict_with_generate": True, "generation_max_length": longest}
    return kind(
        model=model,
        args=arguments(
            output_dir=str(spec.output.with_name("trainer")),
            per_device_train_batch_size=workload.batch_size,
            per_device_eval_batch_size=16,
            num_train_epochs=workload.epochs,
            learning_rate=workload.learning_rate,
            lr_scheduler_type="linear",
            eval_strategy="epoch",
            save_strategy="no",
            logging_steps=100,
            report_to="none",
            seed=spec.seed,
            use_cpu=True,
            bf16=workload.precision == "mixed_bfloat16",
            disable_tqdm=True,
            **options,
        ),
        train_dataset=rows,
        eval_dataset=validation,
        data_collator=collate,
        compute_metrics=scores,
        callbacks=[times],
    )


def train(spec: Spec) -> dict:
    workload = spec.workload
    tokenizer = transformers.AutoTokenizer.from_pretrained(spec.model)
    times = StepTimes()
    scores = Scores(tokenizer, is_text=workload.task == "squad")
    trainer = make_trainer(spec, tokenizer, times, scores)
    trainer.train()
    trainer.save_model(str(spec.output))
    tokenizer.save_pretrained(str(spec.output))
    done = time.time()
    steady = times.seconds[len(times.seconds) // 10 :]
    return {
        "first_step": times.first,
        "examples_per_second": workload.batch_size * len(steady) / sum(steady),
        "done": done,
        "loss": mean_loss(trainer),
        "predictions": scores.predictions,
    }


def mean_loss(trainer: transformers.Trainer) -> float:
    """Mean over all validation rows, or over all of their tokens, as ours.

    The Trainer's own is the mean of the batches' means, where a token of a short target
    counts for more.
    """
    total, count = 0.0, 0
    model = trainer.model.eval()
    for batch in trainer.get_eval_dataloader():
        with torch.no_grad():
            loss = model(**batch).loss.item()
        labels = int((batch["labels"] != -100).sum())
        total, count = total + labels * loss, count + labels
    return total / count


def answer(spec: Spec) -> dict:
    """Greedy answers, 16 new tokens each, after one warm-up pass."""
    workload = spec.workload
    tokenizer = transformers.AutoTokenizer.from_pretrained(spec.model)
    model = load(spec).eval()
    rows = sorted(
        encode(read_rows(spec.validation), tokenizer, workload),
        key=lambda row: -len(row["input_ids"]),
    )
    collate = transformers.DataCollatorWithPadding(tokenizer)
    size = workload.batch_size

    def run() -> list:
        answers = []
        for start in range(0, len(rows), size):
            part = [
                {k: v for k, v in row.items() if k != "labels"}
                for row in rows[start : start + size]
            ]
            with torch.no_grad():
                ids = model.generate(
                    **collate(part), max_new_tokens=16, do_sample=False, num_beams=1
                )
            answers += ids.tolist()
        return answers

    run()
    began = time.perf_counter()
    run()
    seconds = time.perf_counter() - began
    return {"examples_per_second": len(rows) / seconds}


def matrix_flops(dtype: str) -> float:
    """Floating-point operations a second of a large product, the best of 5."""
    size = 2048
    matrix = torch.randn(size, size).to(getattr(torch, dtype))
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        torch.mm(matrix, matrix)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def main() -> None:
    spec = Spec.read(Path(sys.argv[1]))
    result = (answer if spec.workload.measure == "answers" else train)(spec)
    result = {"done": time.time()} | result
    result |= {"began": BEGAN, "matrix_flops": matrix_flops(spec.workload.product)}
    Path(sys.argv[2]).write_text(json.dumps(result, default=np.ndarray.tolist))


if __name__ == "__main__":
    main()
