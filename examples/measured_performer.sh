#!/usr/bin/env bash
# A synthetic performer with known truth: film, track, fit, and fail when the held-out views are not good enough.
#
#   examples/measured_performer.sh folder
#
# STUDIO_OPTIONS, FIT_OPTIONS, PRESET and BAR (dB) change the size of it.
set -euo pipefail
folder=$1
preset=${PRESET:-default}
mkdir -p "$folder"
emoga studio -o "$folder/capture" --hold-out views:1 --resume ${STUDIO_OPTIONS:-}
emoga track "$folder/capture" -o "$folder/track.h5" --hold-out views:1 --preset "$preset"
emoga fit "$folder/track.h5" -o "$folder/avatar.h5" --preset "$preset" ${FIT_OPTIONS:-}
emoga eval "$folder/avatar.h5" --track "$folder/track.h5" -o "$folder/report.json" --fail-below "${BAR:-30}"
