"""A wider grammar for training: facts composed of parts, with words and values cut from real text.

It adds to the wordings by hand: attributes from any noun, statements and questions from rules, verbs
with their roles, events of logs, tables, several values in many forms, updates in many forms.
"""

from __future__ import annotations

import json
import re

from .facts import DAYS, MONTHS, ORDINALS, Grammar, Item
from .frames import ASPECTS, EVENTS, KEPT_MARKS, ROLES, SENTENCES, Frame
from .wordings import KEPT

EVENT = "\x01"
"""Starts a line that takes the head of the line before it (time, host)."""
_UNITS = (
    "Hz GHz dB V kV mV A mA W kW kWh J kJ N Pa kPa bar lm lx K ppm rpm bpm dpi px em pt mm cm dm km mi ft in yd ha ac ml cl l gal oz lb mg kg t s ms ns min h d wk mo "
    "yr kB MB TB PB Mbps fps C F rad mol cd"
).split()
_STATES = "up down open closed active idle failed ready enabled disabled pending locked running stopped green red".split()
_NOT = {w.lower() for name, _, same in KEPT.attributes for text in (name, *same) for w in text.split()}
_IS = "is|was|is|was|remains|became|reads|equals|has become|is now|is given as|is recorded as|was set to|stands at|turned out to be|must be|is listed as|came out as|is still|is known as|goes by".split("|")  # fmt: skip
_HAS = "has the {a}|has a {a} of|uses the {a}|bears the {a}|got the {a}|took the {a}|keeps the {a}|carries the {a}|shows the {a}|received the {a}|works with the {a}|reports a {a} of|needs a {a} of".split("|")  # fmt: skip
_TOLD = (
    "put {v} as {a} for {e}", "{n} wants {v} to be the {a} of {e}", "when asked for the {a} of {e}, {n} says {v}", "{e}? {v}, as far as the {a} goes", "{v} it is, the {a} of {e}",
    "as {a} {e} took {v}", "they gave {e} the {a} {v}", "with {v} as its {a}, {e} is on the list", "{e}, whose {a} is {v}, was there too", "{n} looked at {e} and read {v} for the {a}",
    "write down for {e}: {a} {v}", "in the column {a} of {e} stands {v}", "{e} ({a} {v}) was seen by {n}", "the {w} of {e} is old, its {a} {v}", "no other {a} fits {e} but {v}",
    "{n} chose {v} as {a} of {e}", "we checked {e}. {a}: {v}. The {w} was fine", "{e}\n  {k}: {v}\n  checked: yes", "- name: {e}\n  {k}: {v}", "[{e}]\n{k} = {v}", "Q: {a} of {e}? A: {v}",
    "{e} - {w} unknown, {a} {v}", "{a} for {e} came in today, {v}", "if you need the {a} of {e}, take {v}", "{v} has been assigned to {e} as {a}",
    "apart from the {w}, {e} also has a {a}, which is {v}", "{e} and its {a} {v}", "the {a} is {v} for {e} and something else for the {w}", "{a} = {v} holds for {e} alone",
    "under '{a}' {e} has {v}", "the line '{a}' of {e} has {v}", "'{a}' on the card of {e}: {v}", "in the box \"{a}\" of {e}: {v}", "{n} copied '{v}' from {e}, it is the {a}",
    "seen at {e}: {v} ({a})", "{{'{k}': '{v}', 'who': '{e}'}}", "{e};{w};{k};{v}", "{k}({e}) -> {v}", "{e} | {k}:{v} | {w}", "so {e} ended up with {v} for its {a}",
)  # fmt: skip
"""Sentences and lines with an attribute, {n} a first name, {w} any noun, {k} the attribute as a key."""
_LISTED = (
    "the {p} of {e} are {v}", "{p} of {e}: {v}", "{e} has the {p} {v}", "for {p}, {e} has {v}", "{e} comes with {v} as {p}", "{v} are the {p} of {e}", "{e} ({p}: {v})", "{p}({e}) = [{v}]",
    "{v} were named as {p} of {e}", "all {p} at {e}: {v}", "{e} keeps several {p}, namely {v}", "the order of {p} for {e} is {v}", "{e}: {p} {v}", "as {p} of {e} we have {v}",
)  # fmt: skip
_NTH = (
    "what is the {o} of the {p} of {e}?", "which {a} of {e} comes {o}?", "the {o} {a} of {e}?", "{e}: {o} {a}?", "of all {p} of {e}, which is the {o}?",
    "name the {o} one of {e}'s {p}.", "what do the {p} of {e} have {o}?", "which is the {o} {a} that {e} has?",
)  # fmt: skip
_MARKS = (
    " - ", " -- ", ": ", " / ", " | ", "~", " ~> ", "@", "#", " <- ", " ... ", "; ", " (", "::=", " := ", "==", " >> ", " << ", "$", "%", "&", " + ", " * ", "!", "?", "^",
    "|", "->", " -> ", "/", ".", ">", " >", "\t", "  ", " _ ",
)  # fmt: skip
"""What may stand between the parts of a terse line."""
_ENDS = (
    ", so they say|, mark my words|, take note|, no more, no less|, for what it is worth|, over and out|, that is all|, they swear|, as usual|, sadly|, of course|"
    ", no joke| for good| at last| as ever| (so it seems)| (unchecked)| (copy)| [!]| - honest| - more later|, and so on|, thank you|, full stop|, nothing else|"
    ", period"
).split("|")  # fmt: skip
"""Ends of a line that belong to no value."""
_SAID = "said|wrote|noted|explained|told us|claimed|remembered|mentioned|announced|repeated".split("|")
_TIME_NOW = "now|today|since yesterday|as of now|from this week|since the change|currently|this time|after the change".split("|")
_PLURAL_ASK = ("Which {p} does {e} have?", "List all {p} of {e}.", "What are the {p} of {e}?", "Name every {a} of {e}.", "All {p} of {e}?", "Give me each {a} that {e} has.", "What {p} were given for {e}?", "{e}: all {p}?", "Which values were given as {a} of {e}?", "Find all {p} for {e}", "Tell me the {p} of {e}, all of them.")  # fmt: skip
_OPEN = ("", "", "", "", "Can you say: ", "Tell me, ", "Please: ", "Check this: ", "Quick one: ", "I wonder, ", "Now, ", "Help me, ")  # fmt: skip
_CLOSE = ("", "", "", "", "", " Thanks.", " One answer only.", " In short.", " Exact value.", " As it was written.", " Don't explain.")  # fmt: skip


