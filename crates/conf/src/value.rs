//! One word to one value, with the reference's texts for what is wrong with it.
//!
//! Unlike Sentinel, which reads the number in front of trailing junk (`1000abc` is 1000 there, `abc` is 0), a word
//! that is not a number as a whole is an error: it is a typing mistake, and a silent 0 for a port means "never
//! connect".

use std::time::Duration;

use bellwether_core::{Addr, Host};

use crate::diagnostic::Fault;
use crate::source::Statement;

/// The longest time that a directive may give. The reference reads times as 32-bit numbers, so a larger one,
/// about 25 days, would mean something else there.
pub(crate) const MAX_TIME_MS: u64 = i32::MAX as u64;

/// The largest count that the reference reads back unchanged.
pub(crate) const MAX_COUNT: u32 = i32::MAX as u32;

/// The range of what the reference calls an integer directive.
pub(crate) fn integer(statement: &Statement, word: usize, min: i64, max: i64) -> Result<i64, Fault> {
    let value: i64 = statement.text(word).parse().map_err(|_| {
        Fault::new(word, "argument couldn't be parsed into an integer").hint(given(statement, word))
    })?;
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    let message = format!("argument must be between {min} and {max} inclusive");
    Err(Fault::new(word, message))
}

/// An unsigned 32-bit number of a generic directive, from `min` on.
pub(crate) fn unsigned(statement: &Statement, word: usize, min: i64, max: u32) -> Result<u32, Fault> {
    let value = integer(statement, word, min, max.into())?;
    u32::try_from(value).map_err(|_| Fault::new(word, "argument must not be negative"))
}

/// `yes` or `no`, in any case; anything else is refused with `message`.
pub(crate) fn yes_no(statement: &Statement, word: usize, message: &str) -> Result<bool, Fault> {
    let text = statement.text(word);
    if text.eq_ignore_ascii_case("yes") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("no") {
        Ok(false)
    } else {
        Err(Fault::new(word, message).hint(given(statement, word)))
    }
}

/// One of a few names, in any case.
pub(crate) fn choice<T: Copy>(statement: &Statement, word: usize, choices: &[(&str, T)]) -> Result<T, Fault> {
    let text = statement.text(word);
    let found = choices.iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let message = format!("argument(s) must be one of the following: {}", names.join(", "));
        Fault::new(word, message).hint(given(statement, word))
    })
}

/// A whole number of a sentinel directive.
pub(crate) fn whole(statement: &Statement, word: usize) -> Result<i64, Fault> {
    let text = statement.text(word);
    text.parse().map_err(|_| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let too_large = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if too_large {
            Fault::new(word, format!("the number '{text}' is too large"))
        } else {
            not_a_number(word, text)
        }
    })
}

/// An epoch: an unsigned 64-bit number. Unlike Sentinel, a negative one is refused rather than wrapped around to
/// one that could never be passed.
pub(crate) fn epoch(statement: &Statement, word: usize) -> Result<u64, Fault> {
    let text = statement.text(word);
    text.parse().map_err(|_| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            Fault::new(word, format!("an epoch lies between 0 and {}", u64::MAX))
        } else {
            not_a_number(word, text)
        }
    })
}

/// A TCP port; 0 is accepted as in the reference.
pub(crate) fn port(statement: &Statement, word: usize) -> Result<u16, Fault> {
    u16::try_from(whole(statement, word)?).map_err(|_| Fault::new(word, "Invalid port number."))
}

/// A time in milliseconds that is at least `min`.
pub(crate) fn millis(statement: &Statement, word: usize, min: u64, message: &str) -> Result<Duration, Fault> {
    let value = u64::try_from(whole(statement, word)?).unwrap_or(0);
    let negative = statement.text(word).starts_with('-');
    if negative || value < min {
        return Err(Fault::new(word, message));
    }
    if value > MAX_TIME_MS {
        let message = format!("a time is at most {MAX_TIME_MS} milliseconds");
        return Err(Fault::new(word, message));
    }
    Ok(Duration::from_millis(value))
}

/// A number of milliseconds, of a number alone, which counts `default_unit` milliseconds each, or of one with a unit.
/// What is out of range is left to the directive.
pub(crate) fn millis_with_unit(text: &str, default_unit: i64) -> Option<i64> {
    const UNITS: [(&str, i64); 5] = [
        ("ms", 1),
        ("s", 1000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    let digits = text
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b'-')
        .count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: i64 = number.parse().ok()?;
    let unit = unit.trim_start();
    let factor = if unit.is_empty() {
        default_unit
    } else {
        UNITS.iter().find(|(known, _)| *known == unit)?.1
    };
    Some(number.saturating_mul(factor))
}

/// A number of bytes, with a unit or without: `k`, `m` and `g` count thousands, `kb`, `mb` and `gb` 1024s.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Whether a host name may stand where an address is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// It may.
    Allowed,
    /// It may not, unless this line is added.
    Refused(&'static str),
}

/// Host and port in two words.
pub(crate) fn addr(statement: &Statement, word: usize, names: Names) -> Result<Addr, Fault> {
    let text = statement.text(word);
    let refuse = |hint: String| Err(Fault::new(word, "Can't resolve instance hostname.").hint(hint));
    let host = match (Host::parse(text), names) {
        (Some(Host::Name(_)), Names::Refused(_)) if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
            return refuse(format!("'{text}' is not a valid IPv4 address"));
        }
        (Some(Host::Name(_)), Names::Refused(line)) => {
            return refuse(format!(
                "'{text}' is a host name: add the line '{line}', or write its IP address"
            ));
        }
        (Some(host), _) => host,
        (None, _) => return refuse(format!("'{text}' is neither an IP address nor a host name")),
    };
    let port = port(statement, word + 1)?;
    Ok(Addr { host, port })
}

/// A text where an empty one means "not set".
pub(crate) fn optional(statement: &Statement, word: usize) -> Option<&str> {
    Some(statement.text(word)).filter(|text| !text.is_empty())
}

fn not_a_number(word: usize, text: &str) -> Fault {
    let fault = Fault::new(word, format!("'{text}' is not a whole number"));
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    match text.get(..digits).filter(|number| !number.is_empty()) {
        Some(number) => fault.hint(format!(
            "Redis Sentinel would read {number} and ignore what follows; write {number} if that is meant"
        )),
        None => fault,
    }
}

fn given(statement: &Statement, word: usize) -> String {
    format!("'{}' was given", statement.text(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("32mb"), Some(32 * 1024 * 1024));
        assert_eq!(
            [bytes("1K"), bytes("1kb"), bytes("0")],
            [Some(1000), Some(1024), Some(0)]
        );
        assert_eq!(
            [bytes(""), bytes("-1"), bytes("1x"), bytes("99999999999gb")],
            [None; 4]
        );
    }

    #[test]
    fn times_have_units() {
        let millis = |text| millis_with_unit(text, 1);
        assert_eq!(millis("1500"), Some(1500));
        assert_eq!(millis_with_unit("1500", 1000), Some(1_500_000));
        assert_eq!(millis("5s"), Some(5000));
        assert_eq!(millis("3 m"), Some(180_000));
        assert_eq!(millis("2d"), Some(172_800_000));
        assert_eq!(millis("-1"), Some(-1));
        assert_eq!(millis("5 weeks"), None);
        assert_eq!(millis("ms"), None);
        assert_eq!(millis("ä"), None);
    }
}
