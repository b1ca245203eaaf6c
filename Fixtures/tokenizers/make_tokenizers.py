"""Trains a small tokenizer of each kind with the `tokenizers` library, in the component stacks of the
model families, and stores what the library answers on corpus.json. Training breaks ties by chance: a new
run gives other, equally good tokenizers.

    families/NAME.json            the tokenizer
    families/NAME.expected.json   for each text of the corpus the ids with special tokens and, of the
                                  first, without; the decoded text, null where it is the text; whole
                                  encodings of pairs, null where truncation is impossible

Ids are base64 of little-endian 16-bit integers.

Needs: tokenizers 0.23.3, and sentencepiece for the compiled normalization rules.
"""

import base64
import io
import json
import os
import sys
import tempfile

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

here = os.path.dirname(os.path.abspath(__file__))
corpus = json.load(open(os.path.join(here, "corpus.json")))
LENGTH = 480

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
BYTE_TOKENS = ["<0x%02X>" % b for b in range(256)]


def bpe(tokenizer, size, special, alphabet=(), **options):
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=list(alphabet), show_progress=False, **options)
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


def rebuilt(tokenizer, change):
    """The tokenizer after a change of its JSON."""
    data = json.loads(tokenizer.to_str())
    change(data)
    return Tokenizer.from_str(json.dumps(data))


def packed(ids):
    return base64.b64encode(b"".join(i.to_bytes(2, "little") for i in ids)).decode()


def template(single, pair, tokenizer, names):
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=[(n, tokenizer.token_to_id(n)) for n in names])


def gpt2():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    bpe(t, LENGTH, ["<|endoftext|>"], BYTES)
    return t


def roberta():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    t.decoder = decoders.ByteLevel()
    bpe(t, LENGTH, ["<s>", "<pad>", "</s>", "<unk>"], BYTES)
    t.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    t.post_processor = processors.RobertaProcessing(("</s>", t.token_to_id("</s>")), ("<s>", t.token_to_id("<s>")), add_prefix_space=True)
    return t


def llama3():
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    t.decoder = decoders.ByteLevel()
    bpe(t, LENGTH, [], BYTES)

    # Tokens that no merge reaches: only `ignore_merges` finds them.
    def change(data):
        vocab = data["model"]["vocab"]
        for word in ["Ġtoday", "Ġquick", "ab" * 4]:
            vocab.setdefault(word, len(vocab))

    t = rebuilt(t, change)
    t.add_special_tokens(["<|begin_of_text|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    name = "<|begin_of_text|>"
    t.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        template(f"{name} $A", f"{name} $A {name}:1 $B:1", t, [name]),
    ])
    return t


def qwen2():
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False, trim_offsets=False),
    ])
    t.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    t.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    bpe(t, LENGTH, [], BYTES)
    t.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    t.add_tokens([AddedToken("<ÜNÏ>", normalized=True), AddedToken("<u\u0308NI>", normalized=True), AddedToken("<tool>", normalized=False)])
    return t


def o200k():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(O200K), "removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    t.decoder = decoders.ByteLevel()
    bpe(t, 400, [], BYTES)
    return t


