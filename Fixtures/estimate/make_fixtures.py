#!/usr/bin/env python3
"""Makes the cases of this folder. Needs torch, transformers, peft, scikit-learn, safetensors.

    configs/<name>.json     configurations of published models, and of tiny ones
    parameters.json         configuration -> parameters of the model (a shared tensor once), and
                            trainable parameters of LoRA r=8 on all linear layers
    tensors.json            tiny configuration -> the tensors that the model is saved as
    methods.json            parameters that each PEFT type trains on a tiny model

Models are made on torch's meta device: no weights are downloaded or allocated.
"""
import json
import os
import tempfile
import warnings

warnings.filterwarnings("ignore")
import torch
import transformers
from peft import PeftType, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from safetensors import safe_open
from transformers import AutoConfig

HERE = os.path.dirname(os.path.abspath(__file__))


def llama(layers, d, ff, vocab, heads=32, **more):
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": d, "num_hidden_layers": layers,
            "intermediate_size": ff, "vocab_size": vocab, "num_attention_heads": heads, "max_position_embeddings": 4096,
            "tie_word_embeddings": False, "torch_dtype": "float16"} | more


def like(base, **more):
    return {k: v for k, v in (base | more).items() if v is not ...}


LLAMA_7B = llama(32, 4096, 11008, 32000)
MISTRAL = like(llama(32, 4096, 14336, 32000), architectures=["MistralForCausalLM"], model_type="mistral",
               num_key_value_heads=8, torch_dtype="bfloat16")
QWEN2 = like(llama(24, 896, 4864, 151936, heads=14), architectures=["Qwen2ForCausalLM"], model_type="qwen2", num_key_value_heads=2,
             tie_word_embeddings=True, torch_dtype="bfloat16", max_position_embeddings=32768)
QWEN3 = like(QWEN2, architectures=["Qwen3ForCausalLM"], model_type="qwen3", num_hidden_layers=28, hidden_size=1024,
             intermediate_size=3072, num_attention_heads=16, num_key_value_heads=8, head_dim=128)
GPT2 = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": 768, "n_head": 12, "n_layer": 12,
        "n_positions": 1024, "vocab_size": 50257, "n_inner": None}
BERT = {"architectures": ["BertForMaskedLM"], "model_type": "bert", "hidden_size": 768, "num_hidden_layers": 12,
        "num_attention_heads": 12, "intermediate_size": 3072, "vocab_size": 30522, "max_position_embeddings": 512,
        "type_vocab_size": 2}
ROBERTA = like(BERT, architectures=["RobertaForMaskedLM"], model_type="roberta", hidden_size=1024, num_hidden_layers=24,
               num_attention_heads=16, intermediate_size=4096, vocab_size=50265, max_position_embeddings=514, type_vocab_size=1)
VIT = {"architectures": ["ViTForImageClassification"], "model_type": "vit", "hidden_size": 768, "num_hidden_layers": 12,
       "num_attention_heads": 12, "intermediate_size": 3072, "image_size": 224, "patch_size": 16, "num_channels": 3,
       "qkv_bias": True, "id2label": {str(i): f"LABEL_{i}" for i in range(10)}}
DINOV2 = {"architectures": ["Dinov2Model"], "model_type": "dinov2", "hidden_size": 1024, "num_hidden_layers": 24,
          "num_attention_heads": 16, "mlp_ratio": 4, "image_size": 518, "patch_size": 14, "num_channels": 3, "qkv_bias": True,
          "use_swiglu_ffn": False, "torch_dtype": "float32"}
MT5 = {"architectures": ["MT5ForConditionalGeneration"], "model_type": "mt5", "d_model": 1024, "d_kv": 64, "d_ff": 2816,
       "num_layers": 24, "num_decoder_layers": 24, "num_heads": 16, "vocab_size": 250112, "feed_forward_proj": "gated-gelu",
       "relative_attention_num_buckets": 32, "tie_word_embeddings": False}
T5 = {"architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "d_model": 512, "d_kv": 64, "d_ff": 2048,
      "num_layers": 6, "num_heads": 8, "vocab_size": 32128, "feed_forward_proj": "relu", "relative_attention_num_buckets": 32}
MIXTRAL = like(MISTRAL, architectures=["MixtralForCausalLM"], model_type="mixtral", num_local_experts=8, num_experts_per_tok=2)

