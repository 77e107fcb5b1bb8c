#!/usr/bin/env bash
# Emotions of an avatar measured on the track it was made from: tables, pictures side by side, how far the face moves.
#
#   examples/measure_emotions.sh avatar.ply track.h5 folder emotion [emotion ...]
#
# EVAL_OPTIONS adds what to compare with, such as "--truth happy=acted --edits edits --features network.onnx".
set -euo pipefail
avatar=$1 track=$2 folder=$3
shift 3
emotions=()
for emotion in "$@"; do
    emotions+=(--emotion "$emotion")
done
# shellcheck disable=SC2086
emoga eval emotion "$avatar" --track "$track" "${emotions[@]}" ${EVAL_OPTIONS:-} --quiet \
    -o "$folder/report.json" --sheet "$folder/emotions.png" --heat-map "$folder/moved.png"
