"""Hugging Face folders as GGUF files (F32 unless told otherwise) without a vocabulary, by llama.cpp's own converter.

usage: llama_cpp_convert.py [--type=f16|bf16|q8_0] CONVERTER FOLDER OUT.gguf [FOLDER OUT.gguf …]
CONVERTER as scripts/fetch-llama-cpp-converter prints it
"""
import logging, sys
from pathlib import Path

words = sys.argv[1:]
kind = words.pop(0).removeprefix("--type=") if words[0].startswith("--type=") else "f32"
converter, *paths = words
sys.path[:0] = [converter, str(Path(converter) / "gguf-py")]
import torch
from conversion import ModelBase, ModelType, get_model_architecture, get_model_class
from gguf import LlamaFileType

FILE_TYPE = {"f32": LlamaFileType.ALL_F32, "f16": LlamaFileType.MOSTLY_F16, "bf16": LlamaFileType.MOSTLY_BF16, "q8_0": LlamaFileType.MOSTLY_Q8_0}[kind]


def without_vocabulary(model):
    """Makes the model write a size in the place of its vocabulary."""
    writer, size = model.gguf_writer, model.hparams["vocab_size"]

    def set_vocab():
        writer.add_tokenizer_model("no_vocab")
        if f"{writer.arch}.vocab_size" not in writer.kv_data[0]:
            writer.add_vocab_size(size)

    model.set_vocab = set_vocab


def convert(folder, out):
    hparams = ModelBase.load_hparams(Path(folder), False)
    family = get_model_class(get_model_architecture(hparams, ModelType.TEXT))
    model = family(Path(folder), FILE_TYPE, Path(out), eager=True)
    without_vocabulary(getattr(model, "impl", model))
    model.write()


logging.disable(logging.INFO)
with torch.inference_mode():
    for folder, out in zip(paths[::2], paths[1::2], strict=True):
        convert(folder, out)
