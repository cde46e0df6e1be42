//! `eval tiers`: what each tier of memory is worth, by the loss of what follows a history, at an
//! equal number of slots.

use lcedge::beacons::Ratio;
use lcedge::config::{Condenser, Control, MemoryMode};
use lcedge::limits::RATIO_DEFAULT;
use lcedge::models::Card;
use lcedge::setup::{self, SetupOptions};
use lcedge_eval::places::Place;
use lcedge_eval::score::Table;
use lcedge_eval::tiers::{Arm, gap_closed};
use serde_json::{Value, json};

use super::next::{measure, places};
use super::read_text;
use super::rig::{Read, Rig, card, slots};
use crate::args::TiersArgs;
use crate::commands::reading::{per_second, round};
use crate::context::{Context, weights_name};
use crate::failure::Failure;
use crate::size;

/// One way to remember, and what it measured.
struct Tier {
    name: String,
    options: SetupOptions,
    window: usize,
    /// Of those, slots for condensed states.
    slots: usize,
    arm: Arm,
    read: Read,
}

/// The arm that everything is compared with.
const BASE: usize = 0;

pub(crate) fn run(context: &mut Context, args: &TiersArgs) -> Result<u8, Failure> {
    let text = read_text(&args.input)?;
    context.options.surprise = true;
    let card = card(context)?;
    let (mut tiers, full) = tiers(&card, &context.options, args)?;
    let options: Vec<SetupOptions> = tiers.iter().map(|t| t.options.clone()).collect();
    let slots = slots(&card, &options)?;
    let mut rig = Rig::open(context, Some(slots))?;
    let tokenizer = rig.prepared.load_tokenizer().map_err(|e| Failure::new("tokenizer", e))?;
    let places = places(context, &tokenizer, &text, args.history, args.targets, args.windows)?;
    context.stop.looks(true);
    for (i, place) in places.iter().enumerate() {
        at_place(context, &mut rig, &mut tiers, &text, i, place)?;
    }
    print(context, args, &rig, &tiers, full, places.len())?;
    Ok(0)
}

/// Measures every arm at one place; each place begins with another arm, so that a slow minute of
/// the machine falls on all of them.
fn at_place(
    context: &Context,
    rig: &mut Rig,
    tiers: &mut [Tier],
    text: &[u8],
    i: usize,
    place: &Place,
) -> Result<(), Failure> {
    let n = tiers.len();
    for k in 0..n {
        let tier = &mut tiers[(i + k) % n];
        let options = tier.options.clone();
        let loss = rig.with(context, &options, |s| measure(context, s, text, place))?;
        tier.arm.push(loss.nats, loss.scored);
        tier.read.add(Read { tokens: loss.history, time: loss.time });
        context.out.event(&json!({
            "event": "row", "place": i, "byte": place.target.start, "arm": tier.name,
            "n": loss.scored, "nats_per_token": loss.nats / loss.scored.max(1) as f64,
        }))?;
    }
    let at = |t: &Tier| t.arm.nats[i] / t.arm.tokens[i].max(1) as f64;
    let each: Vec<String> = tiers.iter().map(|t| format!("{} {:.3}", t.name, at(t))).collect();
    context.out.line(format!(
        "behind {}: {}",
        size::text(place.target.start as u64),
        each.join(", ")
    ))
}

