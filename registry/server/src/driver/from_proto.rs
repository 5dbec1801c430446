//! From the wire to types of our own. Messages are taken apart whole, so that a new field must be decided upon here.
//!
//! A driver is not trusted to keep to the protocol: what makes no sense becomes a fault and goes no further.

use std::time::SystemTime;

use prost_types::Timestamp;
use storagedriver_proto::limits::{CHUNK_MAX, GRANULARITY_MAX, INLINE_MAX, PAGE_MAX, VERSION_MAX};
use storagedriver_proto::v1alpha1::{self as wire, list_response, walk_response};
use storagedriver_proto::{Path, v1alpha1::capabilities::Durability as WireDurability};

use super::answers::{Capabilities, Durability, Info, ListEntry, ListPage, WalkEntry};
use super::error::Fault;

/// The info of a content that can be read again by its version.
pub(super) fn content_info(info: Option<wire::Info>) -> Result<Info, Fault> {
    let info = any_info(info)?;
    if info.is_prefix || info.version.is_empty() {
        return Err(Fault::nonsense("content has a version and is no prefix"));
    }
    Ok(info)
}

/// The info of content or of a prefix.
pub(super) fn any_info(info: Option<wire::Info>) -> Result<Info, Fault> {
    let Some(wire::Info { size, modified, version, is_prefix }) = info else {
        return Err(Fault::nonsense("an info is missing"));
    };
    if version.len() > VERSION_MAX {
        return Err(Fault::nonsense(format!("a version of {} bytes", version.len())));
    }
    if is_prefix {
        return Ok(Info { size: 0, modified: SystemTime::UNIX_EPOCH, version: String::new(), is_prefix });
    }
    Ok(Info { size, modified: time(modified)?, version, is_prefix })
}

fn time(timestamp: Option<Timestamp>) -> Result<SystemTime, Fault> {
    let timestamp = timestamp.ok_or_else(|| Fault::nonsense("content without a time of its last change"))?;
    SystemTime::try_from(timestamp).map_err(|_| Fault::nonsense("a time out of range"))
}

pub(super) fn capabilities(answer: wire::ConfigureResponse) -> Result<Capabilities, Fault> {
    let wire::ConfigureResponse { capabilities } = answer;
    let capabilities = capabilities.ok_or_else(|| Fault::nonsense("Configure answered no capabilities"))?;
    let durability = durability(capabilities.durability());
    // `if_absent` is not asked for: correctness never rests on a back end's conditional write.
    let wire::Capabilities {
        durability: _,
        granularity,
        shared,
        read_only,
        if_absent: _,
        redirect,
        commit_copies,
        descriptors,
        write_descriptors,
    } = capabilities;
    if granularity > GRANULARITY_MAX {
        return Err(Fault::nonsense(format!("a granularity of {granularity} bytes; {GRANULARITY_MAX} is the most")));
    }
    let granularity = granularity.max(1);
    Ok(Capabilities {
        durability,
        granularity,
        shared,
        read_only,
        redirect,
        commit_copies,
        descriptors,
        write_descriptors,
    })
}

fn durability(durability: WireDurability) -> Durability {
    match durability {
        WireDurability::Unspecified | WireDurability::Volatile => Durability::Volatile,
        WireDurability::Process => Durability::Process,
        WireDurability::Power => Durability::Power,
    }
}

/// A small content, whole.
pub(super) fn small_content(answer: wire::GetResponse) -> Result<bytes::Bytes, Fault> {
    let wire::GetResponse { info, content } = answer;
    let info = content_info(info)?;
    if content.len() > INLINE_MAX || content.len() as u64 != info.size {
        return Err(Fault::nonsense(format!("{} bytes of content said to be {}", content.len(), info.size)));
    }
    Ok(content)
}

/// The data of one message of a read, of which `expected` bytes may still come.
pub(super) fn chunk(data: bytes::Bytes, expected: u64) -> Result<bytes::Bytes, Fault> {
    if data.len() > CHUNK_MAX || data.len() as u64 > expected {
        return Err(Fault::nonsense(format!("{} bytes where at most {expected} were left to read", data.len())));
    }
    Ok(data)
}

/// A page of names that go on, in order, after `start_after`.
pub(super) fn list_page(answer: wire::ListResponse, start_after: &str) -> Result<ListPage, Fault> {
    let wire::ListResponse { entries, more } = answer;
    if entries.len() > PAGE_MAX || (entries.is_empty() && more) {
        return Err(Fault::nonsense(format!("a page of {} names with more to follow", entries.len())));
    }
    let entries = entries.into_iter().map(list_entry).collect::<Result<Vec<_>, Fault>>()?;
    let names = entries.iter().map(|entry| entry.name.as_str());
    if !std::iter::once(start_after).chain(names).is_sorted_by(|earlier, later| earlier < later) {
        return Err(Fault::nonsense("names are not in order"));
    }
    Ok(ListPage { entries, more })
}

