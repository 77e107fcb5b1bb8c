"""From which tokens of the key views a view takes its features: found once by depth, or anew by every layer."""

from __future__ import annotations

import numpy as np
import torch

from emoga.guidance.correspondence import BESIDE, ViewScene, epipolar_lines, token_centres

# Cosine between lines of sight per e-fold of trust: of key views that show a point, the nearer counts more.
SHARPNESS = 0.1
# The same where all are to agree on one edit: far views count nearly as much.
EVEN = 0.3


class DepthCarrier:
    """Tokens lifted by depth: four neighbours of each place, from every key view that shows it."""

    def __init__(self, scene: ViewScene, device: torch.device | str, sharpness: float = SHARPNESS) -> None:
        self.among_keys = True
        self._scene, self._device, self._sharpness = scene, device, sharpness
        self._found: dict[tuple[int, int, int], tuple[np.ndarray, np.ndarray]] = {}

    def __call__(
        self, view: int, keys: list[int], grid: int, own: torch.Tensor, theirs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See Carrier; features are not looked at."""
        return self.tokens(view, keys, grid)

    def tokens(self, view: int, keys: list[int], grid: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens [T,4K] among those of the key views, and their weights [T,4K]."""
        pairs = [self._pair(view, key, grid) for key in keys]
        trust = nearness(self._scene, view, keys, self._sharpness)
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
        self.among_keys = False
        self._scene, self._device = scene, device
        self._lines: dict[tuple[int, int, int], tuple[torch.Tensor, ...]] = {}

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
            centres = np.concatenate([token_centres(grid), np.ones((grid * grid, 1))], 1)
            lines = epipolar_lines(self._scene, view, key, grid)
            shown = (self._scene.foreground(one, grid) for one in (view, key))
            # Lines, not the table of what lies on them: that has T times T entries.
            self._lines[view, key, grid] = (
                *(torch.from_numpy(part.astype(np.float32)).to(self._device) for part in (lines, centres)),
                *(torch.from_numpy(part).to(self._device) for part in shown),
            )
        lines, centres, own, theirs = self._lines[view, key, grid]
        return ((lines @ centres.T).abs() <= BESIDE) & own[:, None] & theirs


def nearness(scene: ViewScene, view: int, keys: list[int], sharpness: float) -> np.ndarray:
    """[K] weights of key views that sum to 1: those that look the same way count more."""
    ahead = np.stack([camera.w2c[2, :3] for camera in scene.cameras])
    cosine = ahead[keys] @ ahead[view]
    weight = np.exp((cosine - cosine.max()) / sharpness)
    return weight / weight.sum()


def agreed_edit(carrier: DepthCarrier, edits: torch.Tensor, keys: list[int]) -> torch.Tensor:
    """Edits [V,C,g,g] of square latents, each replaced by what the key views' edits say of the same points.

    Where no key view shows what a view shows, its own edit stays.
    """
    views, width, grid = edits.shape[0], edits.shape[1], edits.shape[2]
    theirs = edits[keys].flatten(2).transpose(1, 2).reshape(-1, width)
    found = []
    for view in range(views):
        source, weight = carrier.tokens(view, keys, grid)
        taken = (theirs[source] * weight[..., None].to(theirs)).sum(1)
        own = edits[view].flatten(1).T
        found.append((taken + own * (1 - weight.sum(1, keepdim=True).to(own))).T.reshape(width, grid, grid))
    return torch.stack(found)
