//! How a faulty driver reads a path: another than the one that was sent. Without faults a path is itself.

use std::borrow::Cow;

use storagedriver_proto::limits::{COMPONENT_MAX, PATH_MAX};
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::failure::{Result, failure};
use crate::fault::Fault;

type Change = fn(&str) -> String;

/// The path that is taken for `text`.
pub(crate) fn misread(text: &str) -> Result<Cow<'_, str>> {
    let refused = [
        (Fault::LongComponentRefused, text.split('/').any(|component| component.len() > 128)),
        (Fault::DeepPathRefused, text.split('/').count() > 32),
        (Fault::HiddenNameRefused, text.contains("/.")),
    ];
    if refused.into_iter().any(|(fault, applies)| applies && fault.on()) {
        return Err(failure(Reason::PathInvalid, "the driver does not like that path"));
    }
    let rows: [(Fault, Change); 8] = [
        (Fault::CaseFolded, str::to_ascii_lowercase),
        (Fault::DotsResolved, without_dots),
        (Fault::SlashesMerged, without_empty),
        (Fault::RelativeAccepted, |text| format!("/{}", text.trim_start_matches('/'))),
        (Fault::BadBytesAccepted, |text| {
            text.replace(|c: char| !c.is_ascii_alphanumeric() && !"/._-".contains(c), "_")
        }),
        (Fault::LongComponentAccepted, cut_components),
        (Fault::LongPathAccepted, |text| {
            text.get(..text.len().min(PATH_MAX)).unwrap_or(text).trim_end_matches('/').to_owned()
        }),
        (Fault::TrailingSlashAccepted, |text| {
            if text.len() > 1 { text.trim_end_matches('/').to_owned() } else { text.to_owned() }
        }),
    ];
    let row = rows.into_iter().find(|(fault, _)| fault.on());
    Ok(row.map_or(Cow::Borrowed(text), |(_, change)| Cow::Owned(change(text))))
}

fn without_dots(text: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for component in text.split('/') {
        match component {
            "." => {}
            ".." => drop(kept.pop()),
            component => kept.push(component),
        }
    }
    kept.join("/")
}

fn without_empty(text: &str) -> String {
    let rest: Vec<&str> = text.split('/').filter(|component| !component.is_empty()).collect();
    if text.starts_with('/') { format!("/{}", rest.join("/")) } else { text.to_owned() }
}

fn cut_components(text: &str) -> String {
    let cut = text.split('/').map(|component| component.get(..COMPONENT_MAX).unwrap_or(component));
    cut.collect::<Vec<_>>().join("/")
}
