"""A GGUF as a Hugging Face folder in float32, which PEFT loads faster. usage: gguf_to_folder.py MODEL.gguf FOLDER"""
import sys
from pathlib import Path

from oracle import load_model, load_tokenizer

model, folder = sys.argv[1], Path(sys.argv[2])
load_tokenizer(model).save_pretrained(folder)
load_model(model).save_pretrained(folder)
(folder / "complete").touch()
