"""Public tables of power limits become draws, and made-up ones give back the curve that they were made of."""

import numpy as np
import pytest

from kilowait.core.errors import InputError
from kilowait.lab.draws.measured_draws import read_draws
from kilowait.lab.draws.power_fit import DrawLabels, fitted_coefficients, mean_curve, slowdown_of
from kilowait.predict.power.power_model import draw_w

ZEUS = """gpu,dataset,network,batch_size,optimizer,power_limit,time_per_epoch,average_power
a40,imagenet,resnet50,64,adam,300,100,240
a40,imagenet,resnet50,64,sgd,300,120,240
a40,imagenet,resnet50,64,adam,200,121,190
"""
PERSEUS = """gpu,policy,model_name,dp,tp,pp,microbatch_size,num_microbatches,power_limit_0,power_limit_1,time,energy
A40-48GB,zeus_global,t5-3b,1,1,2,4,9,300,300,10,4000
A40-48GB,zeus_local,t5-3b,1,1,2,4,9,300,200,11,3900
"""
SERVED = """workload,model,batch,gpu,n_gpus,step_ms,power_w
gpqa,Qwen/Qwen3-8B,8.0,H100,1,14,480
gpqa,Qwen/Qwen3-8B,8.0,H100,2,14,480
gpqa,nobody/knows,8.0,H100,1,14,480
"""


@pytest.fixture
def draws(tmp_path, request):
    for name, text in (("zeus", ZEUS), ("perseus", PERSEUS), ("served", SERVED)):
        (tmp_path / name).write_text(text)
    return read_draws(
        tmp_path / "zeus", tmp_path / "perseus", tmp_path / "served", request.config.rootpath / "data/power"
    )


def test_rows_of_one_run_are_one_draw(draws):
    zeus, perseus, served = draws
    assert (zeus.gpu, zeus.arguments) == ("A40", ("resnet50", "64", "224"))
    assert slowdown_of(zeus).tolist() == [1.1, 1.0]  # 121 s against the mean of 100 and 120
    assert (perseus.full_w, perseus.bubbles) == (200.0, 0.1)  # 4000 J, 10 s, two boards; one of ten slots is empty
    assert (served.arguments, served.board_w) == (("decode-8.2", "8", "4000"), 700.0)


def test_another_table_is_refused(tmp_path, request):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="kilowait lab power"):
        read_draws(path, path, path, request.config.rootpath / "data/power")


def test_what_was_made_of_known_coefficients_is_fitted_back(draws):
    rng, known = np.random.default_rng(0), np.array([0.6, 0.3, 0.45, 0.1, 0.05, 0.15, 0.1])
    features = rng.dirichlet(np.ones(7), size=60)
    idle_w, peak_w = np.full(60, 30.0), np.full(60, 300.0)
    watts = draw_w(features, known, idle_w, peak_w)
    made = [
        type(draws[0])(
            source="zeus",
            gpu="A40",
            network=str(i % 20),
            arguments=(str(i),),
            limits_w=np.array([300.0]),
            seconds=np.ones(1),
            watts=watts[i : i + 1],
        )
        for i in range(60)
    ]
    labels = DrawLabels(
        draws=tuple(made), features=features, idle_w=idle_w, peak_w=peak_w, arithmetic=np.ones(60), step_s=np.ones(60)
    )
    fitted = draw_w(features, fitted_coefficients(labels), idle_w, peak_w)
    assert np.abs(fitted / watts - 1).max() < 0.03


def test_a_mean_curve_reads_its_only_network_back(draws):
    zeus = draws[0]
    labels = DrawLabels(
        draws=(zeus,), features=np.zeros((1, 7)), idle_w=np.array([29.0]), peak_w=np.array([300.0]),
        arithmetic=np.array([0.4]), step_s=np.ones(1),
    )  # fmt: skip
    curve = mean_curve(labels)
    floor = 29 + 0.2 * (300 - 29)
    slower, watts = curve.at(220.0, zeus.full_w, floor, 0.4)
    assert 1.0 < slower < 1.1
    assert 190 < watts < 220
