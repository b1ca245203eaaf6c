#!/usr/bin/env python3
"""Makes four_bit.safetensors and int8.safetensors: weights quantized by bitsandbytes 0.50.2 on the CPU.

    pip install torch bitsandbytes safetensors numpy
    python make_fixtures.py

Cases whose inputs are long come from the generator `ramp`, which the tests repeat, and hold no input.
bitsandbytes decodes rows that are a multiple of 16 but not of the block size with the wrong scales;
such cases hold no decoded values.
"""
import pathlib

import bitsandbytes.functional as F
import numpy as np
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
torch.set_num_threads(1)
rng = np.random.default_rng(20)
TYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def ramp(count: int) -> torch.Tensor:
    """s ← 1664525·s + 1013904223 mod 2^32 from 12345; x = (s >> 8) / 2^24 − 0.5."""
    values, state = np.empty(count, np.float32), 12345
    for i in range(count):
        state = (1664525 * state + 1013904223) % 2**32
        values[i] = np.float32((state >> 8) / 2**24 - 0.5)
    return torch.from_numpy(values)


def four_bit() -> dict[str, torch.Tensor]:
    out: dict[str, torch.Tensor] = {}

    def case(name, values, dtype="f32", kind="nf4", block=64, keep=True):
        weight = torch.as_tensor(values).to(TYPES[dtype])
        name = f"{name}.{dtype}.{kind}.{block}"
        if keep:
            out[f"{name}.input"] = weight
        packed, state = F.quantize_4bit(weight, blocksize=block, quant_type=kind)
        out[f"{name}.packed"] = packed.flatten()
        out[f"{name}.absmax"] = state.absmax
        finite = bool(torch.isfinite(state.absmax).all())
        row = weight.shape[-1]
        # Two elements or fewer come back transposed, an odd row takes another path: both are right.
        right = finite and (row % block == 0 or row % 16 != 0) and weight.numel() > 2
        if right and keep:
            out[f"{name}.decoded"] = F.dequantize_4bit(packed, state).reshape(weight.shape)
        if finite:
            packed, state = F.quantize_4bit(weight, blocksize=block, quant_type=kind, compress_statistics=True)
            out[f"{name}.codes"] = state.absmax
            out[f"{name}.nested_absmax"] = state.state2.absmax
            out[f"{name}.offset"] = state.offset.reshape(1).float()
            if right and keep:
                out[f"{name}.nested_decoded"] = F.dequantize_4bit(packed, state).reshape(weight.shape)

    def normal(*shape, scale=0.02):
        return torch.from_numpy((rng.standard_normal(shape) * scale).astype(np.float32))

    for dtype in TYPES:
        for kind in ("nf4", "fp4"):
            case("matrix", normal(24, 64), dtype, kind)
            case("odd", normal(7, 13), dtype, kind)
            case("straddling", normal(5, 48), dtype, kind)
        for count in (1, 2, 63, 65, 129):
            case(f"flat{count}", normal(count), dtype)
        case("ramp", ramp(40000), dtype, keep=False)
    case("ramp", ramp(40000), "f16", block=128, keep=False)
    for block in (32, 128, 256, 512, 1024, 2048, 4096):
        case("blocks", normal(2, 2100), "bf16", block=block)
    outliers = normal(16, 64)
    outliers[::3, ::13] *= 500
    case("outliers", outliers, "bf16")
    zeros = normal(8, 64)
    zeros[3] = 0
    case("zero_block", zeros)
    case("zeros", torch.zeros(3, 64))
    case("zeros_short", torch.zeros(100))
    case("zeros_short", torch.zeros(100), kind="fp4")
    case("constant", torch.full((4, 64), -0.3))
    case("tiny", normal(4, 64, scale=1e-20))
    case("subnormal", normal(3, 63, scale=1e-40))
    case("huge", normal(3, 63, scale=1e37))
    table = F.get_4bit_type("nf4", device="cpu")
    middle = ((table[1:] + table[:-1]) / 2).repeat(9)[:128].clone()
    middle[63] = middle[127] = 1
    up = torch.nextafter(middle, torch.tensor(2.0))
    up[63] = up[127] = 1
    case("ties", middle)
    case("above_ties", up)
    bad = normal(5, 64)
    bad[0, 5], bad[1, 7], bad[2, 9], bad[3, 1], bad[3, 2] = torch.nan, torch.inf, -torch.inf, torch.inf, torch.nan
    for dtype in TYPES:
        case("not_finite", bad, dtype)

    counts = [*range(1, 72), 127, 128, 255, 256, 1000, 4095, 4096, 20000, 32768, 140000, 600000]
    squares = ramp(counts[-1]) ** 2
    out["sums.counts"] = torch.tensor(counts, dtype=torch.int64)
    out["sums.means"] = torch.stack([squares[:count].mean() for count in counts])
    return out


def int8() -> dict[str, torch.Tensor]:
    out: dict[str, torch.Tensor] = {}
    for dtype, kind in TYPES.items():
        weight = torch.from_numpy((rng.standard_normal((6, 70)) * 0.05).astype(np.float32))
        weight[2] *= 1e-6  # subnormal in f16
        weight[4, 3] = 30
        weight = weight.to(kind)
        codes, scales, _ = F.int8_vectorwise_quant(weight.half())
        out[f"{dtype}.input"], out[f"{dtype}.codes"], out[f"{dtype}.scales"] = weight, codes, scales
        out[f"{dtype}.decoded"] = F.int8_vectorwise_dequant(codes, scales)
    return out


save_file(four_bit(), HERE / "four_bit.safetensors")
save_file(int8(), HERE / "int8.safetensors")
