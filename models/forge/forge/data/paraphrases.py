"""Facts and questions that share no content word: written by hand, kept back, for evaluation alone.

A statement takes the first of each pair of words, its question the second: who, how it looked, what was
done, to what, and a circumstance that is asked for.
"""

from __future__ import annotations

from .facts import Grammar, Item


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    return tuple(tuple(x.strip() for x in p.split("/")) for p in text.replace("\n", " ").split(","))


SUBJECTS = _pairs("""physician/doctor, attorney/lawyer, instructor/teacher, youngster/child, monarch/king, thief/robber,
    novelist/writer, sailor/seaman, spouse/wife, infant/baby, constable/police officer, labourer/worker, merchant/trader,
    foe/enemy, buddy/friend, prisoner/inmate, pupil/student, chef/cook, aviator/pilot, vagrant/homeless man, cleric/priest,
    warrior/soldier, supervisor/boss, chauffeur/driver, vendor/seller, orphan/parentless girl, tenant/lodger, spectator/onlooker,
    surveyor/land measurer, gambler/bettor""")
ADJECTIVES = _pairs("""wealthy/rich, elderly/old, courageous/brave, weary/tired, silent/quiet, furious/angry, cheerful/happy,
    clever/smart, enormous/huge, slender/thin, unwell/sick, odd/strange, courteous/polite, celebrated/famous, stubborn/headstrong,
    swift/quick, clumsy/awkward, timid/shy, filthy/dirty, lonely/solitary""")
ACTS = _pairs("""purchased/buy, concealed/hide, repaired/fix, commenced/begin, discovered/find, demolished/tear down,
    constructed/build, sketched/draw, abandoned/leave behind, obtained/get, observed/watch, assembled/put together,
    inspected/examine, donated/give away, vended/sell, lifted/raise, dragged/pull, hurled/throw, fetched/bring, scrubbed/wash,
    altered/change, borrowed/take on loan, misplaced/lose, cherished/love, detested/hate""")
OBJECTS = _pairs("""automobile/car, residence/house, garment/dress, vessel/ship, canine/dog, infirmary/hospital, portrait/picture,
    timepiece/clock, couch/sofa, spectacles/glasses, banquet/feast, forest/woods, bicycle/two-wheeler, stove/oven, parcel/package,
    trousers/pants, television/TV set, rubbish/garbage, necklace/chain of pearls, footpath/trail, blaze/fire, rifle/gun,
    melody/tune, lantern/lamp, barrel/cask, shop/store, pebbles/small stones, beverage/drink, cellar/basement, notebook/jotter""")
TAILS = (
    ("in {v}", "place", "Where did the {a} {s} {d} the {o}?"),
    ("on {v}", "day", "When did the {a} {s} {d} the {o}?"),
    ("for {v}", "money", "At what price did the {a} {s} {d} the {o}?"),
    ("together with {v}", "name", "Who helped the {a} {s} to {d} the {o}?"),
    ("because of {v}", "reason", "Why did the {a} {s} {d} the {o}?"),
)
_REASONS = "the storm|a wager|an inheritance|the drought|a rumour|the anniversary|bad eyesight|the new law|a misprint|the eclipse|a toothache|the election".split("|")


def paraphrase(g: Grammar) -> Item:
    """One fact whose question names everything in other words."""
    r = g.r
    (a1, a2), (s1, s2), (d1, d2), (o1, o2) = (r.choice(x) for x in (ADJECTIVES, SUBJECTS, ACTS, OBJECTS))
    tail, kind, question = r.choice(TAILS)
    if kind == "day":
        value = f"{r.randint(1, 28)} {r.choice('March May July August October December'.split())}"
    else:
        value = r.choice(_REASONS) if kind == "reason" else g.word("cap") if kind == "place" else g.value(kind)
    line = f"The {a1} {s1} {d1} the {o1} {tail.format(v=value)}."
    return Item([line], question.format(a=a2, s=s2, d=d2, o=o2), value, "paraphrase")
