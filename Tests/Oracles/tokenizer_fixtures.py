"""Oracle of the tokenizer tests: the PyPI package `tokenizers`.

    tokenizer_fixtures.py fixtures DIR [MODEL]     (re)write the committed fixtures of Tests/TokenizerTests/Data
    tokenizer_fixtures.py text BYTES FILE          mixed text, the same on every machine; half of it as families.txt is
    tokenizer_fixtures.py gguf MODEL TEXT FILE     ids of TEXT by the vocabulary inside a GGUF file, int32 little endian
"""
import json
import random
import struct
import sys
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import tokenizer_families

WORDS = """the of and to in is it that was for on with as are this model weight layer token rank gradient learning rate
I'm you're we've he'll it's don't THEY'RE I'D can'T O'Brien 'tis rock'n'roll naïve façade coöperate Straße ĳssel
über Ångström smörgåsbord piñata crème brûlée São Tomé İstanbul ıIiİ ſong 'ſ DŽ ǅ ﬁn ﬂy ½ Ⅷ ² ٣٤٥ १२३ 一二三
日本語 の テキスト 中文 文本 处理 模型 训练 한국어 문장 텍스트 ไทย ภาษา हिन्दी भाषा বাংলা தமிழ் עברית שלום عربي مرحبا بالعالم
Ελληνικά λόγος Русский язык модель українська ქართული հայերեն አማርኛ ខ្មែរ မြန်မာ""".split()

CODE = [
    "def f(x: int) -> int:\n    return x ** 2  # square\n",
    "for (int i = 0; i < n; ++i) {\n\tsum += a[i] * b[i];\r\n}\r\n",
    "let x = y ?? z; guard x != nil else { return }\n\n\n",
    '{"key": [1, 2.5e-3, null, true], "π": "\\u03c0"}\n',
    "SELECT * FROM t WHERE id >= 1000000 AND name LIKE '%x%';\n",
    "http://example.org/a_b/c-d?e=f&g=%20h#i <b>bold</b> &amp; x^2+y^2=z^2 $5.00 ~/.bashrc\n",
    "#include <vector>\nstd::vector<float> v(1'000'000, 0.5f);\n",
    "\t\tif a:\n\t\t\tpass\n\n    else:  \n        print('no')   \n",
]

EMOJI = "😀 😂 👍🏽 👨‍👩‍👧‍👦 🏴󠁧󠁢󠁥󠁮󠁧󠁿 🇩🇪🇫🇷 ❤️ ✈️ 1️⃣ 🤷🏿‍♀️ 🫠 ☃ ♥︎".split()
SPACES = ["\u0020", "  ", "   ", "\t", "\n", "\r\n", "\r", "\n\n", " \n", "\n ", "\u00a0", "\u2003", "\u3000", "\u2028", "\u0085",
          "\u000b", "\u000c", "\u200b", "\u1680", "\u202f", "          ", "\n\n\n\n", " \t \t"]
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<s>", "</s>", "<|im_start", "<unk>", "<mask>", "<|special|>"]
COMBINING = ["e\u0301", "A\u030a", "\u0301", "o\u0302\u0323", "\u0d4d\u200d", "\u1100\u1161\u11a8", "\u212b", "\u2126", "q\u0307\u0323",
             "\u0958", "\ufb1f", "\u0344", "\U0001d15e"]


def scalar(rng):
    while True:
        code = rng.randrange(rng.choice([0x80, 0x250, 0x3000, 0x10000, 0x20000, 0x110000]))
        if not 0xD800 <= code < 0xE000:
            return chr(code)


