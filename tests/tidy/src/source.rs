//! Rust source taken apart just far enough: for each line what is code, what is comment, and what
//! stands in string literals.

/// One line in three lanes. Text of another lane is absent, not blanked.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    pub(crate) code: String,
    pub(crate) comment: String,
    pub(crate) string: String,
}

enum State {
    Code,
    LineComment,
    BlockComment { depth: usize },
    String,
    RawString { hashes: usize },
}

/// Splits a file into its lines.
pub(crate) fn lines(text: &str) -> Vec<Line> {
    let chars: Vec<char> = text.chars().collect();
    let mut state = State::Code;
    let mut lines = Vec::new();
    let mut line = Line::default();
    let mut at = 0;
    while at < chars.len() {
        if chars[at] == '\n' {
            if matches!(state, State::LineComment) {
                state = State::Code;
            }
            lines.push(std::mem::take(&mut line));
            at += 1;
            continue;
        }
        at += step(&chars[at..], &mut state, &mut line);
    }
    if line != Line::default() {
        lines.push(line);
    }
    lines
}

/// Takes what stands at the front of `rest`; answers how many characters that was.
fn step(rest: &[char], state: &mut State, line: &mut Line) -> usize {
    match state {
        State::Code => step_code(rest, state, line),
        State::LineComment => {
            line.comment.push(rest[0]);
            1
        }
        State::BlockComment { depth } => {
            if rest.starts_with(&['/', '*']) {
                *depth += 1;
                2
            } else if rest.starts_with(&['*', '/']) {
                *depth -= 1;
                if *depth == 0 {
                    *state = State::Code;
                }
                2
            } else {
                line.comment.push(rest[0]);
                1
            }
        }
        State::String => match rest[0] {
            '\\' if rest.get(1).is_some_and(|next| *next != '\n') => {
                line.string.extend(&rest[..2]);
                2
            }
            '"' => {
                *state = State::Code;
                1
            }
            other => {
                line.string.push(other);
                1
            }
        },
        State::RawString { hashes } => {
            let taken = 1 + *hashes;
            let closing = rest.iter().skip(1).take_while(|c| **c == '#').count();
            if rest[0] == '"' && closing >= *hashes {
                *state = State::Code;
                return taken;
            }
            line.string.push(rest[0]);
            1
        }
    }
}

fn step_code(rest: &[char], state: &mut State, line: &mut Line) -> usize {
    if rest.starts_with(&['/', '/']) {
        *state = State::LineComment;
        return 2;
    }
    if rest.starts_with(&['/', '*']) {
        *state = State::BlockComment { depth: 1 };
        return 2;
    }
    let in_word = line.code.chars().last().is_some_and(|c| c.is_alphanumeric() || c == '_');
    let prefix = rest.iter().take(2).take_while(|c| matches!(c, 'r' | 'b' | 'c')).count();
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    let opens = rest.get(prefix + hashes) == Some(&'"');
    if opens && !in_word && prefix > 0 && rest[..prefix].contains(&'r') {
        *state = State::RawString { hashes };
        return prefix + hashes + 1;
    }
    if rest[0] == '"' {
        *state = State::String;
        return 1;
    }
    if rest[0] == '\'' {
        return step_quote(rest, line);
    }
    line.code.push(rest[0]);
    1
}

/// A character literal is dropped; a lifetime is code.
fn step_quote(rest: &[char], line: &mut Line) -> usize {
    if rest.get(1) == Some(&'\\') {
        let end = rest.iter().skip(3).position(|c| *c == '\'').map_or(rest.len(), |at| at + 4);
        return end;
    }
    if rest.get(2) == Some(&'\'') {
        return 3;
    }
    line.code.push('\'');
    1
}

#[test]
fn lanes_are_told_apart() {
    let text = "let a = \"x // y\"; // why\n\
                let b = r#\"q\"z\"#; /* in\nside */ f('\"', 'a', '\\'');\n";
    let found = lines(text);
    let code: Vec<&str> = found.iter().map(|line| line.code.as_str()).collect();
    let comment: Vec<&str> = found.iter().map(|line| line.comment.as_str()).collect();
    let string: Vec<&str> = found.iter().map(|line| line.string.as_str()).collect();
    assert_eq!(code, ["let a = ; ", "let b = ; ", " f(, , );"]);
    assert_eq!(comment, [" why", " in", "side "]);
    assert_eq!(string, ["x // y", "q\"z", ""]);
}

#[test]
fn lifetimes_and_names_ending_in_r_are_code() {
    let found = lines("fn f<'a>(attr: &'a str) { g(for\"s\") }\n");
    assert_eq!(found[0].code, "fn f<'a>(attr: &'a str) { g(for) }");
    assert_eq!(found[0].string, "s");
}
