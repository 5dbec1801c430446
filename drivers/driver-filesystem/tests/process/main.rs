//! The driver as its own process: what it does when it is killed, when the disk is full, when others are in its way.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod confinement;
mod crash;
mod distribution;
mod faults;
mod listing;
mod sharing;
mod support;
