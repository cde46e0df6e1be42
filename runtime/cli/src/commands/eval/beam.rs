//! `eval beam`: conversations, absorbed turn by turn; do the best passages hold the turns that
//! answer a question?

use lcedge::session::{Passages, Question, Session};
use lcedge_eval::score::{Rate, Table};
use lcedge_eval::sets::{Asked, Figures, Label, Sample, Scored, Scoring, Set, Tally, share_found};
use serde_json::{Map, Value, json};

use super::check_stop;
use super::rig::{Read, Rig, read_sample};
use super::sets::{
    answered, evidence, footer, open, percent, run_object, score, spans, tell, value,
};
use crate::args::BeamArgs;
use crate::commands::answers::clip;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Out;

/// What is counted beside the tally of a set.
#[derive(Default)]
struct Counted {
    tally: Tally,
    /// Share of the evidence among the first 8 blocks.
    blocks: Tally,
    /// Share of the evidence among the citations.
    cited: Tally,
    /// Questions without an answer that were refused.
    abstained: Vec<bool>,
    /// Questions with an answer that were refused.
    refused: Vec<bool>,
}

pub(crate) fn run(context: &mut Context, args: &BeamArgs) -> Result<u8, Failure> {
    let files = open(Set::Beam, &args.set)?;
    let mut rig = Rig::open(context, None)?;
    context.stop.looks(true);
    let options = context.options.clone();
    let answer_tokens = args.set.max_tokens.unwrap_or(Set::Beam.answer_tokens());
    let mut counted = Counted::default();
    let mut read = Read::default();
    for (_, samples) in files {
        for (i, sample) in samples.take(args.set.limit.unwrap_or(usize::MAX)).enumerate() {
            let sample = sample?;
            let (turns, n) = (sample.turns.len(), sample.questions.len());
            context.out.note(format!("conversation {}: {turns} turns, {n} questions", i + 1));
            let name = format!("conversation {}", i + 1);
            let took = rig.with(context, &options, |session| {
                let took = read_sample(context, session, &name, &sample)?;
                for asked in &sample.questions {
                    check_stop(context)?;
                    let tokens = args.answers.then_some(answer_tokens);
                    look(context, session, &sample, asked, tokens, &mut counted)?;
                }
                Ok(took)
            })?;
            read.add(took);
        }
    }
    print(context, &counted, &rig, read)?;
    Ok(0)
}

/// Searches for a question, and answers it where that is wanted.
fn look(
    context: &Context,
    session: &mut Session,
    sample: &Sample,
    asked: &Asked,
    answer_tokens: Option<usize>,
    counted: &mut Counted,
) -> Result<(), Failure> {
    let question = Question::new(asked.text.as_str());
    let label = &asked.label;
    let Some(answer_tokens) = answer_tokens else {
        let found = answered(context, session.find(&question))?.unwrap_or_default();
        let scored =
            Scored { evidence: evidence(session, sample, asked, &found), ..Scored::default() };
        show(&context.out, asked, &scored)?;
        counted.blocks.add(label, by_block(session, asked, &found));
        counted.tally.add(label, scored);
        return Ok(());
    };
    let question = Question { answer_tokens_max: answer_tokens, ..question };
    let Some(answer) = answered(context, session.ask(&question))? else { return Ok(()) };
    let mut scored = score(session, sample, asked, &answer);
    tell(&context.out, asked, &answer, &scored)?;
    if asked.scoring == Scoring::Absent {
        counted.abstained.push(!answer.found);
        // A refusal is no short answer.
        (scored.said, scored.given) = (None, None);
    } else {
        counted.refused.push(!answer.found);
    }
    let at = |byte: u64| usize::try_from(byte).unwrap_or(usize::MAX);
    let cited: Vec<_> = answer.citations.iter().map(|c| at(c.byte_start)..at(c.byte_end)).collect();
    let cited = share_found(&cited, &sample.turns, &asked.evidence);
    counted.cited.add(label, Scored { evidence: [None, None, cited], ..Scored::default() });
    counted.blocks.add(label, by_block(session, asked, &answer.passages));
    counted.tally.add(label, scored);
    Ok(())
}

