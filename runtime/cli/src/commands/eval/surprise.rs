//! `eval surprise`: whether odd lines surprise more than ordinary ones.

use std::collections::HashSet;
use std::path::Path;

use lcedge_eval::score::auc;
use serde_json::json;

use super::{absorb, fresh, name_of, read};
use crate::context::Context;
use crate::failure::Failure;

pub(crate) fn run(context: &mut Context, input: &Path, labels: &Path) -> Result<u8, Failure> {
    let text = read(input)?;
    let lines = text.split_inclusive(|&b| b == b'\n').count();
    let odd = odd_lines(labels, lines)?;
    context.options.surprise = true;
    let (_workspace, ready) = fresh(context)?;
    let mut session = ready.session;
    session.lines_mut().keep_every_line();
    context.stop.looks(true);
    absorb(context, &mut session, &name_of(input), &text)?;
    let every = session.lines().every_line().to_vec();
    session.close().map_err(Failure::from)?;
    let (nats, tokens) =
        every.iter().fold((0.0, 0.0), |(n, t), l| (n + f64::from(l.1), t + f64::from(l.2)));
    let mean = if tokens > 0.0 { nats / tokens } else { 0.0 };
    let score = |of: fn(f64, f64, f64) -> f64| {
        let scored = |wanted: bool| -> Vec<f64> {
            let lines = every.iter().filter(|l| odd.contains(&l.0) == wanted);
            lines.map(|l| of(f64::from(l.1), f64::from(l.2), mean)).collect()
        };
        auc(&scored(true), &scored(false))
    };
    let excess = score(|nats, tokens, mean| nats - mean * tokens);
    let total = score(|nats, _, _| nats);
    let per_token = score(|nats, tokens, _| nats / tokens);
    if excess.is_none() {
        return Err(Failure::bad_argument(format!(
            "{}: odd and ordinary lines are both needed, {} of {} are odd",
            labels.display(),
            odd.len(),
            every.len()
        )));
    }
    let out = &context.out;
    let show = |x: Option<f64>| x.map_or("-".to_owned(), |x| format!("{x:.3}"));
    out.line(format!(
        "AUC {} by nats beyond the average (the rank that `stream` shows), {} by nats, {} by nats \
         a token; {} of {} lines are odd",
        show(excess),
        show(total),
        show(per_token),
        odd.len(),
        every.len()
    ))?;
    out.event(&json!({
        "event": "eval", "name": "surprise", "n": every.len(), "odd": odd.len(), "auc": excess,
        "auc_nats": total, "auc_nats_per_token": per_token, "model": ready.report.model,
    }))?;
    Ok(0)
}

/// Line numbers of the odd lines, from 1.
fn odd_lines(labels: &Path, lines: usize) -> Result<HashSet<u64>, Failure> {
    let text = String::from_utf8_lossy(&read(labels)?).into_owned();
    parse(&text, lines)
        .map_err(|what| Failure::bad_argument(format!("{}: {what}", labels.display())))
}

fn parse(text: &str, lines: usize) -> Result<HashSet<u64>, String> {
    let words: Vec<&str> =
        text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    let flags = words.len() == lines && words.iter().all(|w| matches!(*w, "0" | "1"));
    let mut odd = HashSet::new();
    for (i, word) in words.iter().enumerate() {
        let number: u64 = word.parse().map_err(|_| format!("{word:?} is no line number"))?;
        if flags {
            if number == 1 {
                odd.insert(i as u64 + 1);
            }
        } else if number == 0 || number > lines as u64 {
            return Err(format!("line {number} is not among the {lines} lines of the input"));
        } else {
            odd.insert(number);
        }
    }
    Ok(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_line_numbers_or_a_flag_a_line() {
        assert_eq!(parse("# odd\n2\n7\n", 9), Ok(HashSet::from([2, 7])));
        assert_eq!(parse("0\n1\n0\n1\n", 4), Ok(HashSet::from([2, 4])));
        assert!(parse("12", 9).unwrap_err().contains("line 12"));
        assert!(parse("two", 9).unwrap_err().contains("two"));
    }
}
