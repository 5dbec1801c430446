//! What is accepted as a manifest is read alike when its `Content-Type` is gone, and can be listed as a referrer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::{Algorithm, Digest, Manifest, referrers};

fuzz_target!(|content: &[u8]| {
    match Manifest::parse(content, None) {
        Ok(manifest) => {
            assert_eq!(Manifest::parse(content, Some(manifest.media_type())), Ok(manifest.clone()));
            let digest = Digest::of(Algorithm::Sha256, content);
            assert_eq!(referrers::describe(&manifest, digest.clone(), content.len() as u64).digest, digest);
        }
        Err(refusal) => assert!(refusal.to_string().len() < 2000),
    }
});
