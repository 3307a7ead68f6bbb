//! Tables in Markdown, read as data.

/// One row: the line it stands on and its cells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Row {
    pub(crate) line: usize,
    pub(crate) cells: Vec<String>,
}

/// The rows of the table whose first header cell is `head`, without header and rule.
pub(crate) fn table(text: &str, head: &str) -> Option<Vec<Row>> {
    let mut lines = text.lines().enumerate();
    lines.find(|(_, line)| cells(line).first().is_some_and(|cell| cell == head))?;
    let rows = lines
        .skip(1)
        .take_while(|(_, line)| line.starts_with('|'))
        .map(|(index, line)| Row { line: index + 1, cells: cells(line) })
        .collect();
    Some(rows)
}

fn cells(line: &str) -> Vec<String> {
    let Some(inner) = line.trim().strip_prefix('|').and_then(|rest| rest.strip_suffix('|')) else {
        return Vec::new();
    };
    inner.split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// The words in back-quotes.
pub(crate) fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn a_table_is_found_by_its_first_header() {
    let text = "x\n\n| a | b |\n|---|---|\n| `p`, `q` | r |\n\n| c | d |\n|---|---|\n| s | t |\n";
    let rows = table(text, "c").expect("it is there");
    assert_eq!(rows, [Row { line: 9, cells: vec!["s".to_owned(), "t".to_owned()] }]);
    assert_eq!(quoted(&table(text, "a").expect("it is there")[0].cells[0]), ["p", "q"]);
    assert_eq!(table(text, "z"), None);
}