def deepseek():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), "isolated"),
        pre_tokenizers.Split(Regex("[一-龥぀-ゟ゠-ヿ]+"), "isolated"),
        pre_tokenizers.Split(Regex("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    t.decoder = decoders.ByteLevel()
    bpe(t, 400, [], BYTES)
    return t


def bloom():
    t = Tokenizer(models.BPE(dropout=None))
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(" ?[^(\\s|[.,!?…。，、।۔،])]+"), "isolated"),
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    t.decoder = decoders.ByteLevel()
    bpe(t, 400, ["<unk>", "<s>", "</s>", "<pad>"], BYTES)
    return t


def llama2():
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    bpe(t, 700, ["<unk>", "<s>", "</s>"] + BYTE_TOKENS, limit_alphabet=200)
    t.pre_tokenizer = None
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.post_processor = template("<s> $A", "<s> $A <s>:1 $B:1", t, ["<s>"])
    def change(data):
        data["added_tokens"] = [a for a in data["added_tokens"] if a["id"] < 3]
    return rebuilt(t, change)


def mistral():
    t = llama2()
    t.normalizer = None
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first"), decoders.Fuse()])
    # Byte tokens missing: unknown tokens appear, between byte tokens too.
    def change(data):
        vocab = data["model"]["vocab"]
        data["model"]["fuse_unk"] = False
        for name in ["<0xE2>", "<0xD7>"]:
            vocab["<was" + name[1:]] = vocab.pop(name)
    return rebuilt(t, change)


def gemma():
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Replace(" ", "▁")
    t.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_previous")
    bpe(t, 700, ["<pad>", "<eos>", "<bos>", "<unk>"] + BYTE_TOKENS, limit_alphabet=220)
    t.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    t.post_processor = template("<bos> $A", "<bos> $A <bos>:1 $B:1", t, ["<bos>"])
    return t


def wordpiece_trainer(size, special):
    return trainers.WordPieceTrainer(vocab_size=size, special_tokens=special, show_progress=False, limit_alphabet=350)


def bert():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.train_from_iterator(corpus, wordpiece_trainer(900, special))
    t.decoder = decoders.WordPiece("##", cleanup=True)
    t.post_processor = template("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", t, ["[CLS]", "[SEP]"])
    t.enable_truncation(24, strategy="longest_first")
    t.enable_padding(pad_id=0, pad_token="[PAD]", pad_to_multiple_of=8)
    return t


def bert_cased():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    t = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20))
    t.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=None, handle_chinese_chars=False)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.train_from_iterator(corpus, wordpiece_trainer(900, special))
    t.decoder = decoders.WordPiece("##", cleanup=False)
    t.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    t.add_tokens([AddedToken("Day", single_word=True), AddedToken("word", rstrip=True, single_word=True)])
    t.enable_truncation(30, strategy="only_first", direction="left")
    t.enable_padding(length=16, pad_id=0, pad_token="[PAD]", direction="left")
    return t


def charsmap(rules):
    """Normalization rules (text → text) compiled as SentencePiece does it."""
    import sentencepiece

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rules.tsv")
        with open(path, "w") as file:
            for source, target in rules:
                file.write(" ".join("%X" % ord(c) for c in source) + "\t" + " ".join("%X" % ord(c) for c in target) + "\n")
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["a b c d e f g"] * 10), model_writer=model, vocab_size=12, hard_vocab_limit=False,
            normalization_rule_tsv=path, minloglevel=2)
        data = model.getvalue()
    # normalizer_spec is field 3 of the model, precompiled_charsmap field 2 of it (protocol buffers).
    def fields(data):
        i = 0
        def varint():
            nonlocal i
            value = shift = 0
            while True:
                byte = data[i]
                i += 1
                value |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    return value
        while i < len(data):
            key = varint()
            if key & 7 == 0:
                varint()
            elif key & 7 == 5:
                i += 4
            else:
                length = varint()
                yield key >> 3, data[i : i + length]
                i += length
    spec = dict(fields(data))[3]
    return dict(fields(spec))[2]


def rules():
    """A cut of NFKC, with the spaces and controls of SentencePiece's rules."""
    import unicodedata

    pairs = []
    for c in list(range(0xA0, 0x250)) + list(range(0x1E00, 0x1F00)) + list(range(0x2000, 0x2200)) + list(range(0x2460, 0x2480)) + list(range(0xFB00, 0xFB10)) + list(range(0xFF01, 0xFF9F)):
        text = chr(c)
        normal = unicodedata.normalize("NFKC", text)
        if normal != text and "\0" not in normal:
            pairs.append((text, normal))
        decomposed = unicodedata.normalize("NFD", text)
        if decomposed != text and c < 0x180 and unicodedata.normalize("NFC", decomposed) == text:
            pairs.append((decomposed, text))
    for c in [0x200B, 0x2060, 0xFEFF, 0xAD] + [c for c in range(1, 32) if c not in (9, 10, 13)]:
        pairs.append((chr(c), ""))
    for c in [9, 10, 13]:
        pairs.append((chr(c), " "))
    pairs.append(("\r\n", " "))
    return sorted(set(pairs))


