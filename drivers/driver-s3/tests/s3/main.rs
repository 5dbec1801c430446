//! The driver as a process, on an S3 server.

#![allow(clippy::unwrap_used, clippy::panic)]

mod configuring;
mod contract;
mod costs;
mod faults;
mod oracle;
mod server;
mod sessions;
mod support;
