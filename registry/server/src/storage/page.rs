//! [`Page`]: a part of a listing, whatever is listed.

/// Some items of an ordered listing.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// Whether there are others after the last of `items`.
    pub(crate) more: bool,
}
