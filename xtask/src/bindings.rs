//! The bindings in `proto/src/generated`, made from the `.proto` files without `protoc`.

use std::path::Path;

use prost_types::FileDescriptorSet;

use crate::Outcome;
use crate::root;

const PROTOS: [&str; 2] = ["storagedriver/handshake.proto", "storagedriver/v1alpha1/storage_driver.proto"];

/// What the `.proto` files say.
pub(crate) fn descriptors() -> Outcome<FileDescriptorSet> {
    Ok(protox::compile(PROTOS, [root::path("proto")])?)
}

/// Writes the bindings into the tree.
pub(crate) fn write() -> Outcome {
    generate(&root::path("proto/src/generated"))
}

fn generate(folder: &Path) -> Outcome {
    tonic_prost_build::configure().bytes(".").out_dir(folder).compile_fds(descriptors()?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_bindings_are_those_of_the_protos() {
        let fresh = tempfile::tempdir().unwrap();
        generate(fresh.path()).unwrap();
        for entry in std::fs::read_dir(fresh.path()).unwrap() {
            let made = entry.unwrap().path();
            let kept = root::path("proto/src/generated").join(made.file_name().unwrap());
            let equal = std::fs::read_to_string(&made).unwrap() == std::fs::read_to_string(&kept).unwrap_or_default();
            assert!(equal, "{} is stale: run `cargo xtask bindings` and commit it", kept.display());
        }
    }
}
