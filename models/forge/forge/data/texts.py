"""Questions made from lines of real text: fields of logs, cloze, copying, replies of a dialogue."""

from __future__ import annotations

import random
import re

from .facts import Grammar, Item
from .wide import Wide

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

_SENTENCE = re.compile(r"^((?:The |A |An )?[A-Z][\w'\u2019.-]*(?: (?:of |the |and |de |von )?[A-Z][\w'\u2019-]*){0,4}) (was|is|were|are|had|has|became|wrote|made|took|came|went|gave|found|left|won|held|began|led|built|said|saw|told|[a-z]{2,}ed) (.+?)[.;!?]?$")  # fmt: skip
_NO_SUBJECT = set("He She It They I We You This That There These Those His Her Its In On At But And When What Who Which Why How If As For To By From With After Before Then Here Such Some Many Most All One No Not Nothing So Yes Their Our My Your".split())  # fmt: skip
PLAIN_FIELDS = ("What is the {n} of {x}?", "Which {n} has {x}?", "{x}: {n}?", "What {n} belongs to {x}?", "{n} of {x}", "Which {n} was seen with {x}?", "Where {k} is {x}, what is {n}?", "For {x}, give the {n}.", "The line about {x}: what {n}?")  # fmt: skip
_IP4 = r"(\d+\.\d+\.\d+\.\d+)"
HAPPENINGS = (
    (re.compile(rf"(?:[Uu]ser|password for|publickey for) (\S+) (?:from )?{_IP4} port (\d+)"), {
        1: ((2, "Which address did {x} come from?"), (2, "Which address did {x} log in from?"), (2, "From where did {x} try to get in?"), (2, "What is the address of {x}?"), (3, "Which port did {x} use?")),
        2: ((1, "Which user came from {x}?"), (1, "Who tried to log in from {x}?"), (1, "Which account was used from {x}?"), (3, "From which port did {x} connect?"), (3, "What was the port of {x}?")),
        3: ((2, "Which address used port {x}?"), (1, "Who came in through port {x}?")),
    }),
    (re.compile(rf"disconnect from {_IP4} port (\d+)"), {
        1: ((2, "Which port did {x} disconnect from?"), (2, "What was the port of {x}?")), 2: ((1, "Which address disconnected at port {x}?"), (1, "Who used port {x}?")),
    }),
    (re.compile(rf"^{_IP4} \S+ \S+ \[([^\]]+)\] \"(\w+) (\S+) [^\"]*\" (\d{{3}}) (\d+)"), {
        1: ((4, "What did {x} request?"), (4, "Which page did {x} ask for?"), (5, "Which status did {x} get?"), (6, "How many bytes went to {x}?")),
        4: ((1, "Who requested {x}?"), (1, "Which client asked for {x}?"), (5, "How was the request for {x} answered?"), (6, "How large was the answer for {x}?")),
        2: ((1, "Which client came at {x}?"), (4, "What was requested at {x}?")),
    }),
    (re.compile(rf"\[client {_IP4}\] (?:File does not exist|Directory index forbidden by rule): (\S+)"), {
        1: ((2, "Which file did {x} look for?"), (2, "What was {x} refused?")), 2: ((1, "Which client wanted {x}?"), (1, "Who asked for {x}?")),
    }),
    (re.compile(r"sshd\[(\d+)\]: (?:Invalid user|Disconnected from invalid user) (\S+)"), {
        1: ((2, "Which user does sshd process {x} speak of?"), (2, "Whose login did process {x} handle?")), 2: ((1, "Which process handled {x}?"), (1, "What pid wrote about {x}?")),
    }),
    (re.compile(rf"\t{_IP4}\t(\d+)\t{_IP4}\t(\d+)\t(?:udp|tcp)"), {
        1: ((3, "Which address did {x} talk to?"), (4, "To which port did {x} connect?")), 2: ((1, "Which address used source port {x}?"), (3, "Where did the connection from port {x} go?")),
    }),
    (re.compile(r"Image: (\S[^;]{4,60}); (?:ImageLoaded|CommandLine|TargetObject|TargetFilename|PipeName): ([^;]{4,60})"), {
        2: ((1, "Which program touched {x}?"), (1, "What image loaded or used {x}?")),
    }),
    (re.compile(r"ProcessGuid: (\{[0-9a-f-]+\}); ProcessId: (\d+)"), {
        1: ((2, "What is the process id of {x}?"),), 2: ((1, "Which guid has process {x}?"), (1, "What is the ProcessGuid of {x}?")),
    }),
)  # fmt: skip
"""(form of a line, for each group that may be known: (group that is wanted, question))."""


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


