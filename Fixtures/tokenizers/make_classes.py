"""Writes classes.json: which Unicode scalars the `tokenizers` library counts to each class, and how it
normalizes single scalars, as counts and FNV-1a hashes over the scalars that Python's Unicode assigns, but for private
use and most ideographs.

Needs: tokenizers 0.23.3, Python 3.11 (Unicode 14).
"""

import json
import os
import unicodedata

import tokenizers
from tokenizers import Regex, normalizers as N, pre_tokenizers as P



def is_tested(c):
    # Of ideographs and syllables, which are many and alike, one in 16.
    is_bulk = 0x3400 <= c < 0xA000 or 0xAC00 <= c < 0xD7A0 or 0x17000 <= c < 0x1B000 or c >= 0x20000
    return unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co") and (not is_bulk or c % 16 == 0)


scalars = [c for c in range(0x110000) if is_tested(c)]


def digest(values):
    hash = 0xCBF29CE484222325
    count = 0
    for value in values:
        count += 1
        for shift in (0, 8, 16):
            hash = ((hash ^ (value >> shift & 0xFF)) * 0x100000001B3) & (1 << 64) - 1
    return {"count": count, "hash": "%016x" % hash}


def matched(pattern):
    normalizer = N.Replace(Regex(pattern), "")
    return [c for c in scalars if normalizer.normalize_str(chr(c)) == ""]


def split(pre_tokenizer, parts):
    return [c for c in scalars if len(pre_tokenizer.pre_tokenize_str("a%ca" % c)) == parts]


def removed(normalizer):
    return [c for c in scalars if normalizer.normalize_str(chr(c)) == ""]


def bert(**options):
    return N.BertNormalizer(**{**dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False), **options})


classes = {}
for pattern in (
    r"\p{L}", r"\p{M}", r"\p{N}", r"\p{P}", r"\p{S}", r"\p{Z}", r"\p{C}", r"\p{Lu}", r"\p{Ll}", r"\p{Lt}", r"\p{Lm}", r"\p{Lo}",
    r"\p{Mn}", r"\p{Nd}", r"\s", r"\w", r"\W", r"\d", r"[[:punct:]]", r"(?i:s)", r"(?i:[a-z])", r"[^\s\p{L}\p{N}]", r"[\w&&[^\d_]]", r"[\W]",
):
    classes[pattern] = digest(matched(pattern))
classes["whitespace"] = digest(split(P.WhitespaceSplit(), 2))
classes["word"] = digest(split(P.Whitespace(), 1))
classes["numeric"] = digest(split(P.Digits(), 3))
classes["punctuation"] = digest(split(P.Punctuation(), 3))
classes["control"] = digest([c for c in removed(bert(clean_text=True)) if c != 0xFFFD])
classes["nonspacing mark"] = digest(removed(bert(strip_accents=True)))
classes["combining mark"] = digest(removed(N.StripAccents()))

mappings = {}
for name, normalizer in dict(NFC=N.NFC(), NFD=N.NFD(), NFKC=N.NFKC(), NFKD=N.NFKD(), lowercase=N.Lowercase()).items():
    mappings[name] = digest(ord(c) for s in scalars for c in normalizer.normalize_str(chr(s)))

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "classes.json")
with open(path, "w") as file:
    json.dump({"tokenizers": tokenizers.__version__, "unicode": unicodedata.unidata_version, "scalars": digest(scalars), "classes": classes, "mappings": mappings}, file, indent=1)
