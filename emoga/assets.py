"""What users supply, kept in one folder with a list of what came from where: heads, networks, weights."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from emoga.errors import InputError
from emoga.files import atomic_output, data_dir, sha256_of

LIST = "assets.json"
MAX_LIST_BYTES = 2**20


@dataclass(frozen=True)
class Asset:
    """One thing the user supplied: its name here, its kind, the file's own name and checksum, where it lies."""

    name: str
    kind: str
    file: str
    sha256: str
    path: str

    @property
    def location(self) -> Path:
        """Where it lies, absolute."""
        return data_dir() / self.path

    @property
    def usable(self) -> bool:
        """Whether it is still there."""
        return self.location.exists()


def list_assets() -> list[Asset]:
    """All that was added, by name. Raises InputError when the list is damaged."""
    path = data_dir() / LIST
    if not path.is_file():
        return []
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise ValueError("too long")
        entries = json.loads(path.read_text(encoding="utf-8"))
        found = [Asset(**{key: str(value) for key, value in entry.items()}) for entry in entries]
        # The list may come from elsewhere: nothing outside the folder is ever named or removed by it.
        if any(not asset.location.resolve().is_relative_to(data_dir().resolve()) for asset in found):
            raise ValueError("points outside")
    except (ValueError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise InputError(f"{path}: damaged list of assets; delete it and add the files again") from error
    return sorted(found, key=lambda asset: asset.name)


def find_asset(name: str) -> Asset | None:
    """The asset of a name that is there, or None."""
    return next((asset for asset in list_assets() if asset.name == name and asset.usable), None)


def keep_asset(name: str, kind: str, source: Path, place: str | None = None) -> Asset:
    """Copy a file or folder to `place` in the assets' folder, or just list it where it was converted to."""
    place = place or f"{kind}/{source.name}"
    target = data_dir() / place
    if source.is_dir():
        _copy_folder(source, target)
    else:
        with atomic_output(target, overwrite=True) as temporary:
            shutil.copyfile(source, temporary)
    return list_asset(name, kind, source, place)


def list_asset(name: str, kind: str, source: Path, place: str) -> Asset:
    """Put what lies at `place` on the list, with the checksum of the file it came from."""
    digest = "" if source.is_dir() else sha256_of(source)
    asset = Asset(name, kind, source.name, digest, place)
    known = list_assets()
    for former in known:
        if former.name == name and former.path != place:
            _delete(former)
    _write_list([*(other for other in known if other.name != name), asset])
    return asset


def remove_asset(name: str) -> Asset:
    """Delete an asset and take it off the list. Raises InputError naming the known ones."""
    known = list_assets()
    asset = next((asset for asset in known if asset.name == name), None)
    if asset is None:
        names = ", ".join(asset.name for asset in known) or "none"
        raise InputError(f"no asset {name!r}; there are: {names}")
    _delete(asset)
    _write_list([other for other in known if other.name != name])
    return asset


def _delete(asset: Asset) -> None:
    if asset.location.is_dir():
        shutil.rmtree(asset.location)
    else:
        asset.location.unlink(missing_ok=True)


def _copy_folder(source: Path, target: Path) -> None:
    """Copy aside, then into place, so that no half folder is ever found."""
    aside = target.with_name(f".{target.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, aside, symlinks=False)
    shutil.rmtree(target, ignore_errors=True)
    aside.rename(target)


def _write_list(assets: list[Asset]) -> None:
    with atomic_output(data_dir() / LIST, overwrite=True) as temporary:
        rows = [asdict(asset) for asset in sorted(assets, key=lambda asset: asset.name)]
        temporary.write_text(json.dumps(rows, indent=1), encoding="utf-8")
