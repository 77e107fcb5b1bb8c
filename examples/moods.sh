#!/usr/bin/env bash
# An avatar that acts: an emotion at rising intensity, a mixture, one that comes and goes, a walk through moods.
#
#   examples/moods.sh avatar.ply folder
#
# VIEW_OPTIONS is passed on, such as VIEW_OPTIONS='--size 256 --fps 12'.
set -euo pipefail
avatar=$1 folder=$2
mkdir -p "$folder"
play() {
    emoga reenact "$avatar" -o "$folder/$1.mp4" --motion none "${@:2}" ${VIEW_OPTIONS:-}
}

# Weights from 0 to 1; from time to time they ease in and out.
play rising --emotion 'happy@0s:0,happy@2s:1'

# Emotions mix; weights that sum to more than one are taken as shares.
play mixed --emotion happy:0.6,surprised:0.3

# One emotion gives way to another.
play changing --emotion 'sad@0s:1,sad@2s:0,happy@1s:0,happy@3s:0.8'

# By mood instead of names: valence (displeasure to pleasure) and arousal (sleep to excitement), each from -1 to 1.
play moods --valence-arousal '0,0@0s; 0.89,0.17@1s; 0.42,0.88@2s; -0.4,0.79@3s; -0.81,-0.4@4s; 0,0@5s'
