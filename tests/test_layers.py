"""The arrows of the design point down: who may import whom, read from the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# From the ground up. Packages in one row may not import each other, unless the row is a chain, in which each
# may import those to its left: a motion comes out of a capture's track, an avatar keeps its training motion.
LAYERS: list[tuple[str, ...]] = [
    ("errors", "progress", "files", "assets", "hdf5", "npz", "pickle_machine", "pickles", "kernels", "threads",
     "triangles", "camera", "geometry", "images", "video"),
    ("head",),
    ("capture", "motion", "avatar"),
    ("render", "guidance", "studio"),
    ("optimize",),
    ("tracking", "fitting", "editing", "emotion", "reenactment", "exporting", "evaluation"),
    ("demo", "describe", "doctor", "supply", "warm_up"),
]  # fmt: skip
CHAINS = {0, 2}
PLACE = {name: (level, index) for level, names in enumerate(LAYERS) for index, name in enumerate(names)}
SOURCES = sorted((ROOT / "emoga").rglob("*.py"))
# Anything may read the version and let the facade find a verb lazily; nothing else lies in emoga itself.
FACADE = ("__version__",)


def imported_parts(path: Path) -> set[str]:
    """Parts of emoga that a file imports, wherever in the file; "cli" for the command line."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module == "emoga":
            names = [f"emoga.{alias.name}" for alias in node.names if alias.name not in FACADE]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they point"
            names = [node.module or ""]
        for name in names:
            first, *rest = name.split(".")
            if first == "emoga_cli":
                found.add("cli")
            elif first == "emoga" and rest:
                found.add(rest[0])
    return found


def allowed(user: str, used: str) -> bool:
    if used not in PLACE:
        return False
    (level, index), (used_level, used_index) = PLACE[user], PLACE[used]
    if user == used or used_level < level:
        return True
    return used_level == level and level in CHAINS and used_index < index


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    part = path.relative_to(ROOT / "emoga").parts[0].removesuffix(".py")
    if part == "__init__":
        assert not imported_parts(path), "the facade looks its verbs up lazily"
        return
    assert part in PLACE, f"emoga/{part} has no place among the layers; give it one"
    wrong = sorted(used for used in imported_parts(path) if not allowed(part, used))
    assert not wrong, f"{path.relative_to(ROOT)} imports {', '.join(wrong)}, which lies beside or above it"


def test_ground_files_do_not_import_each_other_in_circles() -> None:
    edges = {
        name: imported_parts(ROOT / "emoga" / f"{name}.py") & set(LAYERS[0]) - {name} for name in LAYERS[0]
    }
    done: set[str] = set()
    while edges:
        ready = [name for name, uses in edges.items() if uses <= done]
        assert ready, f"a circle among {sorted(edges)}"
        done |= set(ready)
        edges = {name: uses for name, uses in edges.items() if name not in done}


def test_rendering_and_guidance_know_no_avatars() -> None:
    for folder in ("render", "guidance"):
        for path in (ROOT / "emoga" / folder).rglob("*.py"):
            assert not imported_parts(path) & {"avatar", "capture", "motion"}, path


def test_only_tests_touch_plyfile() -> None:
    for path in [*SOURCES, *(ROOT / "emoga_cli").rglob("*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert "plyfile" not in names | modules, f"{path}: plyfile is GPL"
