"""The low-rank change, the address, export and the data, each against plain words."""

import json
import random
import re

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from forge import export
from forge.address import Address
from forge.data.facts import ABSENT, Grammar
from forge.data.frames import EVENTS
from forge.data.paraphrases import paraphrase
from forge.data.samples import ASK_ROWS, Composer, Context, draw_mode, gather_asks
from forge.data.texts import Questions, log_fields
from forge.data.wide import Wide
from forge.data.wordings import KEPT, TRAIN
from forge.layout import Sizes
from forge.lora import LowRank
from forge.net import Net
from forge.optim import orthogonalise
from forge.replay import step_loss

LOW = "river stone bridge lamp paper basket candle window garden market".split()
WORDS = {
    "cap": "Alder Bexley Corwin Dunmore Everly Falk Garrow Hinton".split(), "low": LOW, "adj": "famous careful central".split(),
    "first": "Anna Peter John Mary Lucy".split(), "attribute": "height colour order price".split(), "pair": ["door key", "lamp post"],
    "verb": [("opened", "open"), ("closed", "close")], "verb_to": [("walked", "walk", "to")], "name": ["Ann Lee", "Bob Kay"],
    "number": ["12,5", "1990"], "token": ["sshd[3]", "a=b"],
}  # fmt: skip


def test_without_beacons_and_change_the_base_is_bit_identical(decoder):
    tokens = torch.arange(40)[None] % decoder.config.vocab
    lora = LowRank(decoder.config, 3).double()
    base, _ = decoder.plain(tokens)
    merged, _ = decoder.plain(tokens, lora.merged(decoder))
    assert torch.equal(base, merged)
    with torch.no_grad():
        lora.b["wq"].add_(0.1)
    changed, _ = decoder.plain(tokens, lora.merged(decoder))
    assert not torch.equal(base, changed)


def test_merged_is_w_plus_b_a(decoder):
    lora = LowRank(decoder.config, 3).double()
    for p in lora.parameters():
        torch.nn.init.normal_(p)
    layers = lora.merged(decoder)
    c = decoder.config
    q = c.heads * c.head_dim
    want = decoder.matrices["wk"][1] + lora.b["wk"][1] @ lora.a["wk"][1]
    got = layers.qkv[1, q : q + c.kv_heads * c.head_dim]
    assert torch.allclose(got, want)
    assert torch.allclose(layers.down[0], decoder.matrices["down"][0] + lora.delta("down")[0])


def test_export_reads_back(decoder, tmp_path):
    net = Net(decoder, 3, 1)
    for p in net.parameters():
        torch.nn.init.normal_(p)
    sizes = export.write(net.tensors(), tmp_path)
    assert set(sizes) == {export.LORA_FILE, export.BEACON_FILE}
    again = export.net_of(decoder, tmp_path, 1)
    for name, t in net.tensors().items():
        assert torch.allclose(again.tensors()[name].float(), t.half().float(), atol=2e-3), name


def test_a_gist_is_written_with_its_card(decoder, tmp_path):
    net = Net(decoder, 3, 1, slots=5, width=7)
    net.start_gist(torch.arange(256).view(2, 128) % decoder.config.vocab)
    assert (net.gist.scale > 0).all()
    export.write(net.tensors(), tmp_path)
    card = export.card(net.tensors(), tmp_path, 1, {})
    assert (card["gist"]["slots"], card["gist"]["width"]) == (5, 7)
    assert set(card["files"]) == {export.LORA_FILE, export.BEACON_FILE, export.GIST_FILE}
    (tmp_path / export.CARD_FILE).write_text(json.dumps(card))
    again = export.net_of(decoder, tmp_path)
    assert again.has_gist and again.gist.slots == 5
    assert torch.allclose(again.gist.query.float(), net.gist.query.float(), atol=2e-3)


def test_questions_with_a_fold_of_their_own_are_gathered():
    starts = np.array([[-1, 3], [7, -1]])
    rows = np.arange(4 * ASK_ROWS).reshape(2, 2, ASK_ROWS)
    out = gather_asks({"ask_tok": rows, "ask_from": starts}, 3)
    assert out["ask_at"].tolist() == [1, 2, -1]
    assert (out["ask_tok"][0] == rows[0, 1]).all() and out["ask_from"].tolist() == [3, 7, 0]


def test_modes_leave_beacons_alone_in_more_than_half_of_the_samples():
    r = random.Random(4)
    modes = [draw_mode(r, with_gist=True) for _ in range(3000)]
    alone = [m for m in modes if m.beacons and not m.recall]
    assert 0.5 < len(alone) / len(modes) < 0.65
    assert np.mean([m.recent == 0 for m in alone]) > 0.6
    assert 0.25 < np.mean([m.tier is not None for m in modes]) < 0.4
    assert all(m.tier is None and not m.asked for m in [draw_mode(r) for _ in range(200)])


def test_address_finds_what_it_is_told_to_find(config):
    torch.manual_seed(0)
    address = Address(config, 1, dim=16)
    x = torch.randn(2, 256, config.width)
    spans = torch.tensor([[[10, 14], [-1, -1]], [[70, 75], [-1, -1]]])
    positives = torch.tensor([[[5, -1], [-1, -1]], [[0, 1], [-1, -1]]])
    first = None
    adam = torch.optim.Adam(address.parameters(), lr=1e-2)
    for _ in range(150):
        loss, _ = address.loss(x, spans, positives)
        first = loss.item() if first is None else first
        adam.zero_grad()
        loss.backward()
        adam.step()
    keys = address.keys(x).flatten(0, 1)
    assert keys.shape == (8, 4, 16) and loss.item() < 0.2 * first
    query = address.queries(x[:1, 10:14], torch.ones(1, 4, dtype=torch.bool))
    assert address.score(query, keys).argmax() == 5


