#!/usr/bin/env python3
"""Makes adamw8bit.safetensors: six steps of bitsandbytes.optim.AdamW8bit on the CPU (0.50.2, torch 2.15).

    pip install torch bitsandbytes safetensors numpy
    python make_fixtures.py

Tensors of fewer than 1000 numbers keep their state in f32. Lengths are multiples of 32: what is left over
of a vector, torch adds up with other roundings.
"""
import pathlib

import bitsandbytes as bnb
import torch
from safetensors.torch import save_file

torch.set_num_threads(1)
torch.manual_seed(8)
shapes = {"large": (33, 32), "small": (96,)}
parameters = {name: torch.nn.Parameter(torch.randn(shape) * 0.1) for name, shape in shapes.items()}
optimizer = bnb.optim.AdamW8bit(
    list(parameters.values()), lr=1e-2, weight_decay=0.01, min_8bit_size=1000)
result = {f"{name}.0": p.detach().clone() for name, p in parameters.items()}
for step in range(1, 7):
    for name, p in parameters.items():
        # Gradients of very different sizes, some of them zero.
        p.grad = torch.randn(p.shape) * torch.rand(p.shape) ** 4 * 0.01
        p.grad[torch.rand(p.shape) < 0.05] = 0
        result[f"{name}.gradient.{step}"] = p.grad.clone()
    optimizer.step()
    for name, p in parameters.items():
        result[f"{name}.{step}"] = p.detach().clone()
for key in ["state1", "state2", "absmax1", "absmax2"]:
    result[key] = optimizer.state[parameters["large"]][key].clone()
save_file(result, pathlib.Path(__file__).parent / "adamw8bit.safetensors")
