"""Ways to look at embeddings without labels."""

from segclr.explore.project import Projection, project

__all__ = ["Projection", "project"]
