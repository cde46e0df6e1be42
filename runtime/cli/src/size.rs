//! Sizes as people write them: `512MiB`, `4GB`, `1.5G`.

/// Bytes of a size. `KB MB GB TB` are powers of 1,000; `KiB MiB GiB TiB` and the bare letters
/// `K M G T` are powers of 1,024; no unit, or `B`, is bytes.
///
/// # Errors
/// What is wrong, with the forms that work.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let wrong = |why: &str| format!("{why}; write it as 512MiB, 4GB or 1.5G");
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = (text[..split].trim().replace('_', ""), text[split..].trim());
    let factor = factor(unit).ok_or_else(|| wrong(&format!("{unit:?} is no unit of size")))?;
    let plain = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let value: f64 =
        if plain { number.parse().ok() } else { None }.ok_or_else(|| wrong("this is no size"))?;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor).ok_or_else(|| wrong("this size is too large"));
    }
    let bytes = value * factor as f64;
    if bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(wrong("this size is too large")) }
}

/// A rate that may be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WriteRate(pub(crate) Option<u64>);

/// As [`parse`], or `off`.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_or_off(text: &str) -> Result<WriteRate, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "off" | "none" => Ok(WriteRate(None)),
        _ => parse(text).map(|n| WriteRate(Some(n))).map_err(|e| format!("{e}, or off")),
    }
}

fn factor(unit: &str) -> Option<u64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    })
}

/// A size for people: `812 B`, `1.4 MiB`, `512 MiB`.
pub(crate) fn text(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1023.5 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 99.5);
    format!("{value:.digits$} {}", units[unit])
}

/// A count for people: `23,114`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A time for people: `0.4 s`, `61 s`, `4:05 min`, `2:14 h`.
pub(crate) fn seconds(s: f64) -> String {
    if s < 9.95 {
        format!("{s:.1} s")
    } else if s < 99.5 {
        format!("{s:.0} s")
    } else if s < 3600.0 {
        format!("{}:{:02} min", s as u64 / 60, s as u64 % 60)
    } else {
        format!("{}:{:02} h", s as u64 / 3600, s as u64 / 60 % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("512MiB", 512 << 20),
            ("4GB", 4_000_000_000),
            ("1.5G", 3 << 29),
            (" 64 k ", 64 << 10),
            ("1_000 kB", 1_000_000),
            ("2tib", 2 << 40),
            ("0.5KiB", 512),
            ("10B", 10),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "G",
            "-1",
            "1.2.3",
            "4 XB",
            "1e9",
            "nan",
            "inf",
            "18446744073709551616",
            "99999999T",
        ] {
            let wrong = parse(text).unwrap_err();
            assert!(wrong.contains("512MiB"), "{text}: {wrong}");
        }
    }

    #[test]
    fn figures_for_people() {
        assert_eq!([text(812), text(1 << 20), text(536_870_912)], ["812 B", "1.0 MiB", "512 MiB"]);
        assert_eq!([count(7), count(1_000), count(23_114_000)], ["7", "1,000", "23,114,000"]);
        assert_eq!([seconds(0.44), seconds(61.2), seconds(245.0)], ["0.4 s", "61 s", "4:05 min"]);
        assert_eq!(seconds(8040.0), "2:14 h");
    }
}
