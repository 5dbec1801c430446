//! Blocks: pieces of an object that lie beside its key, unseen, until a list of them becomes the object in one step.
//!
//! Each writer's blocks have names of its own, so that no two writers ever mean different bytes by one name. Azure wants all
//! names at one key to be equally long.

use std::collections::HashMap;

use azure_core::http::{Body, RequestContent, XmlFormat};
use azure_storage_blob::models::{
    Block, BlockBlobClientCommitBlockListOptions, BlockBlobClientStageBlockOptions, BlockListType, BlockLookupList,
};
use bytes::Bytes;
use driver_kit::Result;
use serde::{Deserialize, Serialize};

use crate::container::{Condition, Container, Object};
use crate::error::{Failure, changing, is_missing, is_other_type, reading};
use crate::patience::bulk;

/// Azure makes an object of so many blocks at most.
pub(crate) const BLOCKS_MAX: u64 = 50_000;

/// Names a block.
pub(crate) type Id = Vec<u8>;

/// The name of a writer's whole block.
pub(crate) fn id(owner: u64, number: u32) -> Id {
    format!("{owner:016x}{number:08x}").into_bytes()
}

/// The name of what is too little for a whole block: each attempt at a Commit has another.
pub(crate) fn tail_id(owner: u64) -> Id {
    format!("{owner:016x}tail{:04x}", rand::random::<u16>()).into_bytes()
}

/// Whole blocks of one writer, from its first one on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) owner: u64,
    pub(crate) count: u32,
}

/// The blocks that hold a session, in order, written shortly.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Runs(Vec<Run>);

impl Runs {
    /// How many blocks.
    pub(crate) fn len(&self) -> u64 {
        self.0.iter().map(|run| u64::from(run.count)).sum()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = Id> {
        self.0.iter().flat_map(|run| (0..run.count).map(|number| id(run.owner, number)))
    }

    /// With more blocks of a writer that has none in it.
    pub(crate) fn with(mut self, owner: u64, count: u32) -> Self {
        if count > 0 {
            self.0.push(Run { owner, count });
        }
        self
    }

    /// The first `count` blocks.
    pub(crate) fn first(&self, count: u64) -> Self {
        let mut left = count;
        let mut kept = Runs::default();
        for run in &self.0 {
            let taken = left.min(u64::from(run.count));
            left -= taken;
            kept = kept.with(run.owner, u32::try_from(taken).unwrap_or(run.count));
        }
        kept
    }
}

/// The blocks at a key.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    /// With their sizes.
    sizes: HashMap<Id, u64>,
    /// Those of the object that is there, in order.
    pub(crate) committed: Vec<Id>,
}

impl Staged {
    /// Whether there is a block of just this size.
    pub(crate) fn has(&self, id: &Id, size: u64) -> bool {
        self.sizes.get(id) == Some(&size)
    }

    fn new(committed: Vec<Block>, uncommitted: Vec<Block>) -> Self {
        let mut staged = Staged::default();
        for block in &committed {
            staged.committed.extend(block.name.clone());
        }
        for block in committed.into_iter().chain(uncommitted) {
            let size = block.size.and_then(|size| u64::try_from(size).ok());
            staged.sizes.extend(block.name.zip(size));
        }
        staged
    }
}

impl Container {
    /// Lays a block beside `key`.
    pub(crate) async fn stage(&self, key: &str, id: &Id, content: Bytes) -> Result<(), Failure> {
        let (size, content) = (content.len() as u64, Body::from(content).into());
        let options = BlockBlobClientStageBlockOptions { method_options: bulk(), ..Default::default() };
        let client = self.object(key).block_blob_client();
        client.stage_block(id, size, content, Some(options)).await.map(drop)
    }

    /// Makes the blocks the object at `key`, in one step. To repeat it is harmless: they may be of the object already.
    pub(crate) async fn commit(
        &self,
        key: &str,
        ids: Vec<Id>,
        size: u64,
        condition: Condition<'_>,
    ) -> Result<Object, Failure> {
        let list = BlockLookupList { latest: Some(ids), ..BlockLookupList::default() };
        let list: RequestContent<BlockLookupList, XmlFormat> = list.try_into()?;
        let options = BlockBlobClientCommitBlockListOptions {
            if_match: condition.if_match(),
            if_none_match: condition.if_none_match(),
            blob_content_type: Some("application/octet-stream".to_owned()),
            method_options: bulk(),
            ..Default::default()
        };
        let done = self.object(key).block_blob_client().commit_block_list(list, Some(options)).await?;
        let written = Object::written(done.headers(), size);
        written.map_err(|lacking| Failure::new(azure_core::error::ErrorKind::DataConversion, lacking))
    }

    /// All blocks at `key`, those of an object that is there among them.
    pub(crate) async fn blocks(&self, key: &str) -> Result<Staged> {
        let client = self.object(key).block_blob_client();
        let listed = match client.get_block_list(BlockListType::All, None).await {
            Ok(listed) => listed.into_model().map_err(reading)?,
            // An object that was written in another way has none.
            Err(failure) if is_missing(&failure) || is_other_type(&failure) => return Ok(Staged::default()),
            Err(failure) => return Err(reading(failure)),
        };
        let (committed, uncommitted) = (listed.committed_blocks, listed.uncommitted_blocks);
        Ok(Staged::new(committed.unwrap_or_default(), uncommitted.unwrap_or_default()))
    }

    /// Frees the blocks at a key of the driver's own, where nobody sees that it takes an empty object to do so.
    pub(crate) async fn free(&self, key: &str) -> Result<()> {
        self.put(key, Bytes::new(), Condition::Any).await.map_err(changing)?;
        self.delete(key).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_equally_long() {
        assert_eq!(id(u64::MAX, u32::MAX).len(), tail_id(0).len());
        assert_ne!(id(1, 2), id(2, 1));
    }

    proptest! {
        #[test]
        fn the_first_blocks_are_those_that_were_first(counts in proptest::collection::vec(0..5u32, 0..6), kept in 0..30u64) {
            let runs = (0..).zip(&counts).fold(Runs::default(), |runs, (owner, count)| runs.with(owner, *count));
            let all: Vec<Id> = runs.ids().collect();
            let first: Vec<Id> = runs.first(kept).ids().collect();
            prop_assert_eq!(runs.len(), all.len() as u64);
            prop_assert_eq!(&first[..], &all[..all.len().min(kept as usize)]);
        }
    }
}
