"""PEFT's training speed on the GPU that PyTorch sees: a Llama of the same shape with random weights in bf16, LoRA of rank 8 on all linear
layers. Prints a JSON object, with "why" where it cannot run. usage: peft_peer.py SIZE"""

import json
import sys
import time

SHAPES = {
    "tiny": (1024, 256, 512, 2, 4, 2), "135m": (49152, 576, 1536, 30, 9, 3),
    "1.5b": (151936, 1536, 8960, 28, 12, 2), "8b": (128256, 4096, 14336, 32, 32, 8),
}


def main(size: str) -> dict:
    try:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import LlamaConfig, LlamaForCausalLM
    except ImportError as error:
        return {"why": f"Python has no {error.name}"}
    if not torch.cuda.is_available():
        return {"why": "PyTorch sees no GPU"}
    vocabulary, width, hidden, layers, heads, kv = SHAPES[size]
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = LlamaForCausalLM(LlamaConfig(
            vocab_size=vocabulary, hidden_size=width, intermediate_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
            num_key_value_heads=kv, max_position_embeddings=8192, tie_word_embeddings=size != "8b"))
    model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    figures = {}
    for shape in ("1x512", "4x512"):
        rows, tokens = map(int, shape.split("x"))
        ids = torch.randint(0, vocabulary, (rows, tokens), device="cuda")
        times = []
        for _ in range(6):
            torch.cuda.synchronize()
            start = time.perf_counter()
            model(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        figures[f"train {shape}"] = {"tokens/s": round(rows * tokens / min(times[2:]), 1), "peak MB": torch.cuda.max_memory_allocated() // 1_000_000}
    return figures


print(json.dumps(main(sys.argv[1])))
