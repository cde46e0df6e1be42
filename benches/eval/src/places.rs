//! Places in a text: a history before each, and what follows it.

use std::ops::Range;

/// A history and what follows it, as bytes of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What is read first.
    pub history: Range<usize>,
    /// What is to be predicted; it begins where the history ends.
    pub target: Range<usize>,
}

/// Why there is no place.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlacesError {
    /// The text is too short for one.
    #[error(
        "the text has {tokens} tokens; a history of {history} and {targets} behind it need more"
    )]
    Short {
        /// Tokens of the text.
        tokens: usize,
        /// Tokens of history.
        history: usize,
        /// Tokens to predict.
        targets: usize,
    },
    /// Nothing was asked for.
    #[error("{0} of 0: at least 1 is needed")]
    Nothing(&'static str),
}

/// Places spread evenly over `text`, whose tokens end at the bytes `ends`: at most `places`, fewer
/// where what is to be predicted would overlap. Sizes are tokens, and up to three more where a
/// character has several tokens: nothing is cut within a character.
///
/// # Errors
/// [`PlacesError`] when there is no place at all.
pub fn spread(
    text: &[u8],
    ends: &[usize],
    history: usize,
    targets: usize,
    places: usize,
) -> Result<Vec<Place>, PlacesError> {
    for (what, n) in [("history", history), ("targets", targets), ("windows", places)] {
        if n == 0 {
            return Err(PlacesError::Nothing(what));
        }
    }
    let tokens = ends.len();
    let room = tokens.checked_sub(history + targets).ok_or(PlacesError::Short {
        tokens,
        history,
        targets,
    })?;
    let places = places.min(room / targets + 1);
    // Behind so many tokens, or behind the next ones where that is within a character.
    let behind = |mut n: usize| loop {
        let byte = if n == 0 { 0 } else { ends[n - 1] };
        let within = text.get(byte).is_some_and(|b| b & 0xc0 == 0x80);
        if !within || n == tokens {
            return byte;
        }
        n += 1;
    };
    let place = |i: usize| {
        let first = if places == 1 { 0 } else { i * room / (places - 1) };
        let (start, middle) = (behind(first), behind(first + history));
        Place { history: start..middle, target: middle..behind(first + history + targets) }
    };
    Ok((0..places).map(place).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_spread_and_what_is_predicted_never_overlaps() {
        let text = vec![b'x'; 200];
        let ends: Vec<usize> = (1..=100).map(|i| 2 * i).collect();
        let all = spread(&text, &ends, 40, 10, 3).unwrap();
        let starts: Vec<usize> = all.iter().map(|p| p.history.start).collect();
        assert_eq!(starts, [0, 50, 100]);
        assert_eq!(all[2], Place { history: 100..180, target: 180..200 });
        let many = spread(&text, &ends, 40, 10, 99).unwrap();
        assert_eq!(many.len(), 6);
        assert!(many.windows(2).all(|w| w[0].target.end <= w[1].target.start));
        assert_eq!(spread(&text, &ends, 90, 10, 5).unwrap().len(), 1);
    }

    #[test]
    fn characters_stay_whole() {
        // A token a byte; the second character has three bytes.
        let text = "a\u{20ac}bcd".as_bytes();
        let ends: Vec<usize> = (1..=text.len()).collect();
        let place = spread(text, &ends, 2, 2, 1).unwrap().remove(0);
        assert_eq!((place.history, place.target), (0..4, 4..4));
        let place = spread(text, &ends, 2, 3, 1).unwrap().remove(0);
        assert_eq!(place.target, 4..5);
    }

    #[test]
    fn a_text_that_is_too_short_is_refused() {
        let e = spread(b"ab", &[1, 2], 2, 1, 1).unwrap_err();
        assert_eq!(e, PlacesError::Short { tokens: 2, history: 2, targets: 1 });
        assert_eq!(spread(b"ab", &[1, 2], 1, 1, 0), Err(PlacesError::Nothing("windows")));
    }
}
