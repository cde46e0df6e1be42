//! From what a person typed to a query that FTS5 takes, and its ranking (BM25).

use rusqlite::Connection;

use crate::{BlockId, TextHit, error::CatalogueError};

/// Most terms of one query; the rest of a longer text is not searched for.
const TERMS_MAX: usize = 64;
/// Longest term, in bytes.
const TERM_BYTES_MAX: usize = 256;

/// Words of questions and of grammar: in nearly every block, or in none that answers.
const STOP_WORDS: &[&str] = &[
    "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be",
    "been", "before", "being", "but", "by", "can", "could", "did", "do", "does", "during", "for",
    "from", "give", "had", "has", "have", "he", "her", "his", "how", "i", "if", "in", "into", "is",
    "it", "its", "many", "may", "me", "might", "much", "must", "my", "of", "on", "or", "our",
    "please", "shall", "she", "should", "so", "some", "tell", "than", "that", "the", "their",
    "them", "then", "there", "these", "they", "this", "those", "to", "us", "was", "we", "were",
    "what", "when", "where", "which", "while", "who", "whom", "whose", "why", "will", "with",
    "would", "you", "your",
];

/// An FTS5 query of a person's words: quoted phrases joined by OR, without stop words unless there
/// is nothing else. `None` when nothing in it can be searched for. Never a syntax error: what was
/// typed only ever stands between quotes.
///
/// A compound such as `10.0.3.7` or `CN-4821` is a phrase (its parts in a row) and, so that other
/// spellings are found too, its longer parts on their own.
pub(crate) fn fts_query(text: &str) -> Option<String> {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control() || c == '"')
        .map(|w| w.trim_matches(|c: char| !c.is_alphanumeric()))
        .filter(|w| !w.is_empty() && w.len() <= TERM_BYTES_MAX)
        .collect();
    let is_stop = |w: &str| STOP_WORDS.contains(&w.to_lowercase().as_str());
    let kept: Vec<&str> = words.iter().copied().filter(|w| !is_stop(w)).collect();
    let words = if kept.is_empty() { words } else { kept };
    let mut terms: Vec<String> = Vec::new();
    for word in words {
        add(&mut terms, word);
        let parts: Vec<&str> = word.split(|c: char| !c.is_alphanumeric()).collect();
        if parts.len() > 1 {
            for part in parts.into_iter().filter(|p| tells(p) && !is_stop(p)) {
                add(&mut terms, part);
            }
        }
    }
    (!terms.is_empty()).then(|| terms.join(" OR "))
}

/// Whether a part of a compound is worth searching for alone: `10` and `v` are everywhere.
fn tells(part: &str) -> bool {
    let n = part.chars().count();
    n > 2 || n == 2 && !part.chars().any(|c| c.is_ascii_digit())
}

fn add(terms: &mut Vec<String>, word: &str) {
    let term = format!("\"{word}\"");
    if terms.len() < TERMS_MAX && !terms.contains(&term) {
        terms.push(term);
    }
}

/// Blocks whose text matches, best first (BM25, larger is better), as long as `keep` wants more.
/// `keep` gives false for a block that is to be passed over.
pub(crate) fn search(
    conn: &Connection,
    text: &str,
    k: usize,
    mut keep: impl FnMut(BlockId) -> bool,
) -> Result<Vec<TextHit>, CatalogueError> {
    let mut hits = Vec::new();
    let Some(query) = fts_query(text).filter(|_| k > 0) else { return Ok(hits) };
    let mut statement = conn.prepare_cached(
        "SELECT rowid, bm25(block_text) FROM block_text WHERE block_text MATCH ?1
         ORDER BY rank, rowid",
    )?;
    let mut rows = statement.query([query])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let score: f64 = row.get(1)?;
        let id = BlockId(id.cast_unsigned());
        if keep(id) {
            hits.push(TextHit { id, score: -score as f32 });
            if hits.len() == k {
                break;
            }
        }
    }
    Ok(hits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn questions_become_phrases() {
        let q = |t: &str| fts_query(t).unwrap_or_default();
        assert_eq!(q("Which address did root log in from?"), r#""address" OR "root" OR "log""#);
        assert_eq!(q("Who used 10.0.3.7?"), r#""used" OR "10.0.3.7""#);
        let compound = r#""CN-4821" OR "CN" OR "4821" OR "user_name" OR "user" OR "name""#;
        assert_eq!(q("CN-4821 user_name"), compound);
        let syntax = r#""DROP" OR "TABLE" OR "NEAR(x" OR "NEAR""#;
        assert_eq!(q("\"; DROP TABLE NEAR(x) AND* ^"), syntax);
        assert_eq!(q("who is it"), r#""who" OR "is" OR "it""#);
        assert_eq!(fts_query(" ?! \0 \"\" "), None);
    }

    proptest! {
        #[test]
        fn no_text_is_a_syntax_error(text in "\\PC{0,60}|[\"'()*^:+\\-AND ORNEAR\0]{0,60}") {
            let conn = Connection::open_in_memory().unwrap();
            conn.execute_batch("CREATE VIRTUAL TABLE block_text USING fts5(text, content='',
                contentless_delete=1, tokenize='porter unicode61 remove_diacritics 2')").unwrap();
            search(&conn, &text, 5, |_| true).unwrap();
        }
    }
}
