"""Facts and questions: a grammar that composes them from one side of the wordings."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from dataclasses import dataclass, field

from .wordings import Wordings

ABSENT = "Not in memory."
MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
ORDINALS = ("first", "second", "third", "fourth", "fifth")
_LISTS = {
    "colour": "red green blue orange purple black white silver golden crimson turquoise pink brown grey ivory scarlet teal maroon",
    "job": "baker carpenter nurse pilot farmer lawyer plumber teacher tailor chemist gardener sailor butcher dentist clerk miner painter editor",
    "lang": "German Spanish Polish Hindi Turkish Welsh Danish Arabic Greek Czech Swahili Italian Dutch Korean Finnish Hebrew",
    "animal": "cat dog parrot hamster horse goat rabbit tortoise canary ferret lizard fox owl badger swan hedgehog",
    "food": "peanuts soup cheese salmon mushrooms pancakes rice lentils strawberries pasta garlic shrimp honey bread eggs plums",
    "planet": "Mercury Venus Mars Jupiter Saturn Uranus Neptune Pluto Ceres",
    "gem": "ruby emerald sapphire topaz opal garnet amethyst pearl jade onyx",
    "metal": "bronze copper iron tin brass zinc lead nickel titanium pewter",
    "blood": "A+ A- B+ B- AB+ AB- O+ O-",
}
CHOICES = {k: tuple(v.split()) for k, v in _LISTS.items()}
_WORDS = {
    "cap": "Alder Bexley Corwin Dunmore Everly Falk Garrow Hinton Ilford Jarvis Kestrel Lomax".split(),
    "low": "river stone bridge lamp paper basket candle window garden market".split(),
    "adj": "famous careful central final general woolly glorious wooden".split(),
    "first": "Anna Peter John Mary Lucy Henry Oscar Ruth Clara Victor".split(),
}


def words_from(text: str) -> dict[str, list[str]]:
    """Names, nouns and adjectives that occur in a text, for entities and values."""

    def common(pattern: str, most: int, least: int, skip: int = 0) -> list[str]:
        found = Counter(re.findall(pattern, text)).most_common(most)
        return [w for w, n in found if n >= least][skip:]

    out = {
        "cap": common(r"(?<=[a-z,] )([A-Z][a-z]{3,10})\b", 6000, 3, 50),
        "low": common(r"\bthe ([a-z]{3,10}) (?:of|was|is|and|in|at|to|were|had)\b", 4000, 4),
        "adj": common(r"\b(?:a|the|very|so) ([a-z]{3,9}(?:y|ous|ful|al|ive|ish|ic|ent|ant|en|ed|ble)) [a-z]+", 1500, 4),
        "first": common(r"\b(?:Mr|Mrs|Miss|Sir|Lady|uncle|aunt|said|and|with) ([A-Z][a-z]{2,8})\b", 1200, 3, 10),
    }  # fmt: skip
    return {k: v if len(v) > 8 else _WORDS[k] for k, v in out.items()}


@dataclass
class Item:
    """A question and the lines that answer it.

    `lines` go into the context in this order. `near`: questions that look alike and have no answer.
    `weight` of the answer's loss. `kind` names the row of a table.
    """

    lines: list[str]
    question: str
    answer: str
    kind: str
    weight: float = 5.0
    near: list[str] = field(default_factory=list)
    decoys: list[str] = field(default_factory=list)
    """Lines that look alike and do not answer; they go anywhere into the context."""


class Grammar:
    """Composes items from one side of the wordings."""

    def __init__(self, rng: random.Random, wordings: Wordings, words: dict | None = None) -> None:
        self.r, self.w, self.words = rng, wordings, words or _WORDS

    # ---- values and entities

    def digits(self, n: int) -> str:
        return "".join(self.r.choice("0123456789") for _ in range(n))

    def hexes(self, n: int) -> str:
        return "".join(self.r.choice("0123456789abcdef") for _ in range(n))

    def letters(self, n: int) -> str:
        return "".join(self.r.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(n))

    def word(self, kind: str) -> str:
        return self.r.choice(self.words[kind])

    def value(self, kind: str) -> str:
        """A value of a kind."""
        if kind in CHOICES:
            return self.r.choice(CHOICES[kind])
        return getattr(self, "_" + kind)()

    def _int(self) -> str:
        return self.digits(self.r.randint(2, 9)).lstrip("0") or "7"

    def _code(self) -> str:
        d, a, r = self.digits, self.letters, self.r
        return r.choice(
            [d(r.randint(3, 8)), a(2) + "-" + d(4), a(1) + d(3) + a(1), self.hexes(r.randint(4, 12)), a(3) + d(r.randint(2, 5)), d(3) + "-" + d(3), d(2) + "/" + d(3), self.hexes(4) + "-" + self.hexes(4)]
        )  # fmt: skip

    def _hex(self) -> str:
        return self.r.choice(["", "0x"]) + self.hexes(self.r.randint(4, 16))

    def _ip(self) -> str:
        return ".".join(str(self.r.randint(1, 254)) for _ in range(4))

    def _time(self) -> str:
        r = self.r
        h, m = r.randint(0, 23), r.randint(0, 59)
        half = r.choice(["am", "pm", "a.m.", "p.m."])
        return r.choice([f"{h:02d}:{m:02d}", f"{h % 12 + 1}:{m:02d} {half}", f"{h % 12 + 1} {half}", f"{h:02d}:{m:02d}:{r.randint(0, 59):02d}"])  # fmt: skip

    def _date(self) -> str:
        r = self.r
        day, month, year = r.randint(1, 28), r.choice(MONTHS), r.randint(1900, 2030)
        iso = f"{r.randint(1950, 2030)}-{r.randint(1, 12):02d}-{day:02d}"
        return r.choice([f"{day} {month}", f"{month} {day}", f"{month} {day}, {year}", iso, r.choice(DAYS), str(r.randint(1400, 2030))])  # fmt: skip

    def _money(self) -> str:
        r = self.r
        return r.choice([f"${r.randint(1, 9999)}", f"{r.randint(2, 999)} {r.choice(['euros', 'dollars', 'pounds', 'yen', 'pesos'])}", f"${r.randint(1, 99)}.{r.randint(10, 99)}", f"{r.randint(1, 99)},{self.digits(3)} {r.choice(['euros', 'dollars', 'rubles'])}"])  # fmt: skip

    def _name(self) -> str:
        return self.word("first") + " " + self.word("cap")

    def _place(self) -> str:
        r = self.r
        kind = r.choice(["room", "house", "corner", "hall", "bridge", "shelf"])
        return r.choice([self.word("cap"), f"the {self.word('low')} {kind}", f"{self.word('cap')} {r.choice(['Square', 'Hill', 'Station', 'Park', 'Bay'])}"])  # fmt: skip

    def _word(self) -> str:
        return self.word("low")

    def _thing(self) -> str:
        return self.word("adj") + " " + self.word("low")

    def _ver(self) -> str:
        r = self.r
        return r.choice(["", "v"]) + ".".join(str(r.randint(0, 40)) for _ in range(r.choice([2, 3, 3])))

    def _pct(self) -> str:
        return f"{self.r.randint(1, 99)}{self.r.choice(['%', ' percent'])}"

    def _qty(self) -> str:
        units = "km kg metres MB GB litres minutes hours seconds ms grams miles tons pages feet".split()
        return f"{self.r.randint(2, 9999)} {self.r.choice(units)}"

    def _path(self) -> str:
        r, low = self.r, lambda: self.word("low")
        end = r.choice(["log", "txt", "conf", "json", "db", "py", "tmp"])
        return r.choice([f"/var/{low()}/{low()}.{end}", f"/etc/{low()}.{end}", f"C:\\{low()}\\{low()}.{end}", f"/home/{self.word('first').lower()}/{low()}", f"{low()}/{low()}_{r.randint(1, 99)}.{end}"])  # fmt: skip

    def _phone(self) -> str:
        d = self.digits
        return self.r.choice([f"{d(3)}-{d(4)}", f"+{d(2)} {d(3)} {d(6)}", f"({d(3)}) {d(3)}-{d(4)}", f"0{d(9)}"])  # fmt: skip

    def _mail(self) -> str:
        end = self.r.choice(["com", "org", "net", "io"])
        return f"{self.word('first').lower()}{self.r.choice(['', '.' + self.word('cap').lower(), self.digits(2)])}@{self.word('low')}.{end}"  # fmt: skip

    def _phrase(self) -> str:
        r = self.r
        return r.choice([f"{self.word('adj')} {self.word('low')} and {self.word('low')}", f"never trust a {self.word('adj')} {self.word('low')}", f"the {self.word('low')} before the {self.word('low')}", f"{self.word('low')} {self.word('low')} {self.word('low')}", f"always {self.word('adj')}, never {self.word('adj')}"])  # fmt: skip

    # kinds that only the kept side uses

    def _mac(self) -> str:
        return ":".join(self.hexes(2) for _ in range(6))

    def _coord(self) -> str:
        r = self.r
        return f"{r.randint(0, 89)}.{self.digits(3)} {r.choice('NS')}, {r.randint(0, 179)}.{self.digits(3)} {r.choice('EW')}"

    def _isbn(self) -> str:
        return f"978-{self.digits(1)}-{self.digits(4)}-{self.digits(4)}-{self.digits(1)}"

    def _plate(self) -> str:
        return f"{self.letters(2)} {self.digits(2)} {self.letters(3)}"

    def _track(self) -> str:
        return f"{self.letters(2)}{self.digits(9)}{self.letters(2)}"

    def _move(self) -> str:
        r = self.r
        return r.choice("NBRQK") + r.choice(["", "x"]) + r.choice("abcdefgh") + r.choice("12345678")

    def _freq(self) -> str:
        return f"{self.r.randint(3, 990)}.{self.digits(2)} {self.r.choice(['MHz', 'kHz'])}"

    def _roman(self) -> str:
        return self.r.choice("II III IV VI VII VIII IX XI XII XIII XIV XVI XVII XIX XXI XXIV".split())

    def _hashtag(self) -> str:
        return "#" + self.word("adj").capitalize() + self.word("low").capitalize()

    def _size(self) -> str:
        return f"{self.r.randint(34, 49)}{self.r.choice(['', ' and a half', ' wide'])}"

    def _fraction(self) -> str:
        return f"{self.r.randint(1, 19)}:{self.r.randint(2, 29)}"

    def _vintage(self) -> str:
        return f"{self.r.randint(1950, 2020)} {self.word('cap')} {self.r.choice(['red', 'white', 'rose'])}"

    def entity(self) -> str:
        """A thing, person or record that facts are about."""
        adj, low, first = self.word("adj"), self.word("low"), self.word("first")
        return self.r.choice(self.w.entities).format(
            adj=adj, low=low, low2=self.word("low"), cap=self.word("cap"), first=first,
            firstlow=first.lower(), Adj=adj.capitalize(), Low=low.capitalize(), d2=self.digits(2),
            d3=self.digits(3), d4=self.digits(4), d5=self.digits(5), al2=self.letters(2),
            hx6=self.hexes(6),
        )  # fmt: skip

    # ---- dressing

    def capital(self, text: str) -> str:
        return text[:1].upper() + text[1:] if self.r.random() < 0.7 else text

    def log_prefix(self) -> str:
        """The head of a line of a made-up log."""
        r, low = self.r, self.word("low")
        clock = f"{r.randint(0, 23):02d}:{r.randint(0, 59):02d}:{r.randint(0, 59):02d}"
        level = r.choice(["INFO", "WARN", "DEBUG", "ERROR"])
        return r.choice([f"{r.choice(MONTHS)[:3]} {r.randint(1, 28):2d} {clock} {self.word('low')} {low}[{self.digits(r.randint(3, 5))}]: ", f"20{r.randint(10, 29)}-{r.randint(1, 12):02d}-{r.randint(1, 28):02d} {clock},{self.digits(3)} {level} {low}.{self.word('low')}: ", f"[{self.digits(5)}.{self.digits(6)}] {low}: ", f"{self.digits(10)} {low} ", f"{level}:{low}:"])  # fmt: skip

    def dress(self, statement: str, value: str) -> str:
        """Puts a statement into the form of a line."""
        r = self.r
        if r.random() < 0.25:
            statement = self.log_prefix() + statement
        else:
            prefix = r.choice(self.w.prefixes)
            text = statement if prefix == "-" else f"{prefix} {statement}"
            keep = prefix == "-" and statement.startswith(value)
            statement = (text if keep else self.capital(text)) + r.choice(self.w.suffixes)
            statement += r.choice([".", ".", ".", "", "!", ";"])
        if r.random() < 0.2:
            clock = f"[{r.randint(0, 23):02d}:{r.randint(0, 59):02d}]"
            first = self.word("first")
            statement = r.choice(["User: ", "Assistant: ", f"<{first}> ", f"{clock} <{first}> ", f"{first}: "]) + statement  # fmt: skip
        return statement

    def ask(self, question: str) -> str:
        """Dresses a question."""
        text = self.capital(self.r.choice(self.w.asides) + question) + self.r.choice(self.w.hints)
        return text.lower() if self.r.random() < 0.04 and text.isascii() and not re.search(r"[A-Z]{2}|\d", text) else text

    def _asked(self, attribute: tuple) -> str:
        name, _, synonyms = attribute
        return self.r.choice(synonyms) if synonyms and self.r.random() < 0.35 else name

    # ---- items

    def item(self) -> Item:
        """A fact of a random kind."""
        item = self._draw()
        item.near = [q for q in item.near if q != item.question]
        return item

    def _draw(self) -> Item:
        makers = (self.attribute, self.relation, self.record, self.pair, self.listing, self.update, self.several, self.join)  # fmt: skip
        return self.r.choices(makers, (0.40, 0.20, 0.10, 0.05, 0.07, 0.08, 0.04, 0.06))[0]()

    def attribute(self) -> Item:
        """`the {a} of {e} is {v}`."""
        r, e = self.r, self.entity()
        chosen = r.choice(self.w.attributes)
        a, v = chosen[0], self.value(chosen[1])
        line = self.dress(r.choice(self.w.statements).format(a=a, e=e, v=v), v)
        question = r.choice(self.w.questions)
        other = r.choice([x for x in self.w.attributes if x[1] != chosen[1]])
        near = [
            self.ask(question.format(a=other[0], e=e)),
            self.ask(question.format(a=a, e=self.entity())),
        ]
        decoys = []
        if r.random() < 0.35:
            twin = r.choice([x for x in self.w.attributes if x[0] not in (a, other[0])])
            for name, kind, who in ((twin[0], twin[1], e), (a, chosen[1], self.entity())):
                if r.random() < 0.6:
                    u = self.value(kind)
                    decoys.append(self.dress(r.choice(self.w.statements).format(a=name, e=who, v=u), u))
        asked = self.ask(question.format(a=self._asked(chosen), e=e))
        return Item([line], asked, v, "attribute", near=near, decoys=decoys)

    def relation(self) -> Item:
        """A verb between an entity and a value."""
        statement, questions, kind = self.r.choice(self.w.relations)
        e, v = self.entity(), self.value(kind)
        question = self.r.choice(questions)
        line = self.dress(statement.format(e=e, v=v), v)
        near = [self.ask(question.format(e=self.entity()))]
        return Item([line], self.ask(question.format(e=e)), v, "relation", near=near)

    def record(self) -> Item:
        """A line of fields; one is asked by another."""
        r = self.r
        names = "user port code host id seq size zone rank uid tag mode level src dst len ttl type slot rc".split()
        kinds = ("int", "code", "hex", "word", "ip", "ver", "int", "place", "time")
        fields = [(n, self.value(r.choice(kinds))) for n in r.sample(names, r.randint(3, 7))]
        (k, x), (n, v) = r.sample(fields, 2)
        form = r.random()
        if form < 0.3:
            line = json.dumps(dict(fields))
        elif form < 0.4:
            line = json.dumps({self.word("low"): dict(fields), "ok": r.random() < 0.5})
        else:
            between, equals = r.choice(self.w.separators)
            line = self.log_prefix() + between.join(a + equals + b for a, b in fields)
        question = r.choice(self.w.record_questions)
        near = [self.ask(question.format(n=n, k=k, x=self.value("code")))]
        return Item([line], self.ask(question.format(n=n, k=k, x=x)), v, "record", near=near)

    def _key(self) -> str:
        r = self.r
        return r.choice([self.hexes(r.randint(4, 10)), self._code(), f"{self.word('adj')}-{self.word('low')}", self.word("cap")])  # fmt: skip

    def pair(self) -> Item:
        """A key and its value."""
        k, v = self._key(), self.value(self.r.choice(["int", "code", "word", "hex", "thing"]))
        question = self.r.choice(self.w.pair_questions)
        line = self.r.choice(self.w.pairs).format(k=k, v=v)
        near = [self.ask(question.format(k=self._key()))]
        return Item([line], self.ask(question.format(k=k)), v, "pair", near=near)

    def listing(self) -> Item:
        """Several values in one line; all of them, or the n-th, is asked for."""
        r, e = self.r, self.entity()
        nouns = (("colours", "colour"), ("members", "name"), ("stops", "place"), ("ports", "int"), ("items", "thing"), ("dates", "date"), ("codes", "code"), ("animals", "animal"), ("dishes", "food"), ("guests", "name"), ("steps", "word"))  # fmt: skip
        noun, kind = r.choice(nouns)
        values = list(dict.fromkeys(self.value(kind) for _ in range(r.randint(2, 5))))
        if any("," in v for v in values):
            values = [v.replace(",", "") for v in values]
        joined = ", ".join(values)
        if r.random() < 0.4 and len(values) > 1:
            joined = ", ".join(values[:-1]) + " and " + values[-1]
        statement, question = r.choice(self.w.lists)
        line = self.dress(statement.format(a=noun, e=e, v=joined), joined)
        near = [self.ask(question.format(a=noun, e=self.entity()))]
        if r.random() < 0.55:
            i = r.randrange(len(values))
            o = "last" if i == len(values) - 1 and r.random() < 0.5 else ORDINALS[i]
            asked = self.ask(r.choice(self.w.ordinals).format(a=noun, e=e, o=o))
            return Item([line], asked, values[i], "ordinal", near=near)
        return Item([line], self.ask(question.format(a=noun, e=e)), ", ".join(values), "list", near=near)

    def update(self) -> Item:
        """A fact and its newer value: the newer wins."""
        r, e = self.r, self.entity()
        chosen = r.choice(self.w.attributes)
        a, old, new = chosen[0], self.value(chosen[1]), self.value(chosen[1])
        lines = [self.dress(r.choice(self.w.statements).format(a=a, e=e, v=old), old)]
        form = r.choice(self.w.updates if r.random() < 0.75 else self.w.statements)
        lines.append(self.dress(form.format(a=a, e=e, v=new), new))
        question = r.choice(self.w.questions).format(a=self._asked(chosen), e=e)
        return Item(lines, self.ask(question), new, "update")

    def several(self) -> Item:
        """Several values of one key in lines of their own: all are wanted, in order."""
        r, e = self.r, self.entity()
        name, kind, _ = r.choice([a for a in self.w.attributes if a[1] not in ("phrase", "coord")])
        values = list(dict.fromkeys(self.value(kind).replace(",", "") for _ in range(r.randint(2, 4))))
        lines = [self.dress(r.choice(self.w.again).format(a=name, e=e, v=v), v) for v in values]
        ask = ("All values: what is given as {a} of {e}?", "List every {a} of {e}.", "Which are all the {a} entries of {e}?")  # fmt: skip
        return Item(lines, self.ask(r.choice(ask).format(a=name, e=e)), ", ".join(values), "several")

    def join(self) -> Item:
        """Two facts that must be put together."""
        r, e, person = self.r, self.entity(), self._name()
        role = r.choice([a[0] for a in self.w.attributes if a[1] == "name"] or ["warden", "keeper"])
        chosen = r.choice([a for a in self.w.attributes if a[1] != "name"])
        v = self.value(chosen[1])
        lines = [
            self.dress(r.choice(self.w.statements).format(a=role, e=e, v=person), person),
            self.dress(r.choice(self.w.statements).format(a=chosen[0], e=person, v=v), v),
        ]
        question = r.choice(self.w.joins).format(a=chosen[0], r=role, e=e)
        return Item(lines, self.ask(question), v, "join")
