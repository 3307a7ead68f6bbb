//! P8: what was set of a person, a group, a share's rules, a device is told from then on.
//!
//! Each such thing is a register. Whoever looks is told what was set last before, or what was being
//! set meanwhile; never what was replaced before they asked.

use std::collections::BTreeMap;

use super::Violation;
use crate::history::setting::Setting;
use crate::history::{History, NEVER};

const PROMISE: &str = "P8 in order";
const PROMISED_IN: &str = "ARCHITECTURE.md, section 9, P8";

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut registers: BTreeMap<&str, Vec<&Setting>> = BTreeMap::new();
    for setting in &history.settings {
        registers.entry(&setting.register).or_default().push(setting);
    }
    registers.values().flat_map(|settings| register(settings)).collect()
}

fn register(settings: &[&Setting]) -> Vec<Violation> {
    let set: Vec<&Setting> = settings.iter().filter(|it| !it.is_told).copied().collect();
    let told = settings.iter().filter(|it| it.is_told);
    told.filter_map(|told| {
        // Before anything was set it may be anything.
        let known = set.iter().any(|set| set.ended < told.began);
        let may_be = |at: &&Setting| at.value == told.value && may_be_seen(at, told, &set);
        (known && !set.iter().any(may_be)).then(|| violation(told, &set))
    })
    .collect()
}

/// Whether what was set then could be there when it was told: nothing was set wholly in between.
fn may_be_seen(at: &Setting, told: &Setting, set: &[&Setting]) -> bool {
    let replaces = |other: &&Setting| other.began > at.ended && other.ended < told.began;
    at.began < told.ended && !(at.ended != NEVER && set.iter().any(replaces))
}

fn violation(told: &Setting, set: &[&Setting]) -> Violation {
    let lines: String = set.iter().map(|set| format!("\n  {}", set.line())).collect();
    let path = told.register.split(' ').next().unwrap_or_default();
    let id = path.rsplit('/').next().unwrap_or_default();
    Violation {
        promise: PROMISE,
        promised_in: PROMISED_IN,
        what: format!("{}, and it was not that:{lines}", told.line()),
        touching: vec![id.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use node_base::NodeId;
    use serde_json::json;

    use super::check;
    use crate::history::setting::Setting;
    use crate::history::{History, NEVER};

    fn setting(value: u64, is_told: bool, began: u64, ended: u64) -> Setting {
        let register = "/admin/users/usr_1 name".to_owned();
        Setting { register, value: json!(value), is_told, began, ended, node: NodeId(1) }
    }

    fn found(settings: &[Setting]) -> usize {
        check(&History { settings: settings.to_vec(), ..History::default() }).len()
    }

    #[test]
    fn what_was_set_last_or_is_being_set_may_be_told() {
        let set = [setting(1, false, 1, 2), setting(2, false, 5, 8)];
        for (value, began, ended) in [(1, 3, 4), (1, 6, 7), (2, 6, 7), (2, 9, 10), (9, 0, 1)] {
            let told = setting(value, true, began, ended);
            assert_eq!(found(&[set[0].clone(), set[1].clone(), told]), 0, "{value} {began}");
        }
        let doubtful = setting(3, false, 5, NEVER);
        for value in [1, 3] {
            let told = setting(value, true, 20, 21);
            assert_eq!(found(&[set[0].clone(), doubtful.clone(), told]), 0, "{value}");
        }
    }

    #[test]
    fn what_was_replaced_or_never_set_is_found() {
        let set = [setting(1, false, 1, 2), setting(2, false, 5, 8)];
        for (value, began, ended) in [(1, 9, 10), (3, 9, 10), (2, 3, 4)] {
            let told = setting(value, true, began, ended);
            assert_eq!(found(&[set[0].clone(), set[1].clone(), told]), 1, "{value} {began}");
        }
    }
}
