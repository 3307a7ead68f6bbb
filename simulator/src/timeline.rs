//! A run as one page for a browser: a lane for each node and each client, faults as bands, messages
//! as arrows on demand, and what broke, marked. The page needs nothing but itself.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::replay::moment;
use crate::report;
use crate::run::{Found, Run};

/// What the page draws; times are in milliseconds.
#[derive(Serialize, Default)]
struct Drawing {
    title: String,
    head: String,
    end: f64,
    lanes: Vec<String>,
    /// Lane, from, to, what; no lane is all nodes.
    bands: Vec<(Option<usize>, f64, f64, String)>,
    /// Lane, from, to, kind, what: a life of a node, or a request of a client.
    spans: Vec<(usize, f64, f64, &'static str, String)>,
    /// From lane, sent, to lane, arrived, class.
    arrows: Vec<(usize, f64, usize, f64, String)>,
    /// Lane, when, what.
    marks: Vec<(Option<usize>, f64, String)>,
    violations: Vec<String>,
}

/// The page.
pub(crate) fn page(run: &Run, found: &Found) -> String {
    let drawing = draw(run, found);
    // Inside a script, a tag's end must not be seen.
    let data = serde_json::to_string(&drawing).expect("it is data").replace("</", "<\\/");
    include_str!("timeline.html").replace("\"DATA\"", &data)
}

fn draw(run: &Run, found: &Found) -> Drawing {
    let mut drawing = Drawing {
        title: format!("seed {}", run.options.seed()),
        head: report::head(run),
        lanes: (1..=run.options.nodes_ever()).map(|node| format!("node {node}")).collect(),
        ..Drawing::default()
    };
    let mut reader = Reader::default();
    for line in &found.lines {
        reader.read(line, &mut drawing);
    }
    reader.finish(&mut drawing);
    for violation in &found.violations {
        drawing.violations.push(format!("{}: {}", violation.promise, violation.what));
        let touching = report::touching(&found.lines, violation);
        for line in touching {
            let at = moment(line).map_or(0.0, |at| at.as_secs_f64() * 1_000.0);
            drawing.marks.push((None, at, format!("{} ({line})", violation.promise)));
        }
    }
    drawing
}

/// What has begun and not yet ended while the trace is read.
#[derive(Default)]
struct Reader {
    now: f64,
    /// By node: since when it is up, and which incarnation.
    lives: BTreeMap<usize, (f64, String)>,
    /// By number of the fault.
    faults: BTreeMap<String, (f64, String)>,
    /// By number of the message: lane, when, class.
    sent: BTreeMap<String, (usize, f64, String)>,
    /// By number of the request: lane of the client, when, what.
    asked: BTreeMap<String, (usize, f64, String)>,
}

impl Reader {
    fn read(&mut self, line: &str, drawing: &mut Drawing) {
        let Some(at) = moment(line) else { return };
        self.now = at.as_secs_f64() * 1_000.0;
        let mut words = line.split(' ').skip(1);
        let Some(who) = words.next() else { return };
        let rest: Vec<&str> = words.collect();
        if who == "-" {
            self.read_outside(&rest, drawing);
        } else if let Some((node, incarnation)) = who.split_once('.') {
            let Ok(node) = node.parse::<usize>() else { return };
            if (1..=drawing.lanes.len()).contains(&node) {
                self.read_node(node - 1, incarnation, &rest, drawing);
            }
        }
    }

    fn read_node(&mut self, lane: usize, life: &str, rest: &[&str], drawing: &mut Drawing) {
        match rest {
            ["start"] => drop(self.lives.insert(lane, (self.now, format!("life {life}")))),
            ["crash"] => {
                if let Some((since, life)) = self.lives.remove(&lane) {
                    drawing.spans.push((lane, since, self.now, "life", life));
                }
                drawing.marks.push((Some(lane), self.now, "crash".to_owned()));
            }
            ["send", number, _, class, ..] => {
                let sent = (lane, self.now, (*class).to_owned());
                self.sent.insert((*number).to_owned(), sent);
            }
            _ => {}
        }
    }

    fn read_outside(&mut self, rest: &[&str], drawing: &mut Drawing) {
        match rest {
            ["arrive", number, from, to] => self.arrive(number, from, to, drawing),
            ["fault", number, "begins:", what @ ..] => {
                self.faults.insert((*number).to_owned(), (self.now, what.join(" ")));
            }
            ["fault", number, "ends"] => {
                if let Some((since, what)) = self.faults.remove(*number) {
                    drawing.bands.push((None, since, self.now, format!("#{number} {what}")));
                }
            }
            ["ask", number, client, node, what @ ..] => {
                let lane = lane(drawing, &format!("client {client}"));
                let what = format!("{} to node {node}", what.join(" "));
                self.asked.insert((*number).to_owned(), (lane, self.now, what));
            }
            ["told", number, how @ ..] => {
                if let Some((lane, since, what)) = self.asked.remove(*number) {
                    let what = format!("{what}: {}", how.join(" "));
                    drawing.spans.push((lane, since, self.now, "request", what));
                }
            }
            ["failed" | "phase" | "up", ..] => {
                drawing.marks.push((None, self.now, rest.join(" ")));
            }
            _ => {}
        }
    }

    /// The first copy of a message, or the reply to it.
    fn arrive(&mut self, number: &str, from: &str, to: &str, drawing: &mut Drawing) {
        let Some((lane, since, class)) = self.sent.get(number) else { return };
        let (Ok(from), Ok(to)) = (from.parse::<usize>(), to.parse::<usize>()) else { return };
        let lanes = drawing.lanes.len();
        if from != lane + 1 || !(1..=lanes).contains(&to) {
            return;
        }
        drawing.arrows.push((*lane, *since, to - 1, self.now, class.clone()));
        self.sent.remove(number);
    }

    fn finish(self, drawing: &mut Drawing) {
        drawing.end = self.now;
        for (lane, (since, life)) in self.lives {
            drawing.spans.push((lane, since, self.now, "life", life));
        }
        for (number, (since, what)) in self.faults {
            drawing.bands.push((None, since, self.now, format!("#{number} {what}")));
        }
        for (_, (lane, since, what)) in self.asked {
            drawing.spans.push((lane, since, self.now, "request", format!("{what}: no answer")));
        }
    }
}

/// The lane of this name, made when it is new.
fn lane(drawing: &mut Drawing, name: &str) -> usize {
    let known = drawing.lanes.iter().position(|lane| lane == name);
    known.unwrap_or_else(|| {
        drawing.lanes.push(name.to_owned());
        drawing.lanes.len() - 1
    })
}
