"""Probes: the paper's recipe to the letter, networks trained in a stack, ridge in closed form."""

import numpy as np
import pytest
import torch
from torch import nn

from kilowait.core.errors import InputError, ModelError
from kilowait.predict.probe import kernel_ridge, mlp
from kilowait.predict.probe.kernel_ridge import KernelConfig
from kilowait.predict.probe.mlp import MLPConfig, Task
from kilowait.predict.probe.probe import ProbeConfig, Rows, fit_probes

SMALL = MLPConfig(hidden=(16, 4), max_epochs=3)


def world(scripts: int = 80, width: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings and the true runtime on two types: exp(a . x), the second 1.7 times as slow."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(scripts, width, generator=generator)
    runtime = (0.7 * x[:, 0] - 0.4 * x[:, 1] + 1).exp()
    return x, torch.stack([runtime, 1.7 * runtime], dim=1)


def rows(x: torch.Tensor, y: torch.Tensor) -> Rows:
    scripts, types = y.shape
    return Rows(
        x=x,
        script=torch.arange(scripts).repeat_interleave(types),
        device=torch.arange(types).repeat(scripts),
        y=y.flatten(),
        keys=torch.arange(scripts),
    )


def fit_one(config: ProbeConfig, x: torch.Tensor, y: torch.Tensor, seed: int = 0):
    (probe,) = fit_probes(config, [rows(x, y)], ("a", "b"), seed=seed)
    return probe


def test_the_papers_recipe_is_appendix_a_2_2():
    config = ProbeConfig.paper()
    assert (config.kind, config.device_input, config.log_target, config.ensemble) == ("mlp", False, False, 1)
    assert config.features[0].endswith(":last:30:raw")
    assert config.components == 0
    assert config.test_share == 0.1
    assert config.network == MLPConfig(
        hidden=(1024, 30),
        batch_norm=True,
        dropout=0.0,
        batch_size=8,
        max_epochs=2000,
        learning_rate=1e-4,
        weight_decay=0.001,
        l1=1e-5,
        patience=30,
        min_fall=0.001,
    )


def reference_network(config: MLPConfig, start: mlp.Weights) -> nn.Sequential:
    """The same network in PyTorch's own layers."""
    layers: list[nn.Module] = []
    depth = len(config.hidden) + 1
    for layer in range(depth):
        w, b = start[f"w{layer}"][0], start[f"b{layer}"][0]
        linear = nn.Linear(w.shape[0], w.shape[1])
        linear.weight.data, linear.bias.data = w.T.clone(), b.clone()
        layers.append(linear)
        if layer < depth - 1:
            layers += [nn.BatchNorm1d(w.shape[1]), nn.ReLU()] if config.batch_norm else [nn.ReLU()]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_stack_trains_what_pytorch_layers_train(batch_norm):
    """Same start, same order of rows, the L1 term in the loss, PyTorch's AdamW: the same answers."""
    config = MLPConfig(hidden=(16, 4), batch_norm=batch_norm, max_epochs=3, l1=1e-3, learning_rate=1e-2)
    x, y = world(scripts=25)
    x, y = x, (y[:, 0] - y[:, 0].mean()) / y[:, 0].std()
    network = reference_network(config, mlp.initial_weights(config, x.shape[1], seed=5))
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.001)
    order = torch.Generator().manual_seed(5 + 1_000_003)
    for _ in range(3):
        for batch in torch.randperm(25, generator=order).split(8):
            if len(batch) == 1:
                continue
            loss = (network(x[batch])[:, 0] - y[batch]).square().mean()
            loss = loss + 1e-3 * sum(m.weight.abs().sum() for m in network if isinstance(m, nn.Linear))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    company = Task(x=torch.flip(x, (0,)), y=torch.flip(y, (0,)), seed=9)
    _, trained = mlp.train(config, [company, Task(x=x, y=y, seed=5)])
    linears = [module for module in network if isinstance(module, nn.Linear)]
    for layer, linear in enumerate(linears):
        torch.testing.assert_close(trained[f"w{layer}"][0], linear.weight.T, rtol=1e-3, atol=1e-4)
    for layer, norm in enumerate(module for module in network if isinstance(module, nn.BatchNorm1d)):
        # the running mean itself follows a bias that batch norm cancels and AdamW moves by rounding noise
        torch.testing.assert_close(trained[f"v{layer}"][0], norm.running_var, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(trained[f"g{layer}"][0], norm.weight, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(trained["b2"][0], linears[-1].bias, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_trained_network_answers_as_pytorch_layers_do(batch_norm):
    config = MLPConfig(hidden=(16, 4), batch_norm=batch_norm)
    start = mlp.initial_weights(config, 6, seed=3)
    network = reference_network(config, start)
    for layer, norm in enumerate(module for module in network if isinstance(module, nn.BatchNorm1d)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2.0)
        start[f"m{layer}"], start[f"v{layer}"] = norm.running_mean[None], norm.running_var[None]
    x, _ = world(scripts=10)
    torch.testing.assert_close(mlp.forward(start, x[None])[0], network.eval()(x)[:, 0])


def test_a_networks_result_does_not_depend_on_its_company():
    """Also when the others stop at other epochs and leave the stack."""
    config = MLPConfig(hidden=(8,), max_epochs=40, patience=3, min_fall=0.05, dropout=0.2, learning_rate=1e-2)
    x, y = world(scripts=30)
    tasks = [Task(x=x, y=(y[:, 0] * (i + 1)).log(), seed=i) for i in range(4)]
    together = mlp.train(config, tasks)
    for task, stacked in zip(tasks, together, strict=True):
        (alone,) = mlp.train(config, [task])
        torch.testing.assert_close(stacked["w0"], alone["w0"], rtol=1e-3, atol=1e-5)


def test_training_stops_after_patience_epochs_without_a_fall(monkeypatch):
    """At a rate of 0 the objective never falls again: the first epoch sets it and `patience` more follow."""
    epochs = []
    original = mlp._Stack._epoch
    monkeypatch.setattr(mlp._Stack, "_epoch", lambda self: epochs.append(1) or original(self))
    x, y = world(scripts=20)
    config = MLPConfig(hidden=(4,), batch_norm=False, learning_rate=0.0, patience=7)
    mlp.train(config, [Task(x=x, y=y[:, 0], seed=0)])
    assert len(epochs) == 8


def test_a_last_batch_of_one_row_is_left_to_another_epoch():
    x, y = world(scripts=9)
    (weights,) = mlp.train(SMALL, [Task(x=x, y=y[:, 0], seed=0)])
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    with pytest.raises(InputError, match="at least 2 rows"):
        mlp.train(SMALL, [Task(x=x[:1], y=y[:1, 0], seed=0)])


def test_a_seed_means_one_result():
    x, y = world(scripts=20)
    config = ProbeConfig(kind="mlp", network=SMALL, ensemble=2)
    first, again, other = (fit_one(config, x, y, seed).predict(x) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("device_input", [True, False])
def test_networks_tell_the_types_apart(device_input):
    x, y = world()
    network = MLPConfig(hidden=(32,), batch_size=16, max_epochs=80, learning_rate=1e-2, l1=0.0)
    config = ProbeConfig(kind="mlp", network=network, device_input=device_input, components=6, ensemble=2)
    new_x, truth = world(seed=1)
    got = fit_one(config, x, y).predict(new_x)
    assert got.shape == truth.shape
    assert float((got / truth - 1).abs().median()) < 0.15
    assert float((got[:, 1] / got[:, 0]).log().mean().exp()) == pytest.approx(1.7, rel=0.1)


def test_ridge_by_hand():
    # K = [[1, -1], [-1, 1]] has y = (-1, 1) as eigenvector of 2; with penalty 2, alpha = y / 4 and w = 1/2
    fitted = kernel_ridge.fit(
        KernelConfig(kind="linear", penalties=(2.0,), share=1.0),
        x=torch.tensor([[-1.0], [1.0]]),
        script=torch.tensor([0, 1]),
        device=torch.tensor([0, 0]),
        y=torch.tensor([9.0, 11.0]),
        keys=torch.tensor([0, 1]),
        types=1,
    )
    assert fitted.predict(torch.tensor([[2.0]])).item() == pytest.approx(11.0)


def test_the_default_probe_finds_a_log_linear_truth_on_scripts_it_has_not_seen():
    x, y = world()
    new_x, truth = world(seed=1)
    got = fit_one(ProbeConfig.default(), x, y).predict(new_x)
    assert float((got / truth - 1).abs().median()) < 0.1


def test_a_gaussian_kernel_bends_where_a_linear_one_cannot():
    x = torch.rand(150, 2, generator=torch.Generator().manual_seed(2)) * 4 - 2
    y = (x[:, :1].square() + 1).repeat(1, 2)
    errors = {}
    for kind in ("linear", "gaussian"):
        config = ProbeConfig(regression=KernelConfig(kind=kind))
        got = fit_one(config, x[:100], y[:100]).predict(x[100:])
        errors[kind] = float((got / y[100:] - 1).abs().median())
    assert errors["gaussian"] < 0.1 < errors["linear"]


def test_a_type_with_few_labels_learns_from_the_others():
    x, y = world()
    new_x, truth = world(seed=1)
    full = rows(x, y)
    few = full.where((full.device == 0) | (full.script < 6))
    alone = ProbeConfig(regression=KernelConfig(share=0.0))
    errors = [
        float((fit_probes(config, [few], ("a", "b"), seed=0)[0].predict(new_x) / truth - 1).abs()[:, 1].median())
        for config in (ProbeConfig(regression=KernelConfig(share=0.9)), alone)
    ]
    assert errors[0] < errors[1] / 2


def test_the_inner_choice_keeps_keys_together():
    keys = torch.tensor([3, 1, 3, 7, 1, 9, 3, 11, 12, 7])
    fold = kernel_ridge._inner_folds(keys)
    for key in keys.unique():
        assert len(fold[keys == key].unique()) == 1


def test_a_constant_embedding_column_does_no_harm():
    x, y = world()
    x[:, 5] = 3.0
    for config in (ProbeConfig.default(), ProbeConfig(kind="mlp", network=SMALL)):
        assert torch.isfinite(fit_one(config, x, y).predict(x)).all()


def test_what_cannot_be_trained_on_is_refused():
    x, y = world(scripts=10)
    with pytest.raises(InputError, match="labels > 0"):
        fit_one(ProbeConfig.default(), x, y - y.max())
    with pytest.raises(InputError, match="must be finite"):
        fit_one(ProbeConfig.default(), x, y * float("nan"))
    with pytest.raises(InputError, match="device type c"):
        fit_probes(ProbeConfig.default(), [rows(x, y)], ("a", "b", "c"), seed=0)
    with pytest.raises(ModelError, match="takes embeddings of 6 numbers, got 4"):
        fit_one(ProbeConfig.default(), x, y).predict(x[:, :4])


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "forest"},
        {"features": ()},
        {"ensemble": 0},
        {"test_share": 1.0},
    ],
)
def test_configurations_that_mean_nothing_are_refused(wrong):
    with pytest.raises(InputError):
        ProbeConfig(**wrong)


def test_network_and_kernel_settings_are_checked():
    with pytest.raises(InputError, match="learning_rate"):
        MLPConfig(learning_rate=np.nan)
    with pytest.raises(InputError, match="dropout"):
        MLPConfig(dropout=1.0)
    with pytest.raises(InputError, match="share"):
        KernelConfig(share=2.0)
