//! One line of the result.

use std::fmt;

use serde_json::{Value, json};

/// A number with its unit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Figure {
    Seconds(f64),
    Bytes(u64),
}

impl Figure {
    fn number(self) -> f64 {
        match self {
            Self::Seconds(seconds) => seconds,
            // A row compares bytes below 2^53.
            Self::Bytes(bytes) => bytes as f64,
        }
    }

    /// The smaller of two.
    pub(crate) fn better(self, other: Self) -> Self {
        if other.number() < self.number() { other } else { self }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Seconds(_) => "seconds",
            Self::Bytes(_) => "bytes",
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            Self::Seconds(seconds) if seconds < 1.0 => format!("{:.2} ms", seconds * 1e3),
            Self::Seconds(seconds) => format!("{seconds:.2} s"),
            Self::Bytes(bytes) if bytes < 10_000 => format!("{bytes} B"),
            Self::Bytes(_) => format!("{:.2} MB", self.number() / 1e6),
        };
        f.pad(&text)
    }
}

/// Ours against a yardstick.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) ours: Figure,
    pub(crate) yardstick: Figure,
    /// What the yardstick is.
    pub(crate) against: &'static str,
    /// The ratio may be this at most.
    pub(crate) bound: f64,
}

impl Row {
    pub(crate) fn ratio(&self) -> f64 {
        self.ours.number() / self.yardstick.number()
    }

    /// False as well when a yardstick of nothing makes no ratio.
    pub(crate) fn holds(&self) -> bool {
        self.ratio() <= self.bound
    }
}

pub(crate) fn table(rows: &[Row]) -> String {
    let head = ["measured", "ours", "yardstick", "ratio", "bound"];
    let mut text = format!(
        "{:<22} {:>12} {:>12} {:>8} {:>8}      against\n",
        head[0], head[1], head[2], head[3], head[4]
    );
    for row in rows {
        text += &format!(
            "{:<22} {:>12} {:>12} {:>8.4} {:>8} {}  {}\n",
            row.name,
            row.ours,
            row.yardstick,
            row.ratio(),
            row.bound,
            if row.holds() { "ok " } else { "OVER" },
            row.against,
        );
    }
    text
}

pub(crate) fn json(rows: &[Row], shrink: u64) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "name": row.name,
                "unit": row.ours.unit(),
                "ours": row.ours.number(),
                "yardstick": row.yardstick.number(),
                "against": row.against,
                "ratio": row.ratio(),
                "bound": row.bound,
                "holds": row.holds(),
            })
        })
        .collect();
    json!({ "shrink": shrink, "rows": rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: Figure, yardstick: Figure) -> Row {
        Row { name: "a", ours, yardstick, against: "b", bound: 2.0 }
    }

    #[test]
    fn a_bound_holds_up_to_itself() {
        assert!(row(Figure::Seconds(2.0), Figure::Seconds(1.0)).holds());
        assert!(!row(Figure::Bytes(201), Figure::Bytes(100)).holds());
        assert!(!row(Figure::Bytes(0), Figure::Bytes(0)).holds(), "nothing was measured");
    }

    #[test]
    fn the_table_says_what_is_over() {
        let rows = [row(Figure::Seconds(0.5), Figure::Seconds(1.0))];
        assert!(table(&rows).contains("500.00 ms"));
        assert!(!table(&rows).contains("OVER"));
        let rows = [row(Figure::Bytes(3_000_000), Figure::Bytes(1_000_000))];
        assert!(table(&rows).contains("3.00 MB") && table(&rows).contains("OVER"));
        assert_eq!(json(&rows, 1)["rows"][0]["holds"], false);
    }
}
