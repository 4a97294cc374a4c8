"""A Hugging Face folder as an F32 GGUF, q and k in llama.cpp's rotary order. usage: folder_to_gguf.py FOLDER MODEL.gguf"""
import json, sys
from pathlib import Path

import gguf, numpy as np
from oracle import load_model

PARTS = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down"}
WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def gguf_name(name):
    name = name.removesuffix(".weight")
    if name in WHOLE:
        return WHOLE[name] + ".weight"
    layer, part = name.removeprefix("model.layers.").split(".", 1)
    return f"blk.{layer}.{PARTS[part]}.weight"


def permuted(name, rows, head):
    """Rows of q and k: the halves of each head interleaved. Others as they are."""
    if not name.endswith(("q_proj.weight", "k_proj.weight")):
        return rows
    return np.ascontiguousarray(rows.reshape(-1, 2, head // 2, rows.shape[-1]).swapaxes(1, 2)).reshape(rows.shape)


def add_tokenizer(writer, path):
    tokenizer = json.loads(path.read_text())
    special = {token["id"] for token in tokenizer["added_tokens"]}
    tokens = sorted(tokenizer["model"]["vocab"].items() | {(t["content"], t["id"]) for t in tokenizer["added_tokens"]}, key=lambda t: t[1])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([text for text, _ in tokens])
    writer.add_token_types([gguf.TokenType.CONTROL if id in special else gguf.TokenType.NORMAL for _, id in tokens])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])


def write(folder, out):
    model, config = load_model(folder), json.loads((Path(folder) / "config.json").read_text())
    head = config["hidden_size"] // config["num_attention_heads"]
    writer = gguf.GGUFWriter(str(out), "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(model.config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_eos_token_id(config["eos_token_id"])
    if (Path(folder) / "tokenizer.json").exists():
        add_tokenizer(writer, Path(folder) / "tokenizer.json")
    else:
        writer.add_tokenizer_model("no_vocab")
    for name, values in model.state_dict().items():
        if name != "lm_head.weight" or not config["tie_word_embeddings"]:
            writer.add_tensor(gguf_name(name), permuted(name, values.numpy(), head))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(*sys.argv[1:])
