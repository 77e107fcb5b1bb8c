#!/usr/bin/env bash
# Teach an avatar emotions by name or in words, look at them, and play each one from the side.
#
#   examples/teach_emotions.sh avatar.ply track.h5 folder happy "skeptical: one brow raised, lips pressed"
#
# LEARN_OPTIONS goes to emoga optimize-emotion, VIEW_OPTIONS to emoga reenact.
set -euo pipefail
avatar=$1 track=$2 folder=$3
shift 3
[ $# -gt 0 ] || set -- happy sad angry surprised
mkdir -p "$folder"
words=()
for emotion in "$@"; do words+=(--emotion "$emotion"); done
# shellcheck disable=SC2086
emoga optimize-emotion "$avatar" --track "$track" "${words[@]}" -o "$folder/avatar.ply" \
    --sheet "$folder/sheet.png" --json ${LEARN_OPTIONS:-} > "$folder/report.json"
python3 -c 'import json, sys; [print(e["name"]) for e in json.load(open(sys.argv[1]))["emotions"]]' \
    "$folder/report.json" | while read -r name; do
    # shellcheck disable=SC2086
    emoga reenact "$folder/avatar.ply" -o "$folder/$name.mp4" --emotion "$name" --orbit 40/4s ${VIEW_OPTIONS:-}
done
