"""Questions made from lines of real text: fields of logs, cloze, copying, replies of a dialogue."""

from __future__ import annotations

import random
import re

from .facts import Grammar, Item

_ACCESS = re.compile(r'^(\S+) \S+ \S+ \[([^\]]+)\] "(\w+) (\S+) [^"]*" (\d{3}) (\d+|-)')
_NAMED = re.compile(r"([A-Z][A-Za-z ]{2,24}): ([^;:\t]{1,40});")
_EQUALS = re.compile(r"\b([A-Za-z_]{2,14})=([^\s,;\]\)\"]{1,40})")
_IP = re.compile(r"^\d+\.\d+\.\d+\.\d+$")
_SIMPLE = (
    ("time", re.compile(r"(\d\d:\d\d:\d\d)")),
    ("user", re.compile(r"\b(?:user|for) (?!invalid)([a-z][\w\-]{2,15})\b")),
    ("address", re.compile(r"\b(\d+\.\d+\.\d+\.\d+)\b")),
    ("port", re.compile(r"\bport (\d+)")),
)
CLOZE = ('Complete: "{a} ___ {z}"', "Which word is missing: {a} ____ {z}", "Fill the gap: {a} [...] {z}", 'In the text, what stands between "{a}" and "{z}"?', "{a} ... {z}. What is left out?", 'What came after "{a}"?')  # fmt: skip
COPY = ("Continue: {a}", 'Repeat what follows "{a}".', 'How does the text go on after "{a}"?', "Copy the words after: {a}", "Recite from: {a}")  # fmt: skip
REPLY = ('What was the reply to "{a}"?', 'Somebody said "{a}". What was said next?', 'How did the other one answer "{a}"?', 'What came back after "{a}"?')  # fmt: skip
_TURN = re.compile(r"^(?:\[[\d:]+\] )?(?:<([^>]+)>|(User|Assistant):) (.+)$")


def log_fields(line: str) -> list[tuple[str, str]]:
    """Named fields of a line of a log, as far as its form is known."""
    access = _ACCESS.match(line)
    if access:
        names = ("client address", "time", "method", "requested path", "status", "number of bytes")
        return [(k, v) for k, v in zip(names, access.groups()) if 0 < len(v) < 50]
    found = [(k.strip(), v.strip()) for k, v in _NAMED.findall(line)] + _EQUALS.findall(line)
    process = re.search(r"\b([a-zA-Z_\-]{3,20})\[(\d+)\]", line)
    if process:
        found += [("process", process[1]), ("process id", process[2])]
    for name, pattern in _SIMPLE:
        match = pattern.search(line)
        if match:
            found.append((name, match[1]))
    columns = line.split("\t")
    if len(columns) > 6 and _IP.match(columns[2]) and columns[3].isdigit():
        names = ("uid", "source address", "source port", "target address", "target port")
        found += list(zip(names, columns[1:6]))
    return [(k, v) for k, v in found if 1 < len(v) < 60 and v not in ("-", "(empty)")]


class Questions:
    """Makes items from the lines of one context; `lines` stay where they are."""

    def __init__(self, grammar: Grammar, lines: list[str], log: bool) -> None:
        self.g, self.r, self.lines, self.log = grammar, grammar.r, lines, log
        self.text = "".join(lines)

    def make(self, index: int) -> Item | None:
        """A question about line `index`, or None when the line allows none."""
        line = self.lines[index].strip()
        if self.log:
            tries = (self._field(index, line) for _ in range(4))
            return next((item for item in tries if item), None)
        choice = self.r.random()
        if choice < 0.2 and index + 1 < len(self.lines):
            item = self._reply(line, self.lines[index + 1].strip())
            if item:
                return item
        return self._cloze(line) if choice < 0.75 else self._copy(line)

    def _field(self, index: int, line: str) -> Item | None:
        fields = log_fields(line)
        if len(fields) < 2:
            return None
        (k, x), (n, v) = self.r.sample(fields, 2)
        if k == n or x == v or len(x) < 3:
            return None
        others = [other for i, other in enumerate(self.lines) if i != index and x in other]
        if others:  # the known field must name this line alone
            return None
        question = self.g.ask(self.r.choice(self.g.w.record_questions).format(n=n, k=k, x=x))
        return Item([], question, v, "log field")

    def _cloze(self, line: str) -> Item | None:
        words = line.split(" ")
        if len(words) < 9:
            return None
        good = [i for i in range(2, len(words) - 1) if re.match(r"^[A-Z][a-z]{2,}|.*\d", words[i])]
        if not good:
            return None
        i = self.r.choice(good)
        value = words[i].strip(".,;:!?\"'()")
        before = " ".join(words[max(0, i - self.r.randint(3, 8)) : i])
        after = " ".join(words[i + 1 : i + 1 + self.r.randint(1, 5)])
        if not value or self.text.count(before) != 1:
            return None
        question = self.r.choice(CLOZE).format(a=before, z=after)
        return Item([], question + self.r.choice(self.g.w.hints), value, "cloze", 4.0)

    def _copy(self, line: str) -> Item | None:
        words = line.split(" ")
        if len(words) < 9:
            return None
        i, k = self.r.randrange(0, len(words) - 8), self.r.randint(3, 6)
        start = " ".join(words[i : i + k])
        rest = " ".join(words[i + k : i + k + self.r.randint(3, 9)])
        if not rest or len(rest) > 90 or self.text.count(start) != 1:
            return None
        return Item([], self.r.choice(COPY).format(a=start), rest, "copy", 2.0)

    def _reply(self, line: str, after: str) -> Item | None:
        turn, reply = _TURN.match(line), _TURN.match(after)
        if not turn or not reply or turn[1] == reply[1] and turn[2] == reply[2]:
            return None
        said, answer = turn[3], reply[3]
        if not 15 < len(said) < 140 or not 3 < len(answer) < 110 or self.text.count(said) != 1:
            return None
        return Item([], self.g.ask(self.r.choice(REPLY).format(a=said)), answer, "reply", 2.0)


def cut_lines(text: str, chars: int, rng: random.Random) -> list[str]:
    """Whole lines of a random piece of a text; very long lines are broken."""
    start = rng.randrange(0, max(1, len(text) - chars - 3000))
    start = text.find("\n", start) + 1
    piece = text[start : start + chars]
    lines = piece.split("\n")[:-1] or [piece]
    out = []
    for line in lines:
        while len(line) > 1500:
            out.append(line[:1500])
            line = line[1500:]
        out.append(line + "\n")
    return out
