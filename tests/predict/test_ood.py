"""Distance to the known programs, on clusters whose place and shape are known."""

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from scipy.spatial.distance import mahalanobis

from kilowait.core.errors import InputError, ModelError
from kilowait.lab.evaluate.dataset import read_study
from kilowait.predict.probe.ood import Novelty
from kilowait.predict.probe.probe import ProbeConfig
from pipelines import ood
from tests.support.probe_world import write_world

CENTERS = {"a": [0.0, 0.0, 0.0], "b": [30.0, 0.0, 0.0], "c": [0.0, 30.0, 0.0]}
SPREAD = np.array([1.0, 3.0, 0.5])


def known(each: int = 200, seed: int = 0) -> tuple[torch.Tensor, list[str]]:
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.normal(c, SPREAD, size=(each, 3)) for c in CENTERS.values()])
    return torch.from_numpy(x).float(), [name for name in CENTERS for _ in range(each)]


@pytest.fixture(scope="module")
def fitted() -> Novelty:
    x, clusters = known()
    return Novelty.fit(x, clusters, [f"p{i}" for i in range(len(x))])


def test_the_distance_is_the_mahalanobis_distance_to_the_nearest_cluster(fitted):
    x = torch.tensor([[0.0, 9.0, 1.0], [33.0, 1.0, -2.0], [14.0, 3.0, 0.0], [5.0, 31.0, 4.0]])
    inverse = np.diag(1 / SPREAD**2)
    expected = [min(mahalanobis(row, center, inverse) for center in CENTERS.values()) for row in x.numpy()]
    assert fitted.score(x).numpy() == pytest.approx(expected, rel=0.15, abs=0.3)


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_about_the_asked_share_of_new_known_programs_is_taken_for_unknown(share):
    x, clusters = known()
    detector = Novelty.fit(x, clusters, list(map(str, range(len(x)))), false_alarms=share)
    fresh, _ = known(each=2000, seed=1)
    assert float(detector.unknown(fresh).float().mean()) == pytest.approx(share, abs=0.03)


def test_a_new_cluster_is_unknown_and_its_nearest_known_program_is_the_closest(fitted):
    far = torch.tensor([[30.0, 30.0, 0.0], [60.0, 0.0, 0.0]])
    assert fitted.unknown(far).tolist() == [True, True]
    (names,) = fitted.nearest(far[1:], count=3)
    assert all(200 <= int(name[1:]) < 400 for name, _ in names)
    distances = [d for _, d in names]
    assert distances == sorted(distances)
    x, _ = known()
    assert fitted.nearest(x[17:18])[0][0] == ("p17", pytest.approx(0.0, abs=1e-3))


def test_it_is_tensors_and_names_and_survives_safetensors(fitted):
    again = Novelty(tensors=load(save(dict(fitted.tensors))), programs=fitted.programs)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)) * 20
    assert torch.equal(again.score(x), fitted.score(x))
    assert again.threshold == fitted.threshold
    assert again.nearest(x, 2) == fitted.nearest(x, 2)


def test_more_dimensions_than_programs_and_constant_columns_are_no_trouble():
    x = torch.randn(40, 300, generator=torch.Generator().manual_seed(0))
    x[:20, :5] += 20
    x[:, 7] = 3.0
    clusters = ["a"] * 20 + ["b"] * 20
    detector = Novelty.fit(x, clusters, list(map(str, range(40))), false_alarms=0.1)
    assert torch.isfinite(detector.score(x)).all()
    assert detector.unknown(x + 50).all()


def test_programs_that_say_the_same_are_held_out_together():
    """Twenty programs four times over: held out one by one each leaves its copies behind and seems near."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(20, 3)) * [1, 40, 1]
    x = torch.from_numpy(np.repeat(base, 4, axis=0)).float()
    clusters = [str(i) for i in range(20) for _ in range(4)]
    names = list(map(str, range(80)))
    alone = Novelty.fit(x, clusters, names)
    together = Novelty.fit(x, clusters, names, keys=clusters)
    assert together.threshold > 10 * alone.threshold


def test_what_does_not_fit_is_refused_by_name(fitted):
    x, clusters = known(each=10)
    names = list(map(str, range(30)))
    with pytest.raises(InputError, match="30 embeddings, 30 clusters, 29 names"):
        Novelty.fit(x, clusters, names[1:])
    with pytest.raises(InputError, match=r"at least 1 in 31, got 0\.01"):
        Novelty.fit(x, clusters, names, false_alarms=0.01)
    with pytest.raises(InputError, match="finite"):
        Novelty.fit(x * torch.nan, clusters, names)
    with pytest.raises(ModelError, match="takes embeddings of 3 numbers, got 4"):
        fitted.score(torch.zeros(1, 4))
    with pytest.raises(ModelError, match="lacks threshold"):
        Novelty(tensors={k: v for k, v in fitted.tensors.items() if k != "threshold"}, programs=fitted.programs)


def test_the_comparison_separates_families_that_lie_apart_and_not_those_that_do_not(tmp_path, capsys):
    write_world(tmp_path, scripts=150)
    where = ["--labels", str(tmp_path / "labels.parquet"), "--embeddings", str(tmp_path / "embeddings")]
    assert ood.main(where) == 0
    assert "left out" in capsys.readouterr().out
    study, config = read_study(tmp_path / "labels.parquet"), ProbeConfig.default()
    alike = torch.randn(150, 6, generator=torch.Generator().manual_seed(0))
    apart = alike + 30 * torch.eye(6)[[int(name[1:]) for name in study.families]]
    rows, (known, left_out) = ood.compare(study, apart, config)
    assert min(row["auroc"] for row in rows) > 0.99
    assert (known < 0.2, left_out) == (True, 1.0)
    rows, _ = ood.compare(study, alike, config)
    assert all(0.35 < row["auroc"] < 0.65 for row in rows)
