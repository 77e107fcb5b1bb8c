"""What earlier edits did to an avatar, kept in its provenance: prompts, plans, parents and things put on."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from emoga.avatar import Avatar, avatar_bytes
from emoga.errors import InputError
from emoga.files import sha256_of
from emoga.guidance import Operation
from emoga.guidance.edit_plan import BadPlan, operation_from_json

EDITS, THINGS = "edits", "things"
MAX_THINGS = 1000
# Things that are part of the skin once they are there.
DRAWN = {"wrinkles", "freckles", "age_spots", "mole", "scar", "tattoo", "eyeliner"}


@dataclass(frozen=True)
class Worn:
    """A thing that an edit put on: rows begin … begin + count of the Gaussians, made by an operation."""

    target: str
    side: str
    begin: int
    count: int
    amount: float
    operation: dict[str, Any]

    @classmethod
    def of(cls, step: Operation, begin: int, count: int, amount: float) -> Worn:
        """A record of what was made."""
        return cls(step.target, step.side, begin, count, amount, asdict(step))


def worn_things(avatar: Avatar) -> list[Worn]:
    """Things that earlier edits put on, as far as the file still holds their Gaussians.

    Records come from a file and are checked; those that do not fit are left out.
    """
    found = []
    records = avatar.provenance.get(THINGS, [])
    for record in records[:MAX_THINGS] if isinstance(records, list) else []:
        thing = _read(record, len(avatar.gaussians))
        if thing is not None:
            found.append(thing)
    return found


def _read(record: object, gaussians: int) -> Worn | None:
    if not isinstance(record, dict):
        return None
    begin, count, amount = record.get("begin"), record.get("count"), record.get("amount")
    numbers = isinstance(begin, int) and isinstance(count, int) and isinstance(amount, int | float)
    if not numbers or begin < 1 or count < 1 or begin + count > gaussians or not 0 <= amount <= 4:
        return None
    try:
        step = operation_from_json(record.get("operation"))
    except BadPlan:
        return None
    return Worn.of(step, begin, count, float(amount))


def take_off(avatar: Avatar, things: list[Worn], gone: list[Worn]) -> tuple[Avatar, list[Worn]]:
    """The avatar without some of the things, and the records of those that stay."""
    keep = torch.ones(len(avatar.gaussians), dtype=torch.bool)
    for thing in gone:
        keep[thing.begin : thing.begin + thing.count] = False
    shift = torch.cumsum((~keep).long(), 0)
    stay = [
        replace(thing, begin=thing.begin - int(shift[thing.begin])) for thing in things if thing not in gone
    ]
    return avatar.with_gaussians(avatar.gaussians.select(keep)), stay


def with_history(avatar: Avatar, entry: dict[str, Any], things: list[Worn]) -> Avatar:
    """The avatar with one more edit on record."""
    edits = avatar.provenance.get(EDITS, [])
    edits = [*edits, entry] if isinstance(edits, list) else [entry]
    provenance = {**avatar.provenance, EDITS: edits, THINGS: [asdict(thing) for thing in things]}
    return replace(avatar, provenance=provenance)


def parent_record(avatar: Avatar, source: Path | None) -> dict[str, str]:
    """Name and checksum of what is edited; no folders go into files."""
    if source is not None:
        return {"file": source.name, "sha256": sha256_of(source)}
    return {"file": "", "sha256": hashlib.sha256(avatar_bytes(avatar, "h5")).hexdigest()}


def kept_name(output: Path) -> Path:
    """Where --keep-parent puts the parent of an output."""
    return output.with_name(f"{output.stem}.parent{output.suffix}")


def find_parent(avatar: Avatar, source: Path) -> Path:
    """The file that an edited avatar was made from, beside it. Raises InputError when it is gone."""
    edits = avatar.provenance.get(EDITS)
    last = edits[-1] if isinstance(edits, list) and edits else None
    if not isinstance(last, dict):
        raise InputError(f"{source}: no edit is on its record, so there is nothing to undo")
    parent = last.get("parent")
    parent = parent if isinstance(parent, dict) else {}
    name, checksum = str(parent.get("file", "")), str(parent.get("sha256", ""))
    beside = [kept_name(source), *([source.with_name(Path(name).name)] if name else [])]
    # A copy may have been kept beside another name of this file.
    beside += sorted(source.parent.glob(f"*.parent{source.suffix}"))[:50]
    for path in beside:
        if path.is_file() and sha256_of(path) == checksum:
            return path
    raise InputError(
        f"{source}: the avatar it was made from ({Path(name).name or 'unnamed'}, {checksum[:12]}) "
        "is not beside it; put it there, or edit with --keep-parent next time"
    )