def unigram(t, size, special, unk):
    t.train_from_iterator(corpus[:14], trainers.UnigramTrainer(vocab_size=size, special_tokens=special, unk_token=unk, show_progress=False, shrinking_factor=0.6))
    return t


def t5():
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.Precompiled(charsmap(rules())), normalizers.Replace(Regex(" {2,}"), "▁")])
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    unigram(t, 700, ["<pad>", "</s>", "<unk>"], "<unk>")
    t.decoder = decoders.Metaspace(prepend_scheme="always")
    t.add_special_tokens([AddedToken("<mask>", rstrip=True, normalized=False)])
    t.post_processor = template("$A </s>", "$A </s> $B </s>", t, ["</s>"])
    return t


def xlm_roberta():
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Strip(left=True, right=False), normalizers.Replace(Regex(r"\s+"), " ")])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="first")])
    unigram(t, 700, ["<s>", "<pad>", "</s>", "<unk>"] + BYTE_TOKENS, "<unk>")
    t.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    t.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
    t.post_processor = template("<s> $A </s>", "<s> $A </s> </s> $B </s>", t, ["<s>", "</s>"])
    def change(data):
        data["model"]["byte_fallback"] = True
        data["added_tokens"] = [a for a in data["added_tokens"] if not a["content"].startswith("<0x")]
    return rebuilt(t, change)


def albert():
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([
        normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Metaspace()])
    unigram(t, 500, ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], "<unk>")
    t.decoder = decoders.Metaspace()
    return t


def clip():
    t = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>", continuing_subword_prefix=""))
    t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    bpe(t, 700, ["<|startoftext|>", "<|endoftext|>"], BYTES, end_of_word_suffix="</w>")
    t.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.BPEDecoder("</w>")])
    t.post_processor = processors.RobertaProcessing(("<|endoftext|>", 1), ("<|startoftext|>", 0), add_prefix_space=False, trim_offsets=False)
    return t


def wordlevel():
    t = Tokenizer(models.WordLevel(unk_token="<unk>"))
    t.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Strip(), normalizers.StripAccents()])
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.CharDelimiterSplit(" "), pre_tokenizers.Split(Regex(r"(?<=[a-z])(?=[A-Z])|\b"), "merged_with_next"),
        pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.FixedLength(4)])
    t.train_from_iterator(corpus, trainers.WordLevelTrainer(vocab_size=500, special_tokens=["<unk>"], show_progress=False))
    return t


families = [gpt2, roberta, llama3, qwen2, o200k, deepseek, bloom, llama2, mistral, gemma, bert, bert_cased, t5, xlm_roberta, albert, clip, wordlevel]
chosen = sys.argv[1:]
for make in families:
    name = make.__name__
    if chosen and name not in chosen:
        continue
    tokenizer = make()
    path = os.path.join(here, "families", name + ".json")
    with open(path, "w") as file:
        json.dump(json.loads(tokenizer.to_str()), file, ensure_ascii=False, separators=(",", ":"))
    tokenizer = Tokenizer.from_file(path)
    encodings = [tokenizer.encode(text) for text in corpus]
    pairs = []
    for i in range(3, 33, 2):
        try:
            e = tokenizer.encode(corpus[i], corpus[i + 1])
        except Exception:
            pairs.append(None)
            continue
        pairs.append([packed(e.ids), packed(e.type_ids), packed(e.attention_mask), packed(e.special_tokens_mask)])

    def decoded(count, skip):
        texts = [tokenizer.decode(e.ids, skip_special_tokens=skip) for e in encodings[:count]]
        return [None if a == b else a for a, b in zip(texts, corpus)]

    expected = {
        "tokenizers": tokenizers.__version__,
        "ids": [packed(e.ids) for e in encodings],
        "plain_ids": [packed(tokenizer.encode(text, add_special_tokens=False).ids) for text in corpus[:12]],
        "decoded": decoded(48, True),
        "decoded_with_special": decoded(24, False),
        "pairs": pairs,
    }
    with open(os.path.join(here, "families", name + ".expected.json"), "w") as file:
        json.dump(expected, file, ensure_ascii=False, separators=(",", ":"))
    print(name, os.path.getsize(path), sum(len(e) for e in encodings))
