//! From what a person typed to a query that FTS5 takes, and its ranking (BM25).

use std::collections::HashMap;

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

/// Blocks whose whole BM25 is computed for one question, in a store of so many: half of them, but
/// all of a small store and no more than four thousand of a large one. It costs about 0.4
/// microseconds a block, most of it for the block's length; to look through the blocks of a word
/// costs a tenth of that.
pub(crate) fn ranked_max(blocks: usize) -> usize {
    (blocks / 2).clamp(2048, 4096)
}

/// Common words are looked for as long as no more blocks were looked through for one question.
const LOOKED_MAX: usize = 1 << 17;

/// Blocks, the newest ones, in which common words are looked for.
const NEWEST: i64 = 1 << 18;

/// What a search works on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ranking {
    /// Blocks of the store.
    pub(crate) blocks: usize,
    /// Blocks whose whole BM25 may be computed.
    pub(crate) ranked_max: usize,
}

/// Scores of blocks: of the newest ones by their distance from the first of them, of others by id.
struct Scores {
    first: i64,
    newest: Vec<f32>,
    older: HashMap<i64, f32>,
}

impl Scores {
    fn new(last: i64) -> Self {
        let first = (last - NEWEST + 1).max(0);
        let newest = vec![0.0; usize::try_from(last - first + 1).unwrap_or(0)];
        Self { first, newest, older: HashMap::new() }
    }

    fn add(&mut self, id: i64, score: f32) {
        let at = usize::try_from(id - self.first).ok();
        match at.and_then(|at| self.newest.get_mut(at)) {
            Some(sum) => *sum += score,
            None => *self.older.entry(id).or_default() += score,
        }
    }

    /// Best first, ties by id, as many as `k`.
    fn best(&self, k: usize, keep: &mut dyn FnMut(BlockId) -> bool) -> Vec<TextHit> {
        let newest = (self.first..).zip(&self.newest).map(|(id, score)| (*score, id));
        let older = self.older.iter().map(|(id, score)| (*score, *id));
        let mut all: Vec<(f32, i64)> = newest.chain(older).filter(|s| s.0 > 0.0).collect();
        let order = |a: &(f32, i64), b: &(f32, i64)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        let mut hits = Vec::new();
        let mut rest = all.as_mut_slice();
        let mut part = k.saturating_add(8);
        while !rest.is_empty() && hits.len() < k {
            let n = part.min(rest.len());
            if n < rest.len() {
                rest.select_nth_unstable_by(n, order);
            }
            let (first, after) = rest.split_at_mut(n);
            first.sort_unstable_by(order);
            let ids = first.iter().map(|(score, id)| (*score, BlockId(id.cast_unsigned())));
            let kept = ids.filter(|(_, id)| keep(*id)).take(k - hits.len());
            hits.extend(kept.map(|(score, id)| TextHit { id, score }));
            (rest, part) = (after, part.saturating_mul(8));
        }
        hits
    }
}

/// What BM25 weighs a word with that so many blocks have; SQLite gives words of more than half of
/// all blocks next to nothing.
fn idf(blocks: usize, of: usize) -> f64 {
    let (n, all) = (blocks as f64, of as f64);
    ((all - n + 0.5) / (n + 0.5)).ln()
}

/// Terms that may be ranked by BM25, and those that are in too many blocks.
#[derive(Default)]
struct Split<'a> {
    ranked: Vec<&'a str>,
    common: Vec<&'a str>,
}

/// The rarest terms, as many as are together in at most `max` blocks; the others; those that no
/// block has are in neither.
fn split<'a>(
    conn: &Connection,
    terms: &'a [String],
    max: usize,
) -> Result<Split<'a>, CatalogueError> {
    let mut count = conn.prepare_cached(
        "SELECT count(*) FROM (SELECT 1 FROM block_text WHERE block_text MATCH ?1 LIMIT ?2)",
    )?;
    let mut counted = Vec::with_capacity(terms.len());
    for text in terms {
        let n: i64 = count.query_row(params![text, max as i64 + 1], |r| r.get(0))?;
        counted.push((usize::try_from(n).unwrap_or(usize::MAX), text.as_str()));
    }
    counted.retain(|(n, _)| *n > 0);
    // Longer words are rarer, where it is not known.
    counted.sort_by_key(|(n, text)| (*n, usize::MAX - text.len()));
    let (mut split, mut sum) = (Split::default(), 0_usize);
    for (n, text) in counted {
        sum = sum.saturating_add(n);
        if sum <= max { split.ranked.push(text) } else { split.common.push(text) }
    }
    Ok(split)
}

