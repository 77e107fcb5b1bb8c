#!/usr/bin/env bash
# From one video to an avatar, its scores on the last fifth of the frames, and an orbit.
#
#   examples/video_to_avatar.sh clip.mp4 result
#   examples/video_to_avatar.sh clip.mp4 result --landmarks landmarks.npz
#
# What follows goes to emoga track. PRESET=fast|default|best; FIT_OPTIONS and VIEW_OPTIONS are passed on.
set -euo pipefail
video=$1 result=$2
shift 2
preset=${PRESET:-default}
mkdir -p "$result"

emoga track "$video" -o "$result/track.h5" --preset "$preset" --hold-out frames:last:20% "$@"
emoga fit "$result/track.h5" -o "$result/avatar.ply" --preset "$preset" ${FIT_OPTIONS:-}
emoga eval "$result/avatar.ply" --track "$result/track.h5" --sheet "$result/worst.png" --csv "$result/pictures.csv"
emoga reenact "$result/avatar.ply" -o "$result/orbit.mp4" --motion none --orbit 40/4s ${VIEW_OPTIONS:-}