/// The arms, the plain window first, and which of them is full attention.
fn tiers(
    card: &Card,
    common: &SetupOptions,
    args: &TiersArgs,
) -> Result<(Vec<Tier>, Option<usize>), Failure> {
    let machine = lcedge::targets::probe::Machine::read(std::path::Path::new("/"));
    let plain = SetupOptions { memory: MemoryMode::Window, ..common.clone() };
    let plan = setup::plan_for(&plain, card, &machine)?;
    let window = plan.window_tokens;
    let sizes = (window, plan.chunk_tokens);
    let asked = args.slots.or(common.condensed_tokens);
    let slots = asked.unwrap_or((args.history / 8).min(window * 7 / 16)).max(1);
    let ratios = card.memory.as_ref().map_or(&[][..], |m| &m.beacons[..]);
    let mut all = Vec::new();
    let mut add = |name: String, slots: usize, options: SetupOptions| {
        let window = options.window.unwrap_or(window);
        all.push(Tier { name, options, window, slots, arm: Arm::default(), read: Read::default() });
    };
    let arm = |memory, ratio: Option<usize>, control| SetupOptions {
        memory,
        control,
        condensed_tokens: Some(slots),
        ratio: ratio.map(|i| Ratio::Fixed(u8::try_from(i).unwrap_or(u8::MAX))).or(common.ratio),
        ..common.clone()
    };
    add("window".to_owned(), 0, plain.clone());
    if let Some(longer) = args.longer_window.or_else(|| equal_cost(card, sizes, ratios)) {
        let longer = longer.min(card.context.saturating_sub(plan.chunk_tokens));
        let options = SetupOptions { window: Some(longer), ..plain.clone() };
        add(format!("window of {longer}"), 0, options);
    }
    for (i, ratio) in ratios.iter().enumerate() {
        let options = arm(MemoryMode::Condensed, Some(i), Control::None);
        add(format!("condensed r{ratio}"), slots, options);
    }
    if ratios.is_empty() {
        for condense in Condenser::ALL {
            let options =
                SetupOptions { condense, ..arm(MemoryMode::Condensed, None, Control::None) };
            add(format!("condensed by {}", condense.name()), slots, options);
        }
    }
    let gist = card.memory.as_ref().and_then(|m| m.gist).map(|g| g.slots);
    if let Some(gist) = gist {
        add("gist".to_owned(), gist, arm(MemoryMode::Gist, None, Control::None));
    }
    add("recall".to_owned(), 0, arm(MemoryMode::Recall, None, Control::None));
    if !ratios.is_empty() {
        let everything = arm(MemoryMode::Full, None, Control::None);
        add("everything".to_owned(), slots, everything.clone());
        if gist.is_some() && everything.gist {
            let options = SetupOptions { gist: false, ..everything };
            add("everything but the gist".to_owned(), slots, options);
        }
    }
    if args.controls {
        let r8 = ratios.get(usize::from(RATIO_DEFAULT)).copied();
        for (name, memory, control) in controls(r8, gist.is_some()) {
            let ratio =
                Some(usize::from(RATIO_DEFAULT)).filter(|_| memory == MemoryMode::Condensed);
            let held = gist.filter(|_| memory == MemoryMode::Gist).unwrap_or(0);
            add(name, if ratio.is_some() { slots } else { held }, arm(memory, ratio, control));
        }
    }
    // What follows is read in one chunk, or it must fit as well. Places may be cut a few tokens
    // later.
    let more = args.targets * usize::from(args.targets > plan.chunk_tokens);
    let whole = args.history + more + plan.sink_tokens + 8;
    let fits = whole + plan.chunk_tokens <= card.context;
    if fits {
        let options = SetupOptions { window: Some(whole.max(window)), ..plain };
        add("full attention".to_owned(), 0, options);
    }
    let full = fits.then(|| all.len() - 1);
    Ok((all, full))
}

/// Each tier alone, broken on purpose.
fn controls(ratio: Option<u16>, gist: bool) -> Vec<(String, MemoryMode, Control)> {
    let shuffled = ratio.map(|ratio| {
        let name = format!("condensed r{ratio}, shuffled");
        (name, MemoryMode::Condensed, Control::ShuffledBeacons)
    });
    let zeroed = gist.then(|| ("gist, zeroed".to_owned(), MemoryMode::Gist, Control::ZeroGist));
    let random = ("recall of random blocks".to_owned(), MemoryMode::Recall, Control::RandomRecall);
    shuffled.into_iter().chain(zeroed).chain([random]).collect()
}

