"""What is mined from the trained texts: nouns that take "of", verbs with their bases, names, numbers, tokens of logs.

The lists make attributes, relations and values in a variety that no list by hand has. Only the
trained part of the texts is read.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

PREPOSITIONS = "to from at in on with for into over against about under near through after".split()
SENSES = 1
"""Only the first sense of a word gives synonyms."""


def _bases(past: str) -> list[str]:
    stem = past[:-2]
    out = [stem, past[:-1]]
    if len(stem) > 3 and stem[-1] == stem[-2]:
        out.insert(0, stem[:-1])
    if stem.endswith("i"):
        out.insert(0, stem[:-1] + "y")
    return out


def verbs(text: str, most: int = 1500) -> list[tuple[str, str]]:
    """(past, base) of regular verbs."""
    bases = Counter(re.findall(r"\bto ([a-z]{3,12})\b", text))
    found = Counter(re.findall(r"\b(?:he|she|they|who|it|had|was|were) ([a-z]{4,12}ed)\b", text))
    out = []
    for past, n in found.most_common(most * 2):
        base = max(_bases(past), key=lambda b: bases[b])
        if n >= 2 and bases[base] >= 2:
            out.append((past, base))
    return out[:most]


def mine(texts: dict[str, str], chars: int = 12_000_000, most: int = 20_000) -> dict[str, list]:
    """Lists by name: attribute, pair, verb, verb_to, name, number, token."""
    prose = texts["books"][:chars] + texts["wikipedia"][:chars]
    logs = "".join(t[: chars // 3] for n, t in texts.items() if n.startswith("logs"))
    of = Counter(re.findall(r"\bthe ([a-z]{4,12}) of (?:the|a|his|her|[A-Z])", prose))
    nouns = [w for w, n in of.most_common(4000) if n >= 2]
    known = set(nouns)
    pairs = Counter(re.findall(r"\b(?:the|a|his|her) ([a-z]{4,11} [a-z]{4,11})\b", prose))
    pairs = [p for p, n in pairs.most_common() if set(p.split()) <= known][:8000]
    acts = verbs(prose)
    past = dict(acts)
    joint = "|".join(PREPOSITIONS)
    to = Counter(re.findall(rf"\b([a-z]{{4,12}}ed) ({joint}) (?:the|a|his|her|[A-Z])", prose))
    to = [(p, past[p], x) for (p, x), n in to.most_common(4000) if p in past and n >= 2]
    names = Counter(re.findall(r"\b((?:[A-Z][a-z]{2,11} ){1,2}[A-Z][a-z]{2,11})\b", prose))
    numbers = Counter(re.findall(r"(?<=[\s(])\d[\d.,:/\-]*\d(?=[\s),;])", prose + logs))
    tokens = Counter(t for t in re.findall(r"[^\s=;,\"'<>()\[\]]{4,36}", logs) if re.search(r"[a-zA-Z]", t))
    first = [list(c)[:most] for c in (names, numbers, tokens)]
    return {
        "attribute": nouns, "pair": pairs, "verb": acts, "verb_to": to,
        "name": first[0], "number": first[1], "token": first[2],
    }  # fmt: skip


def synonyms(wordnet: Path, words: set[str]) -> dict[str, list[str]]:
    """Synonyms of the first sense of nouns (`n:word`) and verbs (`v:word`) from WordNet's files."""
    out: dict[str, list[str]] = {}
    for part in ("noun", "verb"):
        sets = {}
        for line in (wordnet / f"data.{part}").read_text("utf-8", "replace").splitlines():
            if not line.startswith("  "):
                fields = line.split(" ")
                count = int(fields[3], 16)
                sets[fields[0]] = [fields[4 + 2 * i].replace("_", " ") for i in range(count)]
        for line in (wordnet / f"index.{part}").read_text("utf-8", "replace").splitlines():
            fields = line.split()
            if line.startswith("  ") or fields[0] not in words:
                continue
            senses = fields[-int(fields[2]) :][:SENSES]
            same = [w for s in senses for w in sets[s] if w.islower() and w != fields[0]]
            same = [w for w in same if w.split()[-1] in words]
            if same:
                out[f"{part[0]}:{fields[0]}"] = same
    return out
