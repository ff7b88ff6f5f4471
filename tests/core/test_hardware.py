"""The catalogue: one canonical name a board, whatever Ray, the driver or the paper call it."""

import os

import pytest

from kilowait.core import hardware
from kilowait.core.errors import InputError
from kilowait.core.hardware import (
    CATALOGUE,
    GPU_TYPES,
    SITE_FILE,
    canonical,
    from_nvml,
    idle_power_w,
    power_order,
    use_site_file,
)


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
        assert gpu.idle_w is None or 0 < gpu.idle_w < gpu.peak_w, gpu.name
        assert 60 <= gpu.peak_w <= 1200, gpu.name  # a GB200
        assert gpu.fp32_flops <= gpu.tensor_flops, gpu.name
        assert 6 * 10**9 <= gpu.memory_bytes <= 270 * 10**9, gpu.name  # RTX A2000, B300
        assert (gpu.capability is None) == gpu.name.startswith("MI"), gpu.name


@pytest.mark.parametrize(
    ("name", "gigabytes", "tensor", "fp32", "bandwidth", "peak_w", "idle_w", "multiprocessors", "l2_mib", "capability"),
    [
        ("A100", 40, 312e12, 19.5e12, 1555e9, 400, 60, 108, 40, 8.0),
        ("A6000", 48, 154.8e12, 38.7e12, 768e9, 300, 25, 84, 6, 8.6),
        ("H100", 80, 989e12, 67e12, 3350e9, 700, 70, 132, 50, 9.0),
        ("T4", 16, 65e12, 8.1e12, 320e9, 70, 10, 40, 4, 7.5),
        ("K80", 12, 4.4e12, 4.4e12, 240e9, 150, 30, 13, 1.5, 3.7),
    ],
)
def test_the_figures_are_those_of_before_they_were_data(
    name, gigabytes, tensor, fp32, bandwidth, peak_w, idle_w, multiprocessors, l2_mib, capability
) -> None:
    gpu = CATALOGUE[name]
    assert (gpu.memory_bytes, gpu.tensor_flops, gpu.fp32_flops) == (gigabytes * 10**9, tensor, fp32)
    assert (gpu.bandwidth, gpu.peak_w, gpu.idle_w) == (bandwidth, peak_w, idle_w)
    assert (gpu.multiprocessors, gpu.l2_bytes, gpu.capability) == (multiprocessors, l2_mib * 2**20, capability)


def test_names_that_were_known_before_mean_what_they_meant() -> None:
    meant = {"RTX-6000": "RTX-6000-Ada", "V100": "V100", "A100-SXM4-40GB": "A100", "H100": "H100", "A5000": "RTX-A5000"}
    assert {name: canonical(name) for name in meant} == meant


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("RTX 5090", "RTX-5090"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX-PRO-6000"),
        ("AMD-Instinct-MI300X-OAM", "MI300X"),
        ("2080Ti", "RTX-2080-Ti"),
        ("a100_3g.20gb", "A100-3g.20gb"),
        ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", "A100-3g.20gb"),
    ],
)
def test_types_of_2026(alias: str, name: str) -> None:
    assert canonical(alias) == name
    assert idle_power_w(name) is None or name.startswith("A100")


def test_a_mig_slice_is_its_share_of_the_board() -> None:
    small, half, whole = (GPU_TYPES[f"A100-{profile}"] for profile in ("1g.5gb", "3g.20gb", "7g.40gb"))
    assert (small.memory_bytes, half.memory_bytes, whole.memory_bytes) == (5 * 10**9, 20 * 10**9, 40 * 10**9)
    assert (small.multiprocessors, half.multiprocessors, whole.multiprocessors) == (108 // 7, 3 * 108 // 7, 108)
    assert half.tensor_flops == pytest.approx(312e12 * 3 / 7)
    assert half.bandwidth == pytest.approx(1555e9 / 2)
    assert (whole.tensor_flops, whole.peak_w) == (312e12, 400)
    assert half.slice_of == "A100"
    assert not any(gpu.slice_of for gpu in CATALOGUE.values())  # `all` means boards


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Write a site's file and use it; what was known before is known again afterwards."""
    monkeypatch.delenv(SITE_FILE, raising=False)

    def use(text: str) -> None:
        path = tmp_path / "gpus.toml"
        path.write_text(text)
        use_site_file(path)

    yield use
    os.environ.pop(SITE_FILE, None)
    hardware._catalogue.cache_clear()


NEW = """
[Z9]
nvml = ["NVIDIA Z9"]
memory_gb = 64
tensor_tflops = 500
fp32_tflops = 60
bandwidth_gb_per_s = 2000
peak_w = 400
multiprocessors = 100
l2_mb = 50
memory_kind = "HBM3"
source = "data sheet"
"""


def test_a_site_adds_and_overrides_types(site) -> None:
    site(NEW + '[a100]\nidle_w = 47.5\nprice_per_hour = 1.1\ncurrency = "EUR"\nhost_w = 80\n')
    assert from_nvml("NVIDIA Z9") == "Z9"
    assert power_order(["Z9", "A100", "H100"]) == ["H100", "Z9", "A100"]
    board = CATALOGUE["A100"]
    assert (idle_power_w("A100"), board.idle_provenance, board.tensor_flops) == (47.5, "measured", 312e12)
    assert (board.price_per_hour, board.currency, board.host_w) == (1.1, "EUR", 80)
    assert idle_power_w("Z9") is None
    assert os.environ[SITE_FILE].endswith("gpus.toml")  # children read it too


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[Z9]\nmemory_gb = 10\n", r"gpus.toml: \[Z9\]: tensor_tflops, fp32_tflops, .* missing"),
        (NEW.replace("= 400", '= "400 W"'), r"gpus.toml: \[Z9\]: peak_w must be a number > 0, got '400 W'"),
        (NEW.replace("l2_mb", "cache"), r"\[Z9\]: unknown field 'cache'; known: memory_gb"),
        (NEW.replace("= 100", "= 0"), r"\[Z9\]: multiprocessors must be a whole number > 0, got 0"),
        (NEW + "idle_w = 500\n", r"\[Z9\]: idle_w must be below peak_w 400, got 500"),
        ("[Z9\n", "gpus.toml: is not TOML"),
        ("idle_w = 3\n", "stands outside a table"),
    ],
)
def test_a_wrong_file_is_refused_by_file_type_and_field(site, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        site(text)
    assert canonical("T4") == "T4"
    assert SITE_FILE not in os.environ


def test_an_unknown_board_is_told_how_to_add_it() -> None:
    with pytest.raises(InputError, match=r"add it to a file that KILOWAIT_GPUS or --gpu-file names, .* \[My-GPU\]"):
        from_nvml("NVIDIA Z9")


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