/// The same share with a block as the passage.
fn by_block(session: &Session, asked: &Asked, found: &Passages) -> Scored {
    let ids: Vec<_> = found.ranked.iter().map(|r| r.id).collect();
    let share = session.reader().and_then(|r| share_found(&spans(r, &ids), &[], &asked.evidence));
    Scored { evidence: [None, None, share], ..Scored::default() }
}

fn show(out: &Out, asked: &Asked, scored: &Scored) -> Result<(), Failure> {
    let [address, text, fused] = scored.evidence;
    out.event(&json!({
        "event": "row", "ability": asked.label.task, "question": asked.text,
        "turns": asked.evidence.len(), "evidence_address_at_8": address,
        "evidence_text_at_8": text, "evidence_at_8": fused,
    }))?;
    let percent =
        |share: Option<f64>| share.map_or("   -".to_owned(), |s| format!("{:3.0}%", 100.0 * s));
    out.line(format!(
        "{} {}: {} ({} turns; address {}, text {})",
        percent(fused),
        asked.label,
        clip(&asked.text, 70),
        asked.evidence.len(),
        percent(address).trim_start(),
        percent(text).trim_start(),
    ))
}

fn print(context: &Context, counted: &Counted, rig: &Rig, read: Read) -> Result<(), Failure> {
    let out = &context.out;
    let mut table = Table::new(&[
        "ability",
        "n",
        "address",
        "text",
        "fused",
        "fused, blocks",
        "cited",
        "short answers",
    ]);
    let row = |name: &str, f: &Figures, blocks: Option<Figures>, cited: Option<Figures>| {
        let [address, text, fused] = f.evidence.map(percent);
        let third = |f: Option<Figures>| percent(f.and_then(|f| f.evidence[2]));
        let n = f.n.to_string();
        [name.to_owned(), n, address, text, fused, third(blocks), third(cited), percent(f.said)]
    };
    let mut abilities = Map::new();
    for (label, figures) in counted.tally.rows() {
        let (blocks, cited) = (counted.blocks.row(label), counted.cited.row(label));
        abilities.insert(label.task.clone(), figures_object(&figures, counted, Some(label)));
        table.row(&row(&label.task, &figures, blocks, cited));
    }
    let total = counted.tally.total();
    table.row(&row("all", &total, Some(counted.blocks.total()), Some(counted.cited.total())));
    out.line("")?;
    out.line(table.to_string().trim_end())?;
    out.line("")?;
    let abstained = Rate::of(counted.abstained.iter().copied());
    let refused = Rate::of(counted.refused.iter().copied());
    if abstained.n + refused.n > 0 {
        out.line(format!("questions that have no answer, refused: {abstained}"))?;
        out.line(format!("questions that have one, refused: {refused}"))?;
    }
    out.line(footer(context, rig, read))?;
    let mut last = run_object(context, Set::Beam.name(), rig, read);
    if let Value::Object(fields) = figures_object(&total, counted, None) {
        last.extend(fields);
    }
    last.insert("abstention".to_owned(), json!(abstained.value()));
    last.insert("abstention_n".to_owned(), json!(abstained.n));
    last.insert("refused".to_owned(), json!(refused.value()));
    last.insert("abilities".to_owned(), Value::Object(abilities));
    out.event(&last)
}

fn figures_object(f: &Figures, counted: &Counted, label: Option<&Label>) -> Value {
    let third = |tally: &Tally| {
        let figures = match label {
            Some(label) => tally.row(label),
            None => Some(tally.total()),
        };
        figures.and_then(|f| value(f.evidence[2]))
    };
    let [address, text, fused] = f.evidence.map(value);
    json!({
        "n": f.n, "evidence_n": f.evidence[1].map_or(0, |m| m.n), "evidence_at_8": fused,
        "evidence_address_at_8": address, "evidence_text_at_8": text,
        "evidence_blocks_at_8": third(&counted.blocks), "evidence_cited": third(&counted.cited),
        "score": value(f.said), "score_n": f.said.map_or(0, |m| m.n),
    })
}
