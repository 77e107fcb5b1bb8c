"""From which tokens of the key views a view takes its features: found once by depth, or anew by every layer."""

from __future__ import annotations

import numpy as np
import torch

from emoga.guidance.correspondence import ViewScene, tokens_on_lines

# Cosine between lines of sight per e-fold of trust: of key views that show a point, the nearer counts more.
SHARPNESS = 0.02


class DepthCarrier:
    """Tokens lifted by depth: four neighbours of each place, from every key view that shows it."""

    def __init__(self, scene: ViewScene, device: torch.device | str) -> None:
        self._scene, self._device = scene, device
        self._found: dict[tuple[int, int, int], tuple[np.ndarray, np.ndarray]] = {}

    def __call__(
        self, view: int, keys: list[int], grid: int, own: torch.Tensor, theirs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See Carrier; features are not looked at."""
        pairs = [self._pair(view, key, grid) for key in keys]
        trust = nearness(self._scene, view, keys)
        source = np.concatenate([tokens + at * grid * grid for at, (tokens, _) in enumerate(pairs)], 1)
        weight = np.concatenate([share * trust[at] for at, (_, share) in enumerate(pairs)], 1)
        total = weight.sum(1, keepdims=True)
        weight = np.divide(weight, total, out=np.zeros_like(weight), where=total > 1e-6)
        return (
            torch.from_numpy(source).to(self._device),
            torch.from_numpy(weight.astype(np.float32)).to(self._device),
        )

    def _pair(self, view: int, key: int, grid: int) -> tuple[np.ndarray, np.ndarray]:
        """Tokens [T,4] of a key view around the place of each token, and their bilinear shares, 0 where unseen."""
        if (view, key, grid) not in self._found:
            matches = self._scene.matches(view, key, grid)
            shown = self._scene.foreground(key, grid)
            low = np.floor(matches.at - 0.5)
            part = matches.at - 0.5 - low
            tokens, shares = [], []
            for dy in (0, 1):
                for dx in (0, 1):
                    x, y = np.clip(low + (dx, dy), 0, grid - 1).astype(np.int64).T
                    token = y * grid + x
                    share = np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1])
                    tokens.append(token)
                    # What lies beside the subject there shows the backdrop, not this point.
                    shares.append(share * shown[token] * matches.seen)
            self._found[view, key, grid] = np.stack(tokens, 1), np.stack(shares, 1)
        return self._found[view, key, grid]


class EpipolarCarrier:
    """The most similar token on each token's epipolar lines, over all key views, by the asking layer's features."""

    def __init__(self, scene: ViewScene, device: torch.device | str) -> None:
        self._scene, self._device = scene, device
        self._lines: dict[tuple[int, int, int], torch.Tensor] = {}

    def __call__(
        self, view: int, keys: list[int], grid: int, own: torch.Tensor, theirs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See Carrier: one token, of weight 1, or 0 where no line crosses the subject."""
        normal = torch.nn.functional.normalize
        first, second = normal(own.float(), dim=-1), normal(theirs.float(), dim=-1)
        alike = torch.cat(
            [
                torch.where(self._on_line(view, key, grid), first @ second[at].T, -2.0)
                for at, key in enumerate(keys)
            ],
            1,
        )
        best, source = alike.max(1, keepdim=True)
        return source, (best > -2).float()

    def _on_line(self, view: int, key: int, grid: int) -> torch.Tensor:
        """[T,T] bool: tokens of a key view that show the subject and lie on the line of a token of the view."""
        if (view, key, grid) not in self._lines:
            on_line = tokens_on_lines(self._scene, view, key, grid)
            on_line &= self._scene.foreground(view, grid)[:, None] & self._scene.foreground(key, grid)
            self._lines[view, key, grid] = torch.from_numpy(on_line).to(self._device)
        return self._lines[view, key, grid]


def nearness(scene: ViewScene, view: int, keys: list[int]) -> np.ndarray:
    """[K] weights of key views that sum to 1: those that look the same way count more."""
    ahead = np.stack([camera.w2c[2, :3] for camera in scene.cameras])
    cosine = ahead[keys] @ ahead[view]
    weight = np.exp((cosine - cosine.max()) / SHARPNESS)
    return weight / weight.sum()
