//! Names of files and folders, and when two of them are the same.
//!
//! A share has one of two policies. `portable` takes what Windows, macOS and Linux can all hold:
//! the name is normalised to NFC, and siblings are told apart without regard to case. `any` keeps
//! names byte for byte and refuses only what no file system could hold.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::limits::NAME_MAX;

/// What a share asks of the names in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum NamePolicy {
    #[default]
    Portable,
    Any,
}

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a name cannot be empty")]
    Empty,
    #[error("a name has at most {NAME_MAX} bytes, this one has {0}")]
    TooLong(usize),
    #[error("a name cannot be '.' or '..'")]
    Dots,
    #[error("a name cannot contain {}", shown(*.0))]
    Character(char),
    #[error("a name cannot end in a space or a dot")]
    Trailing,
    #[error("'{0}' is a device name on Windows")]
    Device(String),
}

fn shown(character: char) -> String {
    match character {
        '\0' => "a NUL".to_owned(),
        c if c.is_control() => format!("the control character U+{:04X}", u32::from(c)),
        c => format!("'{c}'"),
    }
}

/// A name that its share's policy accepts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name(String);

/// What two siblings may not have in common.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct NameKey(String);

impl NameKey {
    /// The bytes that stand for it in a table's key.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Name {
    /// Checks `text` against `policy`, normalised as the policy says.
    ///
    /// # Errors
    /// The first rule that the name breaks.
    pub fn new(text: &str, policy: NamePolicy) -> Result<Self, NameError> {
        let name = match policy {
            NamePolicy::Portable if !is_nfc(text) => text.nfc().collect(),
            NamePolicy::Portable | NamePolicy::Any => text.to_owned(),
        };
        match name.as_str() {
            "" => return Err(NameError::Empty),
            "." | ".." => return Err(NameError::Dots),
            _ if name.len() > NAME_MAX => return Err(NameError::TooLong(name.len())),
            _ => {}
        }
        let refused = |c: &char| match policy {
            NamePolicy::Any => matches!(c, '/' | '\0'),
            NamePolicy::Portable => c.is_control() || r#"/\:*?"<>|"#.contains(*c),
        };
        if let Some(character) = name.chars().find(refused) {
            return Err(NameError::Character(character));
        }
        if policy == NamePolicy::Portable {
            if name.ends_with([' ', '.']) {
                return Err(NameError::Trailing);
            }
            if is_device(&name) {
                return Err(NameError::Device(name));
            }
        }
        Ok(Self(name))
    }

    /// The name as it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What no sibling in a share of this policy may have too.
    pub fn key(&self, policy: NamePolicy) -> NameKey {
        NameKey(match policy {
            NamePolicy::Any => self.0.clone(),
            NamePolicy::Portable => self.0.nfc().map(fold).nfc().collect(),
        })
    }

