//! For drivers of stores that know no folders, only keys: which key stands for which path, and how keys that are listed by
//! their bytes become names in the contract's order.

mod keys;
mod names;

pub use keys::{Area, Keys};
pub use names::Names;
