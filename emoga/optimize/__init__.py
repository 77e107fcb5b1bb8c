"""Optimisation: losses, density control, schedules, solving for pose and expression, figures of likeness."""
