//! What the server holds: objects and unfinished uploads, in memory, under one lock.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher};
use std::time::SystemTime;

use bytes::Bytes;

/// One object: its bytes as they were uploaded, which are shared and never copied.
#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) etag: String,
    pub(crate) modified: SystemTime,
}

#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) content: Vec<Bytes>,
    pub(crate) etag: String,
}

pub(crate) struct Upload {
    pub(crate) key: String,
    pub(crate) begun: SystemTime,
    pub(crate) parts: BTreeMap<i32, Part>,
}

#[derive(Default)]
pub(crate) struct Bucket {
    pub(crate) objects: BTreeMap<String, Object>,
    pub(crate) uploads: HashMap<String, Upload>,
    uploads_begun: u64,
}

impl Object {
    pub(crate) fn new(pieces: Vec<Bytes>, etag: String) -> Self {
        Object { pieces, etag, modified: SystemTime::now() }
    }

    pub(crate) fn size(&self) -> u64 {
        size(&self.pieces)
    }

    /// The bytes from `start` to `end`.
    pub(crate) fn slice(&self, start: u64, end: u64) -> Vec<Bytes> {
        let (mut slices, mut at) = (Vec::new(), 0);
        for piece in &self.pieces {
            let next = at + piece.len() as u64;
            let (from, to) = (start.clamp(at, next), end.clamp(at, next));
            if from < to {
                slices.push(piece.slice((from - at) as usize..(to - at) as usize));
            }
            at = next;
        }
        slices
    }
}

impl Bucket {
    pub(crate) fn begin(&mut self, key: &str) -> String {
        self.uploads_begun += 1;
        let id = format!("upload-{}", self.uploads_begun);
        self.uploads
            .insert(id.clone(), Upload { key: key.to_owned(), begun: SystemTime::now(), parts: BTreeMap::new() });
        id
    }

    pub(crate) fn upload(&mut self, id: &str, key: &str) -> Option<&mut Upload> {
        self.uploads.get_mut(id).filter(|upload| upload.key == key)
    }
}

pub(crate) fn size(pieces: &[Bytes]) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}

/// Alike for equal bytes, and no MD5: nobody may rely on that.
pub(crate) fn etag(pieces: &[Bytes]) -> String {
    let mut hashers = [DefaultHasher::new(), DefaultHasher::new()];
    hashers[1].write_u8(1);
    for piece in pieces {
        hashers.iter_mut().for_each(|hasher| hasher.write(piece));
    }
    format!("{:016x}{:016x}", hashers[0].finish(), hashers[1].finish())
}
