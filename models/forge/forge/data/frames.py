"""Frames of events and sentences for training: a line with roles, and questions for each role.

A line of `EVENTS`: program | message | role: question / question | role: question. Slots are roles;
a question may use any other role of the message. Nothing here is kept back, and nothing that is kept
back is here.
"""

from __future__ import annotations

from dataclasses import dataclass

ROLES = {
    "user": "login", "user2": "login", "host": "hostname", "host2": "hostname", "ip": "ip",
    "ip2": "ip", "port": "portnumber", "pid": "int", "file": "path", "dir": "path", "svc": "service",
    "code": "code", "err": "int", "size": "bytes", "time": "time", "dur": "duration", "dev": "device",
    "ver": "ver", "hash": "hex", "id": "code", "name": "name", "name2": "name", "n": "count",
    "n2": "count", "url": "url", "thing": "thing", "place": "place", "date": "date", "money": "money",
    "word": "word", "mail": "mail", "pct": "pct", "cap": "capital", "job": "jobname", "qty": "qty",
    "colour": "colour", "phrase": "phrase", "state": "state", "any": "any",
}  # fmt: skip
"""Kind of value of each role."""


@dataclass(frozen=True)
class Frame:
    """`text` with {role} slots; questions by role."""

    program: str
    text: str
    questions: dict[str, tuple[str, ...]]


def _frames(text: str) -> tuple[Frame, ...]:
    out = []
    for line in text.strip().split("\n"):
        program, message, *asked = (p.strip() for p in line.split("|"))
        questions = {}
        for part in asked:
            role, _, forms = part.partition(":")
            questions[role.strip()] = tuple(q.strip() for q in forms.split(" / "))
        out.append(Frame(program, message, questions))
    return tuple(out)


