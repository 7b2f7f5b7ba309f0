"""Words, numbers and number plates like those on signs, generated letter by letter without a word list."""

import string

# Onsets, vowels and endings of syllables. An underscore stands for nothing; an item listed twice is twice as likely.
LANGUAGES = {
    "english": (
        "b c d f g h j k l m n p r s t v w st tr ch sh th br cl gr pl sp wh fl _ _ _",
        "a e i o u a e i o ea oo ou ai ee y",
        "_ _ _ n r s t l d m ck ng st nd nt rs ll ss ght p x",
    ),
    "german": (
        "b d f g h k l m n r s t w z sch st sp pf kr br gr schw kl v j _ _",
        "a e i o u e e ä ö ü ei ie au eu",
        "_ _ n n r t l ch cht ng ck s ß st lt nd tz rk",
    ),
    "french": (
        "b c d f g j l m n p r s t v ch pr tr bl qu ç gn _ _ _",
        "a e i o u é è ê à ou eau ai oi eu ie â",
        "_ _ _ _ r s t l n x que nt lle ge",
    ),
    "spanish": (
        "b c d f g h l m n p r s t v ll ñ qu tr br pl ch z _ _",
        "a e i o u a e o ia ie io ue á é í ó",
        "_ _ _ _ n s r l d z",
    ),
    "polish": (
        "b c d g k l m n p r s t w z cz sz rz dz ł ś ż pr kr sk č ř š ž",
        "a e i o u y ą ę ó ie ia",
        "_ _ _ k n m j ć ń ł w ch st",
    ),
    "turkish": ("b c ç d g h k l m n p r s ş t v y z _ _", "a e ı i o ö u ü a e", "_ _ _ n r l k m t ş z r ğ"),
    "vietnamese": (
        "b c d đ g h k l m n ph q r s t th tr v x ng nh",
        "a ă â e ê i o ô ơ u ư á à ế ồ ữ ị ạ",
        "_ _ n ng c m t i",
    ),
    "russian": (
        "б в г д ж з к л м н п р с т ф х ц ч ш щ пр ст тр _ _",
        "а е и о у ы э ю я а о е",
        "_ _ _ _ н т р с л й к в ть м ш",
    ),
    "greek": ("β γ δ ζ θ κ λ μ ν ξ π ρ σ τ φ χ ψ στ πρ τρ _ _", "α ε η ι ο υ ω ου αι ει ά έ ή ί ό", "_ _ _ _ _ ν ρ λ"),
    "armenian": ("բ գ դ զ թ ժ լ խ կ հ ձ ղ մ ն շ պ ռ ս վ տ ր փ ք", "ա ե է ը ի ո ա ե", "_ _ _ ն ր կ մ լ ս ք"),
    "georgian": ("ბ გ დ ვ ზ თ კ ლ მ ნ პ ჟ რ ს ტ ფ ქ ღ ყ შ ჩ ც ძ წ ჭ ხ ჯ", "ა ე ი ო უ ა ე ი", "_ _ _ _ ს მ ნ რ ლ დ"),
    "hebrew": ("א ב ג ד ה ו ז ח ט י כ ל מ נ ס ע פ צ ק ר ש ת", "_ _ _ ו י", "_ _ _ ם ן ה ת"),
    "arabic": ("ا ب ت ث ج ح خ د ذ ر ز س ش ص ض ط ع غ ف ق ك ل م ن ه و ي", "_ _ ا و ي", "_ _ _ ة ن ر"),
}  # fmt: skip
# Scripts in which any sequence of letters looks like a word: the first and last code points.
RANGES = {
    "hiragana": (0x3042, 0x3093),
    "katakana": (0x30A2, 0x30F3),
    "hangul": (0xAC00, 0xD7A3),
    "han": (0x4E00, 0x9FA5),
    "devanagari": (0x0915, 0x0939),
    "thai": (0x0E01, 0x0E2E),
}
# Scripts that join letters or run from right to left. They need the Raqm layout engine and allow no letter spacing.
JOINED = {"arabic", "hebrew", "devanagari", "thai"}
# Probability of each script, if a font supports it; the other scripts share the remainder.
COMMON = {
    "english": 0.34,
    "german": 0.1,
    "french": 0.1,
    "spanish": 0.1,
    "polish": 0.05,
    "turkish": 0.04,
    "russian": 0.07,
}
LATIN = ("english", "german", "french", "spanish", "polish", "turkish", "vietnamese")

