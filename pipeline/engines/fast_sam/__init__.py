"""Segment Anything's "everything" mode with the same masks for a fraction of the work.

    image → encoder → decoder (scores, gate, masks) → interpolation (counts, boxes) → NMS → masks

``encoder`` attends without a bias matrix; ``decoder`` shares what prompts have in common, never
projects the image for a prompt, and draws only masks that pass the gate; ``interpolation`` measures
masks at the image's size without ever holding them (``kernel`` on the host, ``triton_kernel`` on
CUDA). ``finder`` shares prompts out to batches and threads; ``generator`` puts what it finds in
the library's order.
The library's own ``SamAutomaticMaskGenerator`` is the reference (docs/fast-sam.md).
"""

from pipeline.engines.fast_sam.candidates import FoundMask
from pipeline.engines.fast_sam.generator import MaskGenerator

__all__ = ["FoundMask", "MaskGenerator"]
