//! Rules for the text of source files: length of lines and files, `unsafe`, characters, paths.

use crate::Problem;
use crate::files::File;
use crate::rules::Rules;

/// The most characters in a line of Rust.
pub const LINE_CHARS_MAX: usize = 100;
/// The most lines in a file of Rust that is not in the ratchet.
pub const FILE_LINES_MAX: usize = 600;

/// Signs that may stand anywhere: mathematics, units, arrows, dashes, Greek letters as in formulas,
/// and the signs by which tokenizers show a space.
const SIGNS: &str = concat!(
    "\u{d7}\u{b7}\u{b1}\u{b0}\u{b5}\u{a7}\u{2260}\u{2264}\u{2265}\u{2248}\u{221a}",
    "\u{221e}\u{2211}\u{2208}\u{2192}\u{2190}\u{2194}\u{21d2}\u{2013}\u{2014}\u{2026}",
    "\u{2212}\u{b2}\u{b3}\u{3b1}\u{3b2}\u{3b3}\u{3b4}\u{3b5}\u{3b8}\u{3bb}\u{3bc}",
    "\u{3c0}\u{3c3}\u{3c4}\u{394}\u{2581}\u{120}",
);

fn rust(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|file| file.ending() == "rs")
}

/// Lines of Rust over the limit; generated files are left out.
#[must_use]
pub fn long_lines(files: &[File]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in rust(files).filter(|file| !file.is_generated()) {
        for (number, line) in file.lines() {
            let chars = line.chars().count();
            if chars > LINE_CHARS_MAX {
                let what = format!("{chars} characters: break the line at {LINE_CHARS_MAX}");
                problems.push(Problem::at(&file.path, number, what));
            }
        }
    }
    problems
}

/// Files of Rust over the limit that the ratchet does not allow, and entries of the ratchet that
/// are stale.
#[must_use]
pub fn long_files(files: &[File], rules: &Rules) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in rust(files).filter(|file| !file.is_generated()) {
        let lines = file.lines().count();
        let allowed = rules.long_files.get(&file.path).copied();
        if lines > allowed.unwrap_or(FILE_LINES_MAX) {
            let limit = allowed.unwrap_or(FILE_LINES_MAX);
            let what =
                format!("{lines} lines, {limit} are allowed: move a part into its own module");
            problems.push(Problem::of(&file.path, what));
        }
        if allowed.is_some() && lines <= FILE_LINES_MAX {
            let what = "short enough now: take it out of [long_files] in tests/tidy/rules.toml";
            problems.push(Problem::of(&file.path, what));
        }
    }
    let known = |path: &String| files.iter().any(|file| file.path == *path);
    for path in rules.long_files.keys().filter(|path| !known(path)) {
        problems.push(Problem::of(path, "gone: take it out of [long_files] in rules.toml"));
    }
    problems
}

/// `unsafe` outside the named rooms, and rooms that hold none.
#[must_use]
pub fn unsafe_outside_rooms(files: &[File], rules: &Rules) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut used = Vec::new();
    for file in rust(files) {
        let code = code_only(file.text.as_deref().unwrap_or(""));
        let first = (1..).zip(code.lines()).find(|(_, line)| has_word(line, "unsafe"));
        let Some((number, _)) = first else { continue };
        used.push(&file.path);
        if !rules.unsafe_rooms.contains(&file.path) {
            let what = "unsafe outside a named room: use a safe call, move it into a room, or \
                        name this file in [unsafe_rooms] of tests/tidy/rules.toml";
            problems.push(Problem::at(&file.path, number, what));
        }
    }
    for room in rules.unsafe_rooms.iter().filter(|room| !used.contains(room)) {
        let what = "holds no unsafe: take it out of [unsafe_rooms] in tests/tidy/rules.toml";
        problems.push(Problem::of(room, what));
    }
    problems
}

/// Characters that cannot be seen anywhere, and letters beyond ASCII in code and its comments.
///
/// What stands in a string is what a program is about; only what cannot be seen is wrong there.
#[must_use]
pub fn odd_characters(files: &[File], rules: &Rules) -> Vec<Problem> {
    let mut problems = Vec::new();
    let checked = |file: &&File| is_written_by_hand(file) && !rules.non_ascii.contains(&file.path);
    for file in files.iter().filter(checked) {
        let text = file.text.as_deref().unwrap_or("");
        let code = match file.ending() {
            "md" => String::new(),
            "rs" => blanked(text, false),
            _ => text.to_owned(),
        };
        let foreign = |c: &char| !c.is_ascii() && !SIGNS.contains(*c);
        let hidden =
            (1..).zip(text.lines()).map(|(n, line)| (n, line.chars().find(|c| is_hidden(*c))));
        let odd = (1..).zip(code.lines()).map(|(n, line)| (n, line.chars().find(foreign)));
        for (number, found) in hidden.chain(odd) {
            let Some(c) = found else { continue };
            let what = format!(
                "character U+{:04X}: write it in ASCII or as an escape, or name the file in \
                 [non_ascii] of tests/tidy/rules.toml",
                u32::from(c)
            );
            problems.push(Problem::at(&file.path, number, what));
        }
    }
    problems
}

