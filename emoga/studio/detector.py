"""Landmarks as a detector would report them: exact projections plus errors like a real detector's."""

from __future__ import annotations

import numpy as np

from emoga.camera import Camera

# Errors as fractions of face height, per axis; together their median is about half a percent.
SHARED_BIAS = 0.0022  # the detector's own idea of where points lie, same in all views
VIEW_BIAS = 0.0026  # smooth over the face, constant over time, different per view
DRIFT = 0.0015  # smooth over the face, slow over time
JITTER = 0.0010  # every point and frame on its own
HIDDEN_GUESS = 0.020  # extra, where the face turns away
REACH = 0.035  # metres over which smooth errors stay alike
NEIGHBOURHOOD = 0.012  # metres over which a detector sees which way the face turns


def exact_landmarks(points: np.ndarray, cameras: list[Camera]) -> np.ndarray:
    """Project true points [T,L,3] into every camera: pixels [C,T,L,2]."""
    return np.stack([camera.project(points)[0] for camera in cameras])


def smooth_normals(normals: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Unit normals [T,L,3] averaged over near landmarks of the template [L,3].

    The skin of a lid's or lip's rim turns anywhere, into the eye or the mouth; a detector sees the lid or the lip.
    """
    return _unit(_closeness(template, NEIGHBOURHOOD) @ normals)


def facing(points: np.ndarray, normals: np.ndarray, camera: Camera) -> np.ndarray:
    """Cosine [T,L] between surface normals and the direction to the camera."""
    away = camera.position - points
    return (away * normals).sum(-1) / np.linalg.norm(away, axis=-1)


def hidden_share(cosines: np.ndarray) -> np.ndarray:
    """How much a detector must guess, 0 to 1, from cosines of `facing`."""
    return np.clip((0.25 - cosines) / 0.5, 0, 1)


def detected_landmarks(
    exact: np.ndarray, cosines: np.ndarray, template: np.ndarray, face_height: float, seed: int
) -> np.ndarray:
    """Detector-like pixels [C,T,L,2] from exact ones, cosines [C,T,L], template points [L,3]; face height in pixels."""
    rng = np.random.default_rng([seed, 41])
    smooth = _smooth_basis(template)
    views, frames, count = exact.shape[:3]
    shared = SHARED_BIAS * _field(smooth, rng, ()) * 0.8 + 0.6 * SHARED_BIAS * rng.normal(size=(count, 2))
    noisy = np.empty_like(exact)
    for view in range(views):
        bias = VIEW_BIAS * _field(smooth, rng, ())
        drift = np.zeros((frames, count, 2))
        state = _field(smooth, rng, ())
        for frame in range(frames):
            drift[frame] = state
            state = 0.9 * state + np.sqrt(1 - 0.9**2) * _field(smooth, rng, ())
        error = shared + bias + DRIFT * drift + JITTER * rng.normal(size=drift.shape)
        hidden = hidden_share(cosines[view])[..., None]
        guess = _field(smooth, rng, ())
        noisy[view] = exact[view] + face_height * (
            error + HIDDEN_GUESS * hidden * (0.8 * guess + 0.2 * drift)
        )
    return noisy


def _smooth_basis(template: np.ndarray) -> np.ndarray:
    """A square root [L,L] of a covariance that keeps near points alike."""
    covariance = _closeness(template, REACH) + 1e-6 * np.eye(len(template))
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0))


def _closeness(template: np.ndarray, reach: float) -> np.ndarray:
    """Gaussian weights [L,L] of the distances between template points [L,3]; `reach` in metres."""
    away = ((template[:, None] - template[None]) ** 2).sum(-1)
    return np.exp(-away / (2 * reach**2))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _field(smooth: np.ndarray, rng: np.random.Generator, leading: tuple[int, ...]) -> np.ndarray:
    return smooth @ rng.normal(size=(*leading, smooth.shape[1], 2))
