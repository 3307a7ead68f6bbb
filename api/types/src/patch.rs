//! A field of a partial change: left alone, cleared, or set.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Tells an absent field from a `null` one.
///
/// Fields of this type need `#[serde(default, skip_serializing_if = "Patch::is_absent")]`: serde
/// asks the type only about fields that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Patch<T> {
    /// The field is not in the body: leave it alone.
    #[default]
    Absent,
    /// The field is `null`: clear it.
    Clear,
    /// The field has a value: set it.
    Set(T),
}

impl<T> Patch<T> {
    /// Whether the field is left alone, and so not written.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// What there is to do: nothing, clear (`Some(None)`), or set.
    pub fn into_option(self) -> Option<Option<T>> {
        match self {
            Self::Absent => None,
            Self::Clear => Some(None),
            Self::Set(value) => Some(Some(value)),
        }
    }

    /// The same with another value, or what went wrong with it.
    ///
    /// # Errors
    /// What `convert` answers.
    pub fn try_map<U, E>(self, convert: impl FnOnce(T) -> Result<U, E>) -> Result<Patch<U>, E> {
        Ok(match self {
            Self::Absent => Patch::Absent,
            Self::Clear => Patch::Clear,
            Self::Set(value) => Patch::Set(convert(value)?),
        })
    }
}

impl<T: Serialize> Serialize for Patch<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Absent | Self::Clear => serializer.serialize_none(),
            Self::Set(value) => serializer.serialize_some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::Patch;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Body {
        #[serde(default, skip_serializing_if = "Patch::is_absent")]
        name: Patch<String>,
    }

    #[test]
    fn absent_null_and_a_value_are_three_things() {
        for (json, name, option) in [
            ("{}", Patch::Absent, None),
            (r#"{"name":null}"#, Patch::Clear, Some(None)),
            (r#"{"name":"x"}"#, Patch::Set("x".to_owned()), Some(Some("x".to_owned()))),
        ] {
            let body: Body = serde_json::from_str(json).expect("well-formed");
            assert_eq!(body.name, name);
            assert_eq!(serde_json::to_string(&body).expect("writable"), json);
            assert_eq!(body.name.into_option(), option);
        }
        assert!(serde_json::from_str::<Body>(r#"{"name":7}"#).is_err());
    }

    #[test]
    fn a_value_is_converted_and_its_failure_told() {
        assert_eq!(Patch::Set("7").try_map(str::parse::<u8>), Ok(Patch::Set(7)));
        assert!(Patch::Set("x").try_map(str::parse::<u8>).is_err());
        assert_eq!(Patch::<&str>::Clear.try_map(str::parse::<u8>), Ok(Patch::Clear));
    }
}
