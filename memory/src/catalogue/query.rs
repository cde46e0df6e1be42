//! From what a person typed to a query that FTS5 takes, and its ranking (BM25).

use rusqlite::{Connection, params};

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

/// Terms of an FTS5 query of a person's words: quoted phrases, without stop words unless there is
/// nothing else; none when nothing in it can be searched for. Never a syntax error: what was typed
/// only ever stands between quotes.
///
/// A compound such as `10.0.3.7` or `CN-4821` is a phrase (its parts in a row) and, so that other
/// spellings are found too, its longer parts on their own.
fn terms(text: &str) -> Vec<String> {
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
    terms
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

/// Blocks that are ranked for one question, in a store of so many: half of them, but all of a small
/// store and no more than eight thousand of a large one. Ranking costs about 0.4 microseconds a
/// block
/// and looking one up a tenth of that, so words that are in most blocks (and say least) are left
/// out, as long as there are others.
pub(crate) fn ranked_max(blocks: usize) -> usize {
    (blocks / 2).clamp(2048, 8192)
}

/// What is searched for.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    /// For FTS5.
    text: String,
    /// Only blocks from this id on.
    from: u64,
}

/// How many blocks match, as far as `max`.
fn count(conn: &Connection, query: &str, max: usize) -> Result<usize, CatalogueError> {
    let mut statement = conn.prepare_cached(
        "SELECT count(*) FROM (SELECT 1 FROM block_text WHERE block_text MATCH ?1 LIMIT ?2)",
    )?;
    let n: i64 = statement.query_row(params![query, max as i64], |r| r.get(0))?;
    Ok(usize::try_from(n).unwrap_or(max))
}

/// The terms that are searched for, so that not many more than `max` blocks match: the rarest ones,
/// while together they match no more; blocks that have all terms where each term alone matches
/// more; the newest blocks where even these are more.
fn choose(
    conn: &Connection,
    terms: &[String],
    max: usize,
) -> Result<Option<Query>, CatalogueError> {
    let last: Option<i64> =
        conn.prepare_cached("SELECT max(id) FROM block")?.query_row([], |r| r.get(0))?;
    let last = last.unwrap_or(0).cast_unsigned();
    let all = || terms.join(" OR ");
    if terms.is_empty() {
        return Ok(None);
    }
    if last <= max as u64 {
        return Ok(Some(Query { text: all(), from: 0 }));
    }
    let mut counted = Vec::with_capacity(terms.len());
    for (at, term) in terms.iter().enumerate() {
        counted.push((count(conn, term, max + 1)?, at));
    }
    counted.sort_unstable();
    let mut sum = 0;
    let mut kept = Vec::new();
    for (n, at) in counted.into_iter().filter(|c| c.0 > 0) {
        sum += n;
        if sum > max {
            break;
        }
        kept.push(at);
    }
    kept.sort_unstable();
    if !kept.is_empty() {
        let kept: Vec<&str> = kept.into_iter().map(|at| terms[at].as_str()).collect();
        return Ok(Some(Query { text: kept.join(" OR "), from: 0 }));
    }
    let both = terms.join(" AND ");
    match count(conn, &both, max + 1)? {
        n if n > 0 && n <= max => Ok(Some(Query { text: both, from: 0 })),
        _ => Ok(Some(Query { text: all(), from: last - max as u64 + 1 })),
    }
}

