"""A GGUF as a Hugging Face folder in float32, which PEFT loads faster. usage: gguf_to_folder.py MODEL.gguf FOLDER"""
import sys
from pathlib import Path

from oracle import load_model, load_tokenizer

model, folder = sys.argv[1], Path(sys.argv[2])
load_tokenizer(model).save_pretrained(folder)
weights = load_model(model)
# They are in float32 by now, and transformers 5 saves none that it still takes for a GGUF's.
weights.hf_quantizer = None
if hasattr(weights.config, "quantization_config"):
    del weights.config.quantization_config
weights.save_pretrained(folder)
(folder / "complete").touch()
