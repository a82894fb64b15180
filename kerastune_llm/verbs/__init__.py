"""The verbs of the command line, one file each: flags, and the function they call.

Nothing here imports TensorFlow before a verb runs.
"""
