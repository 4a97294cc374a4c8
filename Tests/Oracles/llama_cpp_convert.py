"""Hugging Face folders as F32 GGUF files without a vocabulary, by llama.cpp's own converter.

usage: llama_cpp_convert.py CONVERTER FOLDER OUT.gguf [FOLDER OUT.gguf …]      CONVERTER as scripts/fetch-llama-cpp-converter prints it
"""
import logging, sys
from pathlib import Path

converter, *paths = sys.argv[1:]
sys.path[:0] = [converter, str(Path(converter) / "gguf-py")]
import torch
from conversion import ModelBase, ModelType, get_model_architecture, get_model_class
from gguf import LlamaFileType


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
    kind = get_model_class(get_model_architecture(hparams, ModelType.TEXT))
    model = kind(Path(folder), LlamaFileType.ALL_F32, Path(out), eager=True)
    without_vocabulary(getattr(model, "impl", model))
    model.write()


logging.disable(logging.INFO)
with torch.inference_mode():
    for folder, out in zip(paths[::2], paths[1::2], strict=True):
        convert(folder, out)