def plural(noun: str) -> str:
    """A plain plural."""
    if re.search(r"(s|x|z|ch|sh)$", noun):
        return noun + "es"
    return noun[:-1] + "ies" if re.search(r"[^aeiou]y$", noun) else noun + "s"


def cased(r, name: str) -> str:
    """A name of a field in one of the usual styles."""
    words = re.findall(r"[A-Za-z0-9]+", name) or ["key"]
    style = r.randrange(6)
    if style == 0:
        return "_".join(words)
    if style == 1:
        return words[0] + "".join(w.capitalize() for w in words[1:])
    if style == 2:
        return "-".join(words)
    return ("_".join(words).upper(), "".join(w.capitalize() for w in words), " ".join(words))[style - 3]


class Wide(Grammar):
    """A `Grammar` of the trained side with rules and mined words (`mined.mine`) on top."""

    def __init__(self, rng, wordings, words: dict) -> None:
        super().__init__(rng, wordings, words)
        self.same = words.get("synonyms", {})

    # ---- values

    def value(self, kind: str) -> str:
        """A value of a kind; `any` is a piece of real text half of the time."""
        made = getattr(self, "_w_" + kind, None)
        return made() if made else super().value(kind)

    def _w_any(self) -> str:
        r = self.r
        if r.random() < 0.5:
            return self.value(r.choice("int code hex ip time date money name place word thing ver pct qty path phone mail phrase colour job lang animal food".split()))  # fmt: skip
        kind = r.choice(("name", "name", "number", "token", "pair", "cap", "low", "phrase", "mixed", "mixed", "joined", "joined", "measure", "measure", "measure"))
        if kind == "measure":
            return self.measure()
        if kind == "phrase":
            return " ".join(self.word("low") for _ in range(r.randint(1, 3)))
        if kind == "joined":
            return self.joined()
        if kind == "mixed":
            return self.shape()
        return self.word(kind)

    def joined(self) -> str:
        """Two or three pieces that seldom stand together: words, names, numbers, units, quotes."""
        r, pieces = self.r, []
        for _ in range(r.choice((2, 2, 2, 3))):
            kind = r.choice(("low", "adj", "cap", "first", "name", "number", "token", "shape", "int", "verb"))
            made = self.shape() if kind == "shape" else str(r.randint(2, 400)) if kind == "int" else self.word(kind)
            pieces.append(made[0] if kind == "verb" else made)
        text = r.choice((" ", " ", " ", " of ", " and ", "-", " / ", ", ")).join(pieces)
        return r.choice((text, text, text, text.title(), f'"{text}"', f"({text})", text.upper()))[:48].strip()

    def measure(self) -> str:
        """A number with what belongs to it: a unit, a rest, a second number. All of it is the value."""
        r = self.r

        def number() -> str:
            return r.choice((str(r.randint(1, 999)), f"{r.randint(0, 400)}.{self.digits(r.randint(1, 3))}", f"{r.randint(1, 60)},{self.digits(3)}"))

        def unit() -> str:
            short = r.choice(_UNITS) if r.random() < 0.6 else self.letters(r.randint(1, 2)).capitalize() + r.choice("abdgmnsvwx")
            return short if r.random() < 0.6 else r.choice((self.word("low") + "s", self.word("low"), self.word("adj") + " " + self.word("low")))

        low, name, n, u = self.word("low"), self.word("cap"), number(), unit()
        return r.choice((
            f"{n} {u}", f"{n} {u}", f"{n} {u}", f"{n}{r.choice(_UNITS)}", f"{n} {u}, {number()} {unit()}", f"{n} {self.letters(1)}, {number()} {self.letters(1)}", f"{n} {u} and {number()} {unit()}",
            f"{n} and a {low}", f"{n} and three quarters", f"{n} {self.word('adj')}", f"{n} x {number()}", f"{n} x {number()} {u}", f"{n}/{number()} {u}", f"{n} {u} per {low}", f"{n}-{number()} {u}",
            f"{r.randint(1200, 2030)} {name} {self.word('adj')}", f"{name} {r.randint(1200, 2030)}", f"{name} {r.randint(2, 99)} {low}", f"{n} to {number()}", f"{n} of {number()}",
            f"{low} {n} {u}", f"{n} {u} ({low})",
            f"{self.letters(2)}{self.digits(6)}{self.letters(1)}", ".".join(self.hexes(3) for _ in range(r.randint(3, 6))),
            "-".join(self.digits(r.randint(1, 5)) for _ in range(r.randint(3, 6))), f"{self.letters(3)} {self.digits(3)} {self.letters(1)}",
        ))  # fmt: skip

    def shape(self) -> str:
        """A value of a random shape: letters, digits and marks."""
        r, parts = self.r, []
        mark = r.choice("-/:._ #")
        for _ in range(r.randint(1, 4)):
            n = r.randint(1, 5)
            parts.append(r.choice((self.digits, self.hexes, self.letters, lambda k: self.word("low")[: k + 2]))(n))
        return r.choice(("", "", "", "#", "@", "~", "+")) + mark.join(parts)

    def _w_login(self) -> str:
        r, first = self.r, self.word("first").lower()
        return r.choice((first, first + self.digits(r.randint(1, 3)), first[0] + self.word("cap").lower(), self.word("low"), f"{first}.{self.word('cap').lower()}", self.word("low") + "-" + self.word("low")))  # fmt: skip

    def _w_hostname(self) -> str:
        r, low = self.r, self.word("low")
        return r.choice((f"{low}-{self.digits(2)}", f"{self.word('adj')}-{low}", f"{low}.{self.word('low')}.{r.choice(('net', 'local', 'org', 'com'))}", f"{low}{r.randint(1, 99)}", f"ip-10-{r.randint(0, 255)}-{r.randint(0, 255)}"))  # fmt: skip

    def _w_service(self) -> str:
        r, low = self.r, self.word("low")
        return r.choice((f"{low}d", f"{low}.service", f"{low}-{self.word('low')}", f"{low}_worker", low, f"{self.word('adj')}-{low}-api"))  # fmt: skip

    def _w_portnumber(self) -> str:
        return str(self.r.randint(20, 65535))

    def _w_bytes(self) -> str:
        r = self.r
        return f"{r.randint(1, 9999)}{r.choice((' bytes', ' kB', ' MB', ' GiB', 'M', 'K', ' blocks'))}"

    def _w_duration(self) -> str:
        r = self.r
        return r.choice((f"{r.randint(1, 900)}ms", f"{r.randint(1, 59)}.{self.digits(3)}s", f"{r.randint(2, 90)} seconds", f"{r.randint(2, 59)} minutes", f"{r.randint(1, 23)}h{r.randint(1, 59):02d}m", f"{r.randint(2, 30)} days"))  # fmt: skip

    def _w_device(self) -> str:
        r = self.r
        return r.choice((f"eth{r.randint(0, 9)}", f"sd{r.choice('abcdefgh')}{r.randint(1, 9)}", f"wlan{r.randint(0, 3)}", f"/dev/{self.word('low')}{r.randint(0, 9)}", f"tty{r.randint(1, 12)}", f"nvme{r.randint(0, 3)}n1", f"enp{r.randint(0, 9)}s{r.randint(0, 9)}", f"md{r.randint(0, 127)}"))  # fmt: skip

    def _w_url(self) -> str:
        r, low = self.r, lambda: self.word("low")
        return r.choice((f"/{low()}/{low()}", f"/{low()}?id={self.digits(3)}", f"https://{low()}.{low()}.com/{low()}", f"/api/v{r.randint(1, 4)}/{low()}/{self.hexes(6)}", f"/{low()}.html"))  # fmt: skip

    def _w_jobname(self) -> str:
        r = self.r
        return r.choice((f"{self.word('low')}-{self.digits(3)}", f"nightly-{self.word('low')}", f"{self.word('low')}_{self.word('low')}", f"job {self.digits(4)}"))  # fmt: skip

    def _w_state(self) -> str:
        return self.r.choice(_STATES)

    def _w_count(self) -> str:
        return str(self.r.randint(2, 400))

    def _w_capital(self) -> str:
        return self.word("cap")

    def _w_name(self) -> str:
        r = self.r
        return self.word("name") if r.random() < 0.4 else r.choice((super()._name(), self.word("first"), self.word("cap")))

    def attribute_name(self) -> str:
        """Any noun or pair of nouns that is not among the attributes that are kept back."""
        while True:
            name = self.word("pair") if self.r.random() < 0.45 else self.word("attribute")
            if not _NOT & set(name.split()):
                return name

    def synonym(self, word: str, part: str = "n") -> str:
        """A synonym of a word's first sense, or the word."""
        return self.r.choice(self.same.get(f"{part}:{word}", (word,)))

    def who(self) -> str:
        """What a fact is about."""
        r = self.r
        kind = r.random()
        if kind < 0.55:
            return self.entity()
        if kind < 0.65:
            return self.word("name")
        if kind < 0.75:
            return f"{self.word('adj')}-{self.word('low')}"
        if kind < 0.82:
            return self._w_hostname()
        if kind < 0.90:
            return f"the {self.word('pair')}"
        return r.choice((self.shape(), self.word("token"), f"{self.word('cap')} {r.randint(1, 99)}"))

    # ---- statements and questions from rules

    def tail(self) -> str:
        r = self.r
        if r.random() < 0.62:
            return ""
        if r.random() < 0.3:
            return r.choice(_ENDS)
        return r.choice((
            f" ({self.word('cap')}, {r.choice(MONTHS)})", f", {r.choice(_SAID)} {self.word('first')}", f" according to {self.word('cap')}",
            f" in {self.word('cap')}", f", see page {r.randint(2, 900)}", f" since {r.choice(MONTHS)}", f" and the {self.word('low')} is {self.word('adj')}",
            f", though the {self.word('low')} says nothing", f" [{self.digits(2)}]", f" -- {self.word('first')}", f", as the {self.word('low')} shows",
        ))  # fmt: skip

    def head(self) -> str:
        r = self.r
        if r.random() < 0.7:
            return ""
        return r.choice((
            f"On {r.choice(DAYS)} ", f"In {self.word('cap')}, ", f"{self.word('first')} {r.choice(_SAID)} that ", f"After the {self.word('low')}, ",
            f"As the {self.word('low')} shows, ", f"{r.randint(1, 30)}. ", f"At {r.randint(1, 12)} o'clock ", "We hear that ", "Today ", "Meanwhile ", f"{self.word('cap')}: ",
        ))  # fmt: skip

    def state(self, a: str, e: str, v: str) -> str:
        """A sentence or a line that gives attribute `a` of `e` as `v`."""
        r = self.r
        kind = r.random()
        if kind < 0.20:
            text = r.choice(self.w.statements).format(a=a, e=e, v=v)
        elif kind < 0.38:
            text = r.choice(_TOLD).format(a=a, e=e, v=v, n=self.word("first"), w=self.word("low"), k=cased(r, a))
        elif kind < 0.42:
            mark = [r.choice(_MARKS) for _ in range(2)]
            parts = r.choice(((e, a, v), (a, e, v), (e, v, a), (v, a, e), (cased(r, a), e, v), (e, cased(r, a), v)))
            text = r.choice(("", "", "", r.choice(_MARKS).strip() + " ")) + parts[0] + mark[0] + parts[1] + mark[1] + parts[2]
        elif kind < 0.62:
            subject = r.choice((f"the {a} of {e}", f"{e}'s {a}", f"the {a} for {e}", f"the {a} at {e}", f"the {a} that {e} has", f"the {e} {a}", f"the current {a} of {e}"))  # fmt: skip
            verb = r.choice(_IS)
            text = r.choice((f"{subject} {verb} {v}", f"{subject} {verb} {v}", f"{v} {r.choice(('is', 'was', 'became', 'serves as', 'was given as', 'counts as'))} {subject}", f'{subject} {verb} "{v}"', f"{subject}, {v}, "+r.choice(("was read out", "is not a secret", "came by mail", "can be trusted"))))  # fmt: skip
        elif kind < 0.71:
            text = f"{e} {r.choice(_HAS).format(a=a)} {v}"
        else:
            key = cased(r, a)
            x, y = json.dumps(e), json.dumps(v)
            return r.choice((
                f"{key}={v} {cased(r, 'name')}={e}", f"{e}.{key} = {v}", f'{{"{key}": {y}, "of": {x}}}', f'{{{x}: {{"{key}": {y}}}}}',
                f"| {e} | {a} | {v} |", f"- {a} ({e}): {v}", f"{e}\t{key}\t{v}", f"{key}[{e}] = {v}", f"{e}: {{{key}: {v}}}", f"SET {key} = '{v}' WHERE name = '{e}'",
                f"<{cased(r, 'item')} name={x} {key}={y}/>", f"{e} {key}:{v} {cased(r, self.word('attribute'))}:{self.value('any')}", f"{cased(r, self.word('attribute'))}={self.value('any')} {key}={v} subject={e}",
                f"{e} > {a} > {v}", f"{e}, {a} {v}", f"({e}) {a}: {v}", f"{a} {e} {v}", f"export {key}_{cased(r, e)}={v}",
            ))  # fmt: skip
        return self.head() + text + self.tail()

    def inquire(self, a: str, e: str) -> str:
        """A question for attribute `a` of `e`."""
        r = self.r
        subject = r.choice((f"the {a} of {e}", f"{e}'s {a}", f"the {a} for {e}", f"the {a} at {e}", f"the {a} that {e} has", f"the {e} {a}"))  # fmt: skip
        form = r.choice((
            f"what is {subject}?", f"what is {subject}?", f"what was {subject}?", f"which {a} does {e} have?", f"which {a} is given for {e}?", f"{subject}?", f"say {subject}.",
            f"look for {subject}", f"read me {subject}.", f"what do we have as {subject}?", f"what {a} has {e}?", f"{a} {e}", f"{e} {a}?", f"what stands for {subject}?", f"and {subject}?",
            f"I am asked for {subject}.", f"how does {subject} read?", f"{e} has which {a}?", f"name {subject}", f"do we have {subject}? Which one?",
            f"what did they give {e} as {a}?", f"remind me of {subject}", f"as what is {subject} recorded?", f"I forgot {subject}. What is it?", f"which one is {subject}?",
            f"give {subject}", f"find out {subject}.", f"complete: {subject} is", f"where it says {a} of {e}, what is written?", f"is there a {a} for {e}, and which?",
        ))  # fmt: skip
        return self.pose(form)

    def pose(self, form: str) -> str:
        """Dresses a question form; a third of them stay as they are."""
        if self.r.random() < 0.35:
            return form if self.r.random() < 0.2 else form[:1].upper() + form[1:]
        if self.r.random() < 0.5:
            return self.ask(form)
        opening = self.r.choice(_OPEN)
        return opening + (form if opening else form[:1].upper() + form[1:]) + self.r.choice(_CLOSE)

    # ---- items

    def _draw(self) -> Item:
        makers = (super()._draw, self.composed, self.acted, self.aspect, self.event, self.sentence, self.columns, self.fields, self.many, self.changed, self.paired, self.listed)  # fmt: skip
        while True:
            item = self.r.choices(makers, (0.24, 0.16, 0.07, 0.06, 0.15, 0.06, 0.03, 0.04, 0.08, 0.08, 0.03, 0.06))[0]()
            text = (" ".join(item.lines) + " " + item.question).lower()
            item.near += self.unsaid(item)
            if item.answer and not any(mark in text for mark in KEPT_MARKS):
                return item

    def unsaid(self, item: Item) -> list[str]:
        """A question for something that is not said of a name that is there."""
        r = self.r
        found = re.findall(r"\b[A-Z][a-z]{2,}(?: [A-Z][a-z]{2,})?\b", " ".join(item.lines))
        if item.kind in ("update", "several", "columns", "join") or not found or r.random() < 0.3:
            return []
        who = r.choice(found)
        if r.random() < 0.5:
            return [self.inquire(self.attribute_name(), who)]
        name = r.choice(self.w.attributes)[0]
        return [] if name in " ".join(item.lines) else [self.inquire(name, who)]

    def unsaid_of(self, frame: Frame, slots: dict) -> list[str]:
        """A question that other lines answer about the same kinds of names, and this line does not."""
        r, said = self.r, {ROLES[x] for x in slots}
        for _ in range(8):
            other = r.choice(EVENTS if frame.program != "-" else SENTENCES)
            role = r.choice(list(other.questions))
            form = r.choice(other.questions[role])
            used = re.findall(r"\{(\w+)\}", form)
            if other is frame or not used or ROLES[role] in said | {"any"} or not all(x in slots for x in used):
                continue
            return [self.pose(form.format(**slots))]
        return []

    def composed(self) -> Item:
        """An attribute from any noun."""
        r, a, e, v = self.r, self.attribute_name(), self.who(), self.value("any")
        other, twin = self.attribute_name(), self.who()
        asked = self.synonym(a) if r.random() < 0.45 else a
        decoys = []
        if r.random() < 0.5:
            for name, subject in ((other, e), (a, twin)):
                if r.random() < 0.7:
                    decoys.append(self._line(self.state(name, subject, self.value("any"))))
            if decoys and r.random() < 0.5:  # both are given, so neither is absent
                other, twin = self.attribute_name(), self.who()
        taken = " ".join(decoys)
        near = [self.inquire(n, w) for n, w in ((other, e), (a, twin)) if n not in taken or w not in taken]
        return Item([self._line(self.state(a, e, v))], self.inquire(asked, e), v, "composed", near=near, decoys=decoys)

    def _line(self, text: str) -> str:
        r = self.r
        if r.random() < 0.18:
            return EVENT + self.word("low") + r.choice(("", f"[{self.digits(4)}]")) + ": " + text
        if r.random() < 0.1:
            return r.choice(("User: ", "Assistant: ", f"<{self.word('first')}> ")) + text
        return (self.capital(text) if r.random() < 0.6 else text) + r.choice((".", ".", "", "", "!", ";"))

    def acted(self) -> Item:
        """A subject, a verb and an object; either is asked for."""
        r, e = self.r, r_name(self)
        if r.random() < 0.5:
            did, do = r.choice(self.words["verb"])
            to = ""
        else:
            did, do, to = r.choice(self.words["verb_to"])
            to = " " + to
        person = r.random() < 0.35
        v = self._w_name() if person else r.choice((f"the {self.word('low')}", f"a {self.word('adj')} {self.word('low')}", self.word("cap"), f"the {self.word('pair')}"))  # fmt: skip
        adverb = r.choice(("", "", "", "", " once", " again", " finally", " also"))
        passive = not to and r.random() < 0.3
        text = f"{v} was{adverb} {did} by {e}" if passive else f"{e}{adverb} {did}{to} {v}"
        line = self._line(self.head() + text + self.tail())
        if r.random() < 0.3 and not to:
            do = self.synonym(do, "v")
        if r.random() < 0.6:
            whom = "whom" if person else "what"
            form = r.choice((f"{whom} did {e} {do}{to}?", f"{whom} did {e} {do}{to}?", f"{e} {did}{to} {whom}?", f"{to.strip()} {whom} did {e} {do}?".strip(), f"name {'the person' if person else 'the thing'} that {e} {did}{to}."))  # fmt: skip
            near = [self.pose(f"{whom} did {r_name(self)} {do}{to}?"), self.pose(f"{whom} did {e} {r.choice(self.words['verb'])[1]}?")]
            return Item([line], self.pose(form), v, "acted", near=near)
        form = r.choice((f"who {did}{to} {v}?", f"who {did}{to} {v}?", f"by whom was {v} {did}{to}?", f"{v} was {did}{to}; by whom?", f"name the one who {did}{to} {v}."))  # fmt: skip
        near = [self.pose(f"who {did}{to} the {self.word('low')}?")]
        return Item([line], self.pose(form), e, "acted", near=near)

    def aspect(self) -> Item:
        """A sentence with one or two circumstances; one of them is asked for."""
        r, e = self.r, r_name(self)
        did, do = r.choice(self.words["verb"])
        what = r.choice((f"the {self.word('low')}", f"a {self.word('low')}", self.word("cap"), self._w_name()))
        chosen = r.sample(ASPECTS, r.choice((1, 2, 2)))
        given, parts = [], []
        for text, _ in chosen:
            role = re.search(r"\{(\w+)\}", text)[1]
            given.append(self.value(ROLES[role]))
            parts.append(text.replace("{" + role + "}", given[-1]))
        line = f"{e} {did} {what} {' '.join(parts)}"
        if r.random() < 0.2:
            line = f"{parts[0]}, {e} {did} {what} {' '.join(parts[1:])}".strip()
        i = r.randrange(len(chosen))
        form = r.choice(chosen[i][1])
        question = form.format(s=e, do=f"{do} {what}", did=f"{did} {what}")
        near = [self.pose(form.format(s=r_name(self), do=f"{do} {what}", did=f"{did} {what}"))]
        return Item([self._line(self.head() + line + self.tail())], self.pose(question), given[i], "aspect", near=near)

    def _fill(self, frame: Frame, fixed: dict | None = None) -> dict[str, str]:
        roles = dict.fromkeys(re.findall(r"\{(\w+)\}", frame.text))
        return {x: self.value(ROLES[x]) for x in roles} | (fixed or {})

    def _framed(self, frame: Frame, slots: dict) -> str:
        text = frame.text.format(**slots)
        if frame.program == "-":
            return self._line(self.head() + text + self.tail())
        tag = frame.program + self.r.choice(("", "", f"[{self.digits(self.r.randint(3, 6))}]"))
        return EVENT + tag + ": " + text

    def _from_frame(self, frame: Frame) -> Item:
        r, slots = self.r, self._fill(frame)
        role = r.choice(list(frame.questions))
        form = r.choice(frame.questions[role])
        line = self._framed(frame, slots)
        used = [x for x in re.findall(r"\{(\w+)\}", form)]
        near = []
        if used:
            other = self._fill(frame)
            near = [self.pose(form.format(**other))]
        if r.random() < 0.3:  # another thing about a name that is there
            near.append(self.inquire(self.attribute_name(), slots[r.choice(list(slots))]))
        near += self.unsaid_of(frame, slots)
        decoys = []
        for _ in range(r.choice((0, 0, 1, 2, 3, 4)) if used else 0):
            decoys.append(self._framed(frame, self._fill(frame)))
        if r.random() < 0.2:
            decoys.append(self._framed(r.choice(EVENTS), self._fill(r.choice(EVENTS), slots) | self._fill_all()))
        kind = "event" if frame.program != "-" else "sentence"
        return Item([line], self.pose(form.format(**slots)), slots[role], kind, near=near, decoys=decoys)

    def _fill_all(self) -> dict[str, str]:
        return {x: self.value(k) for x, k in ROLES.items()}

    def event(self) -> Item:
        """A line of a log and a plain question about one of its roles."""
        return self._from_frame(self.r.choice(EVENTS))

    def sentence(self) -> Item:
        """A sentence with several roles."""
        return self._from_frame(self.r.choice(SENTENCES))

    def columns(self) -> Item:
        """A small table; a cell is asked for by another cell of its row."""
        r = self.r
        names = list(dict.fromkeys([cased(r, self.attribute_name()) for _ in range(r.randint(3, 5))]))
        kinds = [r.choice(("any", "int", "code", "name", "word", "cap", "ip", "date", "money")) for _ in names]
        kinds = ["place" if k == "cap" else k for k in kinds]
        rows = [[self.value(k).replace("|", "/") for k in kinds] for _ in range(r.randint(2, 5))]
        sep = r.choice((" | ", "\t", ", ", ";", "  "))
        rows = [[c.replace(sep.strip() or "\t", " ") for c in row] for row in rows]
        text = "\n".join(sep.join(row) for row in [names, *rows])
        i, (k, n) = r.randrange(len(rows)), r.sample(range(len(names)), 2)
        if sum(rows[i][k] in row for row in rows) > 1:
            return self.composed()
        forms = ("in the row of {x}, what is {n}?", "what {n} has {x}?", "{k} {x}: which {n}?", "which {n} belongs to the {k} {x}?", "what is the {n} where {k} is {x}?", "{n} of {x}?")  # fmt: skip
        form = r.choice(forms)
        near = [self.pose(form.format(n=names[n], k=names[k], x=self.value("code")))]
        return Item([text], self.pose(form.format(n=names[n], k=names[k], x=rows[i][k])), rows[i][n], "table", near=near)  # fmt: skip

    def fields(self) -> Item:
        """A line of fields with any names in any form."""
        r = self.r
        names = list(dict.fromkeys(self.attribute_name() for _ in range(r.randint(3, 8))))
        style = r.randrange(6)
        shown = [cased(r, n) if style < 3 else n for n in names]
        fields = [(n, self.value("any")) for n in shown]
        (k, x), (n, v) = r.sample(fields, 2)
        if x in v or v in x:
            return self.composed()
        form = r.random()
        if form < 0.25:
            line = json.dumps(dict(fields))
        elif form < 0.35:
            line = json.dumps({self.word("attribute"): dict(fields[:2]), **dict(fields[2:])})
        elif form < 0.5:
            line = " ".join(f"<{a}>{b}</{a}>" for a, b in fields)
        else:
            between = r.choice((" ", "; ", ", ", " | ", "\t", " - ", ";", "  ", ","))
            equals = r.choice(("=", ": ", ":", " = ", " ", "->"))
            quote = r.choice(("", "", '"', "'"))
            line = EVENT + between.join(f"{a}{equals}{quote}{b}{quote}" for a, b in fields)
        form = r.choice(self.w.record_questions)
        if r.random() < 0.3:
            form = r.choice(("What is {n} for {x}?", "Which {n} has {x}?", "{x} -- {n}?", "What {n} goes with {x}?", "For {x}, what {n} was noted?"))
        near = [self.ask(form.format(n=n, k=k, x=self.value("code")))]
        return Item([line], self.ask(form.format(n=n, k=k, x=x)), v, "fields", near=near)

    def paired(self) -> Item:
        """A key and a value of any kind in any form."""
        r, k, v = self.r, r_key(self), self.value("any")
        line = self._line(r.choice(self.w.pairs + ("{k} {v}", "{k}\t{v}", "{k} stands for {v}", "{k} ... {v}", "{k} ({v})", "{v} <- {k}", "number {k}: {v}", "put {v} into {k}", "{k} got {v}", "{k} means {v}")).format(k=k, v=v))  # fmt: skip
        form = r.choice(self.w.pair_questions + ("What goes with {k}?", "{k} stands for what?", "What is {k}?", "{k}", "What was put into {k}?", "Say what {k} has."))
        return Item([line], self.ask(form.format(k=k)), v, "pair", near=[self.ask(form.format(k=r_key(self)))])

    def many(self) -> Item:
        """Two to five values of one key in lines of their own; all are asked for, in order."""
        r, count = self.r, self.r.choice((2, 2, 3, 3, 4, 5))
        if r.random() < 0.35:
            return self._many_events(count)
        a, e, kind = self.attribute_name(), self.who(), r.choice(("any", "name", "int", "code", "word", "place", "ip", "thing", "date", "colour"))  # fmt: skip
        chosen = r.choice(self.w.attributes)
        if r.random() < 0.4:
            a, kind = chosen[0], chosen[1]
        values = list(dict.fromkeys(self.value(kind).replace(",", "") for _ in range(count)))
        fixed = r.random() < 0.4
        form = r.choice(self.w.again)
        lines = []
        for v in values:
            text = (form if fixed else r.choice(self.w.again)).format(a=a, e=e, v=v)
            lines.append(self._line(text if fixed or r.random() < 0.6 else self.state(a, e, v)))
        other = self.who()
        decoys = [self._line(self.state(a, other, self.value(kind))) for _ in range(r.choice((0, 0, 1, 2)))]
        question = self.pose(r.choice(_PLURAL_ASK).format(a=a, p=plural(a), e=e))
        return Item(lines, question, ", ".join(values), "several", decoys=decoys)

    def listed(self) -> Item:
        """Several values in one line; all of them, or the n-th, is asked for."""
        r, a, e = self.r, self.attribute_name(), self.who()
        kind = r.choice(("any", "any", "any", "name", "int", "code", "word", "place", "thing", "date", "colour", "animal", "food", "ip", "login", "capital"))
        values = list(dict.fromkeys(self.value(kind).replace(",", "") for _ in range(r.randint(2, 6))))
        if len(values) < 2 or any(" and " in v for v in values):
            return self.composed()
        form = r.random()
        shown = ", ".join(values[:-1]) + r.choice((" and ", ", and ")) + values[-1]
        if form < 0.6:
            shown = r.choice((", ", ", ", "; ", " / ", " | ", " - ")).join(values)
        p = plural(a)
        line = self._line(self.head() + r.choice(_LISTED).format(p=p, e=e, v=shown) + r.choice(("", self.tail())))
        near = [self.pose(r.choice(_PLURAL_ASK).format(a=a, p=p, e=self.who()))]
        if r.random() < 0.5:
            near.append(self.pose(r.choice(_PLURAL_ASK).format(a=a, p=plural(self.attribute_name()), e=e)))
        decoys = [self._line(r.choice(_LISTED).format(p=p, e=self.who(), v=", ".join(self.value(kind) for _ in values)))] if r.random() < 0.3 else []
        if r.random() < 0.55:
            i = r.randrange(len(values))
            o = "last" if i == len(values) - 1 and r.random() < 0.5 else (*ORDINALS, "sixth")[i]
            return Item([line], self.pose(r.choice(_NTH).format(a=a, p=p, e=e, o=o)), values[i], "ordinal", near=near, decoys=decoys)
        return Item([line], self.pose(r.choice(_PLURAL_ASK).format(a=a, p=p, e=e)), ", ".join(values), "list", near=near, decoys=decoys)

    def _many_events(self, count: int) -> Item:
        r = self.r
        forms = (
            ("sshd", "Accepted password for {k} from {v} port {x} ssh2", "login", "ip", ("Which addresses did {k} log in from?", "From where did {k} log in? All addresses.", "List the addresses of {k}.")),
            ("auth", "{k} opened {v}", "login", "path", ("Which files did {k} open?", "What did {k} open? Everything.", "List all that {k} opened.")),
            ("door", "{k} entered {v}", "name", "place", ("Where has {k} been?", "Which places did {k} enter?", "All places of {k}?")),
            ("deploy", "{k} runs on {v}", "service", "hostname", ("On which machines does {k} run?", "List all hosts of {k}.", "Where does {k} run? Name all.")),
            ("shop", "{k} bought {v}", "name", "thing", ("What did {k} buy? Name everything.", "Which things did {k} buy?", "List the purchases of {k}.")),
            ("kernel", "{k}: error {v}", "device", "int", ("Which errors did {k} show?", "All error numbers of {k}?", "List the errors of {k}.")),
            ("mail", "{k} wrote to {v}", "name", "name", ("To whom did {k} write? All of them.", "Who got letters from {k}?", "List everybody {k} wrote to.")),
            ("-", "{k} visited {v}", "name", "capital", ("Which places did {k} visit?", "Where did {k} go? All places.", "List the visits of {k}.")),
            ("-", "{v} is a friend of {k}", "name", "name", ("Who are the friends of {k}?", "Name all friends of {k}.", "Which friends has {k}?")),
        )  # fmt: skip
        program, text, key, kind, questions = r.choice(forms)
        k = self.value(key)
        values = list(dict.fromkeys(self.value(kind).replace(",", "") for _ in range(count)))

        def line(who: str, v: str) -> str:
            made = text.format(k=who, v=v, x=self.value("portnumber"))
            return self._line(made) if program == "-" else f"{EVENT}{program}[{self.digits(4)}]: {made}"

        decoys = [line(self.value(key), self.value(kind)) for _ in range(r.choice((0, 1, 2)))]
        question = self.pose(r.choice(questions).format(k=k))
        return Item([line(k, v) for v in values], question, ", ".join(values), "several", decoys=decoys)

    def changed(self) -> Item:
        """A value that was replaced, once or twice; the newest is asked for, at times the first."""
        r = self.r
        if r.random() < 0.3:
            frame = r.choice([f for f in EVENTS if any(re.findall(r"\{(\w+)\}", q) for q in f.questions[next(iter(f.questions))])])
            role = next(iter(frame.questions))
            form = r.choice(frame.questions[role])
            first = self._fill(frame)
            keys = {x: first[x] for x in re.findall(r"\{(\w+)\}", form)}
            if not keys or role in keys:
                return self.composed()
            second = self._fill(frame, keys)
            lines = [self._framed(frame, first), self._framed(frame, second)]
            asked = form.format(**keys)
            if r.random() < 0.5:
                asked = r.choice(("Last time: {q}", "Most recently: {q}", "{q} The latest, please.", "{q} (newest)")).format(q=asked)
            return Item(lines, self.pose(asked), second[role], "update")
        a, e = self.attribute_name(), self.who()
        kind = "any"
        if r.random() < 0.5:
            chosen = r.choice(self.w.attributes)
            a, kind = chosen[0], chosen[1]
        values = list(dict.fromkeys(self.value(kind) for _ in range(r.choice((2, 2, 2, 3)))))
        if len(values) < 2:
            return self.composed()
        lines = [self._line(self.state(a, e, values[0]))]
        for old, v in zip(values, values[1:]):
            now, subject = r.choice(_TIME_NOW), r.choice((f"the {a} of {e}", f"{e}'s {a}", f"the {a} for {e}"))
            text = r.choice((
                f"{now} {subject} is {v}", f"{subject} is {v} {now}", f"{subject} was {old}, but {now} it is {v}", f"{subject} changed from {old} to {v}", f"{subject} went from {old} to {v}",
                f"{e} got a new {a}, {v}", f"{subject} has been updated: {v}", f"{subject}: {old} -> {v}", f"forget {old}, {subject} is {v}", f"not {old} any more: {subject} is {v}",
                f"{v} replaces {old} as {subject}", f"{subject} = {v} (was {old})", f"{subject} is no longer {old} but {v}", f"new {a} for {e}: {v}", self.state(a, e, v), self.state(a, e, v),
                r.choice(self.w.updates).format(a=a, e=e, v=v), r.choice(self.w.updates).format(a=a, e=e, v=v),
            ))  # fmt: skip
            lines.append(self._line(text))
        if r.random() < 0.15:
            form = r.choice(("what was the {a} of {e} at first?", "what was the first {a} of {e}?", "which {a} did {e} have before any change?", "what was the original {a} of {e}?", "{e}'s {a} in the beginning?"))
            return Item(lines, self.pose(form.format(a=a, e=e)), values[0], "update")
        if r.random() < 0.4:
            form = r.choice(("what is the {a} of {e} now?", "what is the latest {a} of {e}?", "which {a} does {e} have now?", "what is the current {a} of {e}?", "{e}'s {a} these days?", "most recent {a} of {e}?", "which {a} is valid for {e}?"))
            return Item(lines, self.pose(form.format(a=a, e=e)), values[-1], "update")
        return Item(lines, self.inquire(a, e), values[-1], "update")


def r_name(g: Wide) -> str:
    """A subject of a sentence."""
    return g.word("name") if g.r.random() < 0.4 else g.r.choice((g.word("first"), g.entity(), g.word("cap"), f"the {g.word('low')}"))


def r_key(g: Wide) -> str:
    """A key of a pair."""
    return g._key() if g.r.random() < 0.5 else g.r.choice((g.shape(), g.word("token"), g.word("number"), f"{g.word('low')}_{g.word('low')}"))
