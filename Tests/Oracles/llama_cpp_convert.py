"""Hugging Face folders as F32 GGUF files without a vocabulary, by llama.cpp's own converter.

usage: llama_cpp_convert.py CONVERTER FOLDER OUT.gguf [FOLDER OUT.gguf …]      CONVERTER as scripts/fetch-llama-cpp-converter prints it
"""
import json, logging, sys, tempfile
from pathlib import Path

converter, *paths = sys.argv[1:]
sys.path[:0] = [converter, str(Path(converter) / "gguf-py")]
import gguf, torch
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
    with tempfile.TemporaryDirectory() as copy:
        for path in Path(folder).resolve().iterdir():
            (Path(copy) / path.name).symlink_to(path)
        hparams = ModelBase.load_hparams(Path(copy), False)
        # Gemma 3's cuts the embeddings to what the tokenizer has.
        size = {**hparams, **hparams.get("text_config", {})}["vocab_size"]
        (Path(copy) / "tokenizer.json").write_text(json.dumps(dict(model=dict(vocab={f"t{id}": id for id in range(size)}), added_tokens=[])))
        kind = get_model_class(get_model_architecture(hparams, ModelType.TEXT))
        model = kind(Path(copy), LlamaFileType.ALL_F32, Path(out), eager=True)
        without_vocabulary(getattr(model, "impl", model))
        model.write()


logging.disable(logging.INFO)
with torch.inference_mode():
    for folder, out in zip(paths[::2], paths[1::2], strict=True):
        convert(folder, out)
