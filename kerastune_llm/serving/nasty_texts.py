"""Texts that tell tokenizers apart which are nearly alike; exports must pass them."""

_LONG = 100_000

NASTY_TEXTS: tuple[str, ...] = (
    "",
    " ",
    "  two  spaces ",
    "tab\tnew\nline\r\nreturn\r",
    "a\x00b",
    "\x00",
    "controls \x01\x02\x7f\x9f",
    "emoji 😀 👩‍👩‍👧 🏳️‍🌈 👍🏽",
    "中文 テスト ｶﾞ 한국어 \u1100\u1161",
    "العربية עברית हिन्दी ไทยำ",
    "e\u0301 e\u0302\u0301 u\u0308 A\u030a a\u0300\u0301\u0302\u0303b",
    "\u00aa\u0301 \ufb01\u0306 \u0600e\u0301",
    "ﬁ ½ № ™ … “quotes” ‘single’ —",
    "\u200b\u200d zero\u200bwidth \ufeff",
    "\ufeffbyte order mark",
    "\u00a0no\u00a0break\u3000ideographic\u2028line",
    "▁▁lower ▁ one eighth block",
    "İstanbul ΑΣ ς ß ÀÉÎ Ǆ",
    "don't U.S.A. #hash ##ing $5.00 a_b",
    "</s> <pad> <unk> a</s>b <extra_id_0>",
    "[CLS] a [MASK] b [SEP] <s> <mask> x",
    "＜/s＞ <",
    "𝒳 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𠀀 \U0010fffd \ue000",
    "x" * 100 + " " + "y" * 101,
    "中" * 150,
    "word " * (_LONG // 5),
    "q" * _LONG,
)
