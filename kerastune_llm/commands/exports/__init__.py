"""The forms a run is exported in, one file each; `kerastune export` finds them here.

A `Form` writes the run's loaded model into a folder, whole or not at all, and returns
what to run next, as lines to be printed; what it cannot write it refuses before that.

Nothing here imports TensorFlow before an export runs: `--help` lists the forms.
"""
