//! As much of HTTP/1.1 as timing a GET needs: one connection, kept open.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::failure::Failure;

use super::row::Figure;

pub(crate) struct Connection {
    reader: BufReader<TcpStream>,
    host: String,
    token: String,
}

impl Connection {
    /// To an address like `http://127.0.0.1:8000`.
    pub(crate) fn open(url: &str, token: &str) -> Result<Self, Failure> {
        let host = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/').to_owned();
        let connect = || {
            let stream = TcpStream::connect(&host)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            Ok(stream)
        };
        let stream = connect().map_err(Failure::io(format!("connecting to {url}")))?;
        Ok(Self { reader: BufReader::new(stream), host, token: token.to_owned() })
    }

    /// The JSON at `path`.
    pub(crate) fn get(&mut self, path: &str) -> Result<Value, Failure> {
        self.ask("GET", path, "")
    }

    /// What a JSON body sent to `path` is answered with.
    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask("POST", path, &body.to_string())
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<Value, Failure> {
        let answer = self.exchange(method, path, body)?;
        serde_json::from_slice(&answer.body).map_err(|_| answer.failure(method, path))
    }

    /// What a request is answered with, when that is a success.
    fn exchange(&mut self, method: &str, path: &str, body: &str) -> Result<Answer, Failure> {
        let (host, token, length) = (&self.host, &self.token, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let answer = self
            .reader
            .get_mut()
            .write_all(request.as_bytes())
            .and_then(|()| read_answer(&mut self.reader))
            .map_err(Failure::io(format!("{method} {path}")))?;
        match answer.status {
            200..300 => Ok(answer),
            _ => Err(answer.failure(method, path)),
        }
    }

    /// The seconds within which 99 of 100 of `count` GETs were answered, to the last byte.
    pub(crate) fn p99(&mut self, path: &str, count: usize) -> Result<Figure, Failure> {
        let mut seconds = Vec::with_capacity(count);
        for _ in 0..count {
            let start = Instant::now();
            self.exchange("GET", path, "")?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        Ok(Figure::Seconds(seconds[(count * 99 / 100).min(count - 1)]))
    }
}

struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Answer {
    fn failure(&self, method: &str, path: &str) -> Failure {
        let body = String::from_utf8_lossy(&self.body);
        Failure::Answer {
            from: format!("{method} {path}"),
            wanted: "success and JSON",
            got: format!("{} {}", self.status, body.chars().take(300).collect::<String>()),
        }
    }
}

fn read_answer(reader: &mut impl BufRead) -> std::io::Result<Answer> {
    let first = read_line(reader)?;
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
    let (mut length, mut chunked) = (0, false);
    loop {
        let line = read_line(reader)?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
        chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
    }
    let mut body = Vec::new();
    if !chunked {
        reader.take(length).read_to_end(&mut body)?;
        return Ok(Answer { status, body });
    }
    loop {
        let size = u64::from_str_radix(&read_line(reader)?, 16).unwrap_or_default();
        reader.take(size).read_to_end(&mut body)?;
        read_line(reader)?;
        if size == 0 {
            return Ok(Answer { status, body });
        }
    }
}

fn read_line(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Vec<u8> {
        let answer = read_answer(&mut text.as_bytes()).expect("it is complete");
        assert_eq!(answer.status, 200);
        answer.body
    }

    #[test]
    fn both_framings_are_read() {
        assert_eq!(body("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), b"{}");
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                       1\r\n{\r\n1\r\n}\r\n0\r\n\r\n";
        assert_eq!(body(chunked), b"{}");
    }
}
