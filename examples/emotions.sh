#!/usr/bin/env bash
# Every emotion of an avatar as a standard 3DGS file, for viewers and other programs.
#
#   examples/emotions.sh avatar.ply folder [emotion ...]
set -euo pipefail
avatar=$1 folder=$2
shift 2
[ $# -gt 0 ] || set -- happy sad angry surprised fear disgust contempt
for emotion in "$@"; do
    emoga export "$avatar" -o "$folder/$emotion.ply" --format 3dgs --emotion "$emotion"
done