/// No width, a direction, a byte order mark, a space that does not break.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Code, scripts, settings and documents, but not the data of tests.
fn is_written_by_hand(file: &File) -> bool {
    let name = file.path.rsplit('/').next().unwrap_or("");
    let ending = ["rs", "toml", "md", "sh", "py", "sql", "yml", "yaml"].contains(&file.ending());
    let data = ["tests/data/", "fixtures/"].iter().any(|part| file.path.contains(part));
    (ending || name == "justfile" || file.path == ".ci/run") && !data && !file.is_generated()
}

/// Absolute paths that belong to someone's machine.
#[must_use]
pub fn machine_paths(files: &[File]) -> Vec<Problem> {
    // In parts, so that this file does not hold what it looks for.
    let places = [
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/Us", "ers/"),
        concat!("/wo", "rk/"),
    ];
    let temporary = [concat!("\"/t", "mp/"), concat!("\"/t", "mp\"")];
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| is_written_by_hand(file)) {
        for (number, line) in file.lines() {
            if let Some(place) = places.iter().find(|place| stands_alone(line, place)) {
                let what =
                    format!("{place}... is a path of one machine: say it relative to the tree");
                problems.push(Problem::at(&file.path, number, what));
            }
            if file.ending() == "rs" && temporary.iter().any(|start| line.contains(start)) {
                let what = "a fixed temporary path: use tempfile or std::env::temp_dir()";
                problems.push(Problem::at(&file.path, number, what));
            }
        }
    }
    problems
}

/// Whether `place` begins a path in `line`, except where an example shows the home of `you` or
/// `user`.
fn stands_alone(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let inside = |c: char| c.is_ascii_alphanumeric() || "._-~}*>".contains(c);
        let example = ["you/", "user/", "{", "$", "<"]
            .iter()
            .any(|who| line[at + place.len()..].starts_with(who));
        !line[..at].chars().next_back().is_some_and(inside) && !example
    })
}

/// Whether `word` stands in `line` and is not a part of a longer one.
#[must_use]
pub fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, found)| {
        let before = line[..at].chars().next_back();
        let after = line[at + found.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

/// The text with comments and the contents of strings blanked out; every byte keeps its place.
#[must_use]
pub fn code_only(text: &str) -> String {
    blanked(text, true)
}

/// The text with the contents of strings blanked out, and the comments too if wanted.
fn blanked(text: &str, comments: bool) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_end(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => block_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'\'' => char_end(bytes, at),
            b'r' if starts_raw(bytes, at) => raw_end(bytes, at),
            _ => at,
        };
        if end == at {
            at += 1;
            continue;
        }
        if comments || bytes[at] != b'/' {
            for byte in code[at..end].iter_mut().filter(|byte| **byte != b'\n') {
                *byte = b' ';
            }
        }
        at = end;
    }
    // Whole comments and strings were replaced, so what is left is still UTF-8.
    String::from_utf8_lossy(&code).into_owned()
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| at + length)
}

fn block_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of a character, or `at` for a lifetime.
fn char_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at + 1..];
    let close = |from: usize| {
        let length = rest.iter().skip(from).take(10).position(|byte| *byte == b'\'');
        length.map_or(at, |length| at + 1 + from + length + 1)
    };
    match rest {
        [b'\\', _, ..] => close(2),
        [_, b'\'', ..] => at + 3,
        [first, ..] if !first.is_ascii() => close(0),
        _ => at,
    }
}

fn starts_raw(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| bytes[before]);
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let prefix = matches!(before, Some(b'b' | b'c')) && !(at >= 2 && word(bytes[at - 2]));
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    (prefix || !before.is_some_and(word)) && bytes.get(at + 1 + hashes) == Some(&b'"')
}

fn raw_end(bytes: &[u8], at: usize) -> usize {
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let from = at + hashes + 2;
    let found = bytes[from..].windows(close.len()).position(|window| window == close);
    found.map_or(bytes.len(), |length| from + length + close.len())
}

#[cfg(test)]
mod tests;
