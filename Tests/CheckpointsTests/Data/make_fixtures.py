"""Makes the fixture files beside it. usage: make_fixtures.py   (needs gguf, transformers, peft, safetensors, torch)

quants.gguf              random blocks of every type that is dequantised
quants.safetensors       the same numbers as the package `gguf` dequantises them
mxfp4.gguf, .safetensors the same of MXFP4
quantised.gguf           numbers of usual and unusual size (`values`), and what the package `gguf` quantises them to
tiny.gguf                a tiny llama (2 layers, 2 heads of 16, 1 key/value head), F32 norms, Q8_0 and F16 matrices
tiny-hf/                 the same as transformers reads it
tiny-hf-sharded/         the same in several shards
adapters/NAME/           adapters of tiny-hf as PEFT writes them
rope.json                inverse frequencies as transformers computes them
"""
import json, os, shutil
import gguf, numpy as np, torch
from gguf import GGMLQuantizationType as Q
from peft import LoraConfig, VeraConfig, get_peft_model
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM, LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

here = os.path.dirname(os.path.abspath(__file__))
random = np.random.default_rng(7)

# Random bytes are valid codes; the halves that scale a block are set to numbers of usual size, some negative or subnormal.
halves = {Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2], Q.Q8_0: [0], Q.Q2_K: [80, 82], Q.Q3_K: [108],
          Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208]}
writer = gguf.GGUFWriter(f"{here}/quants.gguf", "llama")
expected = {}
for kind in [Q.F16, Q.BF16, *halves]:
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    rows, blocks = 3, 512 // elements
    data = random.integers(0, 256, (rows, blocks, size), dtype=np.uint8)
    for offset in halves.get(kind, []):
        scale = (random.standard_normal((rows, blocks, 1)) * 0.02).astype(np.float16)
        scale[0, 0] = 3e-7
        data[:, :, offset:offset + 2] = scale.view(np.uint8)
    if kind in (Q.F16, Q.BF16):
        values = random.standard_normal((rows, blocks, 1)).astype(np.float32)
        data = (values.astype(np.float16).view(np.uint8) if kind == Q.F16
                else (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8))
    data = data.reshape(rows, -1)
    name = kind.name.replace("_K", "_K")
    writer.add_tensor(name, data, raw_dtype=kind)
    expected[name] = gguf.dequantize(data, kind).astype(np.float32)
writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()
save_file(expected, f"{here}/quants.safetensors")

# Numbers to quantise, from a generator of their own: normal, tiny and large blocks, equal ones, zeros, exact halves.
own = np.random.default_rng(8)
values = (own.standard_normal((12, 64)) * np.array([0.02, 1, 300, 1e-6, 1e-9, 0.02, 1, 1, 1, 1, 1, 1])[:, None]).astype(np.float32)
values[5] += 1; values[6] = 0; values[7] = -0.25; values[8, 1::2] = 0
values[9] = np.arange(64) / 2 - 16; values[10] = np.abs(values[10]); values[11, 3:] = 0
writer = gguf.GGUFWriter(f"{here}/quantised.gguf", "llama")
writer.add_tensor("values", values)
for kind in [Q.F32, Q.F16, Q.BF16, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0]:
    writer.add_tensor(kind.name, gguf.quantize(values, kind), raw_dtype=kind)
writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()

# Powers of 2 from the least that there is to those of the largest weights.
own = np.random.default_rng(9)
data = own.integers(0, 256, (3, 16, 17), dtype=np.uint8)
data[..., 0] = np.concatenate([np.arange(4), np.arange(100, 140), [200, 220, 240, 251]]).reshape(3, 16)
data = data.reshape(3, -1)
writer = gguf.GGUFWriter(f"{here}/mxfp4.gguf", "llama")
writer.add_tensor("MXFP4", data, raw_dtype=Q.MXFP4)
writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()
save_file({"MXFP4": gguf.dequantize(data, Q.MXFP4).astype(np.float32)}, f"{here}/mxfp4.safetensors")

