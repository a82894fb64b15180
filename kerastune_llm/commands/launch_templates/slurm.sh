#!/bin/bash
# sbatch FILE. One worker a machine; its --output is a folder that all of them share,
# or gs://BUCKET/DIR.
#SBATCH --job-name=kerastune
#SBATCH --nodes=$nodes
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
# The run is told a minute before the time is over, and saves itself.
#SBATCH --signal=TERM@60

set -euo pipefail
# The workers find one another by Slurm's own variables.
srun --kill-on-bad-exit=1 $command
