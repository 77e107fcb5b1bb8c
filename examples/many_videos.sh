#!/usr/bin/env bash
# Track every video of a folder that has landmarks beside it (NAME.mp4, NAME.npz); one line of JSON for each.
# What is there already is left alone, so the script can be stopped and started again.
#
#   examples/many_videos.sh clips tracks > tracks.jsonl
set -euo pipefail
clips=$1 tracks=$2
mkdir -p "$tracks"
for video in "$clips"/*.mp4; do
    name=$(basename "$video" .mp4)
    [ -e "$tracks/$name.h5" ] && continue
    emoga track "$video" -o "$tracks/$name.h5" --landmarks "$clips/$name.npz" --preset "${PRESET:-default}" \
        --resume --quiet --json | tr -d '\n'
    echo
done
