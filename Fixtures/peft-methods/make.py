#!/usr/bin/env python3
"""Makes the cases in this folder: adapters written by PEFT, and what PEFT merges them to.

Needs torch, transformers, safetensors and peft 0.21.2. For every case a small model with seeded
weights gets an adapter, every trained tensor is overwritten with random numbers, the adapter is saved,
loaded onto a fresh copy of the model and merged there; the tensors that changed are the expectation.

    base.<dtype>.safetensors            the model's tensors
    layers.json                         the modules, in their order, kind, stored transposed
    <case>/adapter_config.json          as PEFT wrote it
    <case>/adapter_model.safetensors    as PEFT wrote it
    <case>/expected.safetensors         tensors that the merge changed
    <case>/case.json                    the dtype of the base, and PEFT's count of trained parameters

usage: make.py [part of a case's name]
"""
import copy
import json
import os
import re
import shutil
import sys
import tempfile
import zlib

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import peft
import torch
from peft import PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

HERE = os.path.dirname(os.path.abspath(__file__))
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = nn.Linear(12, 12, bias=False)
        self.down = nn.Linear(20, 12)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide = nn.Linear(20, 12)  # more inputs than outputs
        self.tall = nn.Linear(12, 20)
        self.square = nn.Linear(16, 16, bias=False)
        self.c1d = Conv1D(20, 12)  # stored in x out
        self.c1d_wide = Conv1D(8, 12)
        self.conv = nn.Conv2d(4, 6, 3)
        self.conv1x1 = nn.Conv2d(4, 6, 1)
        self.convsame = nn.Conv2d(4, 4, (2, 3))
        self.grouped = nn.Conv2d(4, 8, 3, groups=2)
        self.conv1 = nn.Conv1d(4, 6, 3)
        self.conv3 = nn.Conv3d(4, 6, 2)
        self.emb = nn.Embedding(11, 12)
        self.mha = nn.MultiheadAttention(8, 2)
        self.blocks = nn.ModuleList([Block(), Block(), Block()])

    def forward(self, x):
        return self.tall(x)


def make_base(dtype):
    model = Net()
    generator = torch.Generator().manual_seed(20)
    with torch.no_grad():
        for _, tensor in sorted(model.named_parameters()):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    return model.to(dtype)


# Tensors that are drawn or computed by PEFT and not trained.
FROZEN = re.compile(
    r"(vera_[AB]$|randlora_[AB]$|delora_w_norm|tinylora_[ABP]$|unilora_(indices|scales)|frod_[VsU]|"
    r"glora_.\.zeros|shira_indices|supertuning_indices|topk_)"
)


def refilled(model, gain, seed):
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, tensor in sorted(get_peft_model_state_dict(model).items()):
        if tensor.is_floating_point() and not FROZEN.search(key):
            tensor = torch.randn(tensor.shape, generator=generator).mul(gain).to(tensor.dtype)
        state[key] = tensor
    return state


def refill_parameters(model, gain, seed):
    generator = torch.Generator().manual_seed(seed)
    for _, tensor in sorted(model.named_parameters()):
        if tensor.requires_grad:
            tensor.data.copy_(torch.randn(tensor.shape, generator=generator) * gain)


