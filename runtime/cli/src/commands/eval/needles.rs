//! `eval needles`: hidden facts, and questions about facts that are not there.

use std::time::{Duration, Instant};

use lcedge::config::RecallMode;
use lcedge::memory::{BlockId, Reader};
use lcedge::session::{Answer, Question, Session};
use lcedge_eval::log::{LogKind, LogOptions, generate};
use lcedge_eval::needles::{Family, Haystack, Needle, NeedleOptions, plant};
use lcedge_eval::score::{Expected, LineRange, Outcome};
use serde_json::json;

use super::report::{Report, Row};
use super::{absorb, check_stop, fresh, name_of, read};
use crate::args::{self, NeedlesArgs};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Out;

/// Bytes of text that a token of the window stands for, at most: no fact is hidden so close to the
/// end that it could still be in the window.
const BYTES_PER_TOKEN: usize = 4;

pub(crate) fn run(context: &mut Context, args: &NeedlesArgs) -> Result<u8, Failure> {
    let text = match &args.input {
        Some(path) => read(path)?,
        None => {
            let bytes = usize::try_from(args.bytes).unwrap_or(usize::MAX);
            generate(&LogOptions::new(LogKind::Mixed, bytes, args.seed)).into_bytes()
        }
    };
    let (workspace, ready) = fresh(context)?;
    let mut session = ready.session;
    let window = session.plan().window_tokens;
    let family = match args.family {
        args::Family::Evaluation => Family::Evaluation,
        args::Family::Calibration => Family::Calibration,
    };
    let haystack = plant(
        &text,
        &NeedleOptions {
            facts: args.facts,
            absent: args.absent,
            distractors: args.distractors.unwrap_or(args.facts),
            clear_tail_bytes: (window * BYTES_PER_TOKEN).min(text.len() / 4),
            ..NeedleOptions::new(family, args.seed)
        },
    )
    .map_err(Failure::bad_argument)?;
    context.stop.looks(true);
    let start = Instant::now();
    let name = args.input.as_deref().map_or_else(|| "generated.log".to_owned(), name_of);
    context.out.note(format!("reading {name} with {} hidden facts", haystack.needles.len()));
    absorb(context, &mut session, &name, &haystack.text)?;
    let read_time = start.elapsed();
    let rows = ask_all(context, &mut session, &haystack, !args.no_bounds)?;
    let tokens = session.fates().total();
    session.close().map_err(Failure::from)?;
    drop(workspace);
    let report = Report {
        rows,
        bounds: !args.no_bounds,
        family: family.name(),
        seed: args.seed,
        tokens,
        bytes: haystack.text.len(),
        read_time,
        model: &ready.report.model,
        memory: context.options.memory.name(),
        recall: context.options.recall.name(),
    };
    report.print(&context.out)?;
    Ok(0)
}

fn ask_all(
    context: &Context,
    session: &mut Session,
    haystack: &Haystack,
    bounds: bool,
) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for needle in &haystack.needles {
        check_stop(context)?;
        let blocks = session.reader().map_or_else(Vec::new, |r| blocks_of_line(r, needle));
        let answer = ask(session, &needle.question, None, None)?;
        let expected = Expected { answer: needle.answer.clone(), line: needle.line };
        let mut row = row(needle.template, Some(expected), answer, &blocks);
        if bounds {
            let exact = |session: &mut Session, recall| {
                let a = ask(session, &needle.question, Some(blocks.clone()), Some(recall))?;
                Ok::<_, Failure>(lcedge_eval::score::answers(&a.said, &needle.answer))
            };
            row.exact_kv = Some(exact(session, RecallMode::Kv)?);
            row.exact_text = Some(exact(session, RecallMode::Text)?);
        }
        tell(&context.out, &row, rows.len())?;
        rows.push(row);
    }
    for absent in &haystack.absent {
        check_stop(context)?;
        let answer = ask(session, &absent.question, None, None)?;
        let row = row(absent.template, None, answer, &[]);
        tell(&context.out, &row, rows.len())?;
        rows.push(row);
    }
    Ok(rows)
}

fn ask(
    session: &mut Session,
    text: &str,
    blocks: Option<Vec<BlockId>>,
    recall: Option<RecallMode>,
) -> Result<Answer, Failure> {
    Ok(session.ask(&Question { blocks, recall, ..Question::new(text) })?)
}

/// Blocks that hold a byte of the fact's line.
fn blocks_of_line(reader: &Reader, needle: &Needle) -> Vec<BlockId> {
    let line = needle.byte_start as u64..needle.byte_end as u64;
    let holds = |id: &BlockId| {
        reader
            .block(*id)
            .is_ok_and(|b| b.span.byte_start < line.end && line.start < b.span.byte_end)
    };
    let all = reader.sources().into_iter().flat_map(|s| reader.blocks_of(s.id));
    all.filter(holds).collect()
}

fn row(
    template: &'static str,
    expected: Option<Expected>,
    answer: Answer,
    blocks: &[BlockId],
) -> Row {
    let rank = |ranked: &[BlockId]| ranked.iter().position(|id| blocks.contains(id));
    let p = &answer.passages;
    let fused: Vec<BlockId> = p.ranked.iter().map(|r| r.id).collect();
    let ranks = [rank(&p.by_address), rank(&p.by_text), rank(&fused)];
    let placed = blocks.iter().any(|id| p.blocks.contains(id));
    let range =
        |c: &lcedge::cite::Citation| LineRange { line_start: c.line_start, line_end: c.line_end };
    let outcome = Outcome {
        expected,
        answer: answer.said.clone(),
        found: answer.found,
        confidence: f64::from(answer.confidence),
        citations: answer.citations.iter().map(range).collect(),
    };
    let time = Duration::from_millis(answer.ms);
    Row { template, outcome, answer, ranks, placed, time, exact_kv: None, exact_text: None }
}

fn tell(out: &Out, row: &Row, i: usize) -> Result<(), Failure> {
    let o = &row.outcome;
    let expected = o.expected.as_ref();
    out.event(&json!({
        "event": "row", "i": i, "template": row.template, "question": row.answer.question,
        "expected": expected.map(|e| &e.answer), "line": expected.map(|e| e.line),
        "said": o.answer, "found": o.found, "confidence": row.answer.confidence,
        "signals": row.answer.signals, "right": o.is_right(), "cited_at": o.cited_at(),
        "rank_address": row.ranks[0], "rank_text": row.ranks[1], "rank_fused": row.ranks[2],
        "recalled_evidence": row.placed, "exact_kv": row.exact_kv, "exact_text": row.exact_text,
        "ms": row.answer.ms,
    }))?;
    let paint = out.paint;
    let verdict = match (expected, o.found) {
        (Some(_), true) if o.is_right() => paint.green("right   "),
        (Some(_), true) => paint.red("wrong   "),
        (Some(_), false) => paint.yellow("refused "),
        (None, true) => paint.red("invented"),
        (None, false) => paint.green("refused "),
    };
    let said = super::super::answers::clip(&o.answer, 60);
    let cited = match (expected, o.cited_at()) {
        (Some(e), Some(at)) => format!("line {} is citation {}", e.line, at + 1),
        (Some(e), None) => format!("line {} not cited", e.line),
        (None, _) => "nothing to cite".to_owned(),
    };
    let wanted = expected.map_or_else(|| "absent".to_owned(), |e| e.answer.clone());
    out.line(format!("{verdict} {} [{wanted}] {said} ({cited})", row.answer.question))
}
