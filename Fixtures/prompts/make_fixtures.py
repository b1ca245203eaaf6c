#!/usr/bin/env python3
"""Six steps of prefix and prompt tuning by transformers 5.23 and peft 0.21.2, on the models and batches of
../training, with AdamW (lr 1e-2, weight decay 0.01) over the whole batch.

    pip install torch transformers peft safetensors
    python make_fixtures.py
"""
import pathlib

import torch
from peft import PrefixTuningConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
torch.set_num_threads(1)
for family in ["llama", "gpt2"]:
    folder = HERE.parent / "training" / family
    batch = load_file(folder / "data.safetensors")
    for kind, config in [("prefix", PrefixTuningConfig), ("prompt", PromptTuningConfig)]:
        torch.manual_seed(4)
        base = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
        model = get_peft_model(base, config(task_type="CAUSAL_LM", num_virtual_tokens=3)).eval()
        (embeddings,) = [p for p in model.parameters() if p.requires_grad]
        with torch.no_grad():
            embeddings.normal_(0, 0.3)
        result = {"start": embeddings.detach().clone()}
        losses = []
        optimizer = torch.optim.AdamW([embeddings], lr=1e-2, weight_decay=0.01)
        for step in range(6):
            output = model(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"],
                labels=batch["labels"])
            optimizer.zero_grad()
            output.loss.backward()
            if step == 0:
                length = batch["input_ids"].shape[1]
                result["logits"] = output.logits.detach()[:, -length:].contiguous()
                result["gradient"] = embeddings.grad.clone()
            losses.append(output.loss.detach())
            optimizer.step()
        result["losses"] = torch.stack(losses)
        result["final"] = embeddings.detach().clone()
        save_file(result, HERE / f"{family}-{kind}.safetensors")
