//! What the registry asks of its store, recorded, and compared with the files that the conformance suite asks of drivers.
//!
//! A difference is not wrong by itself: the files then say what an earlier registry asked, and are to be recorded anew
//! with `cargo xtask record-traces`. Their order has to be the same each time, so whatever is at once here is held until
//! all of it has begun.

mod collector;
mod foreign;
mod pushes;
mod recording;
mod tags;

use bytes::Bytes;
use serde_json::json;

use crate::images::{OCI_CONFIG, OCI_LAYER, descriptor, image};

/// An image of one layer, and the config that belongs to it.
struct Image {
    config: Vec<u8>,
    layer: Bytes,
    manifest: Vec<u8>,
}

impl Image {
    /// Images of different numbers have nothing in common.
    fn number(number: u64) -> Self {
        let config = format!(r#"{{"architecture":"amd64","os":"linux","number":{number}}}"#).into_bytes();
        let layer = driver_testsuite::content(number, 300_000);
        let layers = json!([descriptor(OCI_LAYER, &layer)]);
        let manifest = image(json!({ "config": descriptor(OCI_CONFIG, &config), "layers": layers }));
        Image { config, layer, manifest }
    }
}
