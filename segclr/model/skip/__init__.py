"""Empty space skipped: layers computed only where a masked cube can differ from an empty one."""

from segclr.model.skip.layers import is_made_for, why_not_skip
from segclr.model.skip.predictor import SkipEmptyPredictor

__all__ = ["SkipEmptyPredictor", "is_made_for", "why_not_skip"]
