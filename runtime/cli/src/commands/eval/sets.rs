//! `eval ruler`, `babilong`, `passkey`, `longeval`, `kv`, `locomo`: public test sets.

use std::iter::Peekable;
use std::ops::Range;
use std::path::Path;

use lcedge::error::AskError;
use lcedge::memory::{BlockId, Reader};
use lcedge::session::{Answer, Passages, Question, Session};
use lcedge_eval::score::{Mean, Table};
use lcedge_eval::sets::{
    Asked, Figures, Sample, Samples, Scored, Set, SetError, Tally, share_found,
};
use serde_json::{Value, json};

use super::rig::{Read, Rig, read_sample};
use super::{check_stop, name_of};
use crate::args::SetArgs;
use crate::commands::answers::clip;
use crate::commands::reading::{per_second, round};
use crate::context::{Context, weights_name};
use crate::failure::Failure;
use crate::output::Out;
use crate::size;

pub(crate) fn run(context: &mut Context, set: Set, args: &SetArgs) -> Result<u8, Failure> {
    let files = open(set, args)?;
    let mut rig = Rig::open(context, None)?;
    context.stop.looks(true);
    let options = context.options.clone();
    let answer_tokens = args.max_tokens.unwrap_or(set.answer_tokens());
    let mut tally = Tally::default();
    let mut read = Read::default();
    for (path, samples) in files {
        let name = name_of(path);
        context.out.note(format!("reading the samples of {name}"));
        for sample in samples.take(args.limit.unwrap_or(usize::MAX)) {
            let sample = sample?;
            let took = rig.with(context, &options, |session| {
                let took = read_sample(context, session, &name, &sample)?;
                for asked in &sample.questions {
                    check_stop(context)?;
                    let scored = ask(context, session, &sample, asked, answer_tokens)?;
                    tally.add(&asked.label, scored);
                }
                Ok(took)
            })?;
            read.add(took);
        }
    }
    print(context, set, &tally, &rig, read)?;
    Ok(0)
}

/// The files and their samples, the first of each looked at before a model is loaded.
pub(super) fn open(set: Set, args: &SetArgs) -> Result<Vec<(&Path, Peekable<Samples>)>, Failure> {
    if args.limit == Some(0) {
        return Err(Failure::bad_argument("--limit 0: at least 1 is needed"));
    }
    let mut files = Vec::new();
    for path in &args.data {
        let mut samples = Samples::open(set, path)?.peekable();
        if let Some(Err(e)) = samples.next_if(Result::is_err) {
            return Err(e.into());
        }
        files.push((path.as_path(), samples));
    }
    Ok(files)
}

impl From<SetError> for Failure {
    fn from(e: SetError) -> Self {
        match e {
            SetError::Read { .. } => Self::new("file", e),
            _ => Self::bad_argument(e)
                .hint("`lcedge eval --help` names the sets and their forms".to_owned()),
        }
    }
}

fn ask(
    context: &Context,
    session: &mut Session,
    sample: &Sample,
    asked: &Asked,
    answer_tokens: usize,
) -> Result<Scored, Failure> {
    let question =
        Question { answer_tokens_max: answer_tokens, ..Question::new(asked.text.as_str()) };
    let Some(answer) = answered(context, session.ask(&question))? else {
        return Ok(Scored {
            said: Some(0.0),
            given: Some(0.0),
            found: Some(false),
            ..no_evidence(asked)
        });
    };
    let scored = score(session, sample, asked, &answer);
    tell(&context.out, asked, &answer, &scored)?;
    Ok(scored)
}

/// A question that is too long for the model counts as not answered; it ends nothing.
pub(super) fn answered<T>(
    context: &Context,
    asked: Result<T, AskError>,
) -> Result<Option<T>, Failure> {
    match asked {
        Ok(answer) => Ok(Some(answer)),
        Err(e @ (AskError::Long { .. } | AskError::Empty)) => {
            context.out.warn(format!("a question is not asked: {e}"));
            Ok(None)
        }
        Err(e) => Err(e.into()),
    }
}

fn no_evidence(asked: &Asked) -> Scored {
    let none = (!asked.evidence.is_empty()).then_some(0.0);
    Scored { evidence: [none; 3], ..Scored::default() }
}

pub(super) fn score(session: &Session, sample: &Sample, asked: &Asked, answer: &Answer) -> Scored {
    let said = asked.scoring.score(&answer.said, answer.found);
    Scored {
        said,
        given: if answer.found { said } else { asked.scoring.score("", false) },
        found: Some(answer.found),
        evidence: evidence(session, sample, asked, &answer.passages),
    }
}

/// Share of the evidence among the best passages: by address, by text, fused.
pub(super) fn evidence(
    session: &Session,
    sample: &Sample,
    asked: &Asked,
    passages: &Passages,
) -> [Option<f64>; 3] {
    let Some(reader) = session.reader() else { return [None; 3] };
    let share = |ids: &[BlockId]| share_found(&spans(reader, ids), &sample.turns, &asked.evidence);
    let fused: Vec<BlockId> = passages.ranked.iter().map(|r| r.id).collect();
    [share(&passages.by_address), share(&passages.by_text), share(&fused)]
}