# A tiny llama. llama.cpp's rotary row order is a matter of reading: these rows ARE the stored ones.
V, C, F, L, H, KVH, D = 40, 32, 64, 2, 2, 1, 16
writer = gguf.GGUFWriter(f"{here}/tiny.gguf", "llama")
writer.add_context_length(128); writer.add_embedding_length(C); writer.add_block_count(L)
writer.add_feed_forward_length(F); writer.add_head_count(H); writer.add_head_count_kv(KVH)
writer.add_rope_freq_base(10000.0); writer.add_layer_norm_rms_eps(1e-5); writer.add_vocab_size(V)
writer.add_rope_dimension_count(D); writer.add_bos_token_id(1); writer.add_eos_token_id(2)
def matrix(name, rows, columns, kind):
    values = (random.standard_normal((rows, columns)) * 0.2).astype(np.float32)
    writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)
def norm(name): writer.add_tensor(name, (1 + 0.1 * random.standard_normal(C)).astype(np.float32))
matrix("token_embd.weight", V, C, Q.Q8_0)
for i in range(L):
    norm(f"blk.{i}.attn_norm.weight"); norm(f"blk.{i}.ffn_norm.weight")
    matrix(f"blk.{i}.attn_q.weight", H * D, C, Q.Q8_0); matrix(f"blk.{i}.attn_k.weight", KVH * D, C, Q.F16)
    matrix(f"blk.{i}.attn_v.weight", KVH * D, C, Q.Q8_0); matrix(f"blk.{i}.attn_output.weight", C, H * D, Q.F16)
    matrix(f"blk.{i}.ffn_gate.weight", F, C, Q.Q8_0); matrix(f"blk.{i}.ffn_up.weight", F, C, Q.Q8_0)
    matrix(f"blk.{i}.ffn_down.weight", C, F, Q.Q8_0)
norm("output_norm.weight"); matrix("output.weight", V, C, Q.F16)
writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()

model = AutoModelForCausalLM.from_pretrained(here, gguf_file="tiny.gguf", dtype=torch.float32)
model.save_pretrained(f"{here}/tiny-hf")
model.save_pretrained(f"{here}/tiny-hf-sharded", max_shard_size="40KB")
for folder in ["tiny-hf", "tiny-hf-sharded"]:
    os.path.exists(path := f"{here}/{folder}/generation_config.json") and os.remove(path)

def adapter(name, kind=LoraConfig, **options):
    torch.manual_seed(3)
    peft = get_peft_model(AutoModelForCausalLM.from_pretrained(f"{here}/tiny-hf"), kind(task_type="CAUSAL_LM", **options))
    with torch.no_grad():
        for key, value in peft.named_parameters():
            if "lora_B" in key or "vera_lambda" in key: value.normal_(0, 0.1)
    peft.peft_config["default"].base_model_name_or_path = "tiny-hf"
    peft.save_pretrained(f"{here}/adapters/{name}")
    os.remove(f"{here}/adapters/{name}/README.md")

adapter("plain", r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])
adapter("patterns", r=4, lora_alpha=8.5, lora_dropout=0.05, use_rslora=True, target_modules="all-linear",
        rank_pattern={"down_proj": 2, "^model.layers.0.self_attn.q_proj": 8}, alpha_pattern={"up_proj": 3})
adapter("dora", r=2, lora_alpha=4, use_dora=True, target_modules=["o_proj"], layers_to_transform=[1])
adapter("saved", r=2, lora_alpha=4, target_modules=["k_proj"], modules_to_save=["lm_head"])
adapter("vera", VeraConfig, r=4, d_initial=0.2, vera_dropout=0.05, target_modules=["q_proj", "down_proj"])

rope = {}
for name, scaling in {"llama3": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                 "original_max_position_embeddings": 8192},
                      "linear": {"rope_type": "linear", "factor": 4.0}}.items():
    config = LlamaConfig(hidden_size=2048, num_attention_heads=32, rope_theta=500000.0, rope_scaling=scaling,
                         max_position_embeddings=131072)
    rope[name] = ROPE_INIT_FUNCTIONS[scaling["rope_type"]](config, "cpu")[0].tolist()
json.dump(rope, open(f"{here}/rope.json", "w"))