def cases():
    config = lambda name, **options: getattr(peft, name + "Config")(**options)
    both = ["wide", "tall"]
    three = both + ["square"]

    for dtype in ("f32", "bf16"):
        yield "adalora." + dtype, config("AdaLora", target_modules=both, init_r=4, target_r=2, lora_alpha=5, total_step=100), dict(dtype=dtype)
    yield "adalora.conv", config("AdaLora", target_modules=["conv"], init_r=3, target_r=2, lora_alpha=0, total_step=100), {}
    yield "adalora.c1d", config("AdaLora", target_modules=["c1d"], init_r=3, target_r=2, total_step=100, fan_in_fan_out=True), {}
    yield "adalora.pruned", config("AdaLora", target_modules=both, init_r=4, target_r=2, total_step=100), dict(prune={"wide": [True, False, True, False], "tall": [False] * 4})

    yield "ia3", config("IA3", target_modules=three, feedforward_modules=["tall"]), {}
    yield "ia3.f16", config("IA3", target_modules=three, feedforward_modules=["wide"]), dict(dtype="f16")
    yield "ia3.c1d", config("IA3", target_modules=["c1d", "c1d_wide"], feedforward_modules=["c1d_wide"], fan_in_fan_out=True), {}
    yield "ia3.conv", config("IA3", target_modules=["conv", "conv1x1", "convsame", "grouped", "conv3"], feedforward_modules=["conv1x1", "convsame", "grouped"]), {}
    yield "ia3.conv.output", config("IA3", target_modules=["convsame", "grouped"], feedforward_modules="none.*"), {}

    yield "loha", config("LoHa", target_modules=three, r=3, alpha=5, rank_pattern={"wide": 2}, alpha_pattern={"^tall": 7}), {}
    yield "loha.bf16", config("LoHa", target_modules=three, r=3, alpha=5), dict(dtype="bf16")
    yield "loha.conv", config("LoHa", target_modules=["conv", "conv1x1", "conv1"], r=2, alpha=3), {}
    yield "loha.conv.cp", config("LoHa", target_modules=["conv", "convsame", "conv1"], r=2, alpha=3, use_effective_conv2d=True), {}

    yield "lokr", config("LoKr", target_modules=three, r=2, alpha=3), {}
    yield "lokr.full", config("LoKr", target_modules=three, r=8, alpha=3), {}
    yield "lokr.both", config("LoKr", target_modules=three, r=1, alpha=3, decompose_both=True, decompose_factor=4), dict(dtype="bf16")
    yield "lokr.conv", config("LoKr", target_modules=["conv", "conv1x1", "conv1"], r=8, alpha=3), {}
    yield "lokr.conv.low", config("LoKr", target_modules=["conv", "convsame", "conv1"], r=1, alpha=3, decompose_factor=1), {}
    yield "lokr.conv.cp", config("LoKr", target_modules=["conv", "convsame"], r=1, alpha=3, use_effective_conv2d=True, decompose_factor=1), {}

    oft = lambda **options: config("OFT", r=0, init_weights=False, **options)
    yield "oft", oft(target_modules=both, oft_block_size=4), dict(gain=0.2)
    yield "oft.bf16", oft(target_modules=three, oft_block_size=4), dict(gain=0.2, dtype="bf16")
    yield "oft.cayley", oft(target_modules=["square"], oft_block_size=8, use_cayley_neumann=False), dict(gain=0.5)
    for terms in (2, 3, 4, 7):
        yield f"oft.neumann{terms}", oft(target_modules=["square"], oft_block_size=4, num_cayley_neumann_terms=terms), dict(gain=0.2)
    yield "oft.share", oft(target_modules=three, oft_block_size=4, block_share=True), dict(gain=0.2)
    yield "oft.coft", oft(target_modules=three, oft_block_size=4, coft=True, eps=0.4), dict(gain=0.2)
    yield "oft.coft.share", oft(target_modules=["square"], oft_block_size=4, coft=True, eps=0.1, block_share=True), dict(gain=0.2)
    yield "oft.conv", oft(target_modules=["conv", "conv1x1"], oft_block_size=4), dict(gain=0.2)
    yield "oft.embedding", oft(target_modules=["emb"], oft_block_size=3), dict(gain=0.2)

    boft = lambda **options: config("BOFT", init_weights=False, **options)
    yield "boft", boft(target_modules=three, boft_block_size=4), dict(gain=0.5)
    yield "boft.num", boft(target_modules=["square"], boft_block_size=0, boft_block_num=2), dict(gain=0.5, dtype="bf16")
    yield "boft.conv", boft(target_modules=["conv", "conv1x1"], boft_block_size=4), dict(gain=0.5)
    yield "boft.factors2", boft(target_modules=["square"], boft_block_size=4, boft_n_butterfly_factor=2), dict(gain=0.5, butterfly=True)
    yield "boft.factors3", boft(target_modules=["square"], boft_block_size=4, boft_n_butterfly_factor=3), dict(gain=0.5, butterfly=True)
    yield "boft.factors2.conv", boft(target_modules=["conv"], boft_block_size=6, boft_n_butterfly_factor=2), dict(gain=0.5, butterfly=True)

    yield "hra", config("HRA", target_modules=three, r=3), {}
    yield "hra.gs", config("HRA", target_modules=three, r=4, apply_GS=True), {}
    yield "hra.conv", config("HRA", target_modules=["conv", "conv1x1"], r=3), dict(dtype="bf16")

    pvera = lambda **options: config("Pvera", r=3, projection_prng_key=5, **options)
    yield "pvera", pvera(target_modules=both), {}
    yield "pvera.drawn", pvera(target_modules=both, save_projection=False), {}
    yield "pvera.drawn.bf16", pvera(target_modules=three, save_projection=False), dict(dtype="bf16")
    yield "pvera.drawn.c1d", pvera(target_modules=["c1d", "c1d_wide"], save_projection=False, fan_in_fan_out=True), {}

    fourier = lambda **options: config("FourierFT", **options)
    yield "fourierft", fourier(target_modules=three, n_frequency=30, n_frequency_pattern={"blocks.0.q_proj": 11}), {}
    yield "fourierft.pattern", fourier(target_modules=["q_proj"], n_frequency=20, n_frequency_pattern={"q_proj": 9}, random_loc_seed=4, scaling=12.5), dict(dtype="bf16")
    yield "fourierft.c1d", fourier(target_modules=["c1d", "c1d_wide"], n_frequency=40, fan_in_fan_out=True), {}

    wave = lambda **options: config("WaveFT", **options)
    for family in [f"db{n}" for n in range(1, 11)] + [f"sym{n}" for n in range(2, 11)] + [f"coif{n}" for n in range(1, 4)]:
        yield f"waveft.{family}", wave(target_modules=["tall"], n_frequency=40, wavelet_family=family, init_weights=False), {}
    yield "waveft.odd", wave(target_modules=["emb_odd", "odd"], n_frequency=30, wavelet_family="db3", init_weights=False), dict(odd=True)
    yield "waveft.plain", wave(target_modules=three, n_frequency=30, use_idwt=False, init_weights=False), dict(dtype="bf16")
    yield "waveft.c1d", wave(target_modules=["c1d", "c1d_wide"], n_frequency=30, wavelet_family="sym4", fan_in_fan_out=True, init_weights=False), {}
    yield "waveft.proportional", wave(target_modules=both + ["q_proj"], n_frequency=30, proportional_parameters=True, n_frequency_pattern={"wide": 7}, init_weights=False), {}

    rand = lambda **options: config("RandLora", r=3, randlora_alpha=6, **options)
    yield "randlora", rand(target_modules=three), dict(gain=0.3)
    yield "randlora.bf16", rand(target_modules=both), dict(gain=0.3, dtype="bf16", exact=True)
    yield "randlora.c1d", rand(target_modules=["c1d", "c1d_wide"], fan_in_fan_out=True), dict(gain=0.3)
    for dtype in ("f32", "bf16"):
        drawn = dict(gain=0.3, dtype=dtype, exact=True)
        yield f"randlora.drawn.{dtype}", rand(target_modules=three, save_projection=False, projection_prng_key=7), drawn
        yield f"randlora.sparse.{dtype}", rand(target_modules=three, save_projection=False, sparse=True), drawn
        yield f"randlora.verysparse.{dtype}", rand(target_modules=three, save_projection=False, very_sparse=True), drawn

    vb = lambda **options: config("VBLoRA", r=2, num_vectors=9, vector_length=4, **options)
    yield "vblora", vb(target_modules=three), dict(parameters=True)
    yield "vblora.top3", vb(target_modules=three, topk=3), dict(parameters=True, dtype="bf16")
    yield "vblora.topk", vb(target_modules=three, save_only_topk_weights=True), dict(parameters=True)
    yield "vblora.topk3", vb(target_modules=three, topk=3, save_only_topk_weights=True), dict(parameters=True)
    yield "vblora.c1d", vb(target_modules=["c1d"], fan_in_fan_out=True), dict(parameters=True)

    yield "c3a", config("C3A", target_modules=both, block_size=4), {}
    yield "c3a.pattern", config("C3A", target_modules=["square", "q_proj"], block_size=8, block_size_pattern={"q_proj": 3}), dict(dtype="bf16", exact=True)
    yield "shira", config("Shira", target_modules=three, r=2, random_seed=3), {}
    yield "shira.bf16", config("Shira", target_modules=three, r=1, random_seed=4), dict(dtype="bf16")
    for variant in ("road_1", "road_2", "road_4"):
        yield variant, config("Road", target_modules=both + ["square"], variant=variant, group_size=4), {}
        yield variant + ".bf16", config("Road", target_modules=["tall"], variant=variant, group_size=10), dict(dtype="bf16", exact=True)

    yield "miss", config("Miss", target_modules=three, r=3), {}
    yield "miss.bf16", config("Miss", target_modules=three, r=4), dict(dtype="bf16")
    yield "miss.bat", config("Miss", target_modules=both, r=4, init_weights="bat"), dict(gain=0.3)
    yield "miss.mini", config("Miss", target_modules=both, r=4, mini_r=4, init_weights="mini"), {}

    yield "gralora", config("Gralora", target_modules=three, r=4, alpha=6, gralora_k=2), {}
    yield "gralora.k4", config("Gralora", target_modules=three, r=8, alpha=6, gralora_k=4), dict(dtype="bf16")
    yield "gralora.hybrid", config("Gralora", target_modules=three, r=4, hybrid_r=3, alpha=6, gralora_k=2), {}
    yield "gralora.c1d", config("Gralora", target_modules=["c1d"], r=4, hybrid_r=1, alpha=6, gralora_k=4, fan_in_fan_out=True), {}

    yield "delora", config("Delora", target_modules=three, r=3, delora_lambda=3, rank_pattern={"wide": 2}), {}
    yield "delora.bf16", config("Delora", target_modules=three, r=3, delora_lambda=3), dict(dtype="bf16", exact=True)
    yield "hira", config("Hira", target_modules=three, r=3), {}
    yield "hira.c1d", config("Hira", target_modules=["c1d"], r=3, fan_in_fan_out=True), {}
    yield "hira.conv", config("Hira", target_modules=["conv", "conv1", "conv3"], r=2), {}
    yield "hira.embedding", config("Hira", target_modules=["emb"], r=2), {}

    for ab, c, de in (("lora", "lora", "constant"), ("vector", "vector", "vector"), ("constant", "none", "none"), ("none", "lora", "vector")):
        yield f"glora.{ab}-{c}-{de}", config("Glora", target_modules=three, r=2, config_A_B=ab, config_C=c, config_D_E=de), {}
    yield "frod", config("Frod", target_modules=both + ["q_proj"], sparse_rate=0.1, progressbar=False), dict(gain=0.5)
    yield "frod.c1d", config("Frod", target_modules=["c1d"], sparse_rate=0.2, progressbar=False, fan_in_fan_out=True), dict(gain=0.5)
    yield "beft", config("Beft", target_modules=both), {}
    yield "deft.relu", config("Deft", target_modules=three, r=3, alpha=4), dict(gain=0.3)
    yield "deft.qr", config("Deft", target_modules=three, r=3, decomposition_method="qr"), {}
    yield "deft.para", config("Deft", target_modules=three, r=3, para=True, decomposition_method="qr"), {}
    yield "deft.c1d", config("Deft", target_modules=["c1d"], r=3, alpha=4, fan_in_fan_out=True), dict(gain=0.3)

    tiny = lambda **options: config("TinyLora", **options)
    yield "tinylora", tiny(target_modules=three, r=3, u=5), {}
    yield "tinylora.tied", tiny(target_modules=["q_proj", "down"], r=2, u=5, weight_tying=0.5), {}
    yield "tinylora.drawn", tiny(target_modules=three, r=3, u=5, save_projection=False, weight_tying=1.0), {}
    yield "tinylora.drawn.small", tiny(target_modules=three, r=2, u=3, save_projection=False), {}
    yield "tinylora.drawn.bf16", tiny(target_modules=three, r=3, u=5, save_projection=False, projection_seed=9), dict(dtype="bf16")
    yield "tinylora.c1d", tiny(target_modules=["c1d"], r=2, u=3, fan_in_fan_out=True), {}
    yield "tinylora.embedding", tiny(target_modules=["emb"], r=2, u=3), {}

    uni = lambda **options: config("UniLora", r=2, **options)
    yield "unilora", uni(target_modules=three, theta_d_length=50, save_indices=True), {}
    yield "unilora.drawn", uni(target_modules=three, theta_d_length=50), {}
    yield "unilora.drawn.few", uni(target_modules=["q_proj", "down"], theta_d_length=7, proj_seed=11), {}
    yield "unilora.drawn.many", uni(target_modules=three, theta_d_length=500), {}
    yield "unilora.drawn.bf16", uni(target_modules=three, theta_d_length=33), dict(dtype="bf16")
    yield "unilora.c1d", uni(target_modules=["c1d", "c1d_wide"], theta_d_length=33, fan_in_fan_out=True), {}

    peanut = lambda **options: config("Peanut", r=3, **options)
    yield "peanut", peanut(target_modules=three, scaling=0.5), {}
    for activation in ("gelu", "gelu_new", "gelu_pytorch_tanh", "silu", "tanh", "sigmoid", "leaky_relu", "relu2", "relu6", "quick_gelu", "linear"):
        yield f"peanut.{activation}", peanut(target_modules=both, depth=1, act_fn=activation), {}
    yield "peanut.depth3", peanut(target_modules=three, depth=3), {}

    yield "osf", config("OSF", target_modules=three, effective_rank=5), {}
    yield "osf.half", config("OSF", target_modules=three), {}
    yield "osf.pattern", config("OSF", target_modules=three, effective_rank=0.25, rank_pattern={"quar": 3}), {}
    yield "super", config("Supertuning", target_modules=three, sparsity=0.9), {}
    yield "super.found", config("Supertuning", target_modules=three, sparsity=0.9, save_precomputed_indices=False), {}
    yield "super.lowest", config("Supertuning", target_modules=three, sparsity=0.9, select_top=False, save_precomputed_indices=False), {}
    yield "supra", config("Supertuning", target_modules=three, sparsity=0.9, r=2, lora_alpha=3), {}
    yield "tokens", config("TrainableTokens", target_modules=["emb"], token_indices=[1, 7, 4]), {}

    lora = lambda **options: config("Lora", lora_alpha=3, **options)
    yield "kasa", lora(r=3, target_modules=three, kasa_config=kasa()), {}
    yield "bdlora", lora(r=4, target_modules=three, use_bdlora=bdlora(target_modules_bd_a=["wide"], target_modules_bd_b=["tall"], nblocks=2, match_strict=False)), {}
    yield "pissa", lora(r=3, target_modules=three, init_lora_weights="pissa"), {}
    yield "pissa.rslora", lora(r=4, target_modules=three, init_lora_weights="pissa", use_rslora=True), {}
    yield "pissa.c1d", lora(r=3, target_modules=["c1d"], init_lora_weights="pissa", fan_in_fan_out=True), {}
    yield "olora", lora(r=3, target_modules=three, init_lora_weights="olora"), {}
    yield "olora.bf16", lora(r=3, target_modules=three, init_lora_weights="olora"), dict(dtype="bf16", exact=True)
    yield "mha", lora(r=2, target_modules=["mha"]), {}


