//! The figures of `eval needles`.

use std::time::Duration;

use lcedge::session::Answer;
use lcedge_eval::score::{CurvePoint, Outcome, Rate, Summary, Table, threshold_curve};
use serde_json::{Value, json};

use crate::commands::reading::{per_second, round};
use crate::failure::Failure;
use crate::output::Out;
use crate::size;

/// A block counts as found when it is among so many.
const TOP: usize = 8;
/// Steps of the printed curve from 0 to 1.
const CURVE_STEPS: usize = 20;

/// One question.
pub(crate) struct Row {
    pub(crate) template: &'static str,
    pub(crate) outcome: Outcome,
    pub(crate) answer: Answer,
    /// Rank of the evidence's block by address, by text, and fused; from 0.
    pub(crate) ranks: [Option<usize>; 3],
    /// Whether it was laid into attention.
    pub(crate) placed: bool,
    pub(crate) time: Duration,
    /// Whether the answer is right with exactly the right blocks recalled.
    pub(crate) exact_kv: Option<bool>,
    /// The same with their text read again.
    pub(crate) exact_text: Option<bool>,
}

/// All of them, and what they were measured with.
pub(crate) struct Report<'a> {
    pub(crate) rows: Vec<Row>,
    pub(crate) bounds: bool,
    pub(crate) family: &'static str,
    pub(crate) seed: u64,
    pub(crate) tokens: u64,
    pub(crate) bytes: usize,
    pub(crate) read_time: Duration,
    pub(crate) model: &'a str,
    pub(crate) memory: &'static str,
    pub(crate) recall: &'static str,
}

impl Report<'_> {
    fn facts(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|r| r.outcome.expected.is_some())
    }

    fn recall_at(&self, which: usize) -> Rate {
        Rate::of(self.facts().map(|r| r.ranks[which].is_some_and(|rank| rank < TOP)))
    }

    /// Name in JSON, name for people, and rate.
    fn rates(&self) -> Vec<(&'static str, &'static str, Rate)> {
        let outcomes: Vec<Outcome> = self.rows.iter().map(|r| r.outcome.clone()).collect();
        let s = Summary::of(&outcomes);
        let mut all = vec![
            ("accuracy", "answered rightly", s.accuracy),
            ("cited", "line among the citations", s.cited),
            ("cited_first", "line is the first citation", s.cited_first),
            ("invented", "answers to absent facts", s.invented),
            ("refused", "facts wrongly refused", s.refused),
            ("wrong", "facts answered with another value", s.wrong),
            ("recall_address_at_8", "block in the top 8 by address alone", self.recall_at(0)),
            ("recall_text_at_8", "block in the top 8 by text alone", self.recall_at(1)),
            ("recall_fused_at_8", "block in the top 8 of both fused", self.recall_at(2)),
            (
                "recalled_evidence",
                "block laid into attention",
                Rate::of(self.facts().map(|r| r.placed)),
            ),
            (
                "said",
                "model says the value (any confidence)",
                Rate::of(self.facts().map(|r| r.outcome.says_right())),
            ),
        ];
        if self.bounds {
            let of = |pick: fn(&Row) -> Option<bool>| Rate::of(self.facts().filter_map(pick));
            all.push(("exact_kv", "the same with exactly the right K,V", of(|r| r.exact_kv)));
            all.push(("exact_text", "the same with exactly the right text", of(|r| r.exact_text)));
        }
        all
    }

    fn curve(&self) -> Vec<CurvePoint> {
        // What the model itself refused is given out at no threshold.
        let before = |r: &Row| {
            let mut o = r.outcome.clone();
            if !o.found && self.says_no_below(&o) {
                o.answer.clear();
            }
            o
        };
        let outcomes: Vec<Outcome> = self.rows.iter().map(before).collect();
        let all = threshold_curve(&outcomes);
        let at = |step: usize| {
            let t = step as f64 / CURVE_STEPS as f64;
            let point = all.iter().find(|p| p.threshold >= t).or(all.last())?;
            Some(CurvePoint { threshold: t, ..*point })
        };
        (0..=CURVE_STEPS).filter_map(at).collect()
    }

    /// Whether an answer that was not given out is as sure as one that was: then the model said no.
    fn says_no_below(&self, o: &Outcome) -> bool {
        let given = self.rows.iter().map(|r| &r.outcome).filter(|o| o.found);
        given.map(|o| o.confidence).fold(f64::INFINITY, f64::min) <= o.confidence
    }

    pub(crate) fn print(&self, out: &Out) -> Result<(), Failure> {
        let rates = self.rates();
        let mut table = Table::new(&["figure", "rate", "95% interval", "count"]);
        for (_, name, rate) in &rates {
            table.rate_row(name, *rate);
        }
        out.line("")?;
        out.line(table.to_string().trim_end())?;
        let curve = self.curve();
        let mut points =
            Table::new(&["confidence at least", "right lost", "invented kept", "wrong kept"]);
        let percent = |r: Rate| r.value().map_or("-".to_owned(), |v| format!("{:.1}%", 100.0 * v));
        for p in &curve {
            points.row(&[
                format!("{:.2}", p.threshold),
                percent(p.right_lost),
                percent(p.invented_kept),
                percent(p.wrong_kept),
            ]);
        }
        out.line("")?;
        out.line(points.to_string().trim_end())?;
        let rate = per_second(self.tokens, self.read_time);
        out.line("")?;
        out.line(format!(
            "{} tokens read at {rate:.0} tokens/s; {} questions, {:.0} ms each; {}, memory {}, \
             recall of {}, family {}, seed {}",
            size::count(self.tokens),
            self.rows.len(),
            self.mean_ms(),
            self.model,
            self.memory,
            self.recall,
            self.family,
            self.seed,
        ))?;
        out.event(&self.event(&rates, &curve))
    }

    fn mean_ms(&self) -> f64 {
        let total: Duration = self.rows.iter().map(|r| r.time).sum();
        total.as_secs_f64() * 1000.0 / self.rows.len().max(1) as f64
    }

    fn event(&self, rates: &[(&str, &str, Rate)], curve: &[CurvePoint]) -> Value {
        let mut event = json!({
            "event": "eval", "name": "needles", "n": self.rows.len(),
            "facts": self.facts().count(), "absent": self.rows.len() - self.facts().count(),
            "tokens": self.tokens, "bytes": self.bytes, "family": self.family, "seed": self.seed,
            "model": self.model, "memory": self.memory,
            "recall": self.recall, "ms_per_question": round(self.mean_ms()),
            "tokens_per_second": round(per_second(self.tokens, self.read_time)),
        });
        let point = |p: &CurvePoint| {
            json!({
                "threshold": p.threshold, "right_lost": p.right_lost.value(),
                "invented_kept": p.invented_kept.value(), "wrong_kept": p.wrong_kept.value(),
            })
        };
        if let Value::Object(fields) = &mut event {
            for (name, _, rate) in rates {
                fields.insert((*name).to_owned(), json!(rate.value()));
                fields.insert(format!("{name}_n"), json!(rate.n));
                fields.insert(format!("{name}_interval"), json!(rate.interval()));
            }
            fields.insert("curve".to_owned(), curve.iter().map(point).collect());
        }
        event
    }
}
