"""emoga: video of a face to an animatable 3D Gaussian-splat head avatar."""

__version__ = "0.1.0"
