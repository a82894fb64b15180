"""The forms a run is exported in, one file each; `kerastune export` finds them here.

A form is a function `(run, job, model, folder) -> str`: it writes the run's loaded
model into a folder that is new or empty, whole or not at all, and returns what to
run next, as lines to be printed. The first line of its docstring is its `--help` text.

Nothing here imports TensorFlow before an export runs: `--help` lists the forms.
"""
