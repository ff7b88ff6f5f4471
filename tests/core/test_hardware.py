"""The catalogue: one canonical name a board, whatever Ray, the driver or the paper call it."""

import pytest

from kilowait.core.errors import InputError
from kilowait.core.hardware import CATALOGUE, canonical, from_nvml, idle_power_w, power_order


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("A100", "A100"),
        ("a100-40g", "A100"),
        ("A100-80G", "A100-80GB"),
        ("RTX-A6000", "A6000"),
        ("RTX A6000", "A6000"),
        ("NVIDIA A100-SXM4-80GB", "A100-80GB"),
        ("V100", "V100"),
        ("Tesla T4", "T4"),
        ("GeForce-RTX-3090", "RTX-3090"),
    ],
)
def test_aliases(alias: str, name: str) -> None:
    assert canonical(alias) == name


@pytest.mark.parametrize(
    ("board", "name"),
    [("NVIDIA A100-SXM4-40GB", "A100"), ("NVIDIA RTX A6000", "A6000"), ("NVIDIA A10", "A10"), ("NVIDIA A10G", "A10G")],
)
def test_boards_by_the_drivers_name(board: str, name: str) -> None:
    assert from_nvml(board) == name


def test_unknown_names_get_near_ones() -> None:
    with pytest.raises(InputError, match=r"unknown GPU type 'A6001'; did you mean A6000"):
        canonical("A6001")
    with pytest.raises(InputError, match="reports a board 'NVIDIA Z9'"):
        from_nvml("NVIDIA Z9")


def test_the_paper_order_of_power() -> None:
    assert power_order(["A6000", "T4", "A100", "RTX A6000", "H100"]) == ["H100", "A100", "A6000", "T4"]


def test_at_least_twelve_types_with_plausible_published_figures() -> None:
    assert len(CATALOGUE) >= 12
    for gpu in CATALOGUE.values():
        assert gpu.source, gpu.name
        assert 0 < gpu.idle_w < gpu.peak_w <= 1000, gpu.name
        assert gpu.fp32_flops <= gpu.tensor_flops, gpu.name
        assert 10 * 10**9 <= gpu.memory_bytes <= 200 * 10**9, gpu.name


def test_no_alias_belongs_to_two_boards() -> None:
    owners: dict[str, str] = {}
    for gpu in CATALOGUE.values():
        for alias in (gpu.name, *gpu.aliases, *gpu.nvml):
            assert owners.setdefault(alias.lower(), gpu.name) == gpu.name, alias


@pytest.mark.ray
@pytest.mark.parametrize("name", list(CATALOGUE))
def test_rays_own_detection_of_the_board_is_a_known_alias(name: str) -> None:
    from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager

    gpu = CATALOGUE[name]
    for board in gpu.nvml:
        if board.split()[0] in {"NVIDIA", "Tesla", "Quadro"}:  # old drivers leave the vendor out, and Ray misreads them
            assert NvidiaGPUAcceleratorManager._gpu_name_to_accelerator_type(board) in gpu.ray, board


def test_idle_power() -> None:
    assert idle_power_w("RTX A6000") == 25
    assert idle_power_w("cpu-1") is None
