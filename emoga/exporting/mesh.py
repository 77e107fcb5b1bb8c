"""The head's mesh with its texture coordinates, as OBJ or GLB."""

from __future__ import annotations

import numpy as np

from emoga.head import Head

SKIN = (222, 188, 168, 255)


def obj_bytes(head: Head, vertices: np.ndarray) -> bytes:
    """Wavefront OBJ of vertices [V,3] metres; one group per region; micrometre precision."""
    faces, uv_faces = head.faces.cpu().numpy() + 1, head.uv_faces.cpu().numpy() + 1
    lines = ["# emoga head, metres, +x to the subject's left, +y up, +z out of the face"]
    lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in head.uv.cpu().numpy()]
    regions = head.face_regions.cpu().numpy()
    for region in np.unique(regions):
        lines.append(f"g {head.region_names[region]}")
        for (a, b, c), (p, q, r) in zip(faces[regions == region], uv_faces[regions == region], strict=True):
            lines.append(f"f {a}/{p} {b}/{q} {c}/{r}")
    return ("\n".join(lines) + "\n").encode("ascii")


def glb_bytes(head: Head, vertices: np.ndarray) -> bytes:
    """Binary glTF of vertices [V,3] metres, vertices split where the texture has seams."""
    import trimesh

    corners = np.stack([head.faces.cpu().numpy().ravel(), head.uv_faces.cpu().numpy().ravel()], 1)
    pairs, index = np.unique(corners, axis=0, return_inverse=True)
    material = trimesh.visual.material.PBRMaterial(
        name="head", baseColorFactor=SKIN, metallicFactor=0.0, roughnessFactor=0.6
    )
    mesh = trimesh.Trimesh(
        vertices[pairs[:, 0]],
        index.reshape(-1, 3),
        visual=trimesh.visual.TextureVisuals(uv=head.uv.cpu().numpy()[pairs[:, 1]], material=material),
        process=False,
    )
    return trimesh.Scene({"head": mesh}).export(file_type="glb")
