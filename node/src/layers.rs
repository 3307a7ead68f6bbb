//! Settings in layers: defaults, the file, the environment, flags; each over the one before.

use std::collections::BTreeMap;
use std::path::Path;

use node_assembly::Settings;
use toml::{Table, Value};

use crate::outcome::{Exit, Failure};

/// Where a setting's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Default,
    File,
    Environment(String),
    Flag,
}

/// Settings, and where each came from.
pub(crate) struct Layers {
    values: Table,
    defaults: Table,
    sources: BTreeMap<String, Source>,
}

/// One setting, as `scaidrived settings` prints it.
pub(crate) struct Shown {
    pub(crate) key: String,
    pub(crate) value: Value,
    pub(crate) default: Value,
    pub(crate) source: Source,
}

impl Layers {
    /// The defaults alone.
    pub(crate) fn new() -> Self {
        let defaults = Table::try_from(Settings::default()).expect("settings are plain data");
        Self { values: defaults.clone(), defaults, sources: BTreeMap::new() }
    }

    /// Lays a file over what is there.
    pub(crate) fn file(&mut self, path: &Path) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(Exit::Usage, format!("the settings file {}: {error}", path.display()))
        };
        #[allow(clippy::disallowed_methods, reason = "settings are read before there is a world")]
        let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
        let table: Table = text.parse().map_err(|error: toml::de::Error| failed(&error))?;
        // The whole file by itself, so that a mistake is told with its line.
        toml::from_str::<Settings>(&text).map_err(|error| failed(&error))?;
        for (key, value) in leaves("", &table) {
            self.set(&key, value, Source::File);
        }
        Ok(())
    }

    /// Lays the environment over what is there: `http.head_seconds` is
    /// `SCAIDRIVE_HTTP_HEAD_SECONDS`.
    pub(crate) fn environment(&mut self) -> Result<(), Failure> {
        let mut keys: Vec<String> = leaves("", &self.defaults).into_keys().collect();
        keys.extend(OPTIONAL.map(str::to_owned));
        for key in keys {
            let name = format!("SCAIDRIVE_{}", key.replace('.', "_").to_uppercase());
            if let Ok(text) = std::env::var(&name) {
                let value = self.parse(&key, &text);
                self.set(&key, value, Source::Environment(name));
            }
        }
        Ok(())
    }

    /// Lays a flag over what is there.
    pub(crate) fn flag(&mut self, key: &str, value: impl Into<Value>) {
        self.set(key, value.into(), Source::Flag);
    }

    /// A text as the kind of value that the setting has by default.
    fn parse(&self, key: &str, text: &str) -> Value {
        match leaves("", &self.defaults).get(key) {
            Some(Value::Integer(_)) => {
                text.parse().map_or(Value::String(text.to_owned()), Value::Integer)
            }
            Some(Value::Boolean(_)) => {
                text.parse().map_or(Value::String(text.to_owned()), Value::Boolean)
            }
            Some(Value::Array(_)) => text
                .split(',')
                .map(|part| Value::String(part.to_owned()))
                .collect::<Vec<_>>()
                .into(),
            None if key == "identity.built_in" => {
                text.parse().map_or(Value::String(text.to_owned()), Value::Boolean)
            }
            _ => Value::String(text.to_owned()),
        }
    }

    fn set(&mut self, key: &str, value: Value, source: Source) {
        let mut table = &mut self.values;
        let mut parts = key.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                table.insert(part.to_owned(), value);
                break;
            }
            let below = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
            match below {
                Value::Table(below) => table = below,
                _ => return,
            }
        }
        self.sources.insert(key.to_owned(), source);
    }

    /// The settings that all layers make together.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        Value::Table(self.values.clone()).try_into().map_err(|error: toml::de::Error| {
            let told = self.sources.iter().filter_map(|(key, source)| match source {
                Source::Environment(name) => Some(format!("{key} from {name}")),
                Source::Flag => Some(format!("{key} from a flag")),
                Source::Default | Source::File => None,
            });
            let told: Vec<String> = told.collect();
            let message = format!("a setting cannot be used: {}", error.to_string().trim());
            let failure = Failure::new(Exit::Usage, message);
            if told.is_empty() {
                failure
            } else {
                failure.hint(format!("set outside the file: {}", told.join(", ")))
            }
        })
    }

    /// The value that a setting has by default; nothing where it has none.
    pub(crate) fn default_of(&self, key: &str) -> Option<Value> {
        leaves("", &self.defaults).remove(key)
    }

    /// Every setting with its value, default and source.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let defaults = leaves("", &self.defaults);
        let none = Value::String(String::new());
        leaves("", &self.values)
            .into_iter()
            .map(|(key, value)| Shown {
                default: defaults.get(&key).cloned().unwrap_or_else(|| none.clone()),
                source: self.sources.get(&key).cloned().unwrap_or(Source::Default),
                key,
                value,
            })
            .collect()
    }
}

/// Settings that have no value by default.
pub(crate) const OPTIONAL: [&str; 5] =
    ["advertise", "public_url", "tls_cert", "tls_key", "identity.built_in"];

/// The settings of a table by their full keys. Lists are settings of their own.
fn leaves(prefix: &str, table: &Table) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(below) => all.extend(leaves(&key, below)),
            value => drop(all.insert(key, value.clone())),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{Layers, Source};

    #[test]
    fn a_later_layer_wins_and_is_named() {
        let mut layers = Layers::new();
        layers.flag("http.head_seconds", 3);
        layers.flag("listen", "127.0.0.1:0");
        let settings = layers.settings().expect("valid");
        assert_eq!((settings.http.head_seconds, settings.listen.port()), (3, 0));
        let shown = layers.shown();
        let head = shown.iter().find(|s| s.key == "http.head_seconds").expect("shown");
        assert_eq!((&head.source, head.default.as_integer()), (&Source::Flag, Some(15)));
        let zone = shown.iter().find(|s| s.key == "zone").expect("shown");
        assert_eq!(zone.source, Source::Default);
    }

    #[test]
    fn a_value_of_another_kind_is_refused() {
        let mut layers = Layers::new();
        layers.flag("listen", "nowhere");
        assert!(layers.settings().is_err());
        let mut layers = Layers::new();
        layers.flag("zones", "a");
        assert!(layers.settings().is_err());
    }
}
