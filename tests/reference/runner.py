"""Runs the reference scripts of this folder in the PyTorch environment."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-interop" / "bin" / "python"


def run_reference(script: str, *arguments: str | Path) -> None:
    """Run `tests/reference/<script>`; the test is skipped without the environment."""
    if not PYTHON.exists():
        pytest.skip(f"no {PYTHON.relative_to(ROOT)}: make interop")
    # The variables by which the package keeps transformers away from PyTorch.
    hidden = ("USE_TF", "USE_TORCH", "USE_JAX")
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    done = subprocess.run(
        [PYTHON, Path(__file__).with_name(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**environment, "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
