#!/usr/bin/env bash
# Track every video of a folder, with the landmarks beside it where there are any (NAME.mp4, NAME.npz); one line of JSON
# for each. What is there already is left alone, so the script can be stopped and started again. A clip that cannot be
# tracked is named on stderr, the others go on, and the exit code is 1 in the end.
#
#   examples/many_videos.sh clips tracks > tracks.jsonl
set -euo pipefail
clips=$1 tracks=$2
failed=0
mkdir -p "$tracks"
for video in "$clips"/*.mp4; do
    name=$(basename "$video" .mp4)
    [ -e "$tracks/$name.h5" ] && continue
    landmarks=$clips/$name.npz
    [ -e "$landmarks" ] || landmarks=
    if line=$(emoga track "$video" -o "$tracks/$name.h5" ${landmarks:+--landmarks "$landmarks"} \
        --preset "${PRESET:-default}" --resume --quiet --json); then
        echo "${line//$'\n'/}"
    else
        failed=1
    fi
done
exit "$failed"