def test_replay_of_the_base_itself_has_no_divergence(decoder):
    rows = torch.randint(0, decoder.config.vocab, (2, 16))
    total, ce, kl = step_loss(decoder, None, rows)
    assert kl.abs() < 1e-6 and total.abs() < 1e-5 and ce > 0


def test_muon_updates_are_nearly_orthogonal():
    g = orthogonalise(torch.randn(3, 24, 40, dtype=torch.float64))
    singular = torch.linalg.svdvals(g)
    assert singular.min() > 0.5 and singular.max() < 1.4


@pytest.mark.parametrize("side", [TRAIN, KEPT])
def test_every_answer_stands_in_the_lines(side):
    g = Grammar(random.Random(2), side)
    for _ in range(2000):
        item = g.item()
        text = "\n".join(item.lines).replace(",", "").replace(" and ", " ")
        for part in item.answer.split(", "):
            assert part.replace(",", "").replace(" and ", " ") in text, item
        assert item.answer != ABSENT and item.question not in item.near
        assert "{" not in item.question


def test_the_kept_side_shares_no_wording_with_the_trained_side():
    for name in ("statements", "questions", "attributes", "relations", "entities", "pairs",
                 "pair_questions", "record_questions", "separators", "updates", "lists", "ordinals",
                 "again", "joins"):  # fmt: skip
        assert not set(getattr(TRAIN, name)) & set(getattr(KEPT, name)), name
    kinds = {a[1] for a in KEPT.attributes}
    assert not kinds & {a[1] for a in TRAIN.attributes}


def test_a_log_question_names_one_line():
    lines = [
        "Jan 26 06:18:49 host sshd[35]: Disconnected from invalid user ann 1.2.3.4 port 35328\n",
        "Jan 27 01:10:08 host sshd[36]: Disconnected from invalid user bob 1.2.3.5 port 35329\n",
    ]
    assert ("port", "35328") in log_fields(lines[0])
    questions = Questions(Grammar(random.Random(1), TRAIN), lines, log=True)
    made = [questions.make(0) for _ in range(40)]
    asked = [i for i in made if i]
    assert asked and all(i.answer in lines[0] for i in asked)
    assert np.mean([i.answer not in lines[1] for i in asked]) > 0.3


def test_paraphrases_share_no_content_word_with_their_facts():
    plain = set("the a an of in on for to with did at who what where when why price helped together because".split())
    g = Grammar(random.Random(3), KEPT)
    for _ in range(1500):
        item = paraphrase(g)
        fact, asked = (set(re.findall(r"[a-z]+", x.lower())) - plain for x in (item.lines[0], item.question))
        assert not {w[:5] for w in fact} & {w[:5] for w in asked}, item
        assert item.answer in item.lines[0] and item.answer not in item.question


def test_what_a_line_does_not_say_is_refused_in_the_form_of_questions_that_others_answer():
    g = Wide(random.Random(3), TRAIN, WORDS)
    seen = 0
    for _ in range(400):
        frame = g.r.choice(EVENTS)
        slots = g._fill(frame)
        for question in g.unsaid_of(frame, slots):
            seen += 1
            assert any(v.lower() in question.lower() for v in slots.values())
    assert seen > 100
    lines = ["Jan 26 06:18:49 host sshd[35]: Disconnected from invalid user ann 1.2.3.4 port 35328\n"]
    made = [Questions(g, lines, log=True)._unsaid("ann", lines[0]) for _ in range(60)]
    assert all(q and "port" not in q[0].lower() for q in made)


def test_lists_hold_their_answers_in_order():
    g = Wide(random.Random(5), TRAIN, WORDS)
    kinds = set()
    for _ in range(300):
        item = g.listed()
        kinds.add(item.kind)
        at, line = 0, item.lines[0].lower()
        for v in item.answer.split(", "):
            at = line.find(v.lower(), at)
            assert at >= 0, item
            at += len(v)
    assert {"list", "ordinal"} <= kinds


def recited():
    text = " ".join(f"{a} {b}" for a in range(100, 900) for b in "abc")
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(["?", *set(text.split())])}, "?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    composer = Composer({"text": text}, None, tokenizer, 1, Sizes(1024, 256, 2048), recite=1.0)
    return composer, Context(np.array(tokenizer.encode(text).ids[:1024]), [], text)


def test_a_recited_passage_goes_on_as_the_context_does():
    composer, this = recited()
    ratios = np.full(16, 4)
    for _ in range(40):
        branch = composer._recite(this, 8, ratios, 2)
        a, z = branch.answer
        reply = branch.ids[a:z]
        at = [i for i in range(128, 513 - len(reply)) if this.ids[i : i + len(reply)].tolist() == reply]
        assert len(at) == 1 and len(reply) >= 12
        assert this.ids[at[0] - 1] in branch.ids[:a]
    assert composer._recite(this, 8, ratios * 0, 2) is None