PUBLISHED = {
    "llama2-7b": LLAMA_7B, "llama2-13b": llama(40, 5120, 13824, 32000, heads=40),
    "llama3-8b": llama(32, 4096, 14336, 128256, num_key_value_heads=8, torch_dtype="bfloat16"),
    "mistral-7b": MISTRAL, "qwen2-0.5b": QWEN2, "qwen3-0.6b": QWEN3, "mixtral-8x7b": MIXTRAL, "gpt2": GPT2,
    "bert-base": BERT, "roberta-large": ROBERTA, "vit-base-16": VIT, "dinov2-large": DINOV2, "mt0-large": MT5,
    "t5-small": T5,
}
SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, vocab_size=40,
             max_position_embeddings=16)
SMALL_IMAGE = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4)
TINY = {
    "tiny-llama": like(LLAMA_7B, **SMALL, num_key_value_heads=2),
    "tiny-llama-bias": like(LLAMA_7B, **SMALL, attention_bias=True, mlp_bias=True, head_dim=16),
    "tiny-llama-classify": like(LLAMA_7B, **SMALL, architectures=["LlamaForSequenceClassification"], num_labels=3),
    "tiny-llama-bare": like(LLAMA_7B, **SMALL, architectures=["LlamaModel"]),
    "tiny-mistral": like(MISTRAL, **SMALL, num_key_value_heads=2),
    "tiny-qwen2": like(QWEN2, **SMALL),
    "tiny-qwen3": like(QWEN3, **SMALL, num_key_value_heads=2, head_dim=8),
    "tiny-mixtral": like(MIXTRAL, **SMALL, num_local_experts=4, num_key_value_heads=2),
    "tiny-gpt2": like(GPT2, n_embd=32, n_head=4, n_layer=2, n_positions=16, vocab_size=40),
    "tiny-gpt2-classify": like(GPT2, n_embd=32, n_head=4, n_layer=2, n_positions=16, vocab_size=40, n_inner=48,
                               architectures=["GPT2ForSequenceClassification"]),
    "tiny-gpt2-bare": like(GPT2, n_embd=32, n_head=4, n_layer=2, n_positions=16, vocab_size=40, architectures=["GPT2Model"]),
    "tiny-bert": like(BERT, **SMALL),
    "tiny-bert-classify": like(BERT, **SMALL, architectures=["BertForSequenceClassification"],
                               id2label={"0": "a", "1": "b", "2": "c"}),
    "tiny-bert-pretrain": like(BERT, **SMALL, architectures=["BertForPreTraining"]),
    "tiny-bert-bare": like(BERT, **SMALL, architectures=["BertModel"]),
    "tiny-bert-answers": like(BERT, **SMALL, architectures=["BertForQuestionAnswering"]),
    "tiny-roberta": like(ROBERTA, **SMALL),
    "tiny-roberta-classify": like(ROBERTA, **SMALL, architectures=["RobertaForSequenceClassification"]),
    "tiny-vit": like(VIT, **SMALL_IMAGE, intermediate_size=48, image_size=16, patch_size=4),
    "tiny-vit-bare": like(VIT, **SMALL_IMAGE, intermediate_size=48, image_size=16, patch_size=4,
                          architectures=["ViTModel"], qkv_bias=False),
    "tiny-dinov2": like(DINOV2, **SMALL_IMAGE, image_size=28),
    "tiny-dinov2-classify": like(DINOV2, **SMALL_IMAGE, image_size=28, architectures=["Dinov2ForImageClassification"], use_swiglu_ffn=True),
    "tiny-mt5": like(MT5, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_decoder_layers=3, num_heads=4, vocab_size=40,
                     tie_word_embeddings=True),
    "tiny-t5": like(T5, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=2, vocab_size=40),
}
# Wide enough for the methods with fixed block sizes.
WIDE = {
    "wide-llama": llama(2, 512, 768, 100, heads=4, num_key_value_heads=2),
    "wide-gpt2": like(GPT2, n_embd=256, n_head=4, n_layer=2, vocab_size=100, n_positions=64),
    "wide-bert": like(BERT, hidden_size=256, num_hidden_layers=2, num_attention_heads=4, intermediate_size=512, vocab_size=100),
    "wide-mt5": like(MT5, d_model=256, d_kv=64, d_ff=512, num_layers=2, num_decoder_layers=2, num_heads=4, vocab_size=100,
                     tie_word_embeddings=True),
}
# Not transformers' configurations: the constructor arguments of the original code.
ORIGINAL = {
    "depth-anything-vitl14": {"encoder": "vitl", "features": 256, "out_channels": [256, 512, 1024, 1024], "use_bn": False,
                              "use_clstoken": False},
    "dit-xl-2": {"input_size": 32, "patch_size": 2, "in_channels": 4, "hidden_size": 1152, "depth": 28, "num_heads": 16,
                 "mlp_ratio": 4.0, "class_dropout_prob": 0.1, "num_classes": 1000, "learn_sigma": True},
}


