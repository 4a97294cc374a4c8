"""Tiny random models of every family, in float32, as transformers makes and saves them. Whatever a family does unlike Llama is switched
on and large enough to be seen: windows shorter than the sequences, norms' weights and biases far from where they start, peaked attention.

usage: architectures.py OUT [NAME …]      a Hugging Face folder OUT/NAME of each
"""
import copy, json, os, sys
from dataclasses import dataclass, field, replace
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedTokenizerFast
from transformers.utils import logging

logging.disable_progress_bar()
logging.set_verbosity_error()

SPECIAL = ["<|end|>", "<|pad|>", "<|image_start|>", "<|image_end|>", "<|image|>"]
END, IMAGE_START, IMAGE_END, IMAGE = 256, 258, 259, 260
V = 256 + len(SPECIAL)  # 261: no multiple of four, so the program pads it

BASE = dict(
    vocab_size=V, hidden_size=48, intermediate_size=72, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2,
    max_position_embeddings=64, rms_norm_eps=1e-5, tie_word_embeddings=False, bos_token_id=None, eos_token_id=END, pad_token_id=None)
THETA = dict(rope_type="default", rope_theta=100.0)
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=512)
YARN_SHORT = dict(rope_type="yarn", rope_theta=100.0, factor=4.0, original_max_position_embeddings=16)


def factors(count, longest):
    """From 1 to `longest`, evenly."""
    return [1 + (longest - 1) * i / (count - 1) for i in range(count)]


