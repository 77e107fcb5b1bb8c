#!/usr/bin/env bash
# Streams: an avatar through stdin and stdout, a figure out of JSON, rendered frames into another program.
#
#   examples/through_pipes.sh avatar.ply folder
set -euo pipefail
avatar=$1 folder=$2
mkdir -p "$folder"

# The same avatar as HDF5 and back; the two PLY files are equal byte for byte.
emoga export "$avatar" -o - --format h5 --quiet | emoga export - -o "$folder/again.ply"
cmp "$avatar" "$folder/again.ply"

emoga info "$avatar" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["splats"], "splats")'

# Any program that reads y4m can stand on the right: ffmpeg -i - out.webm, mpv -, …
emoga reenact "$avatar" -o - --size 64 --motion none --orbit 30/1s --quiet | head -c 60 | head -n 1
