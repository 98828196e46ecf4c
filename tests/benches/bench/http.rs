//! The cheapest HTTP client that there can be: one connection, requests that were written before
//! the clock runs, one write and as many reads as the answer needs. What a library does on top would
//! be measured with the server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::Failure;

/// How long an answer may take; a load of everything is the longest.
const PATIENCE: Duration = Duration::from_secs(900);
/// Bytes that are read at once.
const READ: usize = 64 << 10;

/// A connection that is kept.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Result<Json, Failure> {
        Ok(serde_json::from_slice(&self.body)?)
    }

    /// The body of a success.
    pub(crate) fn success(self) -> Result<Json, Failure> {
        if (200..300).contains(&self.status) {
            return self.json();
        }
        let text = String::from_utf8_lossy(&self.body).into_owned();
        Err(format!("status {}: {text}", self.status).into())
    }
}

/// A whole request, as it goes over the wire.
pub(crate) fn post(path: &str, token: &str, body: &Json) -> Vec<u8> {
    let body = body.to_string();
    let mut request = head(path, token, "application/json", body.len() as u64);
    request.extend_from_slice(body.as_bytes());
    request
}

/// A request without a body.
pub(crate) fn bare(method: &str, path: &str, token: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n")
        .into_bytes()
}

/// All of a request but its body.
pub(crate) fn head(path: &str, token: &str, media_type: &str, length: u64) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n"
    )
    .into_bytes()
}

impl Client {
    pub(crate) fn connect(address: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(READ),
        })
    }

    /// Sends a request and reads its answer; how long both took, in nanoseconds.
    pub(crate) fn timed(&mut self, request: &[u8]) -> Result<(u64, Answer), Failure> {
        let begun = Instant::now();
        let answer = self.exchange(request)?;
        Ok((u64::try_from(begun.elapsed().as_nanos())?, answer))
    }

    /// Sends a request and reads its answer.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Result<Answer, Failure> {
        self.send(request)?;
        self.answer()
    }

    /// Sends a part of a request.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Reads an answer.
    pub(crate) fn answer(&mut self) -> Result<Answer, Failure> {
        self.buffer.clear();
        let mut body_at = None;
        let mut chunk = [0_u8; READ];
        loop {
            if let Some((at, length)) = body_at
                && self.buffer.len() >= at + length
            {
                return Ok(Answer {
                    status: status(&self.buffer)?,
                    body: self.buffer[at..at + length].to_vec(),
                });
            }
            let read = self.stream.read(&mut chunk)?;
            if read == 0 {
                return Err("the server closed the connection".into());
            }
            self.buffer.extend_from_slice(&chunk[..read]);
            if body_at.is_none() {
                body_at = body(&self.buffer)?;
            }
        }
    }
}

fn status(head: &[u8]) -> Result<u16, Failure> {
    let text = head.get(9..12).ok_or("an answer without a status")?;
    Ok(std::str::from_utf8(text)?.parse()?)
}

/// Where the body begins and how long it is, once the head is whole.
fn body(bytes: &[u8]) -> Result<Option<(usize, usize)>, Failure> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    for line in std::str::from_utf8(&bytes[..end])?.lines() {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            return Ok(Some((end + 4, value.trim().parse()?)));
        }
    }
    Err("an answer without a length: the benchmark reads no chunks".into())
}
