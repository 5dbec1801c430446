//! Local descriptors, section 8 of the contract.

use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, equal, skipped};

cases! { "descriptors":
    Quick Descriptors [C1 X1] "A store of this profile is declared to have `descriptors`, and has them." => are_had,
}

/// A profile that no case looks into must not be shown to hold.
async fn are_had(client: Client) -> Outcome {
    equal("descriptors", client.capabilities().descriptors, true)?;
    skipped("this suite does not look at descriptors yet")
}
