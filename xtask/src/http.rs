//! A client of HTTP/1.1 that costs little beside the registry it asks: one connection, kept, and bodies that nobody keeps.
//!
//! It knows nothing of registries but how they say where an upload goes on.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::Outcome;

const BLOCK: usize = 256 << 10;
/// Fifty clients at once may wait for the disk.
const PATIENCE: Duration = Duration::from_secs(300);
/// Some registries have no OCI manifest for a client that does not ask for one.
const ACCEPT: &[u8] =
    b"Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*\r\n";

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    host: String,
    block: Vec<u8>,
}

/// What is sent beside the method and the target.
#[derive(Default)]
pub(crate) struct Body<'a> {
    pub(crate) length: u64,
    pub(crate) content_type: Option<&'a str>,
    /// The first and the last byte of a chunk.
    pub(crate) range: Option<(u64, u64)>,
}

/// What came back, but for its body.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// A path of the same registry.
    pub(crate) location: String,
    /// The bytes of the body.
    pub(crate) length: u64,
    chunked: bool,
}

impl Client {
    pub(crate) fn open(address: &str) -> Outcome<Self> {
        let stream = TcpStream::connect(address).map_err(|problem| format!("{address}: {problem}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let stream = BufReader::with_capacity(16 << 10, stream);
        Ok(Client { stream, host: address.to_owned(), block: vec![0; BLOCK] })
    }

    pub(crate) fn get(&mut self, target: &str, expected: u16) -> Outcome<Answer> {
        self.ask("GET", target, expected)
    }

    /// Shows `see` the content, piece by piece.
    pub(crate) fn get_into(&mut self, target: &str, expected: u16, see: &mut dyn FnMut(&[u8])) -> Outcome<Answer> {
        self.send("GET", target, &Body::default(), &[&[]])?;
        self.answer("GET", target, expected, see)
    }

    /// A request without a body.
    pub(crate) fn ask(&mut self, method: &str, target: &str, expected: u16) -> Outcome<Answer> {
        self.send(method, target, &Body::default(), &[&[]])?;
        self.answer(method, target, expected, &mut |_| ())
    }

    /// A request with a body in pieces.
    pub(crate) fn give<'a>(
        &mut self,
        (method, target): (&str, &str),
        body: &Body<'_>,
        pieces: impl IntoIterator<Item = &'a [u8]>,
        expected: u16,
    ) -> Outcome<Answer> {
        let pieces: Vec<&[u8]> = pieces.into_iter().collect();
        self.send(method, target, body, &pieces)?;
        self.answer(method, target, expected, &mut |_| ())
    }

    /// The head goes with the first piece, so that what is small is one packet.
    fn send(&mut self, method: &str, target: &str, body: &Body<'_>, pieces: &[&[u8]]) -> Outcome {
        let mut first = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.host).into_bytes();
        match method {
            "GET" | "HEAD" => first.extend_from_slice(ACCEPT),
            _ => write!(first, "Content-Length: {}\r\n", body.length)?,
        }
        if let Some(content_type) = body.content_type {
            write!(first, "Content-Type: {content_type}\r\n")?;
        }
        if let Some((begin, end)) = body.range {
            write!(first, "Content-Range: {begin}-{end}\r\n")?;
        }
        first.extend_from_slice(b"\r\n");
        let (beginning, rest) = pieces.split_at(pieces.len().min(1));
        first.extend_from_slice(&beginning.concat());
        let stream = self.stream.get_mut();
        stream.write_all(&first)?;
        Ok(rest.iter().try_for_each(|piece| stream.write_all(piece))?)
    }

    fn answer(&mut self, method: &str, target: &str, expected: u16, see: &mut dyn FnMut(&[u8])) -> Outcome<Answer> {
        let mut answer = self.head()?;
        if method != "HEAD" {
            answer.length = if answer.chunked { self.chunks(see)? } else { self.bytes(answer.length, see)? };
        }
        match answer.status == expected {
            true => Ok(answer),
            false => Err(format!("{method} {target}: {} instead of {expected}", answer.status).into()),
        }
    }

    fn head(&mut self) -> Outcome<Answer> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut answer = Answer { status: status.ok_or(format!("no answer: {first:?}"))?, ..Answer::default() };
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { return Ok(answer) };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "location" => answer.location = path_of(value).to_owned(),
                "content-length" => answer.length = value.parse()?,
                "transfer-encoding" => answer.chunked = value.eq_ignore_ascii_case("chunked"),
                _ => {}
            }
        }
    }

    fn chunks(&mut self, see: &mut dyn FnMut(&[u8])) -> Outcome<u64> {
        let mut total = 0;
        loop {
            let size = u64::from_str_radix(self.line()?.split(';').next().unwrap_or_default(), 16)?;
            total += self.bytes(size, see)?;
            self.line()?;
            if size == 0 {
                return Ok(total);
            }
        }
    }

    fn bytes(&mut self, length: u64, see: &mut dyn FnMut(&[u8])) -> Outcome<u64> {
        let mut left = length;
        while left > 0 {
            let most = left.min(BLOCK as u64) as usize;
            match self.stream.read(&mut self.block[..most])? {
                0 => return Err(format!("the connection ended {left} bytes before the body").into()),
                got => {
                    see(self.block.get(..got).unwrap_or_default());
                    left -= got as u64;
                }
            }
        }
        Ok(length)
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

/// The path and the query of a URL, which may be no more than that.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("/", |begin| &rest[begin..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_goes_on_at_the_same_registry() {
        for url in ["/v2/a?b=c", "http://127.0.0.1:5000/v2/a?b=c"] {
            assert_eq!(path_of(url), "/v2/a?b=c");
        }
    }
}
