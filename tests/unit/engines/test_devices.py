"""``auto`` finds the best device, without torch where no GPU can be."""

from __future__ import annotations

import sys
from typing import Any, Literal, NoReturn

import pytest

from pipeline.engines import devices
from pipeline.engines.devices import gpu_can_be_here, pick_device, pick_precision
from pipeline.errors import EngineError


def _torch_was_asked() -> NoReturn:
    raise AssertionError("torch was asked")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    def build(*, nodes: bool = True, cuda: bool = False, mps: bool = False) -> None:
        monkeypatch.setattr(devices, "gpu_can_be_here", lambda: nodes)
        monkeypatch.setattr(devices, "_has_cuda", lambda: cuda)
        monkeypatch.setattr(devices, "_has_mps", lambda: mps)
        monkeypatch.setattr(sys, "platform", "darwin" if mps else "linux")

    return build


def test_cuda_comes_first_then_mps_then_cpu(machine: Any) -> None:
    machine(cuda=True, mps=True)
    assert pick_device("auto") == "cuda"
    machine(mps=True)
    assert pick_device("auto") == "mps"
    assert pick_device("auto", mps=False) == "cpu"
    machine()
    assert pick_device("auto") == "cpu"


def test_torch_is_not_asked_where_no_gpu_can_be(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(nodes=False)
    monkeypatch.setattr(devices, "_has_cuda", _torch_was_asked)
    monkeypatch.setattr(devices, "_has_mps", _torch_was_asked)
    assert pick_device("auto") == "cpu"
    assert pick_device("cpu") == "cpu"


@pytest.mark.parametrize("wanted", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_explained(
    machine: Any, wanted: Literal["cuda", "mps"]
) -> None:
    machine()
    with pytest.raises(EngineError, match=f"device: {wanted}.*device: auto"):
        pick_device(wanted)


def test_a_device_asked_for_by_name_is_taken(machine: Any) -> None:
    machine(nodes=False, cuda=True, mps=True)
    assert pick_device("cuda") == "cuda"
    assert pick_device("mps", mps=False) == "mps"


def test_device_files_tell_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(devices, "_GPU_NODES", ("nul[a-z]",))
    assert gpu_can_be_here()
    monkeypatch.setattr(devices, "_GPU_NODES", ("no-such-device*",))
    assert not gpu_can_be_here()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert gpu_can_be_here()


def test_precision_is_bf16_where_the_chip_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_cuda_has_bf16", lambda: True)
    assert pick_precision("auto", "cuda") == "bf16"
    assert pick_precision("auto", "cpu") == pick_precision("auto", "mps") == "fp32"
    assert pick_precision("fp32", "cuda") == "fp32"
    assert pick_precision("bf16", "cpu") == "bf16"
    monkeypatch.setattr(devices, "_cuda_has_bf16", lambda: False)
    assert pick_precision("auto", "cuda") == "fp32"
