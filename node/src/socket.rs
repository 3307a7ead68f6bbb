//! Commands that ask a running node, through the private socket in its data directory.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{Args, Subcommand};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use crate::outcome::{Exit, Failure, exit_of};
use crate::serve::SOCKET;

/// Where the running node's data is.
#[derive(Debug, Clone, Args)]
pub(crate) struct At {
    /// The data directory of the running node
    #[arg(
        long = "data-dir",
        value_name = "DIR",
        default_value = "scaidrive-data",
        env = "SCAIDRIVE_DATA_DIR"
    )]
    data_dir: PathBuf,
    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// `scaidrived token`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  scaidrive login http://127.0.0.1:8000 --token \
                        \"$(scaidrived token --user ann@example.com --create)\"")]
pub(crate) struct Token {
    /// Whose token it is
    #[arg(long, value_name = "EMAIL")]
    user: String,
    /// The user's tenant, by id or name; the first one without it
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// What it allows at most; without it all that the user's role allows
    #[arg(long, value_name = "SCOPES")]
    scope: Option<String>,
    /// How long it is good for, such as 30m, 1h, 7d
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = span)]
    ttl: u64,
    /// Make the user when there is none
    #[arg(long)]
    create: bool,
    #[command(flatten)]
    at: At,
}

/// `scaidrived user`
#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Make a user; the password is read from standard input, or made and printed
    Add {
        email: String,
        /// The name that others see
        #[arg(long)]
        name: Option<String>,
        /// What the user may administer
        #[arg(long, value_parser = ["tenant_admin", "partner_admin", "super_admin"])]
        role: Option<String>,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        at: At,
    },
    /// List users
    List {
        #[command(flatten)]
        at: At,
    },
    /// Say what a user may administer
    Role {
        email: String,
        /// Nothing without it
        #[arg(value_parser = ["tenant_admin", "partner_admin", "super_admin"])]
        role: Option<String>,
        #[command(flatten)]
        at: At,
    },
    /// Set a password, read from standard input, or made and printed
    Passwd {
        email: String,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        at: At,
    },
}

/// `scaidrived tenant`
#[derive(Debug, Subcommand)]
pub(crate) enum Tenant {
    /// Make a tenant
    Add {
        name: String,
        /// The partner it belongs to; the first one without it
        #[arg(long, value_name = "ID")]
        partner: Option<String>,
        #[command(flatten)]
        at: At,
    },
    /// List tenants
    List {
        #[command(flatten)]
        at: At,
    },
}

/// `scaidrived partner`
#[derive(Debug, Subcommand)]
pub(crate) enum Partner {
    /// Make a partner
    Add {
        name: String,
        #[command(flatten)]
        at: At,
    },
    /// List partners
    List {
        #[command(flatten)]
        at: At,
    },
}

/// A span as people write it, in seconds.
pub(crate) fn span(text: &str) -> Result<u64, String> {
    let (number, unit) =
        text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err("a span is a number and s, m, h or d, such as 30m".to_owned()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    seconds
        .filter(|seconds| (1..=30 * 86_400).contains(seconds))
        .ok_or_else(|| "a span is from 1s to 30d".to_owned())
}

pub(crate) fn token(token: &Token) -> Result<(), Failure> {
    let answer = token.at.ask(
        "POST",
        "/token",
        Some(json!({
            "user": token.user,
            "tenant": token.tenant,
            "scope": token.scope,
            "ttl_seconds": token.ttl,
            "create": token.create,
        })),
    )?;
    if token.at.json {
        return print_json(&answer);
    }
    print_line(answer["access_token"].as_str().unwrap_or_default())
}

pub(crate) fn user(user: &User) -> Result<(), Failure> {
    match user {
        User::Add { email, name, role, password_stdin, at } => {
            let body = json!({
                "email": email,
                "name": name,
                "admin_role": role,
                "password": password(*password_stdin)?,
            });
            let answer = at.ask("POST", "/users", Some(body))?;
            told(at, &answer, &["id", "password"])
        }
        User::List { at } => {
            let answer = at.ask("GET", "/users", None)?;
            listed(at, &answer["users"], &["id", "email", "status", "admin_role"])
        }
        User::Role { email, role, at } => {
            let body = json!({ "user": email, "admin_role": role });
            let answer = at.ask("POST", "/users/role", Some(body))?;
            told(at, &answer, &["id", "email", "admin_role"])
        }
        User::Passwd { email, password_stdin, at } => {
            let body = json!({ "user": email, "password": password(*password_stdin)? });
            let answer = at.ask("POST", "/users/passwd", Some(body))?;
            told(at, &answer, &["password"])
        }
    }
}

pub(crate) fn tenant(tenant: &Tenant) -> Result<(), Failure> {
    match tenant {
        Tenant::Add { name, partner, at } => {
            let body = json!({ "name": name, "partner": partner });
            let answer = at.ask("POST", "/tenants", Some(body))?;
            told(at, &answer, &["id"])
        }
        Tenant::List { at } => {
            let answer = at.ask("GET", "/tenants", None)?;
            listed(at, &answer["tenants"], &["id", "name", "status"])
        }
    }
}

pub(crate) fn partner(partner: &Partner) -> Result<(), Failure> {
    match partner {
        Partner::Add { name, at } => {
            let answer = at.ask("POST", "/partners", Some(json!({ "name": name })))?;
            told(at, &answer, &["id"])
        }
        Partner::List { at } => {
            let answer = at.ask("GET", "/partners", None)?;
            listed(at, &answer["partners"], &["id", "name", "status"])
        }
    }
}

/// The password on standard input's first line, where it was asked for.
fn password(from_stdin: bool) -> Result<Option<String>, Failure> {
    if !from_stdin {
        return Ok(None);
    }
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|error| Failure::because("reading the password", &error))?;
    let password = line.trim_end_matches(['\r', '\n']).to_owned();
    if password.is_empty() {
        return Err(Failure::new(Exit::Usage, "the password on standard input is empty"));
    }
    Ok(Some(password))
}

