"""Losses on pairs of views, one a file, behind one interface (``PairLoss``)."""

from segclr.model.loss.decoupled import Decoupled
from segclr.model.loss.nt_xent import NtXent
from segclr.model.loss.pair_loss import PairLoss, build_loss
from segclr.model.loss.simsiam import SimSiam
from segclr.model.loss.vicreg import VicReg

__all__ = ["Decoupled", "NtXent", "PairLoss", "SimSiam", "VicReg", "build_loss"]
