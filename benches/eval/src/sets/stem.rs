//! The stem of an English word (Porter, "An algorithm for suffix stripping", 1980, with the later
//! remarks that common tools follow), as LoCoMo's own program compares words.

/// Words whose stem is known.
const KNOWN: [(&str, &str); 16] = [
    ("sky", "sky"),
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("news", "news"),
    ("innings", "inning"),
    ("inning", "inning"),
    ("outings", "outing"),
    ("outing", "outing"),
    ("cannings", "canning"),
    ("canning", "canning"),
    ("howe", "howe"),
    ("proceed", "proceed"),
    ("exceed", "exceed"),
    ("succeed", "succeed"),
];

/// Endings and what takes their place when something is left before them. The first that fits
/// decides.
const DERIVED: [(&str, &str); 22] = [
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
    ("fulli", "ful"),
    ("logi", "log"),
];

const OF_A_KIND: [(&str, &str); 7] = [
    ("icate", "ic"),
    ("ative", ""),
    ("alize", "al"),
    ("iciti", "ic"),
    ("ical", "ic"),
    ("ful", ""),
    ("ness", ""),
];

const DROPPED: [&str; 19] = [
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou",
    "ism", "ate", "iti", "ous", "ive", "ize",
];

/// The stem of a word in lower case.
pub(super) fn stem(word: &str) -> String {
    if let Some(known) = KNOWN.iter().find(|known| known.0 == word) {
        return known.1.to_owned();
    }
    if word.chars().count() <= 2 {
        return word.to_owned();
    }
    let word = past_and_present(plural(word.to_owned()));
    let word = derived(final_y(word));
    let word = match rule(&word, &OF_A_KIND) {
        Some((rest, end)) if measure(rest) > 0 => format!("{rest}{end}"),
        _ => word,
    };
    tidy(dropped(word))
}

