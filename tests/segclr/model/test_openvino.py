"""OpenVINO leaves the process as it found it."""

import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, faulthandler, gc
import torch
from segclr.config import EncoderConfig
from segclr.model import build_network
from segclr.model.openvino import OpenVinoPredictor

class Stack(ctypes.Structure):
    _fields_ = (("pointer", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))

def stack():
    now = Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(now)) == 0
    return now.pointer, now.flags, now.size

faulthandler.enable()  # as pytest does: a stack of its own for signals
before = stack()
assert before[0]
network = build_network(EncoderConfig(depth=10, width=0.125, stem="patch"), seed=0).eval()
for dtype in (torch.float32, torch.bfloat16):
    predictor = OpenVinoPredictor(network, size_vx=9, dtype=dtype)
    predictor(torch.ones((2, 9, 9, 9), dtype=torch.uint8))
    assert stack() == before, (stack(), before)
    del predictor
    gc.collect()
    assert stack() == before, (stack(), before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="signal stacks are looked at on Linux only")
def test_the_stack_of_signal_handlers_stays_the_programs_own():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
