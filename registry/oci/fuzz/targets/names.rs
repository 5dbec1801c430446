//! Whatever is accepted as a digest, name, tag, reference or upload is written exactly as it was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::{Digest, Reference, RepositoryName, Tag, UploadId};

fuzz_target!(|text: &str| {
    let written = [
        Digest::parse(text).ok().map(|digest| digest.to_string()),
        RepositoryName::parse(text).ok().map(|name| name.to_string()),
        Tag::parse(text).ok().map(|tag| tag.to_string()),
        Reference::parse(text).ok().map(|reference| reference.to_string()),
        UploadId::parse(text).ok().map(|upload| upload.to_string()),
    ];
    for written in written.into_iter().flatten() {
        assert_eq!(written, text);
    }
});