def piece(rng):
    kind = rng.randrange(16)
    if kind < 6:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 12)))
    if kind == 6:
        return rng.choice(CODE)
    if kind == 7:
        return rng.choice(EMOJI) * rng.randrange(1, 3)
    if kind == 8:
        return rng.choice(COMBINING)
    if kind == 9:
        return str(rng.randrange(10 ** rng.randrange(1, 15)))
    if kind == 10:
        return "".join(scalar(rng) for _ in range(rng.randrange(1, 6)))
    if kind == 11:
        return "".join(chr(rng.randrange(0x20)) for _ in range(rng.randrange(1, 4)))
    if kind == 12:
        return rng.choice("'’`\"-_.,;:!?") + rng.choice(WORDS).upper()
    if kind == 13:
        return rng.choice(SPECIAL)
    return rng.choice(SPACES) * rng.randrange(1, 3)


def mixed_text(size, seed=1):
    rng = random.Random(seed)
    parts, count = [], 0
    while count < size:
        part = piece(rng) + rng.choice(["", " ", " ", rng.choice(SPACES)])
        parts.append(part)
        count += len(part.encode())
    return "".join(parts)


LLAMA3, QWEN2 = tokenizer_families.LLAMA3, tokenizer_families.QWEN2


def split_then_bytes(pattern):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])


def byte_level(pre, size=700, specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>"), **model):
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(specials), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([mixed_text(200_000, seed=7)], trainer)
    return tokenizer


def llama2(size=1600):
    """As the converter writes Llama 2: ▁ put before and for spaces, bytes for unknown characters, <s> before all."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)],
        show_progress=False, limit_alphabet=300)
    # Trained on words with the ▁ before them; merges over spaces would fill so small a vocabulary.
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer.train_from_iterator([mixed_text(200_000, seed=7)], trainer)
    state = json.loads(tokenizer.to_str())
    state["pre_tokenizer"] = None
    state["added_tokens"] = state["added_tokens"][:3]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return tokenizer


def flags():
    """Added tokens with each of their flags. (`tokenizers` decodes one of Latin-1 characters as bytes; we do not.)"""
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True), size=400)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_tokens([
        AddedToken("<mask>", lstrip=True, normalized=False), AddedToken("<|special|>", rstrip=True, normalized=False),
        AddedToken("the", single_word=True, normalized=False), AddedToken("token", normalized=True),
        AddedToken("Ω", normalized=True), AddedToken("<|im_start|>x", normalized=False),
        AddedToken("  ", normalized=False, lstrip=True, rstrip=True), AddedToken("a b", normalized=False)])
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(
            single="<|im_start|> $A <|im_end|>", special_tokens=[("<|im_start|>", 1), ("<|im_end|>", 2)])])
    return tokenizer


def metaspace():
    """Llama's newer files: ▁ by the pre-tokenizer, once, before the first piece only."""
    state = json.loads(llama2().to_str())
    state["normalizer"] = None
    state["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
    return Tokenizer.from_str(json.dumps(state))


def digits_then_bytes():
    return pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])


def qwen2():
    tokenizer = byte_level(split_then_bytes(QWEN2))
    tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def bert(size=1500, **normalizer):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=40))
    tokenizer.normalizer = normalizers.BertNormalizer(**normalizer)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator([mixed_text(200_000, seed=7)], trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=specials, show_progress=False, limit_alphabet=600))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return tokenizer


