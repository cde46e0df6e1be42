"""Wordings, kinds of value and relations, split into trained and kept back.

The split is made here, once, by hand, before any training: nothing in `KEPT` is ever shown to a
model in training. Placeholders: {e} entity, {a} attribute, {v} value, {k} and {x} a known field and
its value, {n} the name of the wanted field.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wordings:
    """One side of the split."""

    statements: tuple[str, ...]
    questions: tuple[str, ...]
    attributes: tuple[tuple[str, str, tuple[str, ...]], ...]
    """(attribute, kind of value, synonyms that a question may use instead)."""
    relations: tuple[tuple[str, tuple[str, ...], str], ...]
    """(statement, questions, kind of value)."""
    entities: tuple[str, ...]
    prefixes: tuple[str, ...]
    suffixes: tuple[str, ...]
    asides: tuple[str, ...]
    """Put before a question."""
    hints: tuple[str, ...]
    """Put behind a question."""
    pairs: tuple[str, ...]
    pair_questions: tuple[str, ...]
    record_questions: tuple[str, ...]
    separators: tuple[tuple[str, str], ...]
    """(between fields, between name and value)."""
    updates: tuple[str, ...]
    lists: tuple[tuple[str, str], ...]
    """(statement with {a} the plural noun, {e}, {v} the joined list; question for all of them)."""
    ordinals: tuple[str, ...]
    again: tuple[str, ...]
    """Statements that add one more value under the same key."""
    joins: tuple[str, ...]
    """Questions with {r} a role, {e} an entity, {a} the attribute of whoever has that role."""


def _t(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().split("\n"))


def _attributes(text: str) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    out = []
    for line in _t(text):
        name, kind, *synonyms = (p.strip() for p in line.split("|"))
        out.append((name, kind, tuple(synonyms)))
    return tuple(out)


def _relations(text: str) -> tuple[tuple[str, tuple[str, ...], str], ...]:
    out = []
    for line in _t(text):
        kind, statement, *questions = (p.strip() for p in line.split("|"))
        out.append((statement, tuple(questions), kind))
    return tuple(out)


TRAIN = Wordings(
    statements=_t("""
        {a} of {e}: {v}
        the {a} of {e} is {v}
        {e}'s {a} is {v}
        {e} has {v} as its {a}
        {v} is the {a} of {e}
        the {a} for {e} is {v}
        the {a} for {e} was set to {v}
        for {e}, the {a} is {v}
        {e} has the {a} {v}
        {e}: {a} {v}
        {e} ({a} {v})
        {e}, {a} {v}, was mentioned again
        {a}={v} for {e}
        {e} {a}={v}
        {e} | {a} | {v}
        as for {e}, its {a} remains {v}
        when asked about the {a} of {e}, he answered {v}
        {v} was chosen as the {a} of {e}
        the {a} that belongs to {e} is {v}
        the {a} listed for {e} is {v}
        someone wrote down {v} as the {a} for {e}
        {e} now uses {v} as {a}
        {e} reported {a} {v}
        set {a} {v} on {e}
        {e} - {a}: {v}
        if you need the {a} of {e}, it is {v}
        there is only one {a} for {e}, namely {v}
        nobody forgets that {e}'s {a} is {v}
        {{"name": "{e}", "{a}": "{v}"}}
        <{a} of="{e}">{v}</{a}>
        {e};{a};{v}
        the register gives {v} under {a} for {e}
        {e} registered with {a} {v}
        assigned {a} {v} to {e}
        the {a}, {v}, is the one of {e}
        they gave {e} the {a} {v}
        {e} goes by the {a} {v}
        with {v} as {a}, {e} is ready
        {e} came with {a} {v} printed on the back
        a note on the door gives {v} as the {a} of {e}
        [{e}] {a} -> {v}
        {a} ({e}) = {v}
        "{a}": "{v}", "subject": "{e}"
        do not confuse it: {e} has {a} {v}
        - {e}: the {a} is {v}
        it is {v} that stands as {a} of {e}
        we agreed on {v} for the {a} of {e}
        all forms for {e} show the {a} {v}
    """),
    questions=_t("""
        What is the {a} of {e}?
        What is {e}'s {a}?
        What's the {a} for {e}?
        Which {a} does {e} have?
        {e}: {a}?
        Tell me the {a} of {e}.
        Do you remember the {a} of {e}?
        Can you give me {e}'s {a}?
        I need the {a} for {e}.
        Give the {a} of {e}.
        What {a} was mentioned for {e}?
        What was said about the {a} of {e}?
        Look up the {a} of {e}.
        {a} of {e}
        For {e}, what is the {a}?
        What did they say {e}'s {a} was?
        Please state the {a} that belongs to {e}.
        Find {a} for {e}
        which {a} belongs to {e}
        Remind me: what is the {a} of {e}?
        What value does the text give as the {a} of {e}?
        The {a} of {e} is what?
        Could you recall {e}'s {a}?
        Fill in: the {a} of {e} is ___
        I forgot the {a} of {e}. What was it?
        how about the {a} of {e}?
        Has anyone given a {a} for {e}? Which one?
        What {a} should I write down for {e}?
        About {e}: I am looking for the {a}.
        Under which {a} is {e} listed?
        Somebody asks for the {a} of {e}. What do you say?
        Name the {a} of {e}
    """),
    attributes=_attributes("""
        access code|code|entry code|code to get in
        PIN|code|personal number
        secret number|int
        serial number|code|series number
        registration number|code
        budget|money|planned spending
        price|money|cost|amount to pay
        salary|money|pay|earnings|wage
        fee|money|charge
        telephone number|phone|phone|number to call
        phone number|phone|telephone
        fax|phone
        email address|mail|email|electronic mail
        contact|name|person to talk to
        manager|name|boss|head
        owner|name|proprietor|person it belongs to
        director|name|leader
        author|name|writer
        captain|name|skipper
        deputy|name|second in command
        supplier|name|vendor
        opening time|time|time it opens
        closing time|time|time it shuts
        departure time|time|time of leaving
        start time|time|beginning
        deadline|date|last day|due date
        launch date|date|first day
        date of birth|date|birthday
        expiry date|date|end of validity
        founding year|date|year it was established
        colour|colour|paint
        favourite colour|colour|best-liked colour
        weight|qty|mass|heaviness
        height|qty|how tall it is
        length|qty|extent
        distance|qty|way to go
        capacity|qty|room inside
        duration|qty|time needed
        latency|qty|delay
        version|ver|release
        build|ver
        success rate|pct|share of successes
        humidity|pct|dampness
        score|int|points|result
        population|int|number of inhabitants|people living there
        number of seats|int|places to sit
        id|code|identifier
        identifier|code|id
        token|hex
        hash|hex|digest
        key|hex
        IP address|ip|network address
        gateway|ip|router
        config file|path|settings file
        log file|path|file it logs to
        path|path|location on disk
        location|place|whereabouts|place
        destination|place|end of the trip
        home town|place|town of origin
        birthplace|place|place of birth
        hiding place|place|secret spot
        nickname|word|pet name
        codename|word|cover name
        motto|phrase|maxim
        slogan|phrase|advertising line
        mascot|thing|lucky figure
        symbol|thing|emblem
        password|code|login secret
        password|phrase|secret phrase
        favourite dish|thing|best-loved meal
        hobby|word|pastime
        status|word|condition
        state|word
        port|int
        exit code|int|return code
        error number|int
        pid|int|process number
        queue length|int|number of waiting jobs
        account number|code
        room|code
        gate number|code
        reference|code
        model|code|type
        batch|code|lot
        signature|hex
        extension|int
        postal code|code|zip
        catalogue number|code
        licence|code|permit
        temperature|qty|heat
        speed|qty|pace|velocity
        voltage|qty
        profession|job|occupation|line of work
        spouse|name|husband or wife
        teacher|name|instructor
        instrument|thing
        first language|lang|mother tongue
    """),
    relations=_relations("""
        place|{e} was born in {v}|Where was {e} born?|What is the birthplace of {e}?|Where does {e} come from?
        place|{e} moved to {v} last year|Where did {e} move to?|What is {e}'s new home?
        place|{e} lives in {v}|In which place does {e} live?|Where is {e}'s home?|Where does {e} reside?
        time|{e} arrives at {v}|When does {e} arrive?|At what time will {e} get here?
        time|{e} opens at {v}|When does {e} open?|From what time is {e} accessible?
        time|{e} closes at {v}|At what time does {e} close?|Until when is {e} open?
        time|{e} wakes up at {v}|When does {e} get up?|At what time does {e} wake up?
        date|{e} was built in {v}|When was {e} built?|What is the age of {e}, when was it constructed?
        date|{e} ends on {v}|When does {e} end?|What is the last day of {e}?
        date|{e} was postponed to {v}|To when was {e} postponed?|What is the new date of {e}?
        money|{e} cost {v}|How much did {e} cost?|What was paid for {e}?
        money|{e} sold for {v}|For how much was {e} sold?|What did {e} fetch?
        money|they paid {v} for {e}|How much did they pay for {e}?|What was the price of {e}?
        money|{e} earns {v} a month|How much does {e} earn?|What is {e}'s income?
        qty|{e} weighs {v}|How much does {e} weigh?|How heavy is {e}?
        qty|{e} is {v} long|How long is {e}?|What is the length of {e}?
        qty|{e} is {v} away|How far away is {e}?|What is the distance to {e}?
        qty|{e} took {v}|How long did {e} take?|What was the duration of {e}?
        colour|{e} was painted {v}|What colour was {e} painted?|Which colour does {e} have now?
        colour|{e} wore something {v}|What colour did {e} wear?
        place|{e} is kept in {v}|Where is {e} kept?|Where do I find {e}?
        place|{e} was found near {v}|Where was {e} found?|Near which place was {e} discovered?
        place|we left {e} at {v}|Where did we leave {e}?|Where is {e} now?
        ip|{e} connected from {v}|From which address did {e} connect?|What is the source address of {e}?
        ip|connection to {e} from {v} closed|Which address was connected to {e}?|Who closed the connection to {e}?
        code|{e} failed with code {v}|With which code did {e} fail?|What error did {e} give?
        int|{e} exited with status {v}|What was the exit status of {e}?|How did {e} end, with which status?
        int|{e} listens on port {v}|On which port does {e} listen?|Which port does {e} use?
        path|{e} writes to {v}|Which file does {e} write to?|Where does {e} put its output?
        path|{e} loaded {v}|What did {e} load?|Which file was read by {e}?
        ver|{e} was upgraded to {v}|Which version was {e} upgraded to?|What does {e} run since the upgrade?
        ver|{e} runs {v}|Which version does {e} run?|What release is on {e}?
        name|{e} is managed by {v}|Who manages {e}?|Who is in charge of {e}?
        name|{v} wrote to {e}|Who wrote to {e}?|From whom did {e} get a letter?
        name|{v} repaired {e}|Who repaired {e}?|Who fixed {e}?
        name|{e} was given to {v}|To whom was {e} given?|Who got {e}?|Who has {e} now?
        name|{e} is married to {v}|Who is {e} married to?|Who is the spouse of {e}?
        name|{e} works with {v}|Who does {e} work with?|Who is a colleague of {e}?
        name|{v} painted {e}|Who painted {e}?|Whose work is {e}?
        name|{v} taught {e} to swim|Who taught {e} to swim?|From whom did {e} learn swimming?
        thing|{e} likes {v}|What does {e} like?|What is {e} fond of?
        thing|{e} bought a {v}|What did {e} buy?|What was purchased by {e}?
        thing|{e} lost a {v}|What did {e} lose?|What is {e} looking for?
        thing|{e} was traded for a {v}|What was {e} traded for?|What did they get for {e}?
        thing|{e} carried a {v}|What did {e} carry?|What was in the hands of {e}?
        phone|you can call {e} on {v}|On which number can {e} be called?|How do I reach {e} by phone?
        mail|write to {e} at {v}|Which email address reaches {e}?|Where do I send mail for {e}?
        phrase|{e} answered "{v}"|What did {e} answer?|What were the words of {e}?
        phrase|the sign on {e} reads "{v}"|What does the sign on {e} read?|What is written on {e}?
        int|{e} holds {v} people|How many people does {e} hold?|What is the capacity of {e}?
        int|{e} received {v} votes|How many votes did {e} receive?|What was the result of {e} in the vote?
        int|{e} has {v} pages|How many pages does {e} have?|How thick is {e} in pages?
        pct|{e} grew by {v}|By how much did {e} grow?|What was the growth of {e}?
        int|{e} dropped {v} packets|How many packets did {e} drop?|What was the packet loss of {e}?
        qty|{e} retried after {v}|After how long did {e} retry?|What was the pause before {e} tried again?
        word|{e} was renamed {v}|What was {e} renamed to?|What is the new name of {e}?
        code|{e} is stored under {v}|Under which code is {e} stored?|What is the storage code of {e}?
        code|use {v} to open {e}|What do you use to open {e}?|What opens {e}?
        hex|{e} returned {v}|What did {e} return?|What was the return value of {e}?
        job|{e} works as a {v}|What does {e} do for a living?|What is {e}'s job?
        job|{e} used to be a {v}|What was {e} before?|What did {e} work as in the past?
        lang|{e} speaks {v} at home|Which language does {e} speak at home?|What is {e}'s mother tongue?
        lang|{e} is written in {v}|In which language is {e} written?
        animal|{e} keeps a {v}|Which animal does {e} keep?|What pet does {e} have?
        animal|a {v} was seen near {e}|Which animal was seen near {e}?
        food|{e} ordered {v}|What did {e} order?|What does {e} want to eat?
        food|{e} is allergic to {v}|What is {e} allergic to?|Which food must {e} avoid?
    """),
    entities=_t("""
        the {adj} {low}
        the {low} of {cap}
        the {low} {low2}
        {first} {cap}
        project {cap}
        Operation {cap}
        {cap} Ltd
        {cap} Inc
        {cap} & Sons
        {cap} Group
        {cap} Institute
        {cap} Club
        order #{d4}
        order {d5}
        ticket {al2}-{d3}
        unit {d3}
        server {low}-{d2}
        node {low}_{d2}
        host {low}.{low2}
        flight {al2}{d3}
        the {cap} {low}
        user {firstlow}{d2}
        user {firstlow}
        process {d4}
        session {hx6}
        sensor {low}-{d2}
        the town of {cap}
        Dr. {cap}
        Mrs. {cap}
        Captain {cap}
        our {adj} {low}
        my friend {first}
        my {low}
        {first}'s {low}
        {first}
        the {low} in {cap}
        module {low}
        table {low}_{low2}
        case {d4}/{d2}
        the ship {cap}
        the book "{Adj} {Low}"
        the {adj} {low} from {cap}
        container {hx6}
        the {cap} account
        {first} from {cap}
        uncle {first}
        the {low} on the {low2}
    """),
    prefixes=_t("""
        -
        -
        -
        -
        -
        Note:
        Remember:
        By the way,
        For the record,
        Also,
        Important:
        It was announced that
        He wrote that
        We were told that
        She said that
        According to the notes,
        As far as I know,
        Keep in mind that
        Update:
        I should mention that
        It turned out that
        The report says that
        They confirmed that
        INFO
        [notice]
        *
        >
        Reminder:
        P.S.
        FYI,
    """),
    suffixes=("", "", "", "", " (checked twice)", " as of today", ", according to the clerk", " from now on", ", they said", " at the moment", ", if I recall correctly", " for this season", " and nothing else has changed"),
    asides=("", "", "", "", "", "Question: ", "Quick question: ", "Hey, ", "Please, ", "From the text above: ", "According to what you read, ", "ok so ", "Hi! "),
    hints=("", "", "", "", " Answer with the value only.", " Answer briefly.", " Just the value.", " Reply in a few words.", " Use what you read."),
    pairs=("{k}: {v}", "{k} => {v}", "{k} -> {v}", '"{k}": "{v}"', "line {k} contains {v}", "key {k} maps to {v}", "register {k} holds {v}", "{k},{v}", "{k} = {v};", "<{k}>{v}</{k}>", "entry {k} was filled with {v}", "under {k} you find {v}"),
    pair_questions=("What is stored under {k}?", "Which value does {k} have?", "Value of {k}?", "What does {k} map to?", "Look up {k}.", "{k} =>", "Give me the content of {k}.", "What belongs to {k}?", "Which entry was made for {k}?"),
    record_questions=("What is the {n} of the entry with {k} {x}?", "Which {n} goes with {k} {x}?", "{k}={x}: what is {n}?", "Find the line where {k} is {x}; what {n} does it have?", "What {n} was logged together with {k} {x}?", "entry {k} {x}, {n}?", "What is the {n} in the line with {k} {x}?", "Which {n} was logged with {k} {x}?", "In the log, {k} {x}: what is the {n}?", "{n} for {k} {x}?", "Find the entry whose {k} is {x}. What is its {n}?", "What {n} appears together with {k} {x}?", "When {k} was {x}, what was the {n}?", "the log line with {x}: which {n}?", "Give me the {n} of the record that has {k} {x}.", "{n} where {k} = {x}", "Somewhere {k} is {x}. I want the {n} there."),
    separators=((" ", "="), (", ", ": "), ("; ", "="), (" | ", ": "), ("\t", "="), (", ", "="), (" ", ":"), ("; ", " "), (", ", " ")),
    updates=("correction: the {a} of {e} is now {v}", "the {a} of {e} changed to {v}", "{e} has a new {a}: {v}", "from today the {a} of {e} is {v}", "we changed the {a} of {e} to {v}", "update for {e}: {a} {v}", "{e}'s {a} is no longer valid, use {v}", "instead, {e} gets {v} as {a}"),
    lists=(("the {a} of {e} are {v}", "What are the {a} of {e}?"), ("{e} has these {a}: {v}", "Which {a} does {e} have?"), ("{a} of {e}: {v}", "List the {a} of {e}."), ("for {e} they noted the {a} {v}", "Name all {a} of {e}.")),
    ordinals=("What is the {o} of the {a} of {e}?", "Which of the {a} of {e} comes {o}?", "Give the {o} entry of the {a} of {e}.", "{e}, {a}: which one is {o}?"),
    again=("{v} is a {a} of {e}", "{e} has {v} as a {a}", "another {a} of {e} is {v}", "{e} also has the {a} {v}", "a {a} of {e}: {v}"),
    joins=("What is the {a} of the {r} of {e}?", "{e} has a {r}. What is the {a} of that person?", "Tell me the {a} of {e}'s {r}.", "Who is the {r} of {e}, and what is the {a} of that person?"),
)  # fmt: skip

KEPT = Wordings(
    statements=_t("""
        please file {v} under the {a} of {e}
        {e} is known to carry {v} for a {a}
        regarding {e}: {a}, {v}
        the {a} written on the label of {e} reads {v}
        {v} -- that is what {e} has as {a}
        my notebook lists {e} with a {a} of {v}
        {e} -> {a} => {v}
        after some discussion the {a} of {e} was fixed at {v}
        {{"item": {{"id": "{e}", "props": {{"{a}": "{v}"}}}}}}
        {a}@{e} :: {v}
        do you know {e}? The {a} there is {v}
        the clerk typed {v} in the field '{a}' of {e}
        it says here: {e}, with {v} for {a}
        they finally told us {e}'s {a}, and it is {v}
    """),
    questions=_t("""
        I would like to know the {a} of {e}
        What do the notes give for the {a} of {e}?
        Concerning {e}, which {a} is right?
        Would you tell me what {a} {e} has?
        Say the {a} of {e} again, please.
        {e} - what about its {a}?
        Let's check {e}. {a}?
        What should be entered as the {a} for {e}?
        Any idea what the {a} of {e} was?
        For the form I need the {a}. It is about {e}.
    """),
    attributes=_attributes("""
        hardware address|mac|MAC
        coordinates|coord|position on the map
        ISBN|isbn|book number
        number plate|plate|plate of the car
        tracking number|track|parcel code
        last move|move|final chess move
        frequency|freq|radio channel
        chapter|roman|section
        hashtag|hashtag|tag
        blood type|blood|blood group
        shoe size|size|footwear size
        ratio|fraction|proportion
        planet|planet|celestial body
        gemstone|gem|jewel
        vintage|vintage|wine and year
        metal|metal|material
    """),
    relations=_relations("""
        coord|{e} anchored at {v}|Where did {e} drop anchor?
        plate|{e} drove off in the car {v}|Which car did {e} take?
        freq|{e} broadcasts on {v}|On what does {e} broadcast?
        move|{e} replied {v} on the board|Which move did {e} make?
        blood|doctors noted {v} for {e}|What did the doctors note for {e}?
        size|{e} asked the tailor for {v}|What size did {e} ask for?
        planet|{e} dreams of flying to {v}|Where does {e} dream of going?
        gem|{e} wears a {v} around the neck|What stone does {e} wear?
        metal|{e} is cast from {v}|What is {e} cast from?
        vintage|{e} uncorked a {v} for dinner|Which wine did {e} open?
        hashtag|{e} posts everything with {v}|Which tag does {e} post with?
        track|the courier brought {e} as {v}|How was {e} labelled by the courier?
    """),
    entities=_t("""
        the {adj} {low} protocol
        lot {d2}{al2}
        {cap} Observatory
        brother {first}
        the '{cap}' file
        {first} the {low}
        locker {d3}
        the inn at {cap}
        Professor {cap}
        a certain {first} {cap}
        wagon {d2}-{al2}
        vm-{low}-{hx6}
    """),
    prefixes=("-", "-", "-", "Listen:", "To whom it may concern:", "Hm,", "Log entry:", "One more thing:", "It is well known that", "#", "NOTE TO SELF"),
    suffixes=("", "", "", " (sic)", ", believe me", " until further notice", ", end of story"),
    asides=("", "", "", "Excuse me, ", "One thing: ", "So, "),
    hints=("", "", "", " Keep it short.", " Only the answer, please."),
    pairs=("{k} ==> {v}", "slot {k} was loaded with {v}", "({k} . {v})", "'{k}' has the content '{v}'", "drawer {k}: inside lies {v}"),
    pair_questions=("What lies in {k}?", "Read out {k}.", "Which content has {k}?", "{k}?"),
    record_questions=("There is a row with {k} {x}. Which {n} is in it?", "Tell me {n} given {k} {x}.", "Row {x} ({k}): {n}?", "I remember {k} being {x}; what did {n} say?", "Match {k} against {x} and report {n}."),
    separators=((" / ", " -> "), (" ~ ", "="), ("  ", ":"), (" & ", "=")),
    updates=("scrap that, {e} gets {v} for {a}", "the {a} of {e} was replaced by {v}", "newest value of {a} at {e}: {v}"),
    lists=(("{e} lists as {a}: {v}", "Enumerate the {a} of {e}."), ("among the {a} of {e} we count {v}", "What belongs to the {a} of {e}?")),
    ordinals=("In the {a} of {e}, what do you find in {o} place?", "Which item is {o} in the {a} of {e}?"),
    again=("{e} counts {v} among its {a} entries", "one {a} at {e}: {v}"),
    joins=("Somebody is the {r} of {e}; which {a} does this person have?", "I want to reach the {r} of {e}. What {a}?"),
)  # fmt: skip
"""Only evaluation reads this side."""
