//! The entries of a batch, read so that a malformed one is told apart from the others.
//!
//! Whatever is not JSON is refused whole. What is other JSON than a change is, is kept in few bytes
//! until it is judged: of an entry the fields that a change has, of a field what is no list and no
//! object.

use std::fmt;

use api_types::v1::conflicts::Strategy;
use api_types::v1::sync::ApplyChange;
use node_base::limits;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::extract;

/// What a device changed, each entry to be judged by itself.
#[derive(serde::Deserialize)]
pub(super) struct Batch {
    pub(super) device_id: String,
    pub(super) share_id: String,
    #[serde(default)]
    pub(super) conflict_resolution: Option<Strategy>,
    pub(super) changes: Entries,
}

/// Entries, as many as a batch may have, and how many there were.
pub(super) struct Entries {
    pub(super) kept: Vec<Entry>,
    pub(super) total: usize,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(InEntries)
    }
}

struct InEntries;

impl<'de> Visitor<'de> for InEntries {
    type Value = Entries;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a list of changes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entries, A::Error> {
        let mut entries = Entries { kept: Vec::new(), total: 0 };
        while entries.total < limits::BATCH_ITEMS_MAX {
            let Some(entry) = list.next_element()? else { return Ok(entries) };
            entries.kept.push(entry);
            entries.total += 1;
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            entries.total += 1;
        }
        Ok(entries)
    }
}

/// One entry, whatever it is.
pub(super) struct Entry {
    value: Value,
    /// A field that is given twice.
    twice: Option<String>,
}

impl Entry {
    /// What the client calls it, as far as that can be said.
    pub(super) fn client_ref(&self) -> String {
        let named = self.value.get("client_ref").and_then(Value::as_str);
        named.filter(|named| extract::client_ref(named).is_ok()).unwrap_or_default().to_owned()
    }

    /// The change that it is.
    pub(super) fn change(self) -> Result<ApplyChange, ApiError> {
        if let Some(field) = self.twice {
            return Err(ApiError::invalid("body", &[&field], "is given twice"));
        }
        extract::from_value(self.value)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InEntry)
    }
}

/// The fields of a change.
const FIELDS: [&str; 11] = [
    "client_ref",
    "resource_type",
    "resource_id",
    "change_type",
    "parent_id",
    "parent_ref",
    "name",
    "base_version_id",
    "upload_session_id",
    "client_modified_at",
    "executable",
];

/// The visits of what is neither a list nor an object, each made into this.
macro_rules! plain {
    ($into:expr) => {
        fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
            to.write_str("JSON")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($into(Value::Null))
        }

        fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
            Ok($into(value.into()))
        }

        fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
            Ok($into(value.into()))
        }

        fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
            Ok($into(value.into()))
        }

        fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
            Ok($into(value.into()))
        }

        fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
            Ok($into(value.into()))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok($into(Value::Array(Vec::new())))
        }
    };
}

struct InEntry;

impl<'de> Visitor<'de> for InEntry {
    type Value = Entry;

    plain!(|value| Entry { value, twice: None });

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let (mut fields, mut twice) = (Map::new(), None);
        while let Some(name) = map.next_key::<String>()? {
            if !FIELDS.contains(&name.as_str()) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let Field(value) = map.next_value()?;
            if fields.insert(name.clone(), value).is_some() {
                twice = Some(name);
            }
        }
        Ok(Entry { value: Value::Object(fields), twice })
    }
}

/// A field's value, without what is in lists and objects.
struct Field(Value);

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InField)
    }
}

struct InField;

impl<'de> Visitor<'de> for InField {
    type Value = Field;

    plain!(Field);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field(Value::Object(Map::new())))
    }
}

#[cfg(test)]
mod tests {
    use api_types::v1::ItemType;
    use api_types::v1::sync::{ApplyChange, ApplyType};

    use super::FIELDS;

    #[test]
    fn the_fields_are_those_of_a_change() {
        let text = || Some(String::new());
        let change = ApplyChange {
            client_ref: String::new(),
            resource_type: ItemType::File,
            resource_id: text(),
            change_type: ApplyType::Created,
            parent_id: text(),
            parent_ref: text(),
            name: text(),
            base_version_id: text(),
            upload_session_id: text(),
            client_modified_at: Some(api_types::Time(node_base::Timestamp::from_millis(0))),
            executable: Some(true),
        };
        let shape = serde_json::to_value(change).expect("plain data");
        let mut names: Vec<&String> = shape.as_object().expect("an object").keys().collect();
        let mut fields = FIELDS.to_vec();
        names.sort();
        fields.sort_unstable();
        assert_eq!(names, fields);
    }
}
