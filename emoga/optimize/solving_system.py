"""Normal equations of a sequence: a block per frame, neighbours coupled, a border of shared unknowns."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass
class SequenceSystem:
    """0.5 x'Hx + g'x over T frames of P unknowns each and G shared ones.

    diagonal [T,P,P]; lower [T-1,P,P] couples frame t+1 (rows) to frame t (columns); border [T,P,G] couples
    frames to the shared unknowns; corner [G,G]; gradient [T,P]; shared_gradient [G].
    """

    diagonal: torch.Tensor
    lower: torch.Tensor
    border: torch.Tensor
    corner: torch.Tensor
    gradient: torch.Tensor
    shared_gradient: torch.Tensor

    @classmethod
    def zeros(cls, frames: int, unknowns: int, shared: int) -> SequenceSystem:
        """An empty system in float64."""

        def zero(*size: int) -> torch.Tensor:
            return torch.zeros(*size, dtype=torch.float64)

        return cls(
            zero(frames, unknowns, unknowns),
            zero(max(frames - 1, 0), unknowns, unknowns),
            zero(frames, unknowns, shared),
            zero(shared, shared),
            zero(frames, unknowns),
            zero(shared),
        )

    def frozen(self, per_frame: torch.Tensor, shared: torch.Tensor) -> SequenceSystem:
        """The same system with some unknowns held: per_frame [T,P] and shared [G] are true where held."""
        free, open_ = (~per_frame).double(), (~shared).double()
        diagonal = self.diagonal * free[:, :, None] * free[:, None, :] + torch.diag_embed(1 - free)
        corner = self.corner * open_[:, None] * open_[None, :] + torch.diag(1 - open_)
        return SequenceSystem(
            diagonal,
            self.lower * free[1:, :, None] * free[:-1, None, :],
            self.border * free[:, :, None] * open_,
            corner,
            self.gradient * free,
            self.shared_gradient * open_,
        )

    def damped(self, amount: float) -> SequenceSystem:
        """Levenberg-Marquardt: every diagonal entry grows by its share `amount`."""
        blocks = self.diagonal.diagonal(dim1=1, dim2=2)
        diagonal = self.diagonal + torch.diag_embed(amount * blocks + 1e-9)
        corner = self.corner + torch.diag(amount * self.corner.diagonal() + 1e-9)
        return SequenceSystem(diagonal, self.lower, self.border, corner, self.gradient, self.shared_gradient)

    def solve(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The minimiser: steps [T,P] of the frames and [G] of the shared unknowns."""
        loads, factors = self._eliminated()
        shared, felt = self.shared_gradient, self._felt()
        if shared.numel():
            reduced, rhs = self._reduced(loads)
            shared = torch.cholesky_solve(rhs[:, None], _cholesky(reduced))[:, 0]
        steps = torch.zeros_like(self.gradient)
        for t in range(len(factors) - 1, -1, -1):
            value = loads[t, :, 0] - loads[t, :, 1:] @ shared[felt]
            if t + 1 < len(factors):
                pull = torch.linalg.solve_triangular(
                    factors[t], self.lower[t].T @ steps[t + 1][:, None], upper=False
                )
                value = value - pull[:, 0]
            steps[t] = torch.linalg.solve_triangular(factors[t].T, value[:, None], upper=True)[:, 0]
        return steps, shared

    def shared_covariance(self) -> torch.Tensor:
        """Covariance [G,G] of the shared unknowns with the frames marginalised out."""
        reduced, _ = self._reduced(self._eliminated()[0])
        return torch.cholesky_inverse(_cholesky(reduced))

    def _reduced(self, loads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The shared unknowns' own system once the frames are eliminated: matrix [G,G] and right side [G]."""
        flat, felt = loads.reshape(-1, loads.shape[-1]), self._felt()
        border = flat[:, 1:]
        corner, side = self.corner.clone(), -self.shared_gradient
        corner[felt[:, None], felt] -= border.T @ border
        side[felt] -= border.T @ flat[:, 0]
        return corner, side

    def _felt(self) -> torch.Tensor:
        """Indices [F] of the shared unknowns that any frame is coupled to: those that are held are not."""
        return torch.nonzero((self.border != 0).any(0).any(0))[:, 0]

    def _eliminated(self) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Block Cholesky over frames: whitened right sides [T,P,1+F] (gradient, then felt border) and factors."""
        loads = torch.cat([-self.gradient[:, :, None], self.border[:, :, self._felt()]], 2)
        factors: list[torch.Tensor] = []
        for t in range(self.diagonal.shape[0]):
            block = self.diagonal[t]
            if t:
                # Rows of the previous frame's factor carry its influence: (L^-1 C')' (L^-1 C').
                link = torch.linalg.solve_triangular(factors[-1], self.lower[t - 1].T, upper=False)
                block = block - link.T @ link
                loads[t] -= link.T @ loads[t - 1]
            factors.append(_cholesky(block))
            loads[t] = torch.linalg.solve_triangular(factors[t], loads[t], upper=False)
        return loads, factors


def _cholesky(block: torch.Tensor) -> torch.Tensor:
    factor, failed = torch.linalg.cholesky_ex(block)
    if failed:
        # Rounding can leave a block barely indefinite; a trace of its own scale repairs that.
        ridge = 1e-8 * block.diagonal().abs().mean()
        factor = torch.linalg.cholesky(block + ridge * torch.eye(block.shape[0], dtype=block.dtype))
    return factor