PARTS = {
    name: tuple(["" if item == "_" else item for item in part.split()] for part in parts)
    for name, parts in LANGUAGES.items()
}


def letters_of(script):
    """Returns the set of characters that a word of a script may contain."""
    if script in RANGES:
        first, last = RANGES[script]
        return {chr(code) for code in range(first, last + 1)}
    letters = set("".join("".join(part) for part in PARTS[script]))
    return letters | (set("".join(letters).upper()) if script not in JOINED | {"georgian"} else set())


def pick(rng, items):
    """Returns a random item of a sequence; much faster than `rng.choice`."""
    return items[int(rng.random() * len(items))]


def between(rng, low, high):
    """Returns a random integer from `low` to `high`, both included."""
    return low + int(rng.random() * (high - low + 1))


def make_word(rng, script, letters):
    """Returns a word of one to four syllables, or of one to five of `letters` for a script of `RANGES`."""
    if script in RANGES:
        return "".join(pick(rng, letters) for _ in range(between(rng, 1, 5)))
    onsets, vowels, codas = PARTS[script]
    syllables = pick(rng, (1, 1, 2, 2, 2, 3, 3, 4))
    word = "".join(pick(rng, onsets) + pick(rng, vowels) + (pick(rng, codas) if rng.random() < 0.6 else "")
                   for _ in range(syllables))  # fmt: skip
    return word if len(word) > 1 else word + pick(rng, vowels)


def make_number(rng):
    """Returns a price, a time, a date, a telephone number or similar."""
    d = "".join(map(str, rng.integers(0, 10, 12)))
    hour, day, month = between(rng, 0, 23), between(rng, 1, 31), between(rng, 1, 12)
    return pick(rng, (
        d[:1], d[:2], d[:3], d[:4], d[:2], d[:3], f"{d[:2]}.{d[2]}0", f"{d[0]},{d[1:3]} €", f"${d[:2]}.{d[2:4]}",
        f"£{d[:2]}", f"{d[0]}0%", f"-{d[0]}0%", f"{hour}:{d[0]}0", f"{day}.{month}.20{d[:2]}", f"0{d[:3]} {d[3:9]}",
        f"+{d[:2]} {d[2:5]} {d[5:8]} {d[8:]}", f"#0{d[0]}-{d[:2]}", f"{d[:3]} km", f"{d[:3]} ml", f"No. {d[:2]}",
    ))  # fmt: skip


def make_plate(rng):
    """Returns a vehicle registration number in the format of one of many countries."""
    pattern = pick(rng, (
        "AA-000AA", "AAA 000", "AAA-0000", "000 AAA", "AA 0000", "A 00000", "0A0 0000", "AA00 AAA", "000-AA", "A00 0AA",
        "AA AA 00", "AAA·0000", "0AAA000", "00-AA-00", "AA·000", "AAAA 00", "000000", "AAAAAA",
    ))  # fmt: skip
    letters, digits = string.ascii_uppercase, string.digits
    return "".join(pick(rng, {"A": letters, "0": digits}[c]) if c in "A0" else c for c in pattern)


def make_line(rng, script, letters, longest):
    """Returns one line of text of at most `longest` characters: words in one case, and sometimes a number."""
    case = pick(rng, (str.upper, str.upper, str.title, str.title, str.lower, str))
    words = []
    while sum(map(len, words)) + len(words) < longest and len(words) < 9:
        words.append(make_number(rng) if rng.random() < 0.12 else case(make_word(rng, script, letters)))
        if rng.random() < 0.25:
            break
    line = " ".join(words)
    if script in LATIN and rng.random() < 0.03:
        line = f"www.{words[0].lower()}.{pick(rng, ('com', 'de', 'net', 'org', 'it'))}"
    if rng.random() < 0.06:
        line += pick(rng, "!?.:&")
    cut = line[:longest].rsplit(" ", 1)[0] if len(line) > longest and " " in line[:longest] else line[:longest]
    return cut.strip() or line[:longest]
