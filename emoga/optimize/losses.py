"""The loss of a rendered picture: L1, D-SSIM and alpha with their gradients in one pass."""

from __future__ import annotations

import numpy as np
import torch

from emoga.optimize.ssim import ssim_map
from emoga.render.kernels import kernel, run_parallel, worker_count

DSSIM = 0.2


def picture_loss(
    image: torch.Tensor,
    alpha: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    mask: torch.Tensor,
    mask_weight: torch.Tensor,
    alpha_share: float,
) -> torch.Tensor:
    """0.8 L1 + 0.2 (1 - SSIM), weighted, plus `alpha_share` times the weighted L1 of alpha; a scalar.

    image, target [H,W,3]; alpha, weight, mask, mask_weight [H,W], all float32. The first part is divided by
    the sum of `weight`, the second by the number of pixels. Gradients flow to image and alpha.
    """
    return _PictureLoss.apply(image, alpha, target, weight, mask, mask_weight, float(alpha_share))


class _PictureLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, image, alpha, target, weight, mask, mask_weight, alpha_share):
        if image.device.type != "cpu":
            raise NotImplementedError("picture_loss runs on the CPU")
        leaf = image.detach().requires_grad_()
        with torch.enable_grad():
            similarity = ssim_map(leaf[None], target[None])
        slope, by_similarity = torch.empty_like(image), torch.empty_like(image)
        by_alpha = torch.empty_like(alpha)
        sums = np.zeros((worker_count(), 2))
        total = max(float(weight.numpy().sum(dtype=np.float64)), 1e-6)
        run_parallel(
            _loss_rows, *(_array(part) for part in (image, alpha, target, weight, mask, mask_weight)),
            _array(similarity[0]), np.float32(1 / (3 * total)), np.float32(alpha_share / weight.numel()),
            slope.numpy(), by_similarity.numpy(), by_alpha.numpy(), sums,
        )  # fmt: skip
        (through,) = torch.autograd.grad(similarity, leaf, by_similarity[None])
        ctx.save_for_backward(slope.add_(through), by_alpha)
        return image.new_tensor(sums.sum())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        slope, by_alpha = ctx.saved_tensors
        return slope * grad, by_alpha * grad, None, None, None, None, None


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


@kernel
def _loss_rows(
    worker, workers, image, alpha, target, weight, mask, mask_weight, similarity, by_weight, by_mask,
    slope, by_similarity, by_alpha, sums,
):  # fmt: skip
    height, width = weight.shape
    one, zero, dssim = np.float32(1), np.float32(0), np.float32(DSSIM)
    colors, outline = 0.0, 0.0
    for y in range(height * worker // workers, height * (worker + 1) // workers):
        for x in range(width):
            share = weight[y, x] * by_weight
            for channel in range(3):
                off = image[y, x, channel] - target[y, x, channel]
                sign = one if off > zero else -one
                structure = one - similarity[y, x, channel]
                colors += share * ((one - dssim) * sign * off + dssim * structure)
                slope[y, x, channel] = share * (one - dssim) * sign
                by_similarity[y, x, channel] = -share * dssim
            off = alpha[y, x] - mask[y, x]
            sign = one if off > zero else -one
            outline += by_mask * mask_weight[y, x] * sign * off
            by_alpha[y, x] = by_mask * mask_weight[y, x] * sign
    sums[worker, 0], sums[worker, 1] = colors, outline
