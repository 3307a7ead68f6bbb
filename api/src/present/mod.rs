//! Rows as the contract shows them. Converters only: what a caller may see is decided before.

pub mod audit;
pub mod change;
pub mod cluster;
pub mod conflict;
pub mod item;
pub mod people;
pub mod permission;
pub mod quota;
pub mod seen;
pub mod share;

pub use change::change;
pub use conflict::conflict;
pub use item::item;

/// A text that is empty where nobody wrote one.
pub(crate) fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
