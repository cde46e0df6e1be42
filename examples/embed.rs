//! lcedge inside another program: absorb a file, ask about it.
//!
//! ```text
//! cargo run --release --example embed -- examples/auth.log "Which address did root log in from?"
//! ```

use std::io::Read;

use lcedge::Question;
use lcedge::setup::{SetupOptions, open};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (file, questions): (Option<String>, Vec<String>) = (args.next(), args.collect());
    let file = file.ok_or("usage: embed FILE QUESTION...")?;
    let folder = tempfile::tempdir()?;
    let options = SetupOptions {
        store: Some(folder.path().join("store")),
        variable: |name| std::env::var_os(name),
        ..SetupOptions::default()
    };
    let start = std::time::Instant::now();
    let mut ready = open(&options, &mut |event| eprintln!("{event:?}"))?;
    eprintln!("open in {:.1} s: {:?}", start.elapsed().as_secs_f32(), ready.report);
    let session = &mut ready.session;
    session.begin_source(&file)?;
    let (mut input, mut buffer) = (std::fs::File::open(&file)?, vec![0; 16 * 1024]);
    let start = std::time::Instant::now();
    loop {
        let n = input.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        session.feed(&buffer[..n])?;
    }
    session.finish_source()?;
    let seconds = start.elapsed().as_secs_f64();
    let fates = session.fates();
    println!(
        "{} tokens in {seconds:.1} s, {:.0} a second",
        fates.total(),
        fates.total() as f64 / seconds
    );
    println!("{fates:?}");
    for line in session.lines().top().iter().take(5) {
        println!(
            "surprise {:.1} ({:.1} a token) line {}: {}",
            line.nats, line.nats_per_token, line.line, line.text
        );
    }
    for question in questions {
        let answer = session.ask(&Question::new(question))?;
        println!(
            "\n{}\n  said {:?} found {} confidence {:.2} {:?} in {} ms",
            answer.question,
            answer.said,
            answer.found,
            answer.confidence,
            answer.signals,
            answer.ms
        );
        for c in answer.citations.iter().take(4) {
            println!(
                "  {}:{} ({:.2} {:?}) {}",
                c.source, c.line_start, c.score, c.found_by, c.text
            );
        }
    }
    Ok(())
}