fn told(at: &At, answer: &Value, fields: &[&str]) -> Result<(), Failure> {
    if at.json { print_json(answer) } else { print_line(&row(answer, fields)) }
}

fn listed(at: &At, items: &Value, fields: &[&str]) -> Result<(), Failure> {
    if at.json {
        return print_json(items);
    }
    for item in items.as_array().into_iter().flatten() {
        print_line(&row(item, fields))?;
    }
    Ok(())
}

fn row(item: &Value, fields: &[&str]) -> String {
    let texts = fields.iter().filter_map(|field| match &item[*field] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        value => Some(value.to_string()),
    });
    texts.collect::<Vec<_>>().join("  ")
}

pub(crate) fn print_json(value: &Value) -> Result<(), Failure> {
    print_line(&value.to_string())
}

/// One line on standard output. A reader that went away is no failure.
pub(crate) fn print_line(line: &str) -> Result<(), Failure> {
    use std::io::Write;
    let written = writeln!(std::io::stdout().lock(), "{line}");
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::because("writing to standard output", &error))
        }
        _ => Ok(()),
    }
}

/// The largest answer of the private socket that is read.
const ANSWER_MAX: usize = 64 << 20;

impl At {
    /// Asks the running node.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::because("starting", &error))?;
        runtime.block_on(self.ask_now(method, path, body))
    }

    /// The same within a runtime.
    pub(crate) async fn ask_now(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, Failure> {
        let mut bytes = Vec::new();
        let mut take = |part: &[u8]| {
            bytes.extend_from_slice(part);
            if bytes.len() > ANSWER_MAX {
                return Err(Failure::new(Exit::Failed, "the node's answer is too long"));
            }
            Ok(())
        };
        self.stream(method, path, body, &mut take).await?;
        Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Asks the running node, and takes its answer piece by piece.
    pub(crate) async fn stream(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
        take: Take<'_>,
    ) -> Result<(), Failure> {
        exchange(&self.data_dir.join(SOCKET), method, path, body, take).await
    }
}

/// Takes the next bytes of an answer.
type Take<'a> = &'a mut (dyn FnMut(&[u8]) -> Result<(), Failure> + Send);

async fn exchange(
    socket: &Path,
    method: &str,
    path: &str,
    body: Option<Value>,
    take: Take<'_>,
) -> Result<(), Failure> {
    let stream = tokio::net::UnixStream::connect(socket).await.map_err(|error| {
        Failure::because(&format!("no node answers at {}", socket.display()), &error)
            .exit(Exit::Unavailable)
            .hint("start one with `scaidrived`, or name its data directory with --data-dir")
    })?;
    let broken =
        |error: hyper::Error| Failure::because("asking the node", &error).exit(Exit::Unavailable);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "node")
        .header("content-type", "application/json")
        .body(Full::new(body))
        .map_err(|error| Failure::because("asking the node", &error))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let mut refusal = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(bytes) = frame.map_err(broken)?.into_data() else { continue };
            match (200..300).contains(&status) {
                true => take(&bytes)?,
                false if refusal.len() < ANSWER_MAX => refusal.extend_from_slice(&bytes),
                false => {}
            }
        }
        Ok((status, refusal))
    };
    let (status, body) = tokio::select! {
        answer = exchange => answer?,
        ended = connection => {
            ended.map_err(broken)?;
            return Err(Failure::new(Exit::Unavailable, "the node hung up"));
        }
    };
    if (200..300).contains(&status) {
        return Ok(());
    }
    let answer: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let message = match &answer["detail"] {
        Value::String(sentence) => sentence.clone(),
        Value::Array(fields) => {
            let told = fields.iter().filter_map(|field| field["msg"].as_str());
            told.collect::<Vec<_>>().join("; ")
        }
        _ => format!("the node answered with status {status}"),
    };
    Err(Failure::new(exit_of(status), message))
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn spans_as_people_write_them() {
        for (text, seconds) in
            [("90", 90), ("90s", 90), ("30m", 1_800), ("1h", 3_600), ("7d", 604_800)]
        {
            assert_eq!(span(text), Ok(seconds));
        }
        for text in ["", "h", "1w", "0s", "31d", "99999999999999999999d", "-1h"] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