def config_of(raw):
    raw = dict(raw)
    return AutoConfig.for_model(raw.pop("model_type"), **raw)


def make(raw, device="meta"):
    with torch.device(device):
        return getattr(transformers, raw["architectures"][0])(config_of(raw))


def count(model):
    return sum(p.numel() for p in model.parameters())


def main():
    os.makedirs(f"{HERE}/configs", exist_ok=True)
    for name, raw in (PUBLISHED | TINY | WIDE | ORIGINAL).items():
        with open(f"{HERE}/configs/{name}.json", "w") as f:
            json.dump(raw, f, indent=1)
            f.write("\n")

    parameters = {}
    for name, raw in (PUBLISHED | TINY | WIDE).items():
        if raw.get("tie_word_embeddings") is False and raw["model_type"] == "mt5":
            continue  # transformers 5 ties them all the same.
        entry = {"parameters": count(make(raw))}
        # transformers 5 holds experts in one tensor, which "all-linear" passes over, and the halves of
        # SwiGLU in two; the checkpoints have it the other way.
        if raw["model_type"] != "mixtral" and not raw.get("use_swiglu_ffn"):
            lora = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType.LORA]
            kind = "SEQ_CLS" if "Sequence" in raw["architectures"][0] else None
            model = get_peft_model(make(raw), lora(target_modules="all-linear", r=8, task_type=kind))
            # A classification task also trains a copy of the head.
            entry["all_linear_lora"] = sum(p.numel() for n, p in model.named_parameters() if "lora_" in n)
        parameters[name] = entry
    write("parameters.json", parameters)

    tensors = {}
    for name, raw in TINY.items():
        with tempfile.TemporaryDirectory() as folder:
            make(raw, "cpu").save_pretrained(folder)
            with safe_open(f"{folder}/model.safetensors", "np") as f:
                tensors[name] = {k: f.get_slice(k).get_shape() for k in sorted(f.keys())}
    write("tensors.json", tensors)
    write("methods.json", methods())


def write(name, value):
    with open(f"{HERE}/{name}", "w") as f:
        if isinstance(value, list):
            f.write("[\n" + ",\n".join(json.dumps(v) for v in value) + "\n]\n")
        else:
            f.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "\n}\n")


