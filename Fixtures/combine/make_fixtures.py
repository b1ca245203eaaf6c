"""Makes a, b and expected.safetensors: what PEFT's add_weighted_adapter gives of two adapters.

Run in Fixtures/combine with torch, transformers and peft. Of every change the first four rows are
kept, under `<case>.<module>`; the cases are those of CombineGoldenTests, in order.
"""
import json
import os

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

Q, DOWN = "model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"


def adapter(path, modules, alpha, seed):
    os.makedirs(path, exist_ok=True)
    tensors = load_file("../llama/lora/adapter_model.safetensors")
    tensors = {k: v for k, v in tensors.items() if any(m in k for m in modules)}
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
        tensors = {k: torch.randn(v.shape, generator=generator) * v.std() for k, v in tensors.items()}
    config = json.load(open("../llama/lora/adapter_config.json"))
    config.update(lora_alpha=alpha, target_modules=sorted(modules))
    json.dump(config, open(f"{path}/adapter_config.json", "w"), indent=2)
    save_file(tensors, f"{path}/adapter_model.safetensors", metadata={"format": "pt"})


adapter("a", [Q], 8, None)
adapter("b", [Q, DOWN], 6, 7)
model = AutoModelForCausalLM.from_pretrained("../llama/base", dtype=torch.float32)
model = PeftModel.from_pretrained(model, "a", adapter_name="a")
model.load_adapter("b", adapter_name="b")
cases = [
    ("cat", {}),
    ("linear", {}),
    ("svd", {}),
    ("svd", {"svd_rank": 6}),
    ("ties", {"density": 0.5}),
    ("ties", {"density": 0.75, "majority_sign_method": "frequency"}),
    ("ties_svd", {"density": 0.6}),
    ("magnitude_prune", {"density": 0.3}),
    ("magnitude_prune_svd", {"density": 0.4}),
]
expected = {}
for index, (mode, options) in enumerate(cases):
    name = f"case{index}"
    model.add_weighted_adapter(["a", "b"], [0.7, -0.4], name, combination_type=mode, **options)
    for path, module in model.base_model.model.named_modules():
        if path in (Q, DOWN):
            expected[f"{index}.{path}"] = module.get_delta_weight(name)[:4].clone().contiguous()
save_file(expected, "expected.safetensors")
