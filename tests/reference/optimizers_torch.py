"""Apply given gradients with PyTorch's optimizers and write the weights.

    python optimizers_torch.py INPUTS.npz OUTPUTS.npz

The inputs are `matrix` and `vector` and their gradients `matrix.<step>`,
`vector.<step>`; the outputs are `<case>/<weight>.<step>` after each step.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers.optimization import Adafactor

Parameters = list[torch.nn.Parameter]
Make = Callable[[Parameters], torch.optim.Optimizer]

RATE, DECAY = 0.01, 0.1
CASES: dict[str, Make] = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=RATE, weight_decay=DECAY),
    "adam": lambda p: torch.optim.Adam(p, lr=RATE, weight_decay=DECAY),
    "sgd": lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.9, weight_decay=DECAY),
    "sgd-nesterov": lambda p: torch.optim.SGD(
        p, lr=RATE, momentum=0.9, nesterov=True, weight_decay=DECAY
    ),
    "adafactor": lambda p: Adafactor(
        p, lr=RATE, weight_decay=DECAY, relative_step=False, scale_parameter=False
    ),
    "adafactor-scaled": lambda p: Adafactor(
        p, lr=RATE, beta1=0.9, weight_decay=DECAY, relative_step=False
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("inputs", type=Path)
    parser.add_argument("outputs", type=Path)
    options = parser.parse_args()
    inputs = np.load(options.inputs)
    steps = sum(name.startswith("matrix.") for name in inputs.files)
    outputs = {}
    for case, make in CASES.items():
        weights = {
            name: torch.nn.Parameter(torch.tensor(inputs[name]))
            for name in ("matrix", "vector")
        }
        optimizer = make(list(weights.values()))
        for step in range(steps):
            for name, weight in weights.items():
                weight.grad = torch.tensor(inputs[f"{name}.{step}"])
            optimizer.step()
            for name, weight in weights.items():
                outputs[f"{case}/{name}.{step}"] = weight.detach().numpy().copy()
    np.savez(options.outputs, **outputs)


if __name__ == "__main__":
    main()
