#!/bin/bash
# bash FILE, where gcloud is logged in. Fill in what is yours; TYPE is a TPU of one host.
NAME=kerastune
ZONE=us-west4-a
TYPE=v5litepod-8
VERSION=v2-alpha-tpuv5-lite
# What `pip wheel --no-deps .` makes of this package.
WHEEL=kerastune_llm-0.1.0-py3-none-any.whl
# Of the TensorFlow that the package is made for: the release with TPUs takes its place.
TENSORFLOW='tensorflow-tpu==$tensorflow.*'

set -euo pipefail
on_tpu() { gcloud compute tpus tpu-vm "$$@" --zone="$$ZONE"; }

on_tpu create "$$NAME" --accelerator-type="$$TYPE" --version="$$VERSION"
on_tpu scp "$$WHEEL" "$$NAME:"
on_tpu ssh "$$NAME" --command="set -e
  python3 -m pip install './$$WHEEL'
  python3 -m pip uninstall --yes tensorflow
  python3 -m pip install '$$TENSORFLOW'"

# What the run is. It saves itself when the TPU is taken back; then: resume RUN.
RUN=$$(cat <<'END'
export TPU_NAME=local PATH="$$HOME/.local/bin:$$PATH"
$command
END
)
on_tpu ssh "$$NAME" --command="$$RUN"

# A TPU costs until it is deleted, and what is on its disk goes with it; what is at
# gs:// stays.
echo "fetch:  gcloud compute tpus tpu-vm scp --recurse $$NAME:runs . --zone=$$ZONE"
echo "delete: gcloud compute tpus tpu-vm delete $$NAME --zone=$$ZONE"
