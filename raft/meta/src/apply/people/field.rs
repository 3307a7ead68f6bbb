//! What the fields of a request may hold.

use node_base::limits;

use crate::outcome::{Invalid, Refusal};

/// A line of text: not empty, at most `max` bytes, nothing that is no character of text.
pub(crate) fn line(field: &str, text: &str, max: usize) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::invalid(field, Invalid::Empty));
    }
    if text.chars().any(char::is_control) {
        return Err(rule(field, "cannot contain control characters"));
    }
    at_most(field, text, max)
}

/// A name for people to read.
pub(crate) fn display_name(field: &str, text: &str) -> Result<(), Refusal> {
    line(field, text, limits::DISPLAY_NAME_MAX)
}

/// Text of several lines, or none.
pub(crate) fn description(field: &str, text: &str) -> Result<(), Refusal> {
    let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.chars().any(is_odd) {
        return Err(rule(field, "cannot contain control characters but line breaks and tabs"));
    }
    at_most(field, text, limits::DESCRIPTION_MAX)
}

/// An e-mail address, as far as anybody can tell without sending to it: something, one `@`, and
/// something without blanks.
pub(crate) fn email(field: &str, text: &str) -> Result<(), Refusal> {
    at_most(field, text, limits::EMAIL_MAX)?;
    let is_plain = |part: &str| {
        !part.is_empty() && !part.chars().any(|c| c.is_whitespace() || c.is_control() || c == '@')
    };
    match text.rsplit_once('@') {
        Some((local, domain)) if is_plain(local) && is_plain(domain) => Ok(()),
        _ => Err(Refusal::invalid(field, Invalid::Email)),
    }
}

/// How addresses and names of groups are compared.
pub(crate) fn folded(text: &str) -> String {
    text.trim().to_lowercase()
}

/// A number within bounds.
pub(crate) fn within(field: &str, number: u64, min: u64, max: u64) -> Result<(), Refusal> {
    if (min..=max).contains(&number) {
        Ok(())
    } else {
        Err(Refusal::invalid(field, Invalid::OutOfRange { min, max }))
    }
}

pub(crate) fn rule(field: &str, sentence: &str) -> Refusal {
    Refusal::invalid(field, Invalid::Rule(sentence.to_owned()))
}

fn at_most(field: &str, text: &str, max: usize) -> Result<(), Refusal> {
    if text.len() > max {
        return Err(Refusal::invalid(field, Invalid::TooLong { max: max as u64 }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{description, email, line};

    #[test]
    fn what_is_taken() {
        for (text, taken) in [
            ("a@b", true),
            ("Ann.Lee+x@Example.org", true),
            ("a@", false),
            ("@b", false),
            ("a b@c", false),
            ("a@b@c", false),
            ("a\0@b", false),
            (&format!("{}@b", "a".repeat(260)), false),
        ] {
            assert_eq!(email("email", text).is_ok(), taken, "{text:?}");
        }
        assert!(line("name", "Crew", 4).is_ok());
        for text in ["", "  ", "Crews", "a\nb"] {
            assert!(line("name", text, 4).is_err(), "{text:?}");
        }
        assert!(description("d", "a\nb\t").is_ok() && description("d", "").is_ok());
        assert!(description("d", "a\0").is_err());
    }
}
