#!/usr/bin/env bash
# Two avatars, each doing what the other did.
#
#   examples/drive_each_other.sh a.ply a_track.h5 b.ply b_track.h5 folder
#
# VIEW_OPTIONS is passed on, such as VIEW_OPTIONS='--size 256 --end 50'.
set -euo pipefail
folder=$5
emoga reenact "$1" -o "$folder/a_as_b.mp4" --motion "$4" ${VIEW_OPTIONS:-}
emoga reenact "$3" -o "$folder/b_as_a.mp4" --motion "$2" ${VIEW_OPTIONS:-}