def kasa():
    from peft.tuners.lora.config import KasaConfig

    return KasaConfig()


def bdlora(**options):
    from peft.tuners.lora.config import BdLoraConfig

    return BdLoraConfig(**options)


class OddNet(Net):
    def __init__(self):
        super().__init__()
        self.odd = nn.Linear(9, 7)
        self.emb_odd = nn.Linear(7, 9, bias=False)


class BlockDiagonal:
    """What PEFT's CUDA extension computes: blocks (N, D, H, H) to N block-diagonal matrices."""

    @staticmethod
    def apply(blocks):
        return torch.stack([torch.block_diag(*torch.unbind(each)) for each in blocks])


def pruned(directory, modules):
    path = os.path.join(directory, "adapter_model.safetensors")
    tensors = load_file(path)
    for module, kept in modules.items():
        mask = torch.tensor(kept)
        for leaf, axis in (("lora_A", 0), ("lora_E", 0), ("lora_B", 1)):
            key = f"base_model.model.{module}.{leaf}"
            tensors[key] = tensors[key].index_select(axis, mask.nonzero()[:, 0]).contiguous()
    save_file(tensors, path, metadata={"format": "pt"})
    path = os.path.join(directory, "adapter_config.json")
    config = json.load(open(path))
    config["rank_pattern"] = {f"{module}.lora_E": kept for module, kept in modules.items()}
    json.dump(config, open(path, "w"), indent=2, sort_keys=True)


