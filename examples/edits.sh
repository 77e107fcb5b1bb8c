#!/usr/bin/env bash
# One avatar after several instructions, each on top of the one before, and a picture of every stage.
#
#   examples/edits.sh avatar.ply folder "make him older" "round black glasses" ...
set -euo pipefail
avatar=$1 folder=$2
shift 2
[ $# -gt 0 ] || set -- "make him older" "grey hair" "round black glasses"
stage=0
for prompt in "$@"; do
    stage=$((stage + 1))
    emoga edit "$avatar" --prompt "$prompt" -o "$folder/$stage.ply"
    avatar=$folder/$stage.ply
    emoga reenact "$avatar" -o "$folder/$stage" --motion none --end 1 ${VIEW_OPTIONS:-}
done
