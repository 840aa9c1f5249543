"""Contrastive losses, one a file."""

from segclr.model.loss.nt_xent import NtXent

__all__ = ["NtXent"]