EVENTS = _frames("""
sshd|Accepted password for {user} from {ip} port {port} ssh2|ip: Which address did {user} log in from? / From where did {user} log in? / What is the address that {user} came from?|user: Who logged in from {ip}? / Which account was used from {ip}?|port: Which source port did {user} use to log in? / Through which port did {user} come in?
sshd|Failed password for invalid user {user} from {ip} port {port} ssh2|ip: Which address tried to get in as {user}? / Where did the failed login of {user} come from?|user: Which invalid user was tried from {ip}? / Whose password failed at {ip}?|port: What port did the attempt for {user} use?
sshd|Accepted publickey for {user} from {ip} port {port} ssh2: RSA SHA256:{hash}|hash: What is the fingerprint of {user}'s key? / Which key did {user} present?|ip: From which machine did {user} connect with a key?
sudo|{user} : TTY=pts/{n} ; PWD={dir} ; USER={user2} ; COMMAND={file}|file: Which command did {user} run with sudo? / What was executed by {user}?|dir: In which directory was {user} when using sudo?|user2: As whom did {user} run the command?
su|{user} switched to {user2} on {dev}|user2: Whose identity did {user} take? / To which account did {user} switch?|dev: On which terminal did {user} switch?
kernel|{dev}: link is up at {n} Mbps|n: How fast is the link of {dev}? / What speed did {dev} come up with?
kernel|Out of memory: killed process {pid} ({svc}), freed {size}|pid: Which process id was killed when {svc} ran out of memory? / What was the pid of the killed {svc}?|svc: Which program was killed as process {pid}?|size: How much memory came free when {svc} was killed?
kernel|{dev}: attached as {word}, {size}|size: How large is {dev}? / What is the size of the attached {dev}?|word: Under which name was {dev} attached?
systemd|Started {svc} in {dur}|dur: How long did {svc} need to start? / What was the start-up time of {svc}?
systemd|{svc}: main process exited, status={err}|err: With which status did {svc} exit? / How did the main process of {svc} end?
systemd|{svc} restarted {n} times, giving up|n: How often was {svc} restarted? / After how many attempts did systemd give up on {svc}?
cron|({user}) CMD ({file} --job {job})|file: What does cron run for {user}? / Which script is in the crontab of {user}?|job: Which job does {user} run from cron?
named|query for {host} answered with {ip} in {dur}|ip: What does {host} resolve to? / Which address was given for {host}?|dur: How long did the lookup of {host} take?
dhcpd|offer {ip} to {host} via {dev}|ip: Which address was offered to {host}?|dev: Through which interface was {host} served?
nginx|upstream {ip} timed out after {dur} for {url}|ip: Which upstream was too slow for {url}? / What server did not answer for {url}?|dur: After how much time was {url} given up?
nginx|{ip} requested {url}: {err}|err: Which status did {ip} get for {url}? / What was answered to {ip}?|url: What did {ip} ask for? / Which page did {ip} request?
httpd|client {ip} denied by rule {code} for {file}|code: Which rule kept {ip} out?|file: What was {ip} not allowed to read?
postfix|{id}: to={mail}, relay={host}, delay={dur}, status=sent|mail: To whom was message {id} delivered? / Who is the recipient of {id}?|host: Which relay took {id}?|dur: What delay had message {id}?
postfix|{id}: rejected from {mail}: {phrase}|phrase: Why was the mail of {mail} rejected? / What was the reason for refusing {id}?|mail: Whose mail was rejected as {id}?
smartd|{dev}: temperature {n} C, {n2} reallocated sectors|n: How hot is {dev}? / What temperature does {dev} show?|n2: How many sectors of {dev} were reallocated?
postgres|user={user} db={word}: statement took {dur}: {code}|dur: How slow was the statement {code}?|word: Which database does {user} work with? / To which database is {user} connected?
mysqld|table {word} repaired, {n} rows recovered|n: How many rows of {word} were recovered? / What did the repair of {word} bring back?
backup|{dir} copied to {host}, {size} in {dur}|host: Where was {dir} copied to? / Which machine keeps the copy of {dir}?|size: How big was the backup of {dir}?|dur: How long did it take to copy {dir}?
backup|{job} failed: {phrase}|phrase: Why did {job} fail? / What went wrong with {job}?
docker|container {id} of image {word}:{ver} started on port {port}|ver: Which tag of {word} was started? / What version of the image {word} runs?|port: On which port is container {id}? / Where does {word} listen?|word: Which image is container {id} made of?
kubelet|pod {host} evicted from {host2}: {phrase}|host2: From which node was {host} evicted?|phrase: Why was pod {host} evicted?
deploy|{svc} {ver} rolled out by {user} at {time}|ver: Which version of {svc} was rolled out? / What release of {svc} is live?|user: Who rolled out {svc}? / Who is responsible for the rollout of {svc}?|time: When was {svc} rolled out?
deploy|rollback of {svc} to {ver} after {n} errors|ver: To which version did {svc} go back?|n: How many errors made {svc} roll back?
build|job {job} finished in {dur} with {n} warnings, artifact {hash}|dur: How long did {job} run?|n: How many warnings did {job} give?|hash: Which artifact came from {job}?
git|{user} pushed {hash} to {word}|hash: Which commit did {user} push? / What was pushed by {user}?|word: To which branch did {user} push?|user: Who pushed {hash}? / Who is the author of the push to {word}?
auth|token {hash} issued to {user}, valid until {date}|hash: Which token was issued to {user}? / What is the token of {user}?|date: Until when is the token of {user} valid? / When does the token {hash} expire?|user: To whom does token {hash} belong?
auth|session {id} of {user} closed after {dur}|dur: How long was {user} logged in? / What was the length of session {id}?|id: Which session did {user} have?
billing|invoice {id} over {money} sent to {name}|money: How much is invoice {id}? / What does {name} have to pay?|name: Who got invoice {id}? / To whom was {id} sent?|id: Which invoice was sent to {name}?
shop|order {id}: {n} x {thing} for {name}, paid {money}|thing: What did {name} order? / What is in order {id}?|money: How much was paid for order {id}? / What did {name} pay?|name: Who placed order {id}?|n: How many pieces are in order {id}?
ship|parcel {id} left {place} for {name}|place: Where did parcel {id} leave from?|name: Who will receive {id}?
door|badge {id} opened {word} for {name} at {time}|time: When did {name} enter {word}? / At what time was {word} opened?|word: Which door did {name} open? / What did badge {id} open?|name: Whose badge is {id}? / Who came in through {word}?|id: Which badge does {name} carry?
sensor|{word}: {qty}, battery {pct}|qty: What does the sensor {word} measure? / Which value came from {word}?|pct: How full is the battery of {word}?
phone|call from {name} to {name2}, {dur}|name2: Whom did {name} call? / Who was called by {name}?|dur: How long did {name} talk to {name2}?|name: Who called {name2}?
alarm|{place}: smoke detected by unit {code}|place: Where did unit {code} detect smoke?|code: Which unit raised the alarm in {place}?
firewall|DROP IN={dev} SRC={ip} DST={ip2} PROTO=TCP DPT={port}|ip2: Which address did {ip} want to reach? / What was the target of {ip}?|port: Which port did {ip} knock at?|dev: On which interface did the packet of {ip} come in?
vpn|{user} assigned {ip} on {host}|ip: Which tunnel address has {user}? / What address did {user} get?|host: Which gateway serves {user}?|user: Who has the address {ip}?
printer|{file} printed for {user}: {n} pages, {colour}|n: How many pages did {user} print?|file: What did {user} print? / Which document was printed for {user}?
queue|{word}: {n} messages waiting, oldest {dur}|n: How many messages wait in {word}? / What is the backlog of {word}?|dur: How old is the oldest message in {word}?
cache|{svc} hit rate {pct}, {size} used|pct: What share of requests did the cache of {svc} serve? / How good is the hit rate of {svc}?|size: How much does the cache of {svc} use?
cert|certificate of {host} renewed by {cap} until {date}|date: How long is the certificate of {host} good?|cap: Who renewed the certificate of {host}? / Which authority signed for {host}?
raid|{dev} degraded, rebuilding at {pct}|pct: How far is the rebuild of {dev}?
ntpd|clock of {host} stepped by {dur}|dur: By how much was the clock of {host} off?
scheduler|{job} assigned to {host}, priority {n}|host: Where does {job} run? / Which node got {job}?|n: What priority has {job}?
license|{cap} licence {code} allows {n} seats|n: How many seats does {cap} have?|code: Which licence does {cap} use?
ldap|{user} is a member of {word}, uid {n}|word: Which group is {user} in?|n: What is the uid of {user}?
watchdog|{svc} did not respond for {dur}, state {state}|dur: How long was {svc} silent?|state: In which state is {svc}?
import|{file}: {n} records read, {n2} skipped|n: How many records were read from {file}?|n2: How many records of {file} were skipped?
rotate|{file} renamed to {word}.gz, {size} saved|word: What is the new name of {file}?|size: How much was saved by rotating {file}?
audit|{name} changed {word} from {state} to {any}|any: To what did {name} set {word}? / What is {word} now?|state: What was {word} before {name} touched it?|name: Who changed {word}?
""")

