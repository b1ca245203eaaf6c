#!/usr/bin/env python3
"""Makes merge cases with Hugging Face's own libraries: small random models, adapters on them, and what
PEFT's merge_and_unload makes of both.

    python Fixtures/make_merges.py FOLDER [--seed N] [--only TEXT]

    FOLDER/<architecture>/base/                             the base model
    FOLDER/<architecture>/<case>/adapter_config.json, adapter_model.safetensors
    FOLDER/<architecture>/<case>/expected_changed.safetensors   tensors of the merged model that differ

Needs torch, transformers 5 and peft 0.21. Other seeds give other cases for the same tests.
"""

import argparse
import os
import shutil

import torch
from peft import LoraConfig, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, get_peft_model
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM,
    MixtralConfig, MixtralForCausalLM, Qwen2Config, Qwen2ForCausalLM, ViTConfig, ViTForImageClassification)

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
LINEARS = ATTENTION + ["gate_proj", "up_proj", "down_proj"]


def architectures():
    """name → class, configuration, dtype, shard size, targets."""
    decoder = dict(num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64)
    return {
        "llama": (LlamaForCausalLM, LlamaConfig(
            hidden_size=64, intermediate_size=112, vocab_size=128, tie_word_embeddings=False, **decoder),
            torch.bfloat16, "60KB", LINEARS),
        "qwen": (Qwen2ForCausalLM, Qwen2Config(
            hidden_size=48, intermediate_size=96, vocab_size=112, tie_word_embeddings=True, **decoder),
            torch.bfloat16, "5GB", LINEARS),
        "gpt2": (GPT2LMHeadModel, GPT2Config(n_embd=48, n_layer=2, n_head=4, vocab_size=96, n_positions=64),
                 torch.float32, "5GB", ["c_attn", "c_proj", "c_fc"]),
        "bert": (BertForSequenceClassification, BertConfig(
            hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96, vocab_size=96,
            max_position_embeddings=64, num_labels=3),
            torch.float32, "5GB", ["query", "key", "value", "attention.output.dense"]),
        "vit": (ViTForImageClassification, ViTConfig(
            hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96, image_size=16,
            patch_size=4, num_labels=10),
            torch.float16, "5GB", "all-linear"),
        "mixtral": (MixtralForCausalLM, MixtralConfig(
            hidden_size=32, intermediate_size=48, vocab_size=64, num_local_experts=4, **decoder),
            torch.bfloat16, "60KB", ATTENTION),
    }


def cases(architecture, targets):
    first = targets[0] if isinstance(targets, list) else "q_proj"
    task = {"bert": "SEQ_CLS", "vit": None}.get(architecture, "CAUSAL_LM")
    lora = lambda **more: LoraConfig(**{
        "r": 4, "lora_alpha": 8, "target_modules": targets, "task_type": task, **more})
    result = {"lora": lora(), "dora": lora(use_dora=True), "lora_rslora": lora(target_modules=[first], use_rslora=True)}
    if architecture == "mixtral":
        del result["lora_rslora"]
        result["lora_params"] = lora(
            r=2, lora_alpha=4, target_modules=["q_proj"],
            target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"])
    if architecture in ("llama", "qwen"):
        result["lora_patterns"] = lora(rank_pattern={"k_proj": 2}, alpha_pattern={"mlp.up_proj": 32})
        result["lora_layers"] = lora(r=3, target_modules=["q_proj", "up_proj"], layers_to_transform=[1])
        result["lora_regex"] = lora(r=2, target_modules=r".*self_attn\.(q|o)_proj")
        result["lora_embed"] = lora(target_modules=["embed_tokens", "q_proj"])
        result["lora_modules_to_save"] = lora(
            target_modules=["q_proj"],
            modules_to_save=["lm_head" if architecture == "llama" else "embed_tokens"])
        result["trainable_tokens"] = lora(
            target_modules=["q_proj"], trainable_token_indices={"embed_tokens": [3, 17, 42]})
    if architecture in ("qwen", "gpt2", "bert"):
        result["lora_bias"] = lora(target_modules=[first], bias="lora_only")
        result["lora_bias_all"] = lora(target_modules=[first], bias="all")
        result["lora_lorabias"] = lora(target_modules=[first], lora_bias=True)
    if architecture == "llama":
        result["prompt"] = PromptTuningConfig(task_type=task, num_virtual_tokens=6)
        result["prefix"] = PrefixTuningConfig(task_type=task, num_virtual_tokens=5)
        result["ptuning"] = PromptEncoderConfig(task_type=task, num_virtual_tokens=5, encoder_hidden_size=32)
    return result


def load_folder(folder):
    tensors = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".safetensors"):
            tensors |= load_file(f"{folder}/{name}")
    return tensors


def make(folder, architecture, seed, only):
    model_class, config, dtype, shard_size, targets = architectures()[architecture]
    base = f"{folder}/{architecture}/base"
    torch.manual_seed(seed)
    model_class(config).to(dtype).save_pretrained(base, max_shard_size=shard_size)
    for name, adapter_config in cases(architecture, targets).items():
        case = f"{folder}/{architecture}/{name}"
        if only not in f"{architecture}/{name}":
            continue
        torch.manual_seed(seed + 1)
        model = get_peft_model(model_class.from_pretrained(base, dtype=dtype), adapter_config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.05 * torch.randn_like(parameter))
        model.save_pretrained(case)
        if os.path.exists(f"{case}/README.md"):
            os.remove(f"{case}/README.md")
        if not isinstance(adapter_config, LoraConfig):
            continue
        merged = PeftModel.from_pretrained(model_class.from_pretrained(base, dtype=dtype), case).merge_and_unload()
        merged.save_pretrained(f"{case}/merged")
        before, after = load_folder(base), load_folder(f"{case}/merged")
        changed = {
            key: value for key, value in after.items()
            if key not in before or not torch.equal(value, before[key])}
        save_file(changed, f"{case}/expected_changed.safetensors", metadata={"format": "pt"})
        shutil.rmtree(f"{case}/merged")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    for architecture in architectures():
        make(arguments.folder, architecture, arguments.seed, arguments.only)


if __name__ == "__main__":
    main()