NO_FIELDS = "colour|owner|temperature|exit code|duration|session key|country|group|parent process|memory usage|disk|retry count|signature|serial number|role|region|queue|thread|certificate|user agent".split("|")  # fmt: skip
"""Fields that few lines of the trained logs have."""


UNSAID = (
    (r"port", "Which port did {x} use?"), (r"port", "What was the source port of {x}?"), (r"user|for \w", "Which user belongs to {x}?"), (r"user|for \w|login", "Who logged in from {x}?"),
    (r"byte|size|\d\d\d \d+|\t", "How many bytes did {x} send?"), (r"byte|size|\d\d\d \d+|\t", "How large was the answer for {x}?"), (r"second|durat|\d ?ms|took|\t", "How long was {x} connected?"),
    (r"second|durat|\d ?ms|took|\t", "How long did {x} take?"), (r"\d+\.\d+\.\d+\.\d+", "Which address did {x} come from?"), (r"SHA|finger|hash|MD5", "Which fingerprint did {x} show?"),
    (r"status|code|\d\d\d", "With which code did {x} end?"), (r"disk|sd[a-z]|volume", "Which disk does {x} use?"), (r"memory|mem", "How much memory did {x} take?"),
    (r"version|\d\.\d", "Which version runs on {x}?"),
    (r"host|server", "On which host did {x} run?"), (r"service|daemon|sshd|httpd", "Which service did {x} restart?"), (r"group", "Which group is {x} in?"),
    (r"country|city", "From which country is {x}?"),
    (r"retr|attempt|times", "How often did {x} try again?"), (r"fail|error|invalid", "Why did {x} fail?"), (r"mail|@", "What is the mail address of {x}?"),
    (r"cert", "When does the certificate of {x} expire?"),
    (r"parent", "What is the parent of {x}?"), (r"thread", "Which thread handled {x}?"), (r"priorit", "What is the priority of {x}?"),
    (r"agent|mozilla", "Which user agent did {x} send?"), (r"session", "Which session did {x} open?"),
)  # fmt: skip
"""(what a line must not show, any case; a question that it then does not answer)."""


