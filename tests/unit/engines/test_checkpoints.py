"""Tensors are all that is ever taken from a weight file."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import WeightsError

pytestmark = pytest.mark.models


@pytest.fixture
def linear() -> Any:
    from torch import nn

    return nn.Linear(3, 2)


def test_tensors_come_back_without_the_prefix_of_parallel_training(
    tmp_path: Path, linear: Any
) -> None:
    import torch
    from safetensors.torch import save_file

    from pipeline.engines.checkpoints import fill, load_state

    parallel = {f"module.{name}": value for name, value in linear.state_dict().items()}
    torch.save(parallel, tmp_path / "m.pth")
    save_file(parallel, tmp_path / "m.safetensors")
    for name in ("m.pth", "m.safetensors"):
        other = torch.nn.Linear(3, 2)
        fill(other, load_state(tmp_path / name), tmp_path / name)
        assert torch.equal(other.weight, linear.weight)


@pytest.mark.parametrize("wrapped", [True, False])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, trap: Any, wrapped: bool) -> None:
    import torch

    from pipeline.engines.checkpoints import load_state

    path = tmp_path / "evil.pth"
    if wrapped:
        torch.save({"weight": trap}, path)
    else:
        path.write_bytes(pickle.dumps(trap))
    with pytest.raises(WeightsError, match="files that hold code are refused") as caught:
        load_state(path)
    assert "weights_only" not in str(caught.value), "advises to run the code"
    assert "nsupported" in str(caught.value)
    assert not trap.mark.exists()
    pickle.loads(pickle.dumps(trap))
    assert trap.mark.exists(), "the trap does not work, so the test shows nothing"


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("kept", [0, 10, 100])
def test_a_torn_file_is_explained(tmp_path: Path, linear: Any, suffix: str, kept: int) -> None:
    import torch
    from safetensors.torch import save_file

    from pipeline.engines.checkpoints import load_state

    path = tmp_path / f"m.{suffix}"
    (torch.save if suffix == "pth" else save_file)(linear.state_dict(), path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(WeightsError, match=str(path)):
        load_state(path)


def test_something_else_than_named_tensors_is_explained(tmp_path: Path) -> None:
    import torch

    from pipeline.engines.checkpoints import load_state

    torch.save([1, 2], tmp_path / "m.pth")
    with pytest.raises(WeightsError, match="expected named tensors, found list"):
        load_state(tmp_path / "m.pth")


def test_weights_of_another_shape_are_explained(tmp_path: Path, linear: Any) -> None:
    from torch import nn

    from pipeline.engines.checkpoints import fill

    with pytest.raises(WeightsError, match=r"does not fit Linear(.|\n)*size mismatch"):
        fill(nn.Linear(4, 2), linear.state_dict(), tmp_path / "m.pth")
