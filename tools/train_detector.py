"""Train emoga's own face detector from nothing: synthetic pictures, network, and the file that is shipped.

python tools/train_detector.py make --work DIR --shards 60          synthetic pictures (several may run at once)
python tools/train_detector.py make --work DIR --first 9000 --shards 2   those that only choose the weights
python tools/train_detector.py train --work DIR --minutes 60        writes DIR/network.pt
python tools/train_detector.py details --work DIR --minutes 60      eyes and mouth: DIR/details.KIND.pt
python tools/train_detector.py unpack --work DIR                    what is shipped, to go on from
python tools/train_detector.py ship --work DIR                      writes emoga/capture/data/face_networks.npz
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PEOPLE_PER_SHARD = 20


def make(options: argparse.Namespace) -> None:
    """Write shards first..first+shards."""
    import torch

    from emoga.head import load_head
    from tools.face_detector.pictures import Studio, write_shard

    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    studio = Studio(load_head(), options.near)
    for number in range(options.first, options.first + options.shards):
        people = range(PEOPLE_PER_SHARD * number, PEOPLE_PER_SHARD * (number + 1))
        write_shard(options.work, number, studio, people)
        print(number, flush=True)


def train(options: argparse.Namespace) -> None:
    """Train on the shards there are, and on those that are added meanwhile."""
    from emoga.head import load_head
    from tools.face_detector.training import train as run

    run(
        options.work, options.work / options.name, load_head(), options.minutes, options.processes,
        options.seed, options.start, options.rate,
    )  # fmt: skip


def details(options: argparse.Namespace) -> None:
    """Train the networks for eyes and mouth."""
    from emoga.head import load_head
    from tools.face_detector.detail_training import train_details

    train_details(
        options.work, options.work / "details.pt", load_head(), options.kinds, options.minutes, options.seed,
        options.start, options.rate, options.kept,
    )  # fmt: skip


def unpack(options: argparse.Namespace) -> None:
    """Write the shipped weights where training begins from: network.pt and details.KIND.pt."""
    import torch

    from emoga.capture.face_network import WEIGHTS, read_networks
    from tools.face_detector.detail_training import KINDS, detail_file

    options.work.mkdir(parents=True, exist_ok=True)
    networks = read_networks(WEIGHTS)
    torch.save(networks.face.state_dict(), options.work / options.name)
    for kind in KINDS:
        torch.save(
            getattr(networks.details, kind).state_dict(), detail_file(options.work / "details.pt", kind)
        )


def ship(options: argparse.Namespace) -> None:
    """Write the file that is shipped."""
    import numpy as np
    import torch

    from emoga.capture.face_network import WEIGHTS, FaceNetworks, pack_networks, read_networks
    from tools.face_detector.detail_training import KINDS, detail_file

    networks = FaceNetworks()
    networks.face.load_state_dict(torch.load(options.work / options.name, weights_only=True))
    for kind in KINDS:
        weights = torch.load(detail_file(options.work / "details.pt", kind), weights_only=True)
        getattr(networks.details, kind).load_state_dict(weights)
    WEIGHTS.parent.mkdir(exist_ok=True)
    np.savez_compressed(WEIGHTS, **pack_networks(networks))
    read_networks(WEIGHTS)
    print(f"{WEIGHTS}: {WEIGHTS.stat().st_size / 1e6:.1f} MB")


def main() -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = parser.add_subparsers(dest="step", required=True)
    making = steps.add_parser("make")
    making.add_argument("--work", type=Path, required=True)
    making.add_argument("--first", type=int, default=0)
    making.add_argument("--shards", type=int, default=60)
    making.add_argument("--near", action="store_true", help="faces fill the picture: for the details step")
    making.set_defaults(run=make)
    training = steps.add_parser("train")
    training.add_argument("--work", type=Path, required=True)
    training.add_argument("--name", default="network.pt")
    training.add_argument("--minutes", type=float, default=60)
    training.add_argument("--processes", type=int, default=4)
    training.add_argument("--seed", type=int, default=0)
    training.add_argument("--start", type=Path, help="go on from these weights")
    training.add_argument("--rate", type=float, default=1.5e-3, help="learning rate at the beginning")
    training.set_defaults(run=train)
    closer = steps.add_parser("details")
    closer.add_argument("--work", type=Path, required=True)
    closer.add_argument("--kinds", nargs="+", default=["eye", "mouth"])
    closer.add_argument("--minutes", type=float, default=30)
    closer.add_argument("--seed", type=int, default=0)
    closer.add_argument("--start", type=Path, help="go on from these weights")
    closer.add_argument("--rate", type=float, default=2e-3, help="learning rate at the beginning")
    closer.add_argument("--kept", type=float, default=0.0, help="share of --start's weights in those written")
    closer.set_defaults(run=details)
    unpacking = steps.add_parser("unpack")
    unpacking.add_argument("--work", type=Path, required=True)
    unpacking.add_argument("--name", default="network.pt")
    unpacking.set_defaults(run=unpack)
    shipping = steps.add_parser("ship")
    shipping.add_argument("--work", type=Path, required=True)
    shipping.add_argument("--name", default="network.pt")
    shipping.set_defaults(run=ship)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