/// The window whose attention costs as much as every tier together does at this window and chunk:
/// arithmetic of the layers alone, the head's is the same in both. `None` without beacons: then
/// the tiers add no arithmetic.
fn equal_cost(card: &Card, sizes: (usize, usize), ratios: &[u16]) -> Option<usize> {
    let (window, chunk) = sizes;
    let ratio = usize::from(*ratios.get(usize::from(RATIO_DEFAULT))?);
    let (q, kv) = (card.heads * card.head_dim, card.kv_heads * card.head_dim);
    let matrices = card.hidden * (2 * q + 2 * kv) + 3 * card.hidden * card.ffn;
    // Multiply-adds of a token in a layer: its matrices, and two products with every slot. In a
    // chunk a token sees the window and half of the chunk.
    let seen = window + chunk / 2;
    let token = matrices + 2 * q * seen;
    // A beacon for every `ratio` tokens is that much more.
    Some(window + token / ratio / (2 * q))
}

fn print(
    context: &Context,
    args: &TiersArgs,
    rig: &Rig,
    tiers: &[Tier],
    full: Option<usize>,
    places: usize,
) -> Result<(), Failure> {
    let out = &context.out;
    let mut table = Table::new(&[
        "arm",
        "window",
        "condensed",
        "nats a token",
        "better by",
        "gap closed",
        "tokens/s",
    ]);
    let mut arms = Vec::new();
    for tier in tiers {
        let gain = tier.arm.gain_over(&tiers[BASE].arm);
        let closed =
            full.and_then(|full| gap_closed(&tier.arm, &tiers[BASE].arm, &tiers[full].arm));
        let nats = tier.arm.nats_per_token();
        let rate = per_second(tier.read.tokens, tier.read.time);
        table.row(&[
            tier.name.clone(),
            tier.window.to_string(),
            tier.slots.to_string(),
            nats.map_or("-".to_owned(), |x| format!("{x:.4}")),
            gain.map_or("-".to_owned(), |m| format!("{:+.4} +- {:.4}", m.value, m.half_width)),
            closed.map_or("-".to_owned(), |c| {
                let (low, high) = c.interval;
                format!("{:.0}% [{:.0}, {:.0}]", 100.0 * c.share, 100.0 * low, 100.0 * high)
            }),
            format!("{rate:.0}"),
        ]);
        arms.push(json!({
            "arm": tier.name, "memory": tier.options.memory.name(), "window": tier.window,
            "slots": tier.slots, "nats_per_token": nats, "gain": gain.map(|m| m.value),
            "gain_interval": gain.map(|m| m.half_width), "gap_closed": closed.map(|c| c.share),
            "gap_closed_interval": closed.map(|c| c.interval), "tokens_per_second": round(rate),
        }));
    }
    let scored: u64 = tiers[BASE].arm.tokens.iter().sum();
    out.line("")?;
    out.line(table.to_string().trim_end())?;
    out.line("")?;
    out.line(format!(
        "{places} places, {} tokens of history before each, {} tokens predicted; {}, {} weights",
        size::count(args.history as u64),
        size::count(scored),
        rig.report.model,
        weights_name(rig.report.weights),
    ))?;
    if full.is_none() {
        out.line(
            "full attention over this history does not fit into what the model was trained on",
        )?;
    }
    out.event(&json!({
        "event": "eval", "name": "tiers", "n": places, "tokens": scored, "history": args.history,
        "targets": args.targets, "window": tiers[BASE].window, "arms": Value::Array(arms),
        "model": rig.report.model, "weights": rig.report.weights,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lcedge::models::Card;

    #[test]
    fn a_window_of_equal_cost_pays_for_the_beacons() {
        // SmolLM2-135M: 30 layers of 3.54 million weights, 9 heads of 64.
        let card = Card::for_test(30, 576, 1536, 9, 3, 64, 49152);
        assert_eq!(equal_cost(&card, (1024, 512), &[]), None);
        let window = equal_cost(&card, (1024, 512), &[4, 8, 16, 32]);
        // (3,538,944 + 2 * 576 * 1280) / 8 / (2 * 576) = 544.
        assert_eq!(window, Some(1024 + 544));
    }
}
