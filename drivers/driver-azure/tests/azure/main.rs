//! The driver as a process, on a server in this process that does what the service does when something is wrong.
//!
//! That the driver keeps the contract is judged on a server that is not ours: `cargo xtask test-all azure`.

#![allow(clippy::unwrap_used, clippy::panic)]

mod configuring;
mod fake;
mod faults;
mod identities;
