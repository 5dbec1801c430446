//! For drivers of stores that know no folders, only keys: which key stands for which path, how keys that are listed by
//! their bytes become names in the contract's order, and reads and writes over connections that break.

mod keys;
mod listing;
mod names;
mod parts;
mod reading;
mod sweep;

pub use keys::{Area, Keys};
pub use listing::{Listed, Listing, PageRequest, page};
pub use parts::{Gathered, Parts};
pub use reading::{Cause, Chunks, Objects, Opened, Unread, read};
pub use sweep::{sweep_every_day, upload_age};