def longrope(rotary, theta=100.0):
    return dict(rope_type="longrope", rope_theta=theta, original_max_position_embeddings=16, short_factor=factors(rotary // 2, 1.5),
                long_factor=factors(rotary // 2, 6))


@dataclass(frozen=True)
class Architecture:
    """`gguf`: llama.cpp's converter can say the model in a GGUF file. `llama_cpp`: and llama.cpp computes what the file says.
    `lengths`: of the sequences, where one is not enough."""

    model_type: str
    config: dict = field(default_factory=dict)
    gguf: bool = True
    llama_cpp: bool = True
    lengths: tuple[int, ...] = (24,)
    text: dict | None = None  # of a multimodal model
    mxfp4: bool = False  # the experts' matrices, as gpt-oss's files have them
    old: bool = False  # files as they were before transformers 5, without what equals the family's defaults

    @property
    def llama_cpp_tolerance(self):
        """Its GELU is a table of halves."""
        return 4e-3 if self.model_type.startswith(("gemma", "gpt2")) else 1e-3

    @property
    def targets(self):
        """PEFT's target_modules: all linear layers of the language model. Of experts, which are none, PEFT makes target_parameters."""
        if self.model_type in ("qwen3_moe", "olmoe", "mixtral", "lfm2_moe", "gpt_oss", "granitemoe"):
            return r".*(self_attn|conv).*_proj"
        return "all-linear" if self.text is None else r".*language_model.*_proj"


GEMMA = dict(head_dim=16, num_attention_heads=4, query_pre_attn_scalar=16, sliding_window=5, tie_word_embeddings=True)
SIGLIP = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14)
PIXTRAL = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, head_dim=8, image_size=28, patch_size=14)
PHI4_MINI = dict(original_max_position_embeddings=16, partial_rotary_factor=0.75, num_attention_heads=3, num_key_value_heads=1)
MINISTRAL = dict(
    head_dim=16, num_attention_heads=4, rope_parameters=dict(
        YARN_SHORT, beta_fast=16.0, beta_slow=0.5, mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.5))
LFM2_LAYERS = dict(num_hidden_layers=3, layer_types=["conv", "full_attention", "conv"])
EXPERTS = dict(moe_intermediate_size=24)
# A ramp from the first pair to the last, whose ends need no rounding: llama.cpp always rounds them.
GPT_OSS = dict(
    head_dim=16, num_attention_heads=4, intermediate_size=24, num_local_experts=6, num_experts_per_tok=3, sliding_window=5,
    max_position_embeddings=2048, rope_parameters=dict(
        rope_type="yarn", rope_theta=5.0, factor=4.0, beta_fast=32.0, beta_slow=1.0, truncate=False, original_max_position_embeddings=190))
GPT2 = dict(vocab_size=V, n_embd=48, n_layer=2, n_head=3, n_positions=64, bos_token_id=END, eos_token_id=END)

ALL = {
    "llama": Architecture("llama"),
    "llama-tied": Architecture("llama", dict(tie_word_embeddings=True, head_dim=16)),
    "llama-bias": Architecture("llama", dict(attention_bias=True, mlp_bias=True)),
    "llama-linear": Architecture("llama", dict(rope_parameters=dict(THETA, rope_type="linear", factor=3.0))),
    "llama-dynamic": Architecture("llama", dict(max_position_embeddings=32, rope_parameters=dict(THETA, rope_type="dynamic", factor=3.0))),
    "llama-llama3": Architecture("llama", dict(rope_parameters=dict(
        THETA, rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32))),
    "llama-yarn": Architecture("llama", dict(max_position_embeddings=2048, rope_parameters=YARN)),
    # llama.cpp takes these parts of YaRN from no file of this architecture.
    "llama-yarn-own": Architecture("llama", dict(max_position_embeddings=2048, rope_parameters=dict(
        YARN, beta_fast=8.0, beta_slow=2.0, attention_factor=1.25)), llama_cpp=False),
    "llama-yarn-whole": Architecture("llama", dict(max_position_embeddings=2048, rope_parameters=dict(
        YARN, truncate=False, mscale=0.7, mscale_all_dim=0.3)), gguf=False),
    "llama-longrope": Architecture("llama", dict(rope_parameters=longrope(8)), gguf=False, lengths=(12, 24)),
    "mistral": Architecture("mistral", dict(sliding_window=7), gguf=False),
    "ministral3": Architecture("ministral3", MINISTRAL, lengths=(48,)),
    "ministral3-window": Architecture("ministral3", dict(MINISTRAL, sliding_window=7), gguf=False),
    "qwen2": Architecture("qwen2", dict(tie_word_embeddings=True)),
    "qwen2-window": Architecture("qwen2", dict(use_sliding_window=True, sliding_window=6, max_window_layers=1), gguf=False),
    "qwen3": Architecture("qwen3", dict(head_dim=16)),
    "qwen3-bias-window": Architecture("qwen3", dict(
        head_dim=16, attention_bias=True, use_sliding_window=True, sliding_window=6,
        layer_types=["sliding_attention", "full_attention"]), gguf=False),
    "gemma2": Architecture("gemma2", dict(
        GEMMA, attn_logit_softcapping=3.0, final_logit_softcapping=4.0)),
    "gemma2-scalar": Architecture("gemma2", dict(
        GEMMA, query_pre_attn_scalar=6, attn_logit_softcapping=None, final_logit_softcapping=None, attention_bias=True,
        layer_types=["full_attention", "sliding_attention"]), gguf=False),
    # Six layers: in a GGUF every sixth looks back all the way.
    "gemma3_text": Architecture("gemma3_text", dict(
        GEMMA, num_hidden_layers=6, final_logit_softcapping=4.0, rope_parameters=dict(
            full_attention=dict(rope_type="linear", rope_theta=1000.0, factor=3.0), sliding_attention=THETA))),
    "gemma3-multimodal": Architecture(
        "gemma3", dict(
            vision_config=SIGLIP, mm_tokens_per_image=4, boi_token_index=IMAGE_START, eoi_token_index=IMAGE_END,
            image_token_index=IMAGE),
        text=dict(BASE, **dict(GEMMA, query_pre_attn_scalar=6, layer_types=["sliding_attention", "full_attention"])), gguf=False),
    "phi3": Architecture("phi3", dict(num_key_value_heads=3)),
    "phi3-window": Architecture("phi3", dict(sliding_window=6), gguf=False),
    "phi3-longrope": Architecture("phi3", dict(original_max_position_embeddings=16, rope_parameters=longrope(8)), lengths=(12, 24)),
    "phi4-mini": Architecture(
        "phi3", dict(PHI4_MINI, tie_word_embeddings=True, rope_parameters=longrope(12)), lengths=(12, 24)),
    "smollm3": Architecture("smollm3", dict(num_hidden_layers=4, tie_word_embeddings=True, rope_parameters=THETA)),
    "smollm3-bias-window": Architecture("smollm3", dict(
        attention_bias=True, mlp_bias=True, no_rope_layers=[0, 1], use_sliding_window=True, sliding_window=6,
        rope_parameters=THETA), gguf=False),
    "granite": Architecture("granite", dict(
        embedding_multiplier=3.0, attention_multiplier=0.2, residual_multiplier=0.6, logits_scaling=2.0, tie_word_embeddings=True)),
    "granite-bias": Architecture("granite", dict(
        embedding_multiplier=1.5, attention_multiplier=0.5, residual_multiplier=0.4, logits_scaling=0.5, attention_bias=True,
        mlp_bias=True)),
    "olmo2": Architecture("olmo2"),
    "olmo2-bias": Architecture("olmo2", dict(attention_bias=True, tie_word_embeddings=True), gguf=False),
    "olmo3": Architecture("olmo3", dict(
        num_hidden_layers=4, sliding_window=5, max_position_embeddings=2048,
        rope_parameters=dict(
            full_attention=dict(YARN, rope_theta=500000.0), sliding_attention=dict(rope_type="default", rope_theta=500000.0)))),
    "glm4": Architecture("glm4", dict(
        head_dim=16, num_attention_heads=4, attention_bias=True, partial_rotary_factor=0.5, rope_parameters=THETA)),
    "lfm2": Architecture("lfm2", dict(
        LFM2_LAYERS, block_multiple_of=8, rope_parameters=THETA, tie_word_embeddings=True)),
    "lfm2-bias": Architecture("lfm2", dict(
        num_hidden_layers=3, full_attn_idxs=[0], conv_bias=True, conv_L_cache=5, block_auto_adjust_ff_dim=False), gguf=False),
    "qwen3_moe": Architecture("qwen3_moe", dict(EXPERTS, head_dim=16, num_experts=6, num_experts_per_tok=3, norm_topk_prob=True)),
    "qwen3_moe-shares": Architecture("qwen3_moe", dict(
        EXPERTS, head_dim=16, num_experts=9, num_experts_per_tok=2, num_hidden_layers=4, mlp_only_layers=[0], decoder_sparse_step=2),
        gguf=False),
    # llama.cpp norms as many heads of k as of q.
    "olmoe": Architecture("olmoe", dict(intermediate_size=24, num_experts=5, num_experts_per_tok=2, num_key_value_heads=6)),
    "olmoe-grouped": Architecture("olmoe", dict(
        intermediate_size=24, num_experts=5, num_experts_per_tok=2, norm_topk_prob=True, attention_bias=True), gguf=False),
    "mixtral": Architecture("mixtral", dict(intermediate_size=24, num_local_experts=4, num_experts_per_tok=2)),
    "mixtral-window": Architecture("mixtral", dict(
        intermediate_size=24, num_local_experts=4, num_experts_per_tok=3, sliding_window=7), gguf=False),
    "lfm2_moe": Architecture("lfm2_moe", dict(
        EXPERTS, **LFM2_LAYERS, num_experts=6, num_experts_per_tok=3, num_dense_layers=1, rope_parameters=THETA,
        tie_word_embeddings=True)),
    "lfm2_moe-shares": Architecture("lfm2_moe", dict(
        EXPERTS, **LFM2_LAYERS, num_experts=6, num_experts_per_tok=2, num_dense_layers=0, norm_topk_prob=False, use_expert_bias=False,
        routed_scaling_factor=1.5), gguf=False),
    "gpt_oss": Architecture("gpt_oss", GPT_OSS),
    "gpt_oss-yarn": Architecture("gpt_oss", dict(
        GPT_OSS, attention_bias=False, layer_types=["full_attention", "sliding_attention"],
        rope_parameters=dict(YARN_SHORT, truncate=False)), gguf=False),
    # llama.cpp rounds what MXFP4 is multiplied with to 8 bits.
    "gpt_oss-mxfp4": Architecture("gpt_oss", dict(GPT_OSS, hidden_size=64, intermediate_size=32), mxfp4=True, llama_cpp=False),
    "granitemoe": Architecture("granitemoe", dict(
        intermediate_size=24, num_local_experts=6, num_experts_per_tok=3, embedding_multiplier=3.0, attention_multiplier=0.2,
        residual_multiplier=0.6, logits_scaling=2.0, tie_word_embeddings=True)),
    "granitemoe-bias": Architecture("granitemoe", dict(
        intermediate_size=24, num_local_experts=5, num_experts_per_tok=2, attention_bias=True, logits_scaling=0.5)),
    "mistral3-multimodal": Architecture(
        "mistral3", dict(vision_config=dict(PIXTRAL, model_type="pixtral"), image_token_index=IMAGE, spatial_merge_size=2),
        text=dict(BASE, **MINISTRAL, model_type="ministral3"), lengths=(48,)),
    "gpt2": Architecture("gpt2", dict(GPT2, n_ctx=64)),
    "gpt2-scaled": Architecture("gpt2", dict(
        GPT2, n_inner=72, scale_attn_by_inverse_layer_idx=True, tie_word_embeddings=False), gguf=False),
}

OLD = ["llama-llama3", "llama-longrope", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "gemma3-multimodal",
       "phi4-mini", "smollm3", "granite", "olmo3", "glm4", "gpt_oss", "gpt2"]
ALL |= {name + "-old": replace(ALL[name], old=True, gguf=False) for name in OLD}


def kind(architecture):
    """The class that loads and makes it."""
    return AutoModelForCausalLM if architecture.text is None else AutoModelForImageTextToText


def config(architecture):
    keys = architecture.config
    if architecture.text is not None:
        keys = dict(keys, text_config=architecture.text, tie_word_embeddings=architecture.text["tie_word_embeddings"])
    elif architecture.model_type != "gpt2":
        keys = {**BASE, **keys}
    return AutoConfig.for_model(architecture.model_type, **copy.deepcopy(keys))  # it writes into what it is given


@torch.no_grad()
def randomise(model, seed):
    """Matrices of standard deviation 1.2/√inputs, embeddings that come out with about 1, norms' weights off by 0.3, biases of 0.3."""
    random = torch.Generator().manual_seed(seed)
    transposed = model.config.model_type == "gpt2"
    for name, p in sorted(model.named_parameters()):
        noise = torch.randn(p.shape, generator=random)
        if p.ndim > 1 and ("embed" in name or "wte" in name or "wpe" in name):
            p.copy_(noise * (p.shape[-1] ** -0.5 if "gemma" in model.config.model_type else 1))
        elif p.ndim > 1:
            # Of three dimensions are convolutions of single channels, and the matrices of experts.
            inputs = p.shape[0] if transposed else p.shape[-1] if p.ndim == 3 else p[0].numel()
            size = 1.2
            if model.config.model_type == "gpt_oss" and p.ndim == 3:
                # (E, in, out); gates that their limits of 7 clamp.
                inputs, size = p.shape[1], 3 if "gate_up" in name else 0.6
            p.copy_(noise * size * inputs ** -0.5)
        elif "bias" in name:
            p.copy_(0.3 * noise)
        else:
            p.copy_((0 if "gemma" in model.config.model_type else 1) + 0.3 * noise)


def old_config(keys):
    """rope_theta, rope_scaling and their like in the place of rope_parameters."""
    rope, layers = keys.pop("rope_parameters", {}), keys.pop("layer_types", None)
    if keys["model_type"] == "gemma3_text":
        keys["rope_local_base_freq"] = rope.get("sliding_attention", {}).get("rope_theta", 1e4)
        keys["sliding_window_pattern"] = layers.index("full_attention") + 1
    rope = rope.get("full_attention", rope)
    for key in ["rope_theta", "partial_rotary_factor"]:
        if key in rope:
            keys[key] = rope.pop(key)
    kind = rope.pop("rope_type", "default")
    if kind != "default":
        keys["rope_scaling"] = {**rope, "rope_type" if layers else "type": kind}
    if "dtype" in keys:
        keys["torch_dtype"] = keys.pop("dtype")


def make_old(folder, architecture):
    """As Hub files are: GPT-2 has no prefix, and its masks; a multimodal one has another prefix than transformers 5 writes."""
    path = folder / "config.json"
    keys, kind = json.loads(path.read_text()), AutoConfig.from_pretrained(folder)
    for part, defaults in [(keys, type(kind)()), (keys.get("text_config"), type(kind.get_text_config())())]:
        if part is None:
            continue
        for key, value in defaults.to_dict().items():
            if key in part and part[key] == value and key not in ("model_type", "layer_types", "text_config", "vision_config"):
                del part[key]
        if "rope_parameters" in part or "layer_types" in part:
            old_config(part)
    path.write_text(json.dumps(keys, indent=2) + "\n")
    tensors = load_file(folder / "model.safetensors")
    if architecture.model_type == "gpt2":
        tensors = {name.removeprefix("transformer."): values for name, values in tensors.items()}
        for layer in range(architecture.config["n_layer"]):
            tensors[f"h.{layer}.attn.bias"] = torch.ones(1, 1, 64, 64).tril()
    elif architecture.text is not None:
        tensors = {name.replace("language_model.model.", "model.language_model.").replace("language_model.lm_head", "lm_head"): values
                   for name, values in tensors.items()}
    save_file(tensors, folder / "model.safetensors", metadata=dict(format="pt"))


def in_mxfp4(matrices):
    """(…, in) as blocks (…, in/32, 16) of two numbers a byte and scales (…, in/32): the largest of 32 numbers is one of 4, 5 and 6, about."""
    values = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    groups = matrices.unflatten(-1, (-1, 32))
    scales = groups.abs().amax(-1).log2().floor() - 2
    shares = groups / scales[..., None].exp2()
    codes = (shares.abs()[..., None] - values).abs().argmin(-1) + 8 * (shares < 0)
    blocks = codes[..., 0::2] | codes[..., 1::2] << 4
    return blocks.to(torch.uint8), (scales + 127).to(torch.uint8)


def make_mxfp4(folder):
    path = folder / "config.json"
    keys = json.loads(path.read_text())
    others = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
    path.write_text(json.dumps(dict(keys, quantization_config=dict(quant_method="mxfp4", modules_to_not_convert=others)), indent=2) + "\n")
    tensors = load_file(folder / "model.safetensors")
    for name in [name for name in tensors if name.endswith(("gate_up_proj", "down_proj"))]:
        tensors[name + "_blocks"], tensors[name + "_scales"] = in_mxfp4(tensors.pop(name).mT)
    save_file(tensors, folder / "model.safetensors", metadata=dict(format="pt"))


def save_tokenizer(folder):
    """A token a byte, and the special ones behind them."""
    tokenizer = Tokenizer(models.BPE({text: id for id, text in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=SPECIAL[0]).save_pretrained(folder)


def make(name, folder):
    """Writes the model into a folder, with a tokenizer, and returns it."""
    architecture = ALL[name]
    model = kind(architecture).from_config(config(architecture), dtype=torch.float32).eval()
    randomise(model, seed=len(name))
    model.save_pretrained(folder)
    if architecture.mxfp4:
        make_mxfp4(Path(folder))
    if architecture.old:
        make_old(Path(folder), architecture)
    save_tokenizer(folder)
    return model


if __name__ == "__main__":
    out, *names = sys.argv[1:]
    for name in names or ALL:
        print(name, sum(p.numel() for p in make(name, Path(out) / name).parameters()), "parameters")
