//! A client small enough to run fifty of: it pushes and pulls one blob over HTTP/1.1 and holds only one block of it.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use sha2::{Digest, Sha256};

const BLOCK: usize = 256 << 10;
static BODY: [u8; BLOCK] = [0x5a; BLOCK];
/// Bytes at the end of each blob, which make it unlike others.
const LAST: usize = 8;
const PATIENCE: Duration = Duration::from_secs(300);
const UPLOADS: &str = "/v2/load/blobs/uploads/";

pub(in crate::test_all) type Failure = Box<dyn Error + Send + Sync>;

/// Content that is made as it is read: one block over and over, and at the end a number that makes it unlike others.
pub(in crate::test_all) struct Blob {
    last: [u8; LAST],
    size: u64,
    digest: String,
}

impl Blob {
    pub(in crate::test_all) fn new(number: u64, size: u64) -> Self {
        let mut blob = Blob { last: number.to_be_bytes(), size, digest: String::new() };
        let mut hash = Sha256::new();
        for block in blob.blocks() {
            hash.update(block);
        }
        blob.digest = hex(&hash.finalize());
        blob
    }

    /// All of the content, block by block.
    fn blocks(&self) -> impl Iterator<Item = &[u8]> {
        let body = self.size.saturating_sub(LAST as u64);
        let whole = std::iter::repeat_n(BODY.as_slice(), (body / BLOCK as u64) as usize);
        let rest = &BODY[..(body % BLOCK as u64) as usize];
        whole.chain([rest, self.last.as_slice()])
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Pushes with a POST and one PATCH of the whole content, as docker does, and a closing PUT.
pub(in crate::test_all) fn push(address: &str, blob: &Blob) -> Result<(), Failure> {
    let mut connection = Connection::open(address)?;
    connection.send(&format!("POST {UPLOADS}"), 0)?;
    let location = connection.answer(202)?.location;
    connection.send(&format!("PATCH {location}"), blob.size)?;
    for block in blob.blocks() {
        connection.stream.get_mut().write_all(block)?;
    }
    let location = connection.answer(202)?.location;
    connection.close(&location, blob)
}

/// Pushes with a POST, a PATCH for each `chunk` bytes, and a closing PUT, each sent to the next of `addresses`.
pub(in crate::test_all) fn push_in_turns(addresses: &[&str], blob: &Blob, chunk: u64) -> Result<(), Failure> {
    let mut turns = addresses.iter().cycle();
    let mut next = || turns.next().map_or(Err("no address".into()), |address| Connection::open(address));
    let mut connection = next()?;
    connection.send(&format!("POST {UPLOADS}"), 0)?;
    let mut location = connection.answer(202)?.location;
    let content: Vec<u8> = blob.blocks().flatten().copied().collect();
    for piece in content.chunks(usize::try_from(chunk)?) {
        connection = next()?;
        connection.send(&format!("PATCH {location}"), piece.len() as u64)?;
        connection.stream.get_mut().write_all(piece)?;
        location = connection.answer(202)?.location;
    }
    next()?.close(&location, blob)
}

/// Pulls and verifies.
pub(in crate::test_all) fn pull(address: &str, blob: &Blob) -> Result<(), Failure> {
    let mut connection = Connection::open(address)?;
    connection.send(&format!("GET /v2/load/blobs/sha256:{}", blob.digest), 0)?;
    let mut left = connection.answer(200)?.length;
    let (mut hash, mut block) = (Sha256::new(), vec![0; BLOCK]);
    while left > 0 {
        let most = left.min(BLOCK as u64) as usize;
        let got = connection.stream.read(&mut block[..most])?;
        if got == 0 {
            return Err(format!("the connection ended {left} bytes before the blob").into());
        }
        hash.update(&block[..got]);
        left -= got as u64;
    }
    if hex(&hash.finalize()) == blob.digest { Ok(()) } else { Err("the blob came back changed".into()) }
}

struct Connection {
    stream: BufReader<TcpStream>,
}

/// What a client needs of the head of a response.
struct Head {
    location: String,
    length: u64,
}

impl Connection {
    fn open(address: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection { stream: BufReader::with_capacity(BLOCK, stream) })
    }

    fn send(&mut self, method_and_target: &str, length: u64) -> Result<(), Failure> {
        let head = format!("{method_and_target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
        Ok(self.stream.get_mut().write_all(head.as_bytes())?)
    }

    fn close(&mut self, location: &str, blob: &Blob) -> Result<(), Failure> {
        let separator = if location.contains('?') { '&' } else { '?' };
        self.send(&format!("PUT {location}{separator}digest=sha256:{}", blob.digest), 0)?;
        self.answer(201).map(drop)
    }

    /// Reads the head of a response with an expected status, and the body with it where that is not a blob.
    fn answer(&mut self, status: u16) -> Result<Head, Failure> {
        let first = self.line()?;
        let mut head = Head { location: String::new(), length: 0 };
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "location" => head.location = value.trim().to_owned(),
                "content-length" => head.length = value.trim().parse()?,
                _ => {}
            }
        }
        if first.split(' ').nth(1) == Some(status.to_string().as_str()) { Ok(head) } else { Err(first.into()) }
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}
