//! `rules.toml`: the exceptions that were decided on.

use std::collections::BTreeMap;
use std::path::Path;

/// What the file allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Files over the limit of lines, with the most that they may have.
    pub long_files: BTreeMap<String, usize>,
    /// Files that may hold `unsafe`.
    pub unsafe_rooms: Vec<String>,
    /// Files whose non-ASCII characters are intended.
    pub non_ascii: Vec<String>,
}

impl Rules {
    /// Reads `tests/tidy/rules.toml` below `root`.
    ///
    /// # Errors
    ///
    /// A sentence, when the file cannot be read or has another form.
    pub fn read(root: &Path) -> Result<Self, String> {
        let path = root.join("tests/tidy/rules.toml");
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let mut rules = Self {
            long_files: BTreeMap::new(),
            unsafe_rooms: names(&table, "unsafe_rooms")?,
            non_ascii: names(&table, "non_ascii")?,
        };
        let long = table.get("long_files").and_then(toml::Value::as_table);
        for (path, lines) in long.ok_or("no table [long_files]")? {
            let lines = lines.as_integer().and_then(|lines| usize::try_from(lines).ok());
            let lines = lines.ok_or(format!("long_files: {path} needs a number of lines"))?;
            rules.long_files.insert(path.clone(), lines);
        }
        Ok(rules)
    }
}

fn names(table: &toml::Table, key: &str) -> Result<Vec<String>, String> {
    let files = table.get(key).and_then(|part| part.get("files")).and_then(toml::Value::as_array);
    let files = files.ok_or(format!("no list `files` in [{key}]"))?;
    let text = |file: &toml::Value| file.as_str().map(str::to_owned);
    files.iter().map(text).collect::<Option<_>>().ok_or(format!("[{key}]: files must be strings"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_checked() {
        let text = "[long_files]\n\"a.rs\" = 700\n[unsafe_rooms]\nfiles = [\"b.rs\"]\n";
        let whole = format!("{text}[non_ascii]\nfiles = []\n");
        let rules = Rules::parse(&whole).unwrap();
        assert_eq!(rules.long_files["a.rs"], 700);
        assert_eq!(rules.unsafe_rooms, ["b.rs"]);
        assert!(Rules::parse(text).is_err());
        assert!(Rules::parse(&whole.replace("700", "\"many\"")).is_err());
    }
}
