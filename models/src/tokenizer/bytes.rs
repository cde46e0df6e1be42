//! How the letters of a vocabulary stand for bytes.

use super::Alphabet;

/// The letter that stands for a byte in GPT-2's alphabet: printable bytes stand for themselves,
/// the others follow from U+0100 on.
pub(super) const fn letter(byte: u8) -> char {
    let mut others = 0;
    let mut b = 0;
    while b < byte {
        if !printable(b) {
            others += 1;
        }
        b += 1;
    }
    let code = if printable(byte) { byte as u32 } else { 256 + others };
    match char::from_u32(code) {
        Some(c) => c,
        None => unreachable!(),
    }
}

const fn printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

const LETTERS: [char; 256] = {
    let mut out = ['\0'; 256];
    let mut b = 0;
    while b < 256 {
        out[b] = letter(b as u8);
        b += 1;
    }
    out
};

/// The byte that a letter stands for.
fn byte_of(letter: char) -> Option<u8> {
    let code = letter as u32;
    if let Ok(byte) = u8::try_from(code) {
        return printable(byte).then_some(byte);
    }
    LETTERS.iter().position(|l| *l == letter).and_then(|b| u8::try_from(b).ok())
}

/// The bytes of a token of the vocabulary.
pub(super) fn of_token(token: &str, alphabet: Alphabet) -> Box<[u8]> {
    match alphabet {
        // A token with a letter outside the alphabet stands for its own text.
        Alphabet::Bytes => token
            .chars()
            .map(byte_of)
            .collect::<Option<Vec<u8>>>()
            .unwrap_or_else(|| token.as_bytes().to_vec())
            .into(),
        Alphabet::Pieces => match byte_piece(token) {
            Some(byte) => [byte].into(),
            None => token.replace('▁', " ").into_bytes().into(),
        },
    }
}

/// The byte of a piece `<0xNN>`.
fn byte_piece(token: &str) -> Option<u8> {
    let hex = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if hex.len() == 2 { u8::from_str_radix(hex, 16).ok() } else { None }
}

/// Bytes that have no token of their own, and no unknown token to stand in for them.
pub(super) fn dropped(tokenizer: &tokenizers::Tokenizer, alphabet: Alphabet) -> [bool; 256] {
    let mut out = [false; 256];
    if alphabet == Alphabet::Bytes && unknown_token(tokenizer).is_none() {
        for (byte, dropped) in out.iter_mut().enumerate() {
            *dropped = tokenizer.token_to_id(&LETTERS[byte].to_string()).is_none();
        }
    }
    out
}

fn unknown_token(tokenizer: &tokenizers::Tokenizer) -> Option<&str> {
    match tokenizer.get_model() {
        tokenizers::ModelWrapper::BPE(bpe) => bpe.unk_token.as_deref(),
        _ => Some(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_bytes_are_one_to_one() {
        assert_eq!((letter(b'a'), letter(b' '), letter(b'\n'), letter(0)), ('a', 'Ġ', 'Ċ', 'Ā'));
        for byte in 0..=u8::MAX {
            assert_eq!(byte_of(letter(byte)), Some(byte));
        }
        assert_eq!(byte_of('€'), None);
        assert_eq!(*of_token("Ġt", Alphabet::Bytes), *b" t");
        assert_eq!(*of_token("<0x0A>", Alphabet::Pieces), *b"\n");
        assert_eq!(*of_token("▁a", Alphabet::Pieces), *b" a");
    }
}
