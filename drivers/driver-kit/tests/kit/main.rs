//! What the kit promises to every driver, seen from the wire: with a driver that misbehaves where it is asked to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod descriptors;
mod failures;
mod life;
mod sessions;
mod stub;
