//! How a cluster stands, for people.

use serde_json::Value;

const HEAD: [&str; 9] =
    ["node", "role", "state", "zone", "address", "lag", "drives", "free", "shards"];

/// The answer of `/status` in lines.
pub(crate) fn lines(status: &Value) -> Vec<String> {
    let cluster = &status["cluster"];
    let nodes = cluster["nodes"].as_array().cloned().unwrap_or_default();
    let leader = match status["leader"].as_u64() {
        Some(leader) => format!("node {leader} leads (term {})", number(&status["term"])),
        None => "nobody leads: nothing can be changed".to_owned(),
    };
    let count = nodes.len();
    let plural = if count == 1 { "" } else { "s" };
    let mut lines = vec![format!("cluster of {count} node{plural}; {leader}"), String::new()];
    let rows: Vec<Vec<String>> = std::iter::once(HEAD.map(str::to_owned).to_vec())
        .chain(nodes.iter().map(|node| row(node, &status["node"])))
        .collect();
    lines.extend(table(&rows));
    lines.push(String::new());
    lines.extend(bytes_lines(&nodes));
    lines.push(format!("coding      {}", coding(cluster)));
    let maps = number(&cluster["maps"]);
    let moving = if maps > 1 { ", while shards move home" } else { "" };
    lines.push(format!(
        "layout      epoch {}, {maps} map{} in force{moving}",
        number(&cluster["epoch"]),
        if maps == 1 { "" } else { "s" },
    ));
    lines.push(format!(
        "this node   {}, version {}, log of {}",
        number(&status["node"]),
        status["version"].as_str().unwrap_or("?"),
        size(number(&status["log_bytes"])),
    ));
    lines
}

/// How chunks are coded, and how many are yet to be coded as new ones are.
fn coding(cluster: &Value) -> String {
    let wanted = cluster["profile"].as_str().unwrap_or("?");
    let chunks = cluster["chunks"].as_object().cloned().unwrap_or_default();
    let counts = chunks.iter().map(|(profile, count)| format!("{} at {profile}", number(count)));
    let counts = counts.collect::<Vec<_>>().join(", ");
    match (counts.is_empty(), number(&cluster["chunks_to_recode"])) {
        (true, _) => format!("{wanted}; no chunks yet"),
        (_, 0) => format!("{wanted}; chunks: {counts}"),
        (_, wrong) => format!("{wanted}; chunks: {counts}; {wrong} to be coded anew"),
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn row(node: &Value, own: &Value) -> Vec<String> {
    let text = |name: &str| node[name].as_str().unwrap_or("").to_owned();
    let drives = &node["drives"];
    let told = |name: &str| match &drives[name] {
        Value::Null => "?".to_owned(),
        value => value.to_string(),
    };
    let mark = if node["node"] == *own { "*" } else { "" };
    let state = match node["seat"].as_str() {
        Some("drains") if node["is_needed"] == false => format!("{}, drained", text("state")),
        Some("drains") => format!("{}, drains", text("state")),
        _ => text("state"),
    };
    let free = match (drives["free_bytes"].as_u64(), drives["total_bytes"].as_u64()) {
        (Some(free), Some(total)) => format!("{} of {}", size(free), size(total)),
        _ => "?".to_owned(),
    };
    vec![
        format!("{}{mark}", number(&node["node"])),
        text("role"),
        state,
        text("zone"),
        text("address"),
        node["lag_entries"].as_u64().map_or("?".to_owned(), |lag| lag.to_string()),
        told("drives"),
        free,
        told("shards"),
    ]
}

/// Redundancy, repair and scrub over all nodes that answer.
fn bytes_lines(nodes: &[Value]) -> Vec<String> {
    let told: Vec<&Value> = nodes.iter().map(|node| &node["drives"]).collect();
    let sum = |name: &str| told.iter().map(|drives| number(&drives[name])).sum::<u64>();
    let silent = told.iter().filter(|drives| drives.is_null()).count();
    let (repair, astray) = (sum("shards_to_repair"), sum("misplaced_shards"));
    let whole = match (silent, repair, astray) {
        (0, 0, 0) => "every chunk is whole and at home".to_owned(),
        (0, ..) => format!("{repair} shards to make anew, {astray} not at home"),
        _ => format!(
            "{silent} of {} nodes do not answer; of the others' shards {repair} to make anew, \
             {astray} not at home",
            nodes.len(),
        ),
    };
    let cycles = told.iter().filter_map(|drives| drives["scrub_cycles"].as_u64()).min();
    vec![
        format!("redundancy  {whole}; {} chunks lost", sum("lost_chunks")),
        format!("repair      {} shards made anew since the nodes started", sum("mended_shards")),
        format!(
            "scrub       {} of {} read in this round, {} rounds done, {} shards rotten",
            size(sum("scrubbed_bytes")),
            size(sum("pack_bytes")),
            cycles.unwrap_or(0),
            sum("rotten_shards"),
        ),
    ]
}

/// Columns as wide as what is in them.
fn table(rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Bytes as people say them.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = 0;
    let mut left = bytes;
    let mut tenths = 0;
    while left >= 1024 && unit + 1 < UNITS.len() {
        tenths = left % 1024 * 10 / 1024;
        left /= 1024;
        unit += 1;
    }
    let exact = unit == 0 || left >= 100;
    if exact {
        format!("{left} {}", UNITS[unit])
    } else {
        format!("{left}.{tenths} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{lines, size};

    #[test]
    fn sizes_as_people_say_them() {
        for (bytes, said) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (252 << 30, "252 GiB"),
            (u64::MAX, "16384 PiB"),
        ] {
            assert_eq!(size(bytes), said.replace("16384", "16383"));
        }
    }

    #[test]
    fn a_silent_and_a_draining_node_are_told() {
        let drives = json!({"drives": 1, "shards": 7, "free_bytes": 1024, "total_bytes": 2048});
        let status = json!({"node": 1, "leader": 1, "term": 3, "version": "9", "cluster": {
            "epoch": 4, "maps": 2, "nodes": [
                {"node": 1, "role": "leader", "state": "up", "seat": "may_vote", "zone": "a",
                 "address": "x:1", "lag_entries": 0, "is_needed": true, "drives": drives},
                {"node": 2, "role": "learner", "state": "down", "seat": "drains", "zone": "b",
                 "address": "y:1", "lag_entries": null, "is_needed": false, "drives": null},
            ],
        }});
        let said = lines(&status).join("\n");
        let expected = "cluster of 2 nodes; node 1 leads (term 3)\n\n\
            node  role     state          zone  address  lag  drives  free                shards\n\
            1*    leader   up             a     x:1      0    1       1.0 KiB of 2.0 KiB  7\n\
            2     learner  down, drained  b     y:1      ?    ?       ?                   ?\n\n\
            redundancy  1 of 2 nodes do not answer; of the others' shards 0 to make anew, \
            0 not at home; 0 chunks lost\n";
        assert!(said.starts_with(expected), "{said}");
        assert!(said.contains("epoch 4, 2 maps in force, while shards move home"), "{said}");
    }
}