/// Scores where the terms are in more blocks than may be ranked. Of the rarest terms, as many as
/// may be, it is their BM25. A common term counts for a block that has it what BM25 gives a block
/// of average length that has it once: blocks are about equally long, and what a word counts that
/// is in many of them is little. Terms of more than half of all blocks count nothing, as in BM25.
fn scores(conn: &Connection, split: &Split<'_>, last: i64) -> Result<Scores, CatalogueError> {
    let mut scores = Scores::new(last);
    if !split.ranked.is_empty() {
        let mut statement = conn.prepare_cached(
            "SELECT rowid, bm25(block_text) FROM block_text WHERE block_text MATCH ?1",
        )?;
        let mut rows = statement.query([split.ranked.join(" OR ")])?;
        while let Some(row) = rows.next()? {
            scores.add(row.get(0)?, -row.get::<_, f64>(1)? as f32);
        }
    }
    let mut has = conn
        .prepare_cached("SELECT rowid FROM block_text WHERE block_text MATCH ?1 AND rowid >= ?2")?;
    let (window, mut looked) = (scores.newest.len(), 0);
    let mut ids: Vec<i64> = Vec::new();
    for term in &split.common {
        if looked > LOOKED_MAX {
            break;
        }
        ids.clear();
        let mut rows = has.query(params![term, scores.first])?;
        while let Some(row) = rows.next()? {
            ids.push(row.get(0)?);
            if ids.len() > window / 2 {
                break;
            }
        }
        looked += ids.len();
        let weight = idf(ids.len(), window);
        if weight > 0.0 {
            ids.iter().for_each(|id| scores.add(*id, weight as f32));
        }
    }
    Ok(scores)
}

/// Blocks whose text matches, best first (BM25, larger is better), as many as `k`. `keep` gives
/// false for a block that is to be passed over.
pub(crate) fn search(
    conn: &Connection,
    text: &str,
    k: usize,
    ranking: Ranking,
    mut keep: impl FnMut(BlockId) -> bool,
) -> Result<Vec<TextHit>, CatalogueError> {
    let terms = terms(text);
    if k == 0 || terms.is_empty() {
        return Ok(Vec::new());
    }
    if ranking.blocks <= ranking.ranked_max {
        return plain(conn, &terms.join(" OR "), 0, k, &mut keep);
    }
    let split = split(conn, &terms, ranking.ranked_max)?;
    let ranked = split.ranked.join(" OR ");
    if split.common.is_empty() {
        return match split.ranked.is_empty() {
            true => Ok(Vec::new()),
            false => plain(conn, &ranked, 0, k, &mut keep),
        };
    }
    let last: Option<i64> =
        conn.prepare_cached("SELECT max(id) FROM block")?.query_row([], |r| r.get(0))?;
    let last = last.unwrap_or(0);
    let hits = scores(conn, &split, last)?.best(k, &mut keep);
    if !hits.is_empty() || !split.ranked.is_empty() {
        return Ok(hits);
    }
    // Words that are everywhere say nothing: the newest blocks.
    let from = last - ranking.ranked_max as i64 + 1;
    plain(conn, &split.common.join(" OR "), from, k, &mut keep)
}

