//! Links between documents: a link to a file or to a heading leads somewhere.

use crate::Problem;
use crate::files::File;
use crate::modules::join;

/// Links in Markdown that lead to no file and no heading of the repository.
#[must_use]
pub fn broken_links(files: &[File]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.ending() == "md") {
        for (line, target) in links(file.text.as_deref().unwrap_or("")) {
            if let Some(what) = broken(files, file, &target) {
                problems.push(Problem::at(&file.path, line, format!("link to {target}: {what}")));
            }
        }
    }
    problems
}

fn broken(files: &[File], from: &File, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, heading) = target.split_once('#').map_or((target, None), |(p, h)| (p, Some(h)));
    if path.starts_with('/') {
        return Some("write it relative to the document".to_owned());
    }
    let folder = from.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let full = if path.is_empty() { from.path.clone() } else { join(folder, path) };
    let Some(file) = files.iter().find(|file| file.path == full) else {
        let inside = format!("{full}/");
        let is_folder = full.is_empty() || files.iter().any(|file| file.path.starts_with(&inside));
        return (!is_folder).then(|| format!("there is no {full}: mend or remove the link"));
    };
    let heading = heading.filter(|_| file.ending() == "md")?;
    let known = headings(file.text.as_deref().unwrap_or(""));
    (!known.iter().any(|known| known == heading)).then(|| format!("{full} has no such heading"))
}

/// The headings as the ends of links name them: lower case, signs dropped, spaces as `-`.
fn headings(text: &str) -> Vec<String> {
    let heads = prose(text).into_iter().filter(|(_, line)| line.starts_with('#'));
    heads
        .map(|(_, line)| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
            title.chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// The lines that are not code, with their numbers.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let fence = line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
        if fence {
            fenced = !fenced;
        } else if !fenced && !line.starts_with("    ") {
            lines.push((number, line));
        }
    }
    lines
}

/// The targets of links, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (number, line) in prose(text) {
        let line = without_code(line);
        for (at, _) in line.match_indices("](") {
            let Some(target) = line[at + 2..].split(')').next() else { continue };
            let target = target.split_whitespace().next().unwrap_or("");
            links.push((number, target.trim_matches(['<', '>']).to_owned()));
        }
        let named = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        if let Some((_, target)) = named {
            links.push((number, target.split_whitespace().next().unwrap_or("").to_owned()));
        }
    }
    links
}

/// The line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').enumerate().filter(|(n, _)| n % 2 == 0).map(|(_, part)| part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<Problem> {
        let files = [
            File::made("docs/a.md", text),
            File::made("docs/b.md", "# One two\n\n## It's `x`, v1\n"),
            File::made("src/lib.rs", ""),
        ];
        broken_links(&files)
    }

    #[test]
    fn links_that_lead_somewhere_are_fine() {
        let good = "[b](b.md) [one](b.md#one-two) [it](b.md#its-x-v1) [up](../src/lib.rs)\n\
                    [folder](../src) [web](https://example.org/x) `[no](nothing.md)`\n\
                    [r]: b.md\n\n    [code](nothing.md)\n\n```\n[code](nothing.md)\n```\n";
        assert_eq!(problems(good), []);
    }

    #[test]
    fn links_that_lead_nowhere_are_named_with_their_line() {
        let bad = "\n[a](nothing.md)\n[b](b.md#three)\n[c](/src/lib.rs)\n[d](../../x)\n[e]: c.md\n";
        let lines: Vec<usize> = problems(bad).iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6]);
    }
}
