//! The logs in the `examples` folder: a service's day in about 350 lines, with a few facts that
//! occur once.
//!
//! `cargo run --release -p lcedge-eval --example make_logs` writes them; a test compares the
//! committed files with what is made here.

use crate::log::{App, Auth, Clock, Event, Header, Source, write_line};
use crate::rng::Rng;
use std::fmt::Write as _;

/// A question about a sample with its one right answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleFact {
    /// The question as a person asks it.
    pub question: &'static str,
    /// The value that a right answer contains.
    pub answer: &'static str,
    /// The line that says so, counted from 1.
    pub line: u64,
}

/// A log with its questions.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The file's name in the `examples` folder.
    pub file: &'static str,
    /// The log.
    pub text: String,
    /// What can be asked, in the order of the lines.
    pub facts: Vec<SampleFact>,
}

/// A line that stands at a chosen place.
struct Planted {
    line: u64,
    process: &'static str,
    level: &'static str,
    body: &'static str,
    asked: Option<(&'static str, &'static str)>,
}

impl Sample {
    /// The questions as a table in Markdown: question, answer, line.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = String::from("| question | answer | line |\n|---|---|---|\n");
        for fact in &self.facts {
            // Writing into a String cannot fail.
            let _ = writeln!(table, "| {} | {} | {} |", fact.question, fact.answer, fact.line);
        }
        table
    }
}

/// Both samples.
#[must_use]
pub fn all() -> Vec<Sample> {
    vec![auth(), app()]
}

/// `auth.log`: guesses of passwords and sessions of ordinary users; root logs in once, early.
#[must_use]
pub fn auth() -> Sample {
    let mut rng = Rng::new(20_260_302).fork("examples/auth.log");
    let mut source = Auth::new(&mut rng, false);
    make("auth.log", 36_000, Header::Syslog, &mut source, &mut rng, AUTH_LINES)
}

/// `app.log`: requests, queries and messages of an order service.
#[must_use]
pub fn app() -> Sample {
    let mut rng = Rng::new(20_260_303).fork("examples/app.log");
    let mut source = App::new(&mut rng);
    make("app.log", 30_000, Header::Iso, &mut source, &mut rng, APP_LINES)
}

fn make(
    file: &'static str,
    bytes: usize,
    header: Header,
    source: &mut dyn Source,
    rng: &mut Rng,
    planted: &[Planted],
) -> Sample {
    let mut clock = Clock::from_unix_s(1_772_424_000);
    let mut text = String::with_capacity(bytes + 256);
    let mut facts = Vec::new();
    let mut planted = planted.iter().peekable();
    let mut line = 0;
    while text.len() < bytes || planted.peek().is_some() {
        line += 1;
        clock.advance_ms(source.gap_ms(rng));
        let event = match planted.next_if(|next| next.line <= line) {
            Some(next) => {
                if let Some((question, answer)) = next.asked {
                    facts.push(SampleFact { question, answer, line });
                }
                Event::new(next.process, next.body).at(next.level)
            }
            None => source.event(rng),
        };
        write_line(&mut text, header, "edge-07", clock, &event);
    }
    Sample { file, text, facts }
}

const fn plain(line: u64, process: &'static str, body: &'static str) -> Planted {
    Planted { line, process, level: "INFO", body, asked: None }
}

const fn fact(
    line: u64,
    process: &'static str,
    body: &'static str,
    question: &'static str,
    answer: &'static str,
) -> Planted {
    Planted { line, process, level: "INFO", body, asked: Some((question, answer)) }
}