fn list_entry(entry: list_response::Entry) -> Result<ListEntry, Fault> {
    let list_response::Entry { name, info } = entry;
    if Path::root().join(&name).is_err() || name.contains('/') {
        return Err(Fault::nonsense("a listed name is not a path component"));
    }
    Ok(ListEntry { name, info: any_info(info)? })
}

/// Entries below `below` that go on, in order, after `after`.
pub(super) fn walk_entries(
    answer: wire::WalkResponse,
    below: &Path,
    after: Option<&Path>,
) -> Result<Vec<WalkEntry>, Fault> {
    let wire::WalkResponse { entries } = answer;
    if entries.len() > PAGE_MAX {
        return Err(Fault::nonsense(format!("{} entries in one message", entries.len())));
    }
    let entries = entries.into_iter().map(|entry| walk_entry(entry, below)).collect::<Result<Vec<_>, Fault>>()?;
    let paths = entries.iter().map(|entry| &entry.path);
    if !after.into_iter().chain(paths).is_sorted_by(|earlier, later| earlier < later) {
        return Err(Fault::nonsense("walked paths are not in order"));
    }
    Ok(entries)
}

fn walk_entry(entry: walk_response::Entry, below: &Path) -> Result<WalkEntry, Fault> {
    let walk_response::Entry { path, info } = entry;
    let path = Path::parse(&path).map_err(|_| Fault::nonsense("a walked path is not a path"))?;
    let info = any_info(info)?;
    if !path.is_below(below) || info.is_prefix {
        return Err(Fault::nonsense(format!("a walk below {below} found {path}")));
    }
    Ok(WalkEntry { path, info })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(size: u64) -> Option<wire::Info> {
        Some(wire::Info { size, modified: Some(Timestamp::default()), version: "v".to_owned(), is_prefix: false })
    }

    fn page(names: &[&str], more: bool) -> wire::ListResponse {
        let entry = |name: &&str| list_response::Entry { name: (*name).to_owned(), info: info(1) };
        wire::ListResponse { entries: names.iter().map(entry).collect(), more }
    }

    fn walked(paths: &[&str]) -> wire::WalkResponse {
        let entry = |path: &&str| walk_response::Entry { path: (*path).to_owned(), info: info(1) };
        wire::WalkResponse { entries: paths.iter().map(entry).collect() }
    }

    #[test]
    fn infos_are_whole_or_refused() {
        assert!(content_info(info(3)).is_ok());
        assert!(content_info(None).is_err());
        let whole = info(3).unwrap();
        let rows = [
            wire::Info { version: String::new(), ..whole.clone() },
            wire::Info { version: "v".repeat(257), ..whole.clone() },
            wire::Info { modified: None, ..whole.clone() },
            wire::Info { is_prefix: true, ..whole },
        ];
        for row in rows {
            assert!(content_info(Some(row.clone())).is_err(), "{row:?}");
        }
    }

    #[test]
    fn a_granularity_of_nothing_is_one() {
        let of = |granularity| wire::ConfigureResponse {
            capabilities: Some(wire::Capabilities { granularity, ..Default::default() }),
        };
        assert_eq!(capabilities(of(0)).unwrap().granularity, 1);
        assert_eq!(capabilities(of(0)).unwrap().durability, Durability::Volatile);
        assert!(capabilities(of(GRANULARITY_MAX + 1)).is_err());
        assert!(capabilities(wire::ConfigureResponse { capabilities: None }).is_err());
    }

    #[test]
    fn pages_are_in_order_and_lead_on() {
        assert!(list_page(page(&["a", "b"], true), "").is_ok());
        assert!(list_page(page(&[], false), "x").is_ok());
        let rows: [(&[&str], bool, &str); 6] = [
            (&["b", "a"], false, ""),
            (&["a", "a"], false, ""),
            (&["a"], false, "a"),
            (&[], true, ""),
            (&["a/b"], false, ""),
            (&[".."], false, ""),
        ];
        for (names, more, start_after) in rows {
            assert!(list_page(page(names, more), start_after).is_err(), "{names:?} after {start_after:?}");
        }
    }

    #[test]
    fn walks_stay_below_and_in_order() {
        let below = Path::parse("/a").unwrap();
        let after = Path::parse("/a/b").unwrap();
        assert!(walk_entries(walked(&["/a/x", "/a/x-b"]), &below, None).is_ok());
        assert!(walk_entries(walked(&["/a/c"]), &below, Some(&after)).is_ok());
        let rows: [&[&str]; 5] = [&["/b"], &["/a"], &["/ab/c"], &["/a/b"], &["/a/x-b", "/a/x"]];
        for paths in rows {
            assert!(walk_entries(walked(paths), &below, Some(&after)).is_err(), "{paths:?}");
        }
    }

    #[test]
    fn bytes_are_as_many_as_were_said() {
        let answer = |size| wire::GetResponse { info: info(size), content: "abc".into() };
        assert!(small_content(answer(3)).is_ok() && small_content(answer(4)).is_err());
        assert!(chunk("abc".into(), 3).is_ok() && chunk("abc".into(), 2).is_err());
    }
}