class Questions:
    """Makes items from the lines of one context; `lines` stay where they are."""

    def __init__(self, grammar: Grammar, lines: list[str], log: bool) -> None:
        self.g, self.r, self.lines, self.log = grammar, grammar.r, lines, log
        self.text = "".join(lines)

    def make(self, index: int) -> Item | None:
        """A question about line `index`, or None when the line allows none."""
        line = self.lines[index].strip()
        if self.log:
            plain = isinstance(self.g, Wide) and self.r.random() < 0.5
            tries = (self._happening(index, line) if plain else None, *(self._field(index, line) for _ in range(4)))
            return next((item for item in tries if item), None)
        choice = self.r.random()
        if isinstance(self.g, Wide) and self.r.random() < 0.4:
            item = self._read(line)
            if item:
                return item
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
        form = self.r.choice(self.g.w.record_questions)
        if isinstance(self.g, Wide) and self.r.random() < 0.4:
            form = self.r.choice(PLAIN_FIELDS)
        question = self.g.ask(form.format(n=n, k=k, x=x))
        near = []
        if isinstance(self.g, Wide):  # a value that is not there, or a field that the line lacks
            other, name = self._changed(x), self.r.choice(NO_FIELDS)
            near = [self.g.ask(form.format(n=n, k=k, x=other))] if other not in self.text else []
            if name.split()[-1] not in line.lower():
                near.append(self.g.ask(form.format(n=name, k=k, x=x)))
            near += self._unsaid(x, line)
        return Item([], question, v, "log field", near=near)

    def _unsaid(self, x: str, line: str) -> list[str]:
        """A question about `x` that its line does not answer, in the form of one that others do."""
        fits = [form for shown, form in UNSAID if not re.search(shown, line, re.IGNORECASE)]
        return [self.g.pose(self.r.choice(fits).format(x=x))] if fits else []

    def _changed(self, x: str) -> str:
        """A value that looks like `x`."""
        digits = [i for i, c in enumerate(x) if c.isdigit()]
        if not digits:
            return self.g.word("low") if x.islower() else self.g.word("cap")
        out = list(x)
        for i in self.r.sample(digits, min(len(digits), self.r.randint(1, 4))):
            out[i] = self.r.choice("0123456789")
        return "".join(out)

    def _happening(self, index: int, line: str) -> Item | None:
        """A plain question about one thing in a line that is found by another."""
        for pattern, roles in HAPPENINGS:
            match = pattern.search(line)
            if match:
                break
        else:
            return None
        known, questions = self.r.choice(list(roles.items()))
        x = match[known]
        wanted, form = self.r.choice(questions)
        v = match[wanted]
        if x == v or any(x in other for i, other in enumerate(self.lines) if i != index):
            return None
        other = self._changed(x)
        near = [] if other in self.text else [self.g.pose(form.format(x=other))]
        near += self._unsaid(x, line)
        return Item([], self.g.pose(form.format(x=x)), v, "log event", near=near)

    def _read(self, line: str) -> Item | None:
        """Who, what, when, where of one simple sentence."""
        sentences = [s for s in re.split(r"(?<=[.;!?]) ", line) if 30 < len(s) < 260]
        if not sentences:
            return None
        match = _SENTENCE.match(self.r.choice(sentences))
        if not match or match[1].split()[0] in _NO_SUBJECT:
            return None
        s, did, rest = match[1], match[2], match[3]
        asked = self._asked_of(s, did, rest)
        if asked is None or self.text.count(f"{did} {rest[:20]}") != 1:
            return None
        question, answer = asked
        if not 1 < len(answer) < 90:
            return None
        return Item([], self.g.pose(question), answer, "read", 3.0)

    def _asked_of(self, s: str, did: str, rest: str) -> tuple[str, str] | None:
        r, words = self.r, rest.split()
        short = " ".join(words[: r.randint(3, 10)]).rstrip(",;:")
        forms = []
        who = r.choice(("who", "what")) if " " in s and not s.startswith("The ") else "what"
        forms.append((f"{who} {did} {short}?", s))
        be = did in ("was", "is", "were", "are")
        if be:
            what = re.split(r"[,;(]| which | who ", rest)[0].strip()
            if len(what.split()) < 13:
                forms += [(f"what {did} {s}?", what), (f"{s}: {r.choice(('who or what', 'what'))} {did} that?", what)]
        year = re.match(r"(.*?)\b(?:in|since|until) (1\d{3}|20\d\d)\b", rest)
        base = dict(self.g.words["verb"]).get(did)
        if year and (be or base):
            verb = f"{did} {s}" if be else f"did {s} {base}"
            forms += 2 * [(f"{r.choice(('when', 'in which year'))} {verb} {year[1].strip(' ,')}?".replace(" ?", "?"), year[2])]
        number = re.search(r"\b(\d[\d,.]*\d|\d|two|three|four|five|six|seven|ten|twelve|twenty) ([a-z]{3,})s\b", rest)
        if number:
            forms += 2 * [(f"how many {number[2]}s {did} {s}{r.choice(('', ' ' + ' '.join(words[:2])))}?", number[1]), (f"how many {number[2]}s are given for {s}?", number[1])][:1]
        place = re.match(r"(.{3,60}?) (in|at|near|by|from|with|for) ((?:[A-Z][\w'-]+ ?){1,4})", rest)
        if place and (be or base):
            verb = f"{did} {s}" if be else f"did {s} {base}"
            word = {"in": "where", "at": "where", "near": "near what", "by": "by whom", "from": "from whom or where", "with": "with whom", "for": "for whom"}[place[2]]
            forms += 2 * [(f"{word} {verb} {place[1].strip(' ,')}?", place[3].strip())]
        return r.choice(forms)

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