const AUTH_LINES: &[Planted] = &[
    fact(
        1,
        "sshd[602]",
        "Server listening on 0.0.0.0 port 2222.",
        "Which port does the ssh server listen on?",
        "2222",
    ),
    fact(
        33,
        "sshd[1953]",
        "Accepted publickey for root from 203.0.113.77 port 51122 ssh2",
        "Which address did root log in from?",
        "203.0.113.77",
    ),
    plain(
        34,
        "sshd[1953]",
        "pam_unix(sshd:session): session opened for user root(uid=0) by (uid=0)",
    ),
    plain(51, "sshd[1953]", "pam_unix(sshd:session): session closed for user root"),
    fact(
        72,
        "useradd[2084]",
        "new user: name=svc-ledger, UID=1471, GID=1480, home=/srv/ledger, shell=/usr/sbin/nologin",
        "Which UID did the new user svc-ledger get?",
        "1471",
    ),
    fact(
        104,
        "chronyd[533]",
        "System clock wrong by 47.318 seconds",
        "By how many seconds was the system clock wrong?",
        "47.318",
    ),
    fact(
        141,
        "usermod[2417]",
        "add 'greta' to group 'wheel'",
        "Which user was added to the group wheel?",
        "greta",
    ),
    fact(
        188,
        "sudo",
        "    oleg : TTY=pts/4 ; PWD=/srv/ledger ; USER=postgres ; \
         COMMAND=/usr/bin/pg_dump --file=/backup/ledger-0302.sql ledger",
        "Which file did oleg dump the ledger database into?",
        "/backup/ledger-0302.sql",
    ),
    fact(
        232,
        "fail2ban.actions[702]",
        "NOTICE [sshd] Ban 198.51.100.23",
        "Which address did fail2ban ban?",
        "198.51.100.23",
    ),
    fact(
        270,
        "passwd[2994]",
        "pam_unix(passwd:chauthtok): password changed for ines",
        "Whose password was changed?",
        "ines",
    ),
];

const APP_LINES: &[Planted] = &[
    fact(
        12,
        "deploy",
        "release 4.17.2 rolled out to 6 of 6 nodes",
        "Which release was rolled out?",
        "4.17.2",
    ),
    fact(
        45,
        "db",
        "migration 20260302_add_tax_region applied in 5321 ms",
        "Which migration was applied to the database?",
        "20260302_add_tax_region",
    ),
    fact(
        88,
        "billing",
        "refund RF-88213 of 412.50 EUR approved by ines",
        "How much was the refund RF-88213?",
        "412.50 EUR",
    ),
    fact(
        133,
        "cluster",
        "app-09 became leader for term 118",
        "Which node became leader for term 118?",
        "app-09",
    ),
    fact(
        176,
        "tls",
        "certificate for orders.example.net expires on 2026-04-19",
        "When does the certificate for orders.example.net expire?",
        "2026-04-19",
    ),
    fact(
        224,
        "flags",
        "checkout-v3 switched off by hugo, error budget spent",
        "Who switched off checkout-v3?",
        "hugo",
    ),
    fact(290, "storage", "volume vol-7c41 is 93% full", "How full is the volume vol-7c41?", "93%"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_stands_in_its_line() {
        for sample in all() {
            assert!(sample.facts.len() >= 7);
            let lines: Vec<&str> = sample.text.lines().collect();
            for fact in &sample.facts {
                let line = lines[usize::try_from(fact.line).unwrap() - 1];
                assert!(line.contains(fact.answer), "{}: {line}", sample.file);
            }
        }
    }

    #[test]
    fn sizes_fit_a_first_run_of_two_minutes() {
        assert!((34_000..38_000).contains(&auth().text.len()), "{}", auth().text.len());
        assert!((29_000..33_000).contains(&app().text.len()));
    }

    #[test]
    fn root_logs_in_once_and_nobody_else_comes_from_there() {
        let text = auth().text;
        assert_eq!(text.matches("203.0.113.").count(), 1);
        assert_eq!(text.matches("for root from").count(), 1);
        assert_eq!(text.lines().filter(|line| line.contains("root")).count(), 3);
        let at = text.find("for root from").unwrap();
        assert!(at < 5000, "leaves the window long before the end: byte {at}");
    }

    #[test]
    fn values_that_name_one_thing_occur_once() {
        for sample in all() {
            for fact in &sample.facts {
                let name = fact.answer.chars().all(|c| c.is_ascii_lowercase());
                let count = sample.text.matches(fact.answer).count();
                assert!(
                    name || count == 1,
                    "{}: {} occurs {count} times",
                    sample.file,
                    fact.answer
                );
            }
        }
    }
}
