"""Makes mixes.json beside it: which type llama.cpp gives each tensor of some models, by file type, as a letter of KINDS. Rows that are no
whole blocks of Q2_K or Q3_K became IQ4_NL in the version that exports its quantiser, Q4_0 since; q, k and v
as one matrix were no values yet, so no such model is here.
usage: make_mixes.py LIBLLAMA      (a library as Tests/Oracles/llama_cpp_quantize.py wants it; LORAVK_TEST_CONVERTER)"""
import json, os, subprocess, sys, tempfile
from pathlib import Path

here = Path(__file__).parent
oracles = here.parents[1] / "Oracles"
sys.path.append(str(oracles))
import gguf
from transformers import AutoConfig, AutoModelForCausalLM

TYPES = dict(Q4_0=2, Q4_1=3, Q8_0=7, Q5_0=8, Q5_1=9, Q2_K=10, Q3_K_S=11, Q3_K_M=12, Q3_K_L=13, Q4_K_S=14, Q4_K_M=15, Q5_K_S=16,
             Q5_K_M=17, Q6_K=18)
KINDS = ["F32", "F16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
BASE = dict(vocab_size=64, hidden_size=256, intermediate_size=256, max_position_embeddings=64, rms_norm_eps=1e-5, bos_token_id=None,
            eos_token_id=1, pad_token_id=None, tie_word_embeddings=False)
MODELS = {
    "grouped": dict(BASE, model_type="llama", num_hidden_layers=20, num_attention_heads=4, num_key_value_heads=1),
    "tied": dict(BASE, model_type="llama", num_hidden_layers=9, num_attention_heads=2, num_key_value_heads=2, tie_word_embeddings=True),
    "narrow": dict(BASE, model_type="llama", num_hidden_layers=4, num_attention_heads=2, num_key_value_heads=1, hidden_size=96),
    "mixtral": dict(BASE, model_type="mixtral", num_hidden_layers=9, num_attention_heads=4, num_key_value_heads=2, num_local_experts=8,
                    num_experts_per_tok=2),
    "few experts": dict(BASE, model_type="olmoe", num_hidden_layers=9, num_attention_heads=4, num_key_value_heads=4, num_experts=4,
                        num_experts_per_tok=2),
}

library, found = sys.argv[1], {}
with tempfile.TemporaryDirectory() as temp:
    for name, config in MODELS.items():
        folder, source, target = Path(temp) / name, Path(temp) / "source.gguf", Path(temp) / "target.gguf"
        AutoModelForCausalLM.from_config(AutoConfig.for_model(**config)).save_pretrained(folder)
        subprocess.run([sys.executable, oracles / "llama_cpp_convert.py", os.environ["LORAVK_TEST_CONVERTER"], folder, source], check=True)
        types = {}
        for kind, number in TYPES.items():
            words = [sys.executable, oracles / "llama_cpp_quantize.py", library, source, target, str(number)]
            done = subprocess.run(words, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr[-2000:]
            tensors = sorted((t for t in gguf.GGUFReader(target).tensors if len(t.shape) > 1), key=lambda t: t.name)
            found_types = (tensor.tensor_type.name.replace("IQ4_NL", "Q4_0") for tensor in tensors)
            types[kind] = "".join(chr(ord("a") + KINDS.index(name)) for name in found_types)
        found[name] = dict(config=config, tensors=[tensor.name for tensor in tensors], types=types)
lines = [f"{json.dumps(name)}: {json.dumps(value, separators=(',', ':'))}" for name, value in found.items()]
(here / "mixes.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
