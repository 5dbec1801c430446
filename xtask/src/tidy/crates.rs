//! Which crate of this workspace may see which other.

use std::process::Command;

use serde::Deserialize;

use super::hold;

/// What a crate may depend on in what is shipped, and what in addition in its tests.
struct Sight {
    name: &'static str,
    shipped: &'static [&'static str],
    tests: &'static [&'static str],
}

const fn sees(name: &'static str, shipped: &'static [&'static str], tests: &'static [&'static str]) -> Sight {
    Sight { name, shipped, tests }
}

/// A new arrow is a decision: it comes with a record in docs/decisions.
const SIGHTS: [Sight; 10] = [
    sees("storagedriver-proto", &[], &[]),
    sees("driver-kit", &["storagedriver-proto"], &[]),
    sees("driver-memory", &["driver-kit"], &["storagedriver-proto", "driver-testsuite"]),
    sees("driver-filesystem", &["driver-kit"], &["storagedriver-proto", "driver-testsuite"]),
    sees("driver-s3", &["driver-kit"], &["storagedriver-proto", "driver-testsuite"]),
    sees("driver-azure", &["driver-kit"], &["storagedriver-proto", "driver-testsuite"]),
    sees("driver-testsuite", &["storagedriver-proto"], &[]),
    sees("oci", &[], &[]),
    sees(
        "bulkhead",
        &["oci", "storagedriver-proto", "driver-kit", "driver-memory", "driver-filesystem"],
        &["driver-testsuite"],
    ),
    sees("xtask", &[], &[]),
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    /// Only a crate of this workspace is named by a path.
    path: Option<String>,
}

fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(crate::root::path(""))
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Metadata>(&output.stdout).unwrap().packages
}

fn complaint(package: &Package, dependency: &Dependency) -> Option<String> {
    dependency.path.as_ref()?;
    let Some(sight) = SIGHTS.iter().find(|sight| sight.name == package.name) else {
        return Some(format!("{}: say in xtask/src/tidy/crates.rs what this crate may see", package.name));
    };
    let name = dependency.name.as_str();
    let in_tests = dependency.kind.as_deref() == Some("dev") && sight.tests.contains(&name);
    let allowed = in_tests || sight.shipped.contains(&name);
    (!allowed).then(|| {
        format!(
            "{}: takes {name} out of its Cargo.toml, or a record in docs/decisions says why it is needed",
            sight.name
        )
    })
}

#[test]
fn crates_see_only_what_they_may() {
    let packages = packages();
    let complaints: Vec<_> = packages
        .iter()
        .flat_map(|package| package.dependencies.iter().filter_map(move |dependency| complaint(package, dependency)))
        .collect();
    hold(&complaints);
}

#[test]
fn a_forbidden_arrow_is_seen() {
    let package = |name: &str| Package { name: name.into(), dependencies: Vec::new() };
    let on = |name: &str, kind: Option<&str>| Dependency {
        name: name.into(),
        kind: kind.map(Into::into),
        path: Some(String::new()),
    };
    assert!(complaint(&package("oci"), &on("driver-kit", None)).is_some());
    assert!(complaint(&package("driver-memory"), &on("storagedriver-proto", None)).is_some());
    assert!(complaint(&package("driver-memory"), &on("storagedriver-proto", Some("dev"))).is_none());
    assert!(complaint(&package("unheard-of"), &on("oci", None)).is_some());
}
