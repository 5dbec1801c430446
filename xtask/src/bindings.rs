//! The bindings in `proto/src/generated`, made from the `.proto` files without `protoc`.

use std::error::Error;
use std::path::{Path, PathBuf};

const PROTOS: [&str; 2] = ["storagedriver/handshake.proto", "storagedriver/v1alpha1/storage_driver.proto"];

fn proto_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("proto")
}

/// Writes the bindings into the tree.
pub(crate) fn write() -> Result<(), Box<dyn Error>> {
    generate(&proto_root().join("src/generated"))
}

fn generate(folder: &Path) -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile(PROTOS, [proto_root()])?;
    tonic_prost_build::configure().bytes(".").out_dir(folder).compile_fds(descriptors)?;
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
            let kept = proto_root().join("src/generated").join(made.file_name().unwrap());
            let equal = std::fs::read_to_string(&made).unwrap() == std::fs::read_to_string(&kept).unwrap_or_default();
            assert!(equal, "{} is stale: run `cargo xtask bindings` and commit it", kept.display());
        }
    }
}