SENTENCES = _frames("""
-|{name} met {name2} in {place} on {date}|name2: Whom did {name} meet? / Who was with {name} in {place}?|place: Where did {name} meet {name2}? / What was the place of the meeting?|date: When did {name} meet {name2}?
-|{name} paid {money} for a {thing} at {place}|money: How much did {name} pay for the {thing}? / What was the price of the {thing}?|thing: What did {name} buy at {place}?|place: Where did {name} get the {thing}?|name: Who bought the {thing}?
-|the meeting about {thing} was moved to {time} by {name}|time: When is the meeting about {thing}? / To what time was the talk on {thing} moved?|name: Who moved the meeting about {thing}?
-|{name} found {n} coins in the {thing}|n: How many coins were in the {thing}? / How many did {name} find?|thing: Where did {name} find the coins?|name: Who found the coins?
-|{cap} beat {word} United {n} to {n2}|cap: Who won against {word} United?|n: How many goals did {cap} score?
-|{name}, aged {n}, teaches {word} in {place}|word: What does {name} teach? / Which subject is taught by {name}?|n: How old is {name}? / What is the age of {name}?|place: In which town does {name} teach?
-|the {thing} belongs to {name}, who keeps it in {place}|name: Whose is the {thing}? / To whom does the {thing} belong?|place: Where is the {thing} kept? / In which place is the {thing}?
-|{name} owes {name2} {money}|money: How much does {name} owe? / What sum does {name2} get back?|name2: To whom does {name} owe money? / Who lent money to {name}?
-|{name} invited {n} guests to {place}|n: How many guests did {name} invite?|place: Where will the guests of {name} go?
-|the train to {place} leaves from track {n} at {time}|n: From which track does the train to {place} go?|time: When does the train to {place} leave?|place: Where does the train on track {n} go?
-|{name} dropped the {thing} while talking to {name2}|thing: What did {name} drop? / What fell down?|name2: With whom was {name} talking?
-|my doctor is {name} and the practice is in {place}|name: Who is my doctor? / Which doctor do I go to?|place: Where is my doctor's practice?
-|I parked the car on level {n}, next to the {thing}|n: On which level is my car? / Where did I park, on which floor?|thing: What is next to my car?
-|we will stay at the hotel {cap} until {date}|cap: In which hotel will we stay? / What is our hotel called?|date: Until when do we stay?
-|my sister {name} works as a {word} for {cap}|name: What is my sister called?|cap: For which company does my sister work?
-|please buy {n} bottles of {thing} for {name}|n: How many bottles should I buy?|thing: What should I buy for {name}?|name: For whom is the {thing}?
-|the {thing} weighs {qty} and costs {money}|qty: How heavy is the {thing}?|money: How much is the {thing}? / What does one pay for the {thing}?
-|{name} said that {word} is the answer to {phrase}|word: What is the answer to {phrase}? / What did {name} say?|name: Who knew the answer to {phrase}?
-|{cap} was founded by {name} in {date}|name: Who founded {cap}? / Who started {cap}?|date: When was {cap} founded? / Since when does {cap} exist?
-|{name} translated "{phrase}" into {word}|word: Into what did {name} translate "{phrase}"?|name: Who translated "{phrase}"?
-|the key to {word} lies under the {thing}|thing: Under what does the key to {word} lie? / Where do I find the key to {word}?|word: Which key lies under the {thing}?
-|{name} lives at number {n}, {cap} Street|n: What is the house number of {name}?|cap: In which street does {name} live? / What street is {name} from?
-|{name} is {n} years older than {name2}|n: By how many years is {name} older?|name2: Than whom is {name} older?
-|the password for {word} was changed from {code} to {any}|any: What is the password for {word} now? / Which password opens {word}?|code: What was the old password for {word}?
-|{name} plays the {thing} on {date}|thing: What does {name} play?|date: On which day does {name} play?
-|they sold {n} tickets for {cap}, {n2} more than last time|n: How many tickets were sold for {cap}?|n2: How many more tickets than last time were sold?
-|{name} takes {qty} of {word} before breakfast|qty: How much {word} does {name} take?|word: What does {name} take before breakfast?
-|chapter by {name}: the {thing} of {place} fell in {date}|date: When did the {thing} of {place} fall?|name: Who wrote about the {thing} of {place}?
-|{name} from {place} won the {word} prize with {n} points|word: Which prize did {name} win?|n: With how many points did {name} win?|place: Where does the winner {name} come from?
-|the boat of {name} is {colour} and is called {cap}|cap: What is the boat of {name} called? / Which name has {name}'s boat?|colour: What colour is the boat of {name}?
-|{name} borrowed the {thing} from {name2} and will return it on {date}|date: When will {name} return the {thing}?|name2: From whom did {name} borrow the {thing}? / Who is the owner of the {thing}?|thing: What did {name} borrow?
-|call {name} at {time}, extension {n}|time: When should I call {name}?|n: Which extension has {name}?
-|{place} has {n} inhabitants and its mayor is {name}|n: How many people live in {place}?|name: Who is the mayor of {place}? / Who governs {place}?
-|the recipe needs {n} eggs and {qty} of {word}|n: How many eggs does the recipe need?|qty: How much {word} does the recipe need?
-|{name} hid the {thing} behind the {word}|thing: What did {name} hide?|word: Behind what is the {thing} hidden? / Where is the {thing}?|name: Who hid the {thing}?
""")

