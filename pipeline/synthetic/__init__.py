"""Synthetic scenes: training data, sample images and ground truth for the tiny models."""

from pipeline.synthetic.scenes import Scene, SceneObject, SceneWord, make_scene

__all__ = ["Scene", "SceneObject", "SceneWord", "make_scene"]
