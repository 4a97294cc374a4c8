"""Settings of the tokenizers of model families, as their tokenizer.json has them, on small vocabularies; see
tokenizer_fixtures.py. A family is a base (a vocabulary of Tests/TokenizerTests/Data) and the parts that it has instead.
"""
import json
import random
import struct

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
QWEN35 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + SPACES
HEAD, TAIL = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
LEAD = r"[^\r\n\p{L}\p{N}]?"
GPT4O = (LEAD + HEAD + "*" + TAIL + "+" + CONTRACTION + "?|" + LEAD + HEAD + "+" + TAIL + "*" + CONTRACTION
         + r"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + SPACES)
TEKKEN = (LEAD + HEAD + "*" + TAIL + "+|" + LEAD + HEAD + "+" + TAIL + r"*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + SPACES)
# As tiktoken writes the expression of cl100k, with possessive quantifiers.
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
          r"|\s+(?!\S)|\s")
DEEPSEEK3 = [r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
             r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
             r"| ?[\p{P}\p{S}]+[\r\n]*|" + SPACES]
DEEPSEEK_CODER = [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+"]

PIECES = """camelCase HTMLParser parseHTTPResponse iPhone McDonald's ÀÉÎ éÀ ΑΒΓαβγ АБВабв ǅenan ʰʷ ªº ﷺ don'T WE'LL y'all
snake_case_name SCREAMING_CASE kebab-case x1y2z3 3.14159 1,000,000 0xFF 2024-01-31 ١٢٣٤٥٦ १२३४५६७ ⅯⅭ ¾ 10¹² a/b\\c //comment /*x*/
https://ex.org/a?b=c&d=%20 {"k":[1,null]} שָׁלוֹם עִבְרִית مُحَمَّد العَرَبِيَّة كتاب١٢ \u202babc\u202c e\u0301\u0302\u0303 \u0301x क्षि नमस्ते ก็ ไม้ t\u0336e\u0336
👩‍👩‍👧‍👦 👍🏽👍🏿 🇩🇪🇫🇷🇯🇵 🏴󠁧󠁢󠁥󠁮󠁧󠁿 1️⃣2️⃣ ☺️☺ 🤷🏿‍♀️ \ue000 \ue123\uf8ff \U000f0000 \U0010fffd \ufffd \ufffe \ud7ff\uf900 漢字かなカナ ｶﾀｶﾅ 你好，世界。 한국어 ᄀ
'tis '90s ''s 's's !important #hash ##h [x] [[y]] (z) ~~q~~ `code` <b>bold</b> <|im_start|> <|im_end|>user <start_of_turn> ▁x x▁y""".split()
GAPS = [" ", " ", " ", "", "\n", "\r\n", "\t", "  ", "    ", "\t\t\t", "\n\n", "\r\n\r\n", " \n", "\n ", "\n\t", " \r", "\r", "\u00a0",
        "\u00a0\u00a0", "\u3000", "\u2009", "\u0085", "\u2028", "\u200b", "\ufeff", "\u000b", " " * 17, "\n" * 9, "\t" * 5, " \t \n \t ",
        "\n   \n   x", "1" * 7, "9" * 31, ".", "...", "?!", ";\n", "/\n", "//\r\n"]


def varied_text(size, seed):
    rng = random.Random(seed)
    parts, count = [], 0
    while count < size:
        parts.append(rng.choice(PIECES) + rng.choice(GAPS))
        count += len(parts[-1].encode())
    return "".join(parts)


def characters_map():
    """SentencePiece's map of characters: a double array (its layout is that of Darts-clone) and texts that end with a zero."""
    rules = {"ﬁ": "fi", "１": "1", "Å": "Å", "…": "...", "e\u0301": "é", "\u00a0": " ", "\t": " ", "\n": " ", "\u200b": "", "ｶ": "カ",
             "㎏": "kg", "ﷺ": "صلى الله عليه وسلم", "Ⅷ": "VIII", "½": "1/2", "Å": "Å", "ﬂy": "fl", "½x": "no"}
    texts, trie = b"", {}
    for key, value in rules.items():
        node = trie
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[0] = len(texts)
        texts += value.encode() + b"\0"
    units, taken = [0] * 4096, {0}

    def place(node, position):
        base = next(b for b in range(1, 4000) if all(b ^ label not in taken and b ^ label < 4096 for label in node))
        taken.update(base ^ label for label in node)
        units[position] |= (position ^ base) << 10 | (1 << 8 if 0 in node else 0)
        for label, child in node.items():
            units[base ^ label] = child | 1 << 31 if label == 0 else label
        for label, child in node.items():
            if label:
                place(child, base ^ label)

    place(trie, 0)
    used = units[:max(taken) // 256 * 256 + 256]
    array = struct.pack(f"<{len(used)}I", *used)
    return struct.pack("<I", len(array)) + array + texts


def crossing(text):
    """Byte-level pairs that were counted without regard to words: wherever a family cuts, one of them would have merged."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"[\s\S]{1,9}"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator([text], trainers.BpeTrainer(
        vocab_size=2500, special_tokens=SPECIALS, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def state(part):
    return json.loads(part.__getstate__()) if part is not None else None


def split(*patterns, **byte_level):
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
        + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False, **byte_level)])


def begins_with(*tokens):
    return processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(
            single=[*tokens, "$A"], special_tokens=[(token, SPECIALS.index(token)) for token in tokens])])


def byte_level(pre, normalizer=None, post=None, **model):
    return {"base": "crossing", "normalizer": state(normalizer), "pre_tokenizer": state(pre), "post_processor": state(post),
            "model": model}


def pieces(normalizer=None, pre=None, strips=True, added=(), more=(), **model):
    """Families whose vocabulary comes from SentencePiece; `more` pieces, each of its two halves."""
    decoder = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    return {"base": "llama2", "normalizer": state(normalizer), "pre_tokenizer": state(pre),
            "decoder": state(decoders.Sequence(decoder + [decoders.Strip(" ", 1, 0)] if strips else decoder)),
            "added_tokens": list(added), "pieces": ["".join(halves) for halves in more], "merges": list(more), "model": model}


def added(content, special=False, **flags):
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special, **flags}


FAMILIES = {
    "gpt2": byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "olmo": byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), normalizers.NFC()),
    "granite": byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])),
    "llama3": byte_level(split(LLAMA3), post=begins_with("<|im_start|>"), ignore_merges=True),
    "lfm2": byte_level(split(LLAMA3), post=begins_with("<|im_start|>")),
    "smollm3": byte_level(split(LLAMA3), ignore_merges=True),
    "olmo2": byte_level(split(LLAMA3)),
    "glm4": byte_level(split(LLAMA3), post=begins_with("<|endoftext|>", "<|im_start|>")),
    "cl100k": byte_level(split(CL100K)),
    "qwen2": byte_level(split(QWEN2), normalizers.NFC()),
    "qwen35": byte_level(split(QWEN35), normalizers.NFC()),
    "gpt4o": byte_level(split(GPT4O)),
    "tekken": byte_level(split(TEKKEN), post=begins_with("<|im_start|>"), ignore_merges=True),
    "deepseek3": byte_level(split(*DEEPSEEK3), normalizers.Sequence([]), begins_with("<|im_start|>")),
    "deepseek-coder": byte_level(pre_tokenizers.Sequence([
        *[pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in DEEPSEEK_CODER],
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])),
    "mistral": pieces(pre=pre_tokenizers.Metaspace("▁", "first", split=False)),
    "phi3": pieces(
        normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
        added=[added("<|im_end|>", True, rstrip=True), added("<|im_start|>", True, rstrip=True)]),
    "gemma": pieces(
        normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", "merged_with_previous"), strips=False,
        more=[["▁", "▁"], ["▁▁", "▁▁"], ["<", "/"], ["▁", "</"], [">", "▁</"]],
        added=[added("<start_of_turn>", True), added("<b>"), added("</b>")] + [added("\n" * n) for n in range(1, 10)]
        + [added("\t" * n) for n in range(2, 5)]),
    # What no family has, each with all behaviours.
    **{f"split-{behavior}": byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\p{P}+|\d"), behavior), pre_tokenizers.Split("a", behavior, invert=behavior != "removed"),
        pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)]),
        normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.Strip(), normalizers.Replace(Regex(r"\s{2,}"), " ")]))
       for behavior in ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]},
}


def assembled(bases, family):
    """tokenizer.json of a family: its base with the family's parts in it."""
    file = json.loads(json.dumps(bases[family["base"]]))
    for key in ["normalizer", "pre_tokenizer", "post_processor", "decoder"]:
        if key in family:
            file[key] = family[key]
    file["model"].update(family["model"])
    file["model"]["merges"] += family.get("merges", [])
    vocab = file["model"]["vocab"]
    for piece in family.get("pieces", []):
        vocab.setdefault(piece, len(vocab))
    for token in family.get("added_tokens", []):
        file["added_tokens"].append({"id": vocab.setdefault(token["content"], len(vocab)), **token})
    return file
