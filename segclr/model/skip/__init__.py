"""Empty space skipped: layers computed only where a masked cube can differ from an empty one."""

from segclr.model.skip.convolution import has_fused_kernel
from segclr.model.skip.layers import why_not_skip
from segclr.model.skip.predictor import SkipEmptyPredictor

__all__ = ["SkipEmptyPredictor", "has_fused_kernel", "why_not_skip"]