def methods():
    qvd = ["q_proj", "v_proj", "down_proj"]
    cases = []

    def case(base, method, targets=qvd, **settings):
        cases.append((base, method, targets, settings))

    for m in ["ADALORA", "ADAMSS", "BEFT", "BOFT", "C3A", "DEFT", "DELORA", "FOURIERFT", "FROD", "GLORA", "GRALORA", "HIRA", "HRA",
              "LILY", "LOHA", "LOKR", "LORA", "MISS", "OFT", "OSF", "PEANUT", "POLY", "PSOFT", "PVERA", "RANDLORA", "ROAD",
              "SHIRA", "SUPERTUNING", "TINYLORA", "UNILORA", "VBLORA", "VERA", "WAVEFT"]:
        case("wide-llama", m)
    case("wide-llama", "LORA", use_dora=True, r=16)
    case("wide-llama", "LORA", lora_bias=False, r=3)
    case("wide-llama", "LORA", ["embed_tokens", "q_proj"], r=4)
    case("wide-llama", "LORA", r".*layers\.1\..*(k|o)_proj", r=4)
    case("wide-llama", "LORA", ["layers.0.self_attn.q_proj", "up_proj"], r=4)
    case("wide-llama", "IA3", ["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"])
    case("wide-llama", "LOKR", decompose_both=True, r=2)
    case("wide-llama", "LOKR", r=64)
    case("wide-llama", "LOKR", decompose_factor=8, r=8)
    case("wide-llama", "OFT", oft_block_size=0, r=8)
    case("wide-llama", "OFT", block_share=True)
    case("wide-llama", "OFT", oft_block_size=48)
    case("wide-llama", "BOFT", boft_block_size=0, boft_block_num=8)
    case("wide-llama", "GRALORA", hybrid_r=4, gralora_k=4, r=16)
    case("wide-llama", "GLORA", config_A_B="vector", config_C="vector", config_D_E="none")
    case("wide-bert", "GLORA", ["query", "intermediate.dense"])
    case("wide-bert", "GLORA", ["query", "intermediate.dense"], config_A_B="constant", config_C="vector", config_D_E="vector")
    case("wide-llama", "MISS", init_weights="bat", r=16)
    case("wide-llama", "MISS", init_weights="mini", r=16, mini_r=4)
    case("wide-llama", "ROAD", variant="road_2")
    case("wide-llama", "ROAD", variant="road_4")
    case("wide-llama", "OSF", effective_rank=16)
    case("wide-llama", "OSF", effective_rank=0.25)
    case("wide-llama", "PSOFT", psoft_orth=False, psoft_mag_a=False)
    case("wide-llama", "PEANUT", depth=3)
    case("wide-llama", "POLY", n_tasks=3, n_skills=2, n_splits=2)
    case("wide-llama", "SUPERTUNING", r=8, lora_alpha=8)
    case("wide-llama", "TINYLORA", weight_tying=0.5)
    case("wide-llama", "TINYLORA", weight_tying=1.0)
    case("wide-llama", "ADAMSS", r=20, num_subspaces=3, subspace_rank=2)
    case("wide-llama", "DEFT", para=True)
    case("wide-llama", "TRAINABLE_TOKENS", None, token_indices=[1, 2, 3])
    case("wide-llama", "ADAPTION_PROMPT", None, adapter_len=5, adapter_layers=2)
    for tokens in ("PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING", "MULTITASK_PROMPT_TUNING", "CARTRIDGE"):
        case("wide-llama", tokens, None, num_virtual_tokens=8)
    case("wide-llama", "PREFIX_TUNING", None, num_virtual_tokens=8, prefix_projection=True, encoder_hidden_size=64)
    case("wide-llama", "P_TUNING", None, num_virtual_tokens=8, encoder_reparameterization_type="LSTM", encoder_hidden_size=64)
    case("wide-llama", "MULTITASK_PROMPT_TUNING", None, num_virtual_tokens=8, num_ranks=2, num_tasks=3)
    for tokens in ("PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING"):
        case("wide-mt5", tokens, None, num_virtual_tokens=8)
    # Without targets: the table of the architecture.
    for base in ("wide-llama", "wide-gpt2", "wide-bert", "wide-mt5"):
        for m in ("LORA", "IA3", "LN_TUNING", "ADALORA", "BEFT", "FOURIERFT", "C3A", "OSF", "WAVEFT", "VBLORA", "VERA"):
            case(base, m, None)

    results = []
    for base, method, targets, settings in cases:
        raw = WIDE[base]
        kind = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(method)]
        arguments = dict(settings)
        if targets is not None:
            arguments["target_modules"] = targets
        if method == "ADALORA":
            arguments["total_step"] = 100
        if not ("PROMPT" in method or method in ("PREFIX_TUNING", "P_TUNING", "CARTRIDGE")):
            task = None
        else:
            task = "SEQ_2_SEQ_LM" if "mt5" in base else "CAUSAL_LM"
        try:
            model = get_peft_model(make(raw, "cpu"), kind(task_type=task, **arguments))
        except (ValueError, TypeError, AttributeError, NotImplementedError) as error:
            if targets is not None:
                raise
            if "target_modules" not in str(error):
                print("left out:", base, method, error)  # a layer that the type does not support
                continue
            print("left out:", base, method, "has no table for the architecture")
            continue
        trainable, everything = model.get_nb_trainable_parameters()
        if trainable == 0:
            print("left out:", base, method, "passes over the layers of its own table")
            continue
        results.append({"base": base, "method": method.lower(), "targets": targets, "settings": settings,
                        "trainable": trainable, "all": everything})
    return results


if __name__ == "__main__":
    main()