ASPECTS = (
    ("in {place}", ("Where did {s} {do}?", "In which place did {s} {do}?", "{s} {did}: where?")),
    ("near {place}", ("Where did {s} {do}?", "Near what did {s} {do}?")),
    ("on {date}", ("When did {s} {do}?", "On which day did {s} {do}?", "{s} {did}: when?")),
    ("at {time}", ("When did {s} {do}?", "At what time did {s} {do}?", "What time was it when {s} {did}?")),
    ("for {money}", ("For how much did {s} {do}?", "What was the sum for which {s} {did}?")),
    ("with {name}", ("With whom did {s} {do}?", "Who was with {s}?")),
    ("together with {name}", ("With whom did {s} {do}?", "Who {did} together with {s}?")),
    ("for {name}", ("For whom did {s} {do}?", "Who was it for when {s} {did}?")),
    ("with a {thing}", ("With what did {s} {do}?", "What did {s} use?")),
    ("{n} times", ("How often did {s} {do}?", "How many times did {s} {do}?")),
    ("for {dur}", ("How long did {s} {do}?", "For how long was it that {s} {did}?")),
    ("because of the {thing}", ("Why did {s} {do}?", "What was the reason that {s} {did}?")),
    ("instead of {name}", ("Instead of whom did {s} {do}?",)),
    ("on behalf of {cap}", ("On whose behalf did {s} {do}?",)),
)  # fmt: skip
"""(tail of a sentence, questions for it); {s} subject, {do} and {did} the verb with its object."""

KEPT_MARKS = (
    "regarding", "=>", "::", "props", "notebook", "it says here", "do you know", "please file", "was fixed at",
    "clerk typed", "finally told", "is known to carry", "label", "would like to know", "notes give", "concerning",
    "would you tell", "again, please", "what about its", "let's check", "should be entered", "any idea", "for the form",
    "anchor", "drove off", "broadcast", "dreams of", "around the neck", "is cast", "uncork", "posts everything",
    "courier", "tailor", "scrap that", "was replaced by", "newest value", "register_content", "lucky", "best thing to do",
    "lists as", "among the", "enumerate", "in place", "counts", "this person", "somebody is the", "reach the",
)  # fmt: skip
"""Marks of wordings that are kept back: a composed fact that shows one is thrown away."""
