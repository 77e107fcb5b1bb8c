"""export: an avatar into its own other format, standard splat files of a pose, or a mesh; a track into a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from emoga.avatar import Avatar, avatar_bytes, load_avatar
from emoga.avatar.ply import splat_records
from emoga.avatar.ply_records import format_ply
from emoga.capture import Track, load_track
from emoga.errors import InputError
from emoga.exporting.gaussianavatars import write_gaussianavatars
from emoga.exporting.mesh import glb_bytes, obj_bytes
from emoga.exporting.posed import Pose, posed_rows, posed_vertices
from emoga.exporting.splat import splat_bytes
from emoga.exporting.vhap import write_vhap
from emoga.files import atomic_folder, check_output, check_output_folder, write_bytes
from emoga.motion import Motion, read_motion
from emoga.progress import Note, Reporter, silent

FORMATS = {
    "ply": "avatar with everything, shown by splat viewers",
    "h5": "avatar with everything, HDF5",
    "3dgs": "standard 3DGS PLY of one pose",
    "splat": ".splat of one pose, base colours",
    "vhap": "dataset folder of a track: pictures, masks, cameras, FLAME parameters of FLAME heads",
    "gaussianavatars": "folder with point_cloud.ply and flame_param.npz, FLAME heads only",
    "obj": "head mesh of one pose",
    "glb": "head mesh of one pose",
}
FOLDERS = ("gaussianavatars", "vhap")
AVATAR_FORMATS = ("ply", "h5")
SUFFIXES = {".ply": "ply", ".h5": "h5", ".hdf5": "h5", ".splat": "splat", ".obj": "obj", ".glb": "glb"}


@dataclass(frozen=True)
class Exported:
    """What `export` wrote."""

    output: str
    format: str
    pose: str
    gaussians: int
    bytes: int


def export(
    avatar: Avatar | Track | str | Path,
    output: str | Path,
    *,
    format: str | None = None,
    motion: Motion | str | Path | None = None,
    frame: int | None = None,
    emotion: str | None = None,
    calibrate: bool = True,
    like: Avatar | str | Path | None = None,
    media: str | Path | None = None,
    overwrite: bool = False,
    report: Reporter = silent,
) -> Exported:
    """Write an avatar in a format of `FORMATS`, by default the one the suffix of `output` names.

    avatar: the record or its file; for "vhap" a track, with media: where its pictures lie now. like: the avatar a
    PLY came from that lost its second element. motion, frame, emotion: the pose of the formats that freeze one, by
    default the bind pose; a frame without a motion is one of the avatar's own. output "-": stdout, but
    not for folders.

    Raises InputError for bad input, before anything is written.
    """
    chosen = format_for(output, format)
    asked = motion is not None or frame is not None or bool(emotion)
    if chosen == "vhap":
        if asked or like is not None or isinstance(avatar, Avatar):
            raise InputError(
                "--format vhap writes a track as it is; give a track and no pose, emotion or --like"
            )
        _check(output, chosen, overwrite)
        return _export_track(avatar, output, media, overwrite, report)
    if isinstance(avatar, Track):
        raise InputError(f"--format {chosen} writes an avatar; a track is written with --format vhap")
    if asked and chosen in (*AVATAR_FORMATS, "gaussianavatars"):
        raise InputError(f"--format {chosen} keeps the avatar drivable and has no pose; use --format 3dgs")
    _check(output, chosen, overwrite)
    if not isinstance(avatar, Avatar):
        avatar = load_avatar(avatar, like)
    if isinstance(motion, (str, Path)):
        motion = read_motion(motion, avatar.head_name)
    pose = Pose(motion, frame, emotion, calibrate)
    if chosen == "gaussianavatars":
        with atomic_folder(output, overwrite) as folder:
            write_gaussianavatars(avatar, folder)
            size = sum(file.stat().st_size for file in folder.iterdir())
    else:
        data = export_bytes(avatar, chosen, pose)
        write_bytes(output, data, overwrite)
        size = len(data)
    report(Note(f"{chosen}: {len(avatar.gaussians)} Gaussians, {pose.describe()}"))
    return Exported(str(output), chosen, pose.describe(), len(avatar.gaussians), size)


def _export_track(
    track: Track | str | Path, output: str | Path, media: str | Path | None, overwrite: bool, report: Reporter
) -> Exported:
    if not isinstance(track, Track):
        track = load_track(track, media)
    with atomic_folder(output, overwrite) as folder:
        write_vhap(track, folder, report)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    pose = f"{len(track.cameras)} cameras, {track.frame_count} frames"
    report(Note(f"vhap: {pose}"))
    return Exported(str(output), "vhap", pose, 0, size)


def format_for(output: str | Path, format: str | None) -> str:
    """The format to write: the one named, else the suffix's. Raises InputError when neither says."""
    if format is not None:
        if format not in FORMATS:
            raise InputError(f"--format {format}: unknown; known: {', '.join(FORMATS)}")
        return format
    suffix = Path(output).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{output}: the name does not say which format; pass --format {'|'.join(FORMATS)}")
    return SUFFIXES[suffix]


def export_bytes(avatar: Avatar, format: str, pose: Pose | None = None) -> bytes:
    """The bytes of a single-file format."""
    pose = pose or Pose()
    if format in AVATAR_FORMATS:
        return avatar_bytes(avatar, format)
    if format == "3dgs":
        return format_ply({"vertex": splat_records(posed_rows(avatar, pose))})
    if format == "splat":
        return splat_bytes(posed_rows(avatar, pose))
    puppet, vertices = posed_vertices(avatar, pose)
    return {"obj": obj_bytes, "glb": glb_bytes}[format](puppet.head, vertices)


def _check(output: str | Path, chosen: str, overwrite: bool) -> None:
    if chosen in FOLDERS:
        if str(output) == "-":
            raise InputError(f"{chosen} is a folder and cannot go to stdout; name one")
        check_output_folder(output, overwrite)
    elif str(output) != "-":
        check_output(output, overwrite)
