//! Pushes and pulls of one blob, small enough to run fifty of: only one block of it is ever held.

use std::error::Error;

use sha2::{Digest, Sha256};

use crate::Outcome;
use crate::http::{Body, Client};

const BLOCK: usize = 256 << 10;
static BODY: [u8; BLOCK] = [0x5a; BLOCK];
/// Bytes at the end of each blob, which make it unlike others.
const LAST: usize = 8;
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
    let mut client = open(address)?;
    let location = asked(client.ask("POST", UPLOADS, 202))?.location;
    let body = Body { length: blob.size, ..Body::default() };
    let location = asked(client.give(("PATCH", &location), &body, blob.blocks(), 202))?.location;
    close(&mut client, &location, blob)
}

/// Pushes with a POST, a PATCH for each `chunk` bytes, and a closing PUT, each sent to the next of `addresses`.
pub(in crate::test_all) fn push_in_turns(addresses: &[&str], blob: &Blob, chunk: u64) -> Result<(), Failure> {
    let mut turns = addresses.iter().cycle();
    let mut next = || turns.next().map_or(Err("no address".into()), |address| open(address));
    let mut location = asked(next()?.ask("POST", UPLOADS, 202))?.location;
    let content: Vec<u8> = blob.blocks().flatten().copied().collect();
    for piece in content.chunks(usize::try_from(chunk)?) {
        let body = Body { length: piece.len() as u64, ..Body::default() };
        location = asked(next()?.give(("PATCH", &location), &body, [piece], 202))?.location;
    }
    close(&mut next()?, &location, blob)
}

/// Pulls and verifies.
pub(in crate::test_all) fn pull(address: &str, blob: &Blob) -> Result<(), Failure> {
    let mut hash = Sha256::new();
    let target = format!("/v2/load/blobs/sha256:{}", blob.digest);
    asked(open(address)?.get_into(&target, 200, &mut |piece| hash.update(piece)))?;
    if hex(&hash.finalize()) == blob.digest { Ok(()) } else { Err("the blob came back changed".into()) }
}

fn close(client: &mut Client, location: &str, blob: &Blob) -> Result<(), Failure> {
    let separator = if location.contains('?') { '&' } else { '?' };
    asked(client.ask("PUT", &format!("{location}{separator}digest=sha256:{}", blob.digest), 201)).map(drop)
}

fn open(address: &str) -> Result<Client, Failure> {
    asked(Client::open(address))
}

/// What went wrong, so that another thread can tell it.
fn asked<T>(outcome: Outcome<T>) -> Result<T, Failure> {
    outcome.map_err(|problem| problem.to_string().into())
}
