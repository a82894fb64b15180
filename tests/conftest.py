"""Scripts that the tests run in another process, some with PyTorch, are no tests."""

collect_ignore_glob = [
    "interop/check_*.py",
    "interop/make_*.py",
    "interop/run_*.py",
    "reference/*.py",
    "benchmarks/*.py",
    "methods/*_replicas.py",
    "training/score_replicas.py",
    "training/split_batches.py",
]
