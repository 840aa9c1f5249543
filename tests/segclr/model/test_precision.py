"""Devices and number formats."""

import pytest
import torch

from segclr.errors import EncoderError
from segclr.model import has_fast_bfloat16, resolve_device, resolve_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(("amx", "avx"), [(True, False), (False, True), (False, False)])
def test_auto_is_bfloat16_only_where_the_cpu_has_it(monkeypatch, amx, avx):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    assert has_fast_bfloat16(CPU) is (amx or avx)
    assert resolve_precision("auto", CPU) == (torch.bfloat16 if amx or avx else torch.float32)


def test_a_named_precision_is_taken_as_it_is():
    assert resolve_precision("float32", CPU) == torch.float32
    assert resolve_precision("bfloat16", CPU) == torch.bfloat16


def test_float16_on_a_cpu_is_refused_with_what_is_allowed():
    with pytest.raises(EncoderError, match=r"float16 needs a CUDA device.*float32, bfloat16 or auto"):
        resolve_precision("float16", CPU)


def test_an_unknown_device_is_refused_by_name():
    with pytest.raises(EncoderError, match=r"auto, cpu, cuda.*'toaster'"):
        resolve_device("toaster")


def test_cuda_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == CPU
    with pytest.raises(EncoderError, match="no CUDA device"):
        resolve_device("cuda:1")