    /// The name with `mark` before its extension, shortened at a character where it would be too
    /// long: `report.txt` and ` (restored)` give `report (restored).txt`.
    pub fn marked(&self, mark: &str) -> Self {
        let (stem, extension) = match self.0.rfind('.') {
            Some(dot) if dot > 0 => self.0.split_at(dot),
            _ => (self.0.as_str(), ""),
        };
        // An extension that leaves the stem no room is none.
        let fits = mark.len() + extension.len() < NAME_MAX / 2;
        let (stem, extension) = if fits { (stem, extension) } else { (self.0.as_str(), "") };
        let room = NAME_MAX.saturating_sub(mark.len() + extension.len());
        let end = (0..=stem.len().min(room)).rev().find(|&end| stem.is_char_boundary(end));
        Self(format!("{}{mark}{extension}", &stem[..end.unwrap_or(0)]))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Simple case folding: one character to one, as file systems do it.
fn fold(character: char) -> char {
    unicode_case_mapping::case_folded(character)
        .and_then(|folded| char::from_u32(folded.get()))
        .unwrap_or(character)
}

/// Whether Windows takes the name for a device: with any extension, and with the superscript
/// digits that its code pages fold to 1, 2 and 3.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ').to_ascii_uppercase();
    match stem.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$" => true,
        stem => ["COM", "LPT"].iter().any(|device| {
            let digit = stem.strip_prefix(device).unwrap_or_default();
            let mut characters = digit.chars();
            matches!(
                (characters.next(), characters.next()),
                (Some('0'..='9' | '¹' | '²' | '³'), None)
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::{Name, NameError, NamePolicy};
    use crate::limits::NAME_MAX;

    fn portable(text: &str) -> Result<Name, NameError> {
        Name::new(text, NamePolicy::Portable)
    }

    #[test]
    fn what_portable_refuses() {
        let long = "x".repeat(256);
        for (text, why) in [
            ("", NameError::Empty),
            (".", NameError::Dots),
            ("..", NameError::Dots),
            (long.as_str(), NameError::TooLong(256)),
            ("a/b", NameError::Character('/')),
            ("a\0b", NameError::Character('\0')),
            ("a\u{7f}", NameError::Character('\u{7f}')),
            ("a:b", NameError::Character(':')),
            ("report.", NameError::Trailing),
            ("report ", NameError::Trailing),
            ("CON", NameError::Device("CON".to_owned())),
            ("nul.txt", NameError::Device("nul.txt".to_owned())),
            ("Com1.tar.gz", NameError::Device("Com1.tar.gz".to_owned())),
            ("LPT²", NameError::Device("LPT²".to_owned())),
        ] {
            assert_eq!(portable(text), Err(why), "{text:?}");
        }
        for text in ["console", "com10", "comx", ".profile", "a b", "ümlaut", &long[1..]] {
            assert!(portable(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn any_keeps_bytes_and_refuses_little() {
        let decomposed = "u\u{308}";
        let name = Name::new(decomposed, NamePolicy::Any).expect("taken");
        assert_eq!(name.as_str(), decomposed);
        assert!(Name::new("CON. ", NamePolicy::Any).is_ok());
        assert_eq!(Name::new("a/b", NamePolicy::Any), Err(NameError::Character('/')));
        assert_eq!(Name::new("..", NamePolicy::Any), Err(NameError::Dots));
    }

    #[test]
    fn case_and_form_do_not_tell_portable_names_apart() {
        let key = |text| portable(text).expect("taken").key(NamePolicy::Portable);
        assert_eq!(key("Report.txt"), key("rEPORT.TXT"));
        assert_eq!(key("u\u{308}ber"), key("ÜBER"));
        assert_eq!(key("ΣΊΣΥΦΟΣ"), key("σίσυφος"));
        assert_ne!(key("straße"), key("strasse"));
        let any = |text| Name::new(text, NamePolicy::Any).expect("taken").key(NamePolicy::Any);
        assert_ne!(any("a"), any("A"));
    }

    #[test]
    fn a_mark_goes_before_the_extension() {
        let marked = |text: &str| portable(text).expect("taken").marked(" (restored)").to_string();
        assert_eq!(marked("report.txt"), "report (restored).txt");
        assert_eq!(marked(".profile"), ".profile (restored)");
        assert_eq!(marked("folder"), "folder (restored)");
        assert_eq!(marked(&"é".repeat(127)).len(), NAME_MAX);
    }

    proptest! {
        #[test]
        fn a_name_that_was_taken_is_taken_again(text in "\\PC{0,64}") {
            if let Ok(name) = portable(&text) {
                prop_assert_eq!(portable(name.as_str()), Ok(name.clone()));
                let key = name.key(NamePolicy::Portable);
                let again = Name(String::from_utf8_lossy(key.as_bytes()).into_owned());
                prop_assert_eq!(again.key(NamePolicy::Portable), key);
                prop_assert!(name.marked(" (conflict)").as_str().len() <= NAME_MAX);
            }
        }
    }
}