def make(name, config, options):
    seed = zlib.crc32(name.encode())
    dtype = DTYPES[options.get("dtype", "f32")]
    base = make_base(dtype)
    if options.get("odd"):
        torch.manual_seed(5)
        base.odd, base.emb_odd = nn.Linear(9, 7).to(dtype), nn.Linear(7, 9, bias=False).to(dtype)
    torch.manual_seed(seed)
    model = get_peft_model(copy.deepcopy(base), copy.deepcopy(config))
    gain = options.get("gain", 1.0)
    if options.get("parameters"):
        refill_parameters(model, gain, seed)
    else:
        set_peft_model_state_dict(model, refilled(model, gain, seed))
    trained = model.get_nb_trainable_parameters()[0]

    directory = tempfile.mkdtemp()
    model.save_pretrained(directory)
    if "prune" in options:
        pruned(directory, options["prune"])
    torch.manual_seed(seed + 1)
    # Some methods round the change to 16 bits before they add it; these are merged in f32.
    start = copy.deepcopy(base).float() if options.get("exact") else copy.deepcopy(base)
    merged = PeftModel.from_pretrained(start, directory).eval().merge_and_unload().to(dtype)
    before, after = base.state_dict(), merged.state_dict()
    changed = {k: v.contiguous() for k, v in after.items() if not torch.equal(v, before[k])}
    assert set(before) == set(after) and changed, name

    target = os.path.join(HERE, name)
    shutil.rmtree(target, ignore_errors=True)
    os.makedirs(target)
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(os.path.join(directory, file), target)
    if options.get("odd"):
        changed |= {f"base:{k}": v.contiguous() for k, v in before.items() if "odd." in k}
    save_file(changed, os.path.join(target, "expected.safetensors"))
    facts = {"base": options.get("dtype", "f32"), "trained": trained}
    json.dump(facts, open(os.path.join(target, "case.json"), "w"))
    shutil.rmtree(directory)
    print(f"{name}: {len(changed)} changed, {trained} trained")


def write_bases():
    for name, dtype in DTYPES.items():
        state = {k: v.contiguous() for k, v in make_base(dtype).state_dict().items()}
        save_file(state, os.path.join(HERE, f"base.{name}.safetensors"))
    layers = []
    for name, module in Net().named_modules():
        kind = {nn.Linear: "linear", Conv1D: "linear", nn.Embedding: "embedding"}.get(type(module))
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            kind = "convolution"
        if kind:
            layers.append({"name": name, "kind": kind, "transposed": isinstance(module, Conv1D)})
    for name in ("odd", "emb_odd"):
        layers.append({"name": name, "kind": "linear", "transposed": False})
    json.dump(layers, open(os.path.join(HERE, "layers.json"), "w"), indent=1)


if __name__ == "__main__":
    import peft.tuners.boft.layer as boft_layer

    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    write_bases()
    find_extension = boft_layer.get_fbd_cuda
    boft_layer.FastBlockDiag = BlockDiagonal
    for name, config, options in cases():
        if wanted in name:
            boft_layer.get_fbd_cuda = (lambda: True) if options.get("butterfly") else find_extension
            make(name, config, options)
