#!/usr/bin/env bash
# Every emotion of an avatar as a standard 3DGS file, for viewers and other programs.
#
#   examples/emotions.sh avatar.ply folder
set -euo pipefail
avatar=$1 folder=$2
for emotion in happy sad angry surprised fear disgust contempt; do
    emoga export "$avatar" -o "$folder/$emotion.ply" --format 3dgs --emotion "$emotion"
done
