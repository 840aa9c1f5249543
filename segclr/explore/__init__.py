"""Ways to look at embeddings without labels."""

from segclr.explore.collapse import describe_collapse
from segclr.explore.project import Projection, project

__all__ = ["Projection", "describe_collapse", "project"]