/// As SQLite ranks, among the blocks from an id on.
fn plain(
    conn: &Connection,
    query: &str,
    from: i64,
    k: usize,
    keep: &mut dyn FnMut(BlockId) -> bool,
) -> Result<Vec<TextHit>, CatalogueError> {
    let mut hits = Vec::new();
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
        let mut rows = statement.query(params![query, from, limited])?;
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

    const fn ranking(blocks: usize, ranked_max: usize) -> Ranking {
        Ranking { blocks, ranked_max }
    }

    #[test]
    fn in_a_large_store_rare_words_are_ranked_and_common_ones_counted() {
        let conn = connection();
        for n in 1..=200 {
            let rare = if n % 50 == 7 { "walrus" } else { "" };
            let some = if n % 3 == 0 { "port" } else { "" };
            add(&conn, n, &format!("line of {some} words {rare} number{n}"));
        }
        let find = |text: &str, max: usize| -> Vec<u64> {
            let hits = search(&conn, text, 200, ranking(200, max), |_| true).unwrap();
            hits.iter().map(|h| h.id.0).collect()
        };
        let sorted = |mut v: Vec<u64>| {
            v.sort_unstable();
            v
        };
        let walrus = vec![7, 57, 107, 157];
        // All of a small store is ranked, and what is common counts for less.
        assert_eq!(find("words walrus", 200).len(), 200);
        assert_eq!(sorted(find("words walrus", 200)[..4].to_vec()), walrus);
        // A word of all blocks says nothing.
        assert_eq!(sorted(find("words walrus", 100)), walrus);
        assert_eq!(find("words walrus number57", 10)[0], 57);
        // 57 has both, and both are ranked or one of them counted.
        for max in [69, 70] {
            let found = find("walrus port", max);
            assert_eq!(found.len(), 66 + 4 - 1, "at most {max}");
            assert_eq!(found[0], 57);
            assert_eq!(sorted(found[..4].to_vec()), walrus);
        }
        // One common word, and words of all blocks: the newest ones.
        assert_eq!(find("words port", 10).len(), 66);
        assert_eq!(sorted(find("words line", 50)), (151..=200).collect::<Vec<u64>>());
        assert!(find("nothing", 50).is_empty());
    }

    /// What is found in a large store scores, by BM25 over all blocks, about as well as the best.
    #[test]
    fn what_is_found_is_nearly_as_good_as_by_bm25_over_all_blocks() {
        let conn = connection();
        let words = ["port", "user", "failed", "opened", "disk", "cron", "eth0", "root"];
        let mut state = 7_u64;
        let mut random = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            (state >> 33) % n
        };
        for n in 1..=3000 {
            // The later a word stands in the list, the rarer it is.
            let many = 6 + random(6);
            let chosen: Vec<&str> =
                (0..many).map(|_| words[random(8).min(random(8)) as usize]).collect();
            add(&conn, n, &format!("{} {}", chosen.join(" "), random(900)));
        }
        let (mut found_sum, mut best_sum, mut first) = (0.0, 0.0, 0);
        for q in 0..100 {
            let text = format!("{} {} {}", words[random(8) as usize], words[q % 8], random(900));
            let best = search(&conn, &text, 10, ranking(3000, usize::MAX), |_| true).unwrap();
            let all = search(&conn, &text, 3000, ranking(3000, usize::MAX), |_| true).unwrap();
            let found = search(&conn, &text, 10, ranking(3000, 300), |_| true).unwrap();
            let score = |id| all.iter().find(|h| h.id == id).map_or(0.0, |h| h.score);
            found_sum += found.iter().map(|h| score(h.id)).sum::<f32>();
            best_sum += best.iter().map(|h| h.score).sum::<f32>();
            let top = best.iter().take_while(|h| h.score > best[0].score * 0.95);
            first += usize::from(top.map(|h| h.id).any(|id| id == found[0].id));
        }
        assert!(found_sum > 0.9 * best_sum, "{found_sum} of {best_sum}");
        assert!(first >= 85, "{first} of 100 first ones are as good as the best");
    }

    #[test]
    fn passing_over_many_blocks_still_gives_as_many_as_are_asked_for() {
        let conn = connection();
        for n in 1..=500 {
            add(&conn, n, "the same words in all of them");
        }
        let hits = search(&conn, "same words", 3, ranking(500, 1000), |id| id.0 > 490).unwrap();
        assert_eq!(hits.iter().map(|h| h.id.0).collect::<Vec<_>>(), [491, 492, 493]);
        for n in 501..=1500 {
            add(&conn, n, "others");
        }
        let hits = search(&conn, "same words", 3, ranking(1500, 10), |id| id.0 > 490).unwrap();
        assert_eq!(hits.iter().map(|h| h.id.0).collect::<Vec<_>>(), [491, 492, 493]);
    }

    proptest! {
        #[test]
        fn no_text_is_a_syntax_error(text in "\\PC{0,60}|[\"'()*^:+\\-AND ORNEAR\0]{0,60}") {
            let conn = connection();
            for n in 1..9 {
                add(&conn, n, "NEAR AND some words");
            }
            search(&conn, &text, 5, ranking(8, 100), |_| true).unwrap();
            search(&conn, &text, 5, ranking(8, 3), |_| true).unwrap();
        }
    }
}
