"""Writes corpus.json: texts of every script, emoji, control characters, malformed UTF-8, spacing.

Deterministic; needs nothing but Python (the texts depend on its Unicode data, the file is checked in).
"""

import json
import random
import unicodedata

random.seed(20250617)

written = [
    "",
    " ",
    "\n",
    "The quick brown fox jumps over the lazy dog.",
    "We'll see: they've gone, I'm here, it's late, you'd say 'tis so; HE'S LOUD, IT'LL DO, wE'Re.",
    "   leading and trailing   ",
    "tabs\tand\nnew\r\nlines\n\n\n  indented\n\tmore\u00a0hard\u3000wide\u2003em",
    "def f(x):\n    return x**2 + 3.14159  # 1234567890 0x7fff\n\n\nprint(f(42))\n",
    "snake_case camelCase PascalCase SCREAMING_CASE kebab-case 100% $5.00 €3 ¥700 #tag @you",
    "http://example.org/a/b?c=d&e=f#g me@example.org 2024-02-29T23:59:60Z 192.168.0.1",
    "naïve café — cafe\u0301, Ångström, A\u030angstro\u0308m, façade, coöperate, Øresund, Łódź, Straße, İstanbul, ıçğş",
    "ﬁne ﬂow ﬀ ﬆ ½ ² ³ ¼ ① Ⅷ ㍿ ㌔ ™ ℃ Ω Å K ſ Ａｂｃ　１２３ ｶﾞｷﾞ",
    "Широкая электрификация южных губерний даст мощный толчок; ёлка, й, її, ў.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία· ΟΔΟΣ, ὁδός, ᾳ ᾼ ΐ",
    "דג סקרן שט בים; שָׁלוֹם עֲלֵיכֶם",
    "نص عربي قصير، مع أرقام ١٢٣ و تَشْكِيل؛ لا إله؟ ﷺ ﻻ",
    "یہ اردو ہے۔ این فارسی است: می‌خواهم ۱۲۳",
    "ऋषियों को सताने वाले दुष्ट राक्षसों क्षत्रिय ज्ञान १२३ हिन्दी।",
    "বাংলা ভাষা কোনো ড় ঢ় য়; தமிழ் மொழி கொ; తెలుగు; ಕನ್ನಡ ೊ; മലയാളം; ਪੰਜਾਬੀ; ગુજરાતી; ଓଡ଼ିଆ; සිංහල",
    "ภาษาไทยไม่มีวรรค น้ำ กำลัง; ພາສາລາວ; ភាសាខ្មែរ; မြန်မာဘာသာ; བོད་ཡིག",
    "我们都是好朋友，今天天气很好。漢字と仮名がまざる文章です！カタカナ、ひらがな、ヴ。",
    "한국어 문장은 띄어쓰기가 있다. \u1112\u1161\u11ab\u1100\u1173\u11af ㅋㅋㅋ",
    "ქართული ენა; Հայերեն լեզու, և; አማርኛ ቋንቋ፡፡; ᏣᎳᎩ; ᐃᓄᒃᑎᑐᑦ; ᠮᠣᠩᠭᠣᠯ; ⵜⴰⵎⴰⵣⵉⵖⵜ; ߒߞߏ; ꓡꓲꓢꓴ",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝒻𝓊𝓃 𝟘𝟙𝟚 𐍈𐌰 𓀀𓂀 𒀀 𐎠 🄰 𠮷野家 𪜀 \U0002b740 \U0002f800",
    "😀😃 👩‍👩‍👧‍👦 👍🏽 🇩🇪🇯🇵 ❤️ ☃ ✈︎ 1️⃣ 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f 🫠 🧑🏿‍🚀",
    "zero\u200bwidth\u200cjoin\u200der\u2060word\ufeffbom\u00adsoft\u200eltr\u200frtl\u202eover",
    "".join(map(chr, range(1, 32))) + "\x7f" + "".join(map(chr, range(0x80, 0xA0))),
    "nul\x00inside \ufffd \ufffe \uffff \ue000 \U000f0000 \U0010ffff",
    b"cut \xe2\x82 off \xff\xfe \xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80 end \xf0\x9f\x98".decode("utf-8", "replace"),
    "a\u0315\u0300\u05ae\u0062 \u0344 \u0958 \u2adc \U0001d15e \u1e9b\u0323 \u0f73 e\u0328\u0301 \u1100\u1161\u11a8 \u0b47\u0b57",
    "x" * 120 + " " + "ab" * 80 + " " + "ß" * 40,
    " " * 5 + "\n" * 4 + " " * 3 + "end" + "\t" * 3,
    "!!! ??? ... ,,, ;;; ::: --- ___ === ``quoted'' “curly” ‘single’ «guillemets» 「鉤」 … – —",
    "<s>begin</s> <unk> <pad> [CLS] a [SEP] b [MASK] [mask] <mask>, x<mask>y <mask>  z <|endoftext|><|im_start|>user\nhi<|im_end|>\n",
    "  <mask>  spaced  <sep> word<word>word <word> <WORD> ünïcode <ÜNÏ> <üni> <u\u0308NI> <0x41> <0xE2><0x82> ▁visible▁space",
    "Day day DAY Daytime today",
    "do not can't won 't I 've they 're n't ' quoted '",
    "1 12 123 1234 12345 123456 ١٢٣٤ ⅣⅤ 1½2 x2y3 3.1.4 1,000,000",
    "ǅ ǈ ᾈ Ǆ ʰʲ ªº ʕ \u0295 ꟎ ꟓ Ა ა Ꭰ ꭰ",
]

# One text for every block of 128 scalars that has assigned ones: a sample of it in random words.
blocks = []
for start in range(0x80, 0x20000, 0x80):
    assigned = [chr(c) for c in range(start, start + 0x80) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    if assigned:
        blocks.append(assigned)
sampled = []
for i in range(0, len(blocks), 6):
    text = ""
    for block in blocks[i : i + 6]:
        text += "".join(random.choice(block) + (" " if random.random() < 0.3 else "") for _ in range(7)) + random.choice([" ", "", "a", "1", "\n"])
    sampled.append(text)

# Marks in disorder on letters of all scripts.
marks = [chr(c) for c in range(0x300, 0x1E944) if unicodedata.combining(chr(c))]
letters = [chr(c) for c in list(range(0x41, 0x250)) + list(range(0x370, 0x1200)) + list(range(0x1E00, 0x2000)) + list(range(0xAC00, 0xAD00)) if unicodedata.category(chr(c))[0] == "L"]
disorder = [
    "".join(random.choice(letters) + "".join(random.choice(marks) for _ in range(random.randrange(4))) for _ in range(12))
    for _ in range(12)
]

# ASCII noise for the patterns.
alphabet = "abzABZ019  \t\n\r'\"sStTlLvVeErRmMdD.,!-_/\u00e9\u0416\u4e2d\u0661\u00a0\u017f"
noise = ["".join(random.choice(alphabet) for _ in range(60)) for _ in range(24)]

with open("corpus.json", "w", encoding="ascii") as file:
    json.dump(written + sampled + disorder + noise, file, indent=0)
