"""Steps of the tool that makes the open head from the CC0 MakeHuman data (see tools/build_open_head.py)."""