/// Where blocks lie in their source.
pub(super) fn spans(reader: &Reader, ids: &[BlockId]) -> Vec<Range<usize>> {
    let at = |byte: u64| usize::try_from(byte).unwrap_or(usize::MAX);
    let blocks = ids.iter().filter_map(|id| reader.block(*id).ok());
    blocks.map(|b| at(b.span.byte_start)..at(b.span.byte_end)).collect()
}

pub(super) fn tell(
    out: &Out,
    asked: &Asked,
    answer: &Answer,
    scored: &Scored,
) -> Result<(), Failure> {
    let expected = asked.scoring.expected();
    let [address, text, fused] = scored.evidence;
    out.event(&json!({
        "event": "row", "task": asked.label.task, "length": asked.label.length,
        "question": asked.text, "expected": expected, "said": answer.said, "found": answer.found,
        "confidence": answer.confidence, "score": scored.said, "score_given": scored.given,
        "evidence_address_at_8": address, "evidence_text_at_8": text, "evidence_at_8": fused,
        "recalled_blocks": answer.recalled_blocks, "ms": answer.ms,
    }))?;
    let paint = out.paint;
    let verdict = match scored.said {
        Some(s) if s >= 1.0 => paint.green("right"),
        Some(s) if s > 0.0 => paint.yellow(&format!("{s:.2} ")),
        Some(_) => paint.red("wrong"),
        None => paint.dim("     "),
    };
    out.line(format!(
        "{verdict} {}: {} [{}] {}",
        asked.label,
        clip(&asked.text, 60),
        clip(&expected, 40),
        clip(&answer.said, 60)
    ))
}

pub(super) fn value(mean: Option<Mean>) -> Option<f64> {
    mean.map(|m| m.value)
}

pub(super) fn percent(mean: Option<Mean>) -> String {
    mean.map_or("-".to_owned(), |m| format!("{:.1}%", 100.0 * m.value))
}

fn print(context: &Context, set: Set, tally: &Tally, rig: &Rig, read: Read) -> Result<(), Failure> {
    let out = &context.out;
    let mut table = Table::new(&[
        "task",
        "length",
        "n",
        "score",
        "+-",
        "given out",
        "found",
        "at 8: address",
        "text",
        "fused",
    ]);
    let row = |task: &str, length: &str, f: &Figures| {
        let spread = f.said.map_or("-".to_owned(), |m| format!("{:.1}", 100.0 * m.half_width));
        let found = f.found.value().map_or("-".to_owned(), |v| format!("{:.1}%", 100.0 * v));
        let [address, text, fused] = f.evidence.map(percent);
        [
            task.to_owned(),
            length.to_owned(),
            f.n.to_string(),
            percent(f.said),
            spread,
            percent(f.given),
            found,
            address,
            text,
            fused,
        ]
    };
    let mut rows = Vec::new();
    for (label, figures) in tally.rows() {
        table.row(&row(&label.task, &label.length, &figures));
        let mut object = figures_object(&figures);
        object.insert("task".to_owned(), json!(label.task));
        object.insert("length".to_owned(), json!(label.length));
        rows.push(Value::Object(object));
    }
    let total = tally.total();
    table.row(&row("all", "", &total));
    out.line("")?;
    out.line(table.to_string().trim_end())?;
    out.line("")?;
    out.line(footer(context, rig, read))?;
    let mut last = figures_object(&total);
    last.extend(run_object(context, set.name(), rig, read));
    last.insert("tasks".to_owned(), Value::Array(rows));
    out.event(&last)
}

/// What was read, with what.
pub(super) fn footer(context: &Context, rig: &Rig, read: Read) -> String {
    let o = &context.options;
    format!(
        "{} tokens read at {:.0} tokens/s; {}, {} weights, window {}, memory {}, recall of {}",
        size::count(read.tokens),
        per_second(read.tokens, read.time),
        rig.report.model,
        weights_name(rig.report.weights),
        rig.window,
        o.memory.name(),
        o.recall.name(),
    )
}

/// The fields of the last object that every set has.
pub(super) fn run_object(
    context: &Context,
    name: &str,
    rig: &Rig,
    read: Read,
) -> serde_json::Map<String, Value> {
    let o = &context.options;
    let object = json!({
        "event": "eval", "name": name, "tokens": read.tokens,
        "tokens_per_second": round(per_second(read.tokens, read.time)),
        "model": rig.report.model, "weights": rig.report.weights, "memory": o.memory.name(),
        "recall": o.recall.name(), "window": rig.window,
    });
    match object {
        Value::Object(map) => map,
        _ => serde_json::Map::new(),
    }
}

fn figures_object(f: &Figures) -> serde_json::Map<String, Value> {
    let [address, text, fused] = f.evidence.map(value);
    let object = json!({
        "n": f.n, "score": value(f.said), "score_interval": f.said.map(|m| m.half_width),
        "score_given": value(f.given), "found": f.found.value(), "recall_at_8": fused,
        "recall_address_at_8": address, "recall_text_at_8": text,
    });
    match object {
        Value::Object(map) => map,
        _ => serde_json::Map::new(),
    }
}
