import random
from collections import deque

import torch
from torch import nn


class Policy(nn.Module):
    """Advantage actor-critic over an environment that lives on the host."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(4, 16, 8, 4), nn.ReLU(), nn.Conv2d(16, 32, 4, 2), nn.ReLU(), nn.Flatten())
        self.cell, self.pi, self.v = nn.LSTMCell(2592, 256), nn.Linear(256, 6), nn.Linear(256, 1)

    def forward(self, x, state):
        h, c = self.cell(self.body(x), state)
        return self.pi(h), self.v(h), (h, c)


class World:
    def reset(self):
        self.t = 0
        return torch.zeros(4, 84, 84)

    def step(self, action):
        self.t += 1
        return torch.randn(4, 84, 84), random.random(), self.t >= 100


world, policy, rewards = World(), Policy().cuda(), deque(maxlen=100)
optimizer = torch.optim.RMSprop(policy.parameters(), lr=7e-4)
observation = world.reset()
state = (torch.zeros(1, 256, device="cuda"), torch.zeros(1, 256, device="cuda"))
for update in range(200):
    values, logs, entropies, got = [], [], [], []
    for _ in range(20):
        logits, value, state = policy(observation.unsqueeze(0).cuda(), state)
        chosen = torch.distributions.Categorical(logits=logits)
        action = chosen.sample()
        observation, reward, done = world.step(action.item())
        values.append(value)
        logs.append(chosen.log_prob(action))
        entropies.append(chosen.entropy())
        got.append(reward)
        if done:
            observation = world.reset()
    total, loss = 0.0, 0.0
    for i in reversed(range(len(got))):
        total = 0.99 * total + got[i]
        advantage = total - values[i]
        loss = loss + advantage.pow(2).sum() - (logs[i] * advantage.detach()).sum() - 0.01 * entropies[i].sum()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(policy.parameters(), 40)
    optimizer.step()
    state = tuple(s.detach() for s in state)
    rewards.append(sum(got))