/// The first ending that fits: what stands before it, and what takes its place.
fn rule<'a>(word: &'a str, rules: &[(&str, &'static str)]) -> Option<(&'a str, &'static str)> {
    rules.iter().find_map(|(from, to)| Some((word.strip_suffix(from)?, *to)))
}

fn plural(word: String) -> String {
    if word.ends_with("ies") && word.chars().count() == 4 {
        return word[..word.len() - 1].to_owned();
    }
    match rule(&word, &[("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", "")]) {
        Some((rest, end)) => format!("{rest}{end}"),
        None => word,
    }
}

fn past_and_present(word: String) -> String {
    if let Some(rest) = word.strip_suffix("ied") {
        let end = if rest.chars().count() == 1 { "ie" } else { "i" };
        return format!("{rest}{end}");
    }
    if let Some(rest) = word.strip_suffix("eed") {
        return if measure(rest) > 0 { format!("{rest}ee") } else { word };
    }
    let rest = ["ed", "ing"].iter().find_map(|end| {
        let rest = word.strip_suffix(end)?;
        consonants(rest).contains(&false).then_some(rest)
    });
    let Some(rest) = rest else { return word };
    if ["at", "bl", "iz"].iter().any(|end| rest.ends_with(end)) {
        return format!("{rest}e");
    }
    if ends_double(rest) {
        let last = rest.chars().next_back().map_or(0, char::len_utf8);
        let keep = rest.ends_with(['l', 's', 'z']);
        return if keep { rest.to_owned() } else { rest[..rest.len() - last].to_owned() };
    }
    if measure(rest) == 1 && ends_short(rest) { format!("{rest}e") } else { rest.to_owned() }
}

fn final_y(word: String) -> String {
    match word.strip_suffix('y') {
        Some(rest) if rest.chars().count() > 1 && consonants(rest).last() == Some(&true) => {
            format!("{rest}i")
        }
        _ => word,
    }
}

fn derived(word: String) -> String {
    if let Some(rest) = word.strip_suffix("alli").filter(|rest| measure(rest) > 0) {
        return derived(format!("{rest}al"));
    }
    let Some((rest, end)) = rule(&word, &DERIVED) else { return word };
    // The `l` of `logi` counts as part of what is left: `geology` is like `archaeology`.
    let left = if end == "log" { &word[..word.len() - 3] } else { rest };
    if measure(left) > 0 { format!("{rest}{end}") } else { word }
}

fn dropped(word: String) -> String {
    let Some((end, rest)) = DROPPED.iter().find_map(|end| Some((*end, word.strip_suffix(end)?)))
    else {
        return word;
    };
    let fits = measure(rest) > 1 && (end != "ion" || rest.ends_with(['s', 't']));
    if fits { rest.to_owned() } else { word }
}

/// A final `e` and a final double `l`.
fn tidy(mut word: String) -> String {
    if let Some(rest) = word.strip_suffix('e') {
        let m = measure(rest);
        if m > 1 || (m == 1 && !ends_short(rest)) {
            word = rest.to_owned();
        }
    }
    if word.ends_with("ll") && measure(&word[..word.len() - 1]) > 1 {
        word.pop();
    }
    word
}

/// Which letters are consonants: all but a, e, i, o, u, and a y that follows a consonant.
fn consonants(word: &str) -> Vec<bool> {
    let mut all: Vec<bool> = Vec::with_capacity(word.len());
    for c in word.chars() {
        let consonant = match c {
            'a' | 'e' | 'i' | 'o' | 'u' => false,
            'y' => !all.last().is_some_and(|before| *before),
            _ => true,
        };
        all.push(consonant);
    }
    all
}

/// How often a vowel is followed by a consonant.
fn measure(word: &str) -> usize {
    consonants(word).windows(2).filter(|pair| !pair[0] && pair[1]).count()
}

fn ends_double(word: &str) -> bool {
    let mut back = word.chars().rev();
    let (last, before) = (back.next(), back.next());
    last.is_some() && last == before && consonants(word).last() == Some(&true)
}

/// Consonant, vowel, consonant other than w, x and y; or a vowel and a consonant alone.
fn ends_short(word: &str) -> bool {
    match consonants(word)[..] {
        [.., true, false, true] => !word.ends_with(['w', 'x', 'y']),
        [false, true] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words and stems as NLTK 3.9 gives them.
    const STEMS: &str = "\
        caresses caress, ponies poni, ties tie, flies fli, dies die, caress caress, cats cat, \
        feed feed, agreed agre, plastered plaster, bled bled, motoring motor, sing sing, \
        conflated conflat, troubled troubl, sized size, hopping hop, tanned tan, falling fall, \
        hissing hiss, fizzed fizz, failing fail, filing file, spied spi, died die, happy happi, \
        sky sky, enjoy enjoy, spy spi, relational relat, conditional condit, rational ration, \
        valency valenc, hesitancy hesit, digitizer digit, conformably conform, radically radic, \
        differently differ, vilely vile, analogously analog, vietnamization vietnam, \
        predication predic, operator oper, feudalism feudal, decisiveness decis, \
        hopefulness hope, callousness callous, formality formal, sensitivity sensit, \
        sensibility sensibl, carefully care, geology geolog, archaeology archaeolog, \
        triplicate triplic, formative form, formalize formal, electricity electr, \
        electrical electr, hopeful hope, goodness good, revival reviv, allowance allow, \
        inference infer, airliner airlin, gyroscopic gyroscop, adjustable adjust, \
        defensible defens, irritant irrit, replacement replac, adjustment adjust, \
        dependent depend, adoption adopt, homologous homolog, communism commun, activate activ, \
        angularity angular, effective effect, bowdlerize bowdler, probate probat, rate rate, \
        cease ceas, controlling control, roll roll, news news, skies sky, proceed proceed, \
        2023 2023, caf\u{e9}s caf\u{e9}, be be, yyyy yyyi, ion ion, using use, eating eat, \
        used use, ness ness, ally alli, finally final, fulling full, syzygy syzygi, oed o, \
        na\u{ef}ve na\u{ef}v";

    #[test]
    fn stems_are_those_of_the_common_tool() {
        let pairs: Vec<_> = STEMS.split(", ").filter_map(|pair| pair.split_once(' ')).collect();
        assert!(pairs.len() > 90);
        for (word, wanted) in pairs {
            assert_eq!(stem(word), wanted, "{word}");
        }
    }
}