/// Blocks whose text matches, best first (BM25, larger is better), as many as `k`. `keep` gives
/// false for a block that is to be passed over.
pub(crate) fn search(
    conn: &Connection,
    text: &str,
    k: usize,
    ranked_max: usize,
    mut keep: impl FnMut(BlockId) -> bool,
) -> Result<Vec<TextHit>, CatalogueError> {
    let mut hits = Vec::new();
    if k == 0 {
        return Ok(hits);
    }
    let Some(query) = choose(conn, &terms(text), ranked_max)? else { return Ok(hits) };
    // A limit lets SQLite keep the best instead of sorting all; when too many are passed over, it
    // is asked again.
    let mut limit = k.saturating_add(8);
    loop {
        hits.clear();
        let mut statement = conn.prepare_cached(
            "SELECT rowid, bm25(block_text) AS score FROM block_text
             WHERE block_text MATCH ?1 AND rowid >= ?2 ORDER BY score, rowid LIMIT ?3",
        )?;
        let limited = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![query.text, query.from.cast_signed(), limited])?;
        let mut seen = 0;
        while let Some(row) = rows.next()? {
            seen += 1;
            let id: i64 = row.get(0)?;
            let score: f64 = row.get(1)?;
            let id = BlockId(id.cast_unsigned());
            if keep(id) {
                hits.push(TextHit { id, score: -score as f32 });
                if hits.len() == k {
                    return Ok(hits);
                }
            }
        }
        if seen < limit {
            return Ok(hits);
        }
        limit = limit.saturating_mul(8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn questions_become_phrases() {
        let q = |t: &str| terms(t).join(" OR ");
        assert_eq!(q("Which address did root log in from?"), r#""address" OR "root" OR "log""#);
        assert_eq!(q("Who used 10.0.3.7?"), r#""used" OR "10.0.3.7""#);
        let compound = r#""CN-4821" OR "CN" OR "4821" OR "user_name" OR "user" OR "name""#;
        assert_eq!(q("CN-4821 user_name"), compound);
        let syntax = r#""DROP" OR "TABLE" OR "NEAR(x" OR "NEAR""#;
        assert_eq!(q("\"; DROP TABLE NEAR(x) AND* ^"), syntax);
        assert_eq!(q("who is it"), r#""who" OR "is" OR "it""#);
        assert!(terms(" ?! \0 \"\" ").is_empty());
    }

    fn connection() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(
            "CREATE TABLE block (id INTEGER PRIMARY KEY);
             CREATE VIRTUAL TABLE block_text USING fts5(text, content='', contentless_delete=1,
                 tokenize='porter unicode61 remove_diacritics 2')",
        )
        .unwrap();
        conn
    }

    fn add(conn: &Connection, id: i64, text: &str) {
        conn.execute("INSERT INTO block VALUES (?1)", [id]).unwrap();
        conn.execute("INSERT INTO block_text (rowid, text) VALUES (?1, ?2)", params![id, text])
            .unwrap();
    }

    #[test]
    fn in_a_large_store_the_rare_words_decide() {
        let conn = connection();
        for n in 1..=200 {
            let rare = if n % 50 == 7 { "walrus" } else { "" };
            let some = if n % 3 == 0 { "port" } else { "" };
            add(&conn, n, &format!("line of {some} words {rare} number{n}"));
        }
        let find = |text: &str, max: usize| -> Vec<u64> {
            let hits = search(&conn, text, 200, max, |_| true).unwrap();
            hits.iter().map(|h| h.id.0).collect()
        };
        let sorted = |mut v: Vec<u64>| {
            v.sort_unstable();
            v
        };
        let walrus = vec![7, 57, 107, 157];
        // All words where all blocks may be ranked, and what is common counts for less.
        assert_eq!(find("words walrus", 200).len(), 200);
        assert_eq!(sorted(find("words walrus", 200)[..4].to_vec()), walrus);
        // Few may be ranked: the common word is left out, what is found stays first.
        assert_eq!(sorted(find("words walrus", 100)), walrus);
        assert_eq!(find("words walrus number57", 10)[0], 57);
        assert_eq!(sorted(find("walrus port", 70)).len(), 66 + 4 - 1);
        assert_eq!(sorted(find("walrus port", 69)), walrus);
        // Common words only: blocks with all of them, or the newest ones.
        assert_eq!(find("words port", 66).len(), 66);
        assert_eq!(sorted(find("words line", 50)), (151..=200).collect::<Vec<u64>>());
        assert!(find("nothing", 50).is_empty());
    }

    #[test]
    fn passing_over_many_blocks_still_gives_as_many_as_are_asked_for() {
        let conn = connection();
        for n in 1..=500 {
            add(&conn, n, "the same words in all of them");
        }
        let hits = search(&conn, "same words", 3, 1000, |id| id.0 > 490).unwrap();
        assert_eq!(hits.iter().map(|h| h.id.0).collect::<Vec<_>>(), [491, 492, 493]);
    }

    proptest! {
        #[test]
        fn no_text_is_a_syntax_error(text in "\\PC{0,60}|[\"'()*^:+\\-AND ORNEAR\0]{0,60}") {
            let conn = connection();
            for n in 1..9 {
                add(&conn, n, "NEAR AND some words");
            }
            search(&conn, &text, 5, 100, |_| true).unwrap();
            search(&conn, &text, 5, 3, |_| true).unwrap();
        }
    }
}