def unigram(size=1500, byte_fallback=False):
    """As XLM-RoBERTa's: characters by a map first, words cut at white space, ▁ before each."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Precompiled(tokenizer_families.characters_map()), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", prepend_scheme="always")])
    decoder = decoders.Metaspace("▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoder]) if byte_fallback else decoder
    tokenizer.train_from_iterator([mixed_text(200_000, seed=7)], trainers.UnigramTrainer(
        vocab_size=size, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False))
    state = json.loads(tokenizer.to_str())
    state["model"]["byte_fallback"] = byte_fallback
    # Scores to a few digits, so that the file is small; characters that are rare are unknown.
    state["model"]["vocab"] = [[token, round(score, 5)] for token, score in state["model"]["vocab"]
                               if len(token) > 1 or ord(token) < 0x3000]
    if byte_fallback:
        state["model"]["vocab"] += [[f"<0x{byte:02X}>", -9.5] for byte in range(256)]
    state["model"]["unk_id"] = 3
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


TOKENIZERS = {
    "bert": bert,
    "bert-cased": lambda: bert(lowercase=False),
    "unigram": unigram,
    "unigram-bytes": lambda: unigram(byte_fallback=True),
    "gpt2": lambda: byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "smollm": lambda: byte_level(digits_then_bytes()),
    "llama3": lambda: byte_level(split_then_bytes(LLAMA3), ignore_merges=True),
    "qwen2": qwen2,
    "llama2": llama2,
    "metaspace": metaspace,
    "flags": flags,
}


def of_gguf(path):
    from gguf import GGUFReader

    def field(name):
        return fields[f"tokenizer.ggml.{name}"].contents()

    fields = GGUFReader(path).fields
    tokens, kinds = field("tokens"), field("token_type")
    vocab = {token: id for id, token in enumerate(tokens)}
    if field("model") == "llama":
        tokenizer = of_pieces(vocab, field("scores"), kinds, tokens[field("unknown_token_id")])
        bos = tokens[field("bos_token_id")]
        tokenizer.post_processor = processors.TemplateProcessing(single=[bos, "$A"], special_tokens=[(bos, vocab[bos])])
    else:
        tokenizer = Tokenizer(models.BPE(vocab, [tuple(merge.split(" ")) for merge in field("merges")]))
        tokenizer.pre_tokenizer = {
            "smollm": digits_then_bytes, "gpt-2": lambda: pre_tokenizers.ByteLevel(add_prefix_space=False),
            "llama-bpe": lambda: split_then_bytes(LLAMA3), "qwen2": lambda: split_then_bytes(QWEN2)}[field("pre")]()
        tokenizer.decoder = decoders.ByteLevel()
    for number, add in [(3, tokenizer.add_special_tokens), (4, tokenizer.add_tokens)]:
        add([AddedToken(token, normalized=False) for token, kind in zip(tokens, kinds) if kind == number])
    return tokenizer


def of_pieces(vocab, scores, kinds, unknown):
    """Gemma's pieces: spaces are ▁, none is put before the text, and every split of a piece is a merge, the best piece's first."""
    merges = []
    for token in sorted((token for token in vocab if kinds[vocab[token]] == 1), key=lambda token: -scores[vocab[token]]):
        merges += [(token[:cut], token[cut:]) for cut in range(1, len(token)) if token[:cut] in vocab and token[cut:] in vocab]
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


def by_scores(tokenizer):
    """The merges that a file of SentencePiece pieces and scores stands for: every split of each piece, best first."""
    state = json.loads(tokenizer.to_str())
    vocab, ranks = state["model"]["vocab"], {}
    for rank, merge in enumerate(state["model"]["merges"]):
        ranks.setdefault("".join(merge), rank)
    state["model"]["merges"] = [
        [token[:cut], token[cut:]] for token in sorted(ranks, key=ranks.get) for cut in range(1, len(token))
        if token[:cut] in vocab and token[cut:] in vocab]
    return Tokenizer.from_str(json.dumps(state))


def chunks(text, size=1500):
    return [text[start:start + size] for start in range(0, len(text), size)]


def packed(ids):
    return struct.pack(f"<{len(ids)}i", *ids)


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2 ** 64
    return f"{value:016x}"


def scalar_texts():
    """Every scalar of the planes with characters, between a letter, a digit and a space: its class shows in the cuts."""
    for start in [*range(0, 0x40000, 0x1000), 0xE0000]:
        yield "".join(f"a{chr(code)}1{chr(code)} " for code in range(start, start + 0x1000) if not 0xD800 <= code < 0xE000)


def expectation(tokenizer, texts):
    """Per text: how many ids, and a hash of them; then of their text."""
    rows = []
    for chunk in texts:
        ids = tokenizer.encode(chunk, add_special_tokens=True).ids
        decoded = tokenizer.decode(ids, skip_special_tokens=True)
        rows.append([len(ids), fnv(packed(ids)), fnv(decoded.encode())])
    return rows


def word_texts():
    """Every scalar behind a small letter and before a capital one, a digit and punctuation."""
    for start in [*range(0, 0x40000, 0x1000), 0xE0000]:
        yield "".join(f"a{chr(c)}Ab{chr(c)}1{chr(c)}. {chr(c)}'s" for c in range(start, start + 0x1000) if not 0xD800 <= c < 0xE000)


def words(tokenizer, texts):
    """Per text: how many words, and a hash of the bytes in each."""
    for text in texts:
        if tokenizer.normalizer:
            text = tokenizer.normalizer.normalize_str(text)
        lengths = [len(word) for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
        yield [len(lengths), fnv(packed(lengths))]


def family_fixtures(folder):
    """families.json, families.txt, crossing.tokenizer.json, and in expected.json "family/NAME" and "words/NAME"."""
    tokenizer_families.crossing(
        mixed_text(150_000, seed=7) + tokenizer_families.varied_text(150_000, seed=8)).save(str(folder / "crossing.tokenizer.json"), pretty=False)
    bases = {name: json.loads((folder / f"{name}.tokenizer.json").read_text()) for name in ["crossing", "llama2"]}
    text = tokenizer_families.varied_text(50_000, seed=5)
    (folder / "families.txt").write_text(text, newline="")
    families = tokenizer_families.FAMILIES
    (folder / "families.json").write_text(
        "{\n" + ",\n".join(f'"{name}":{json.dumps(family, ensure_ascii=False)}' for name, family in families.items()) + "\n}\n")
    for name, family in families.items():
        tokenizer = Tokenizer.from_str(json.dumps(tokenizer_families.assembled(bases, family)))
        yield f"family/{name}", expectation(tokenizer, chunks(text))
        if name in ["granite", "llama3", "cl100k", "qwen35", "gpt4o", "deepseek3", "deepseek-coder"]:
            yield f"words/{name}", list(words(tokenizer, word_texts()))
        if name == "gemma":
            yield "family/gemma-gguf", expectation(by_scores(tokenizer), chunks(text))


def fixtures(folder, model=None):
    folder = Path(folder)
    text = mixed_text(120_000, seed=3)
    (folder / "mixed.txt").write_text(text, newline="")
    expected = {}
    for name, make in TOKENIZERS.items():
        tokenizer = make()
        path = folder / f"{name}.tokenizer.json"
        path.write_text(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")))
        expected[name] = expectation(tokenizer, chunks(text))
        if name in ("smollm", "llama3", "qwen2", "bert", "bert-cased"):
            expected[f"{name}-scalars"] = expectation(tokenizer, scalar_texts())
    expected["llama2-gguf"] = expectation(by_scores(Tokenizer.from_file(str(folder / "llama2.tokenizer.json"))), chunks(text))
    expected.update(family_fixtures(folder))
    if model:
        expected["smollm2-gguf"] = expectation(of_gguf(model), chunks(text))
    (folder / "expected.json").write_text(
        "{\n" + ",\n".join(f'"{name}":{json.dumps(rows, separators=(",", ":"))}' for name, rows in expected.items()) + "\n}\n")


def write_ids(tokenizer, text, out):
    ids = tokenizer.encode(Path(text).read_bytes().decode(), add_special_tokens=True).ids
    Path(out).write_bytes(packed(ids))


def main(command, *arguments):
    if command == "fixtures":
        fixtures(*arguments)
    elif command == "text":
        half = int(arguments[0]) // 2
        Path(arguments[1]).write_bytes((mixed_text(half) + tokenizer_families.varied_text(half, seed=9)).encode())
    elif command == "gguf":
        write_ids(of_gguf(arguments[0]), *arguments[1:])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
