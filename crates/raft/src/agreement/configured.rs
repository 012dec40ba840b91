//! The members that the configuration names, beside those of the stored log.
//!
//! Both change, and not at the same moment: members are added, moved and removed while this one is down, and its
//! configuration may be told of that before it starts again, or never. So what differs is told, and the log counts. What
//! hardly any change of members can have brought about is refused: numbers that were mixed up.

use std::collections::BTreeMap;
use std::fmt;

use crate::member::Members;
use crate::restore::StartError;

/// A member that the configuration has otherwise than the stored log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differs {
    /// The member.
    pub id: u64,
    /// Where the configuration has it.
    pub configured: String,
    /// Where the log has it, if it does.
    pub stored: Option<String>,
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, configured, .. } = self;
        write!(f, "the configuration has member {id} at {configured}, but ")?;
        match &self.stored {
            Some(stored) => write!(f, "the log has it at {stored}")?,
            None => f.write_str("the log knows no such member")?,
        }
        f.write_str(
            ", which counts until this coordinator is told of a change (SENTINEL RAFT ADD, REMOVE, MOVE)",
        )
    }
}

/// The configured members that the store has at another address, or does not know yet.
///
/// # Errors
///
/// The configuration contradicts the store: it has a member that the store knows where the store has another one.
pub(super) fn compare(
    stored: &Members,
    configured: &BTreeMap<u64, String>,
) -> Result<Vec<Differs>, StartError> {
    let mut differs = Vec::new();
    for (id, address) in configured.iter().filter(|_| !stored.is_empty()) {
        let at = stored.addresses.get(id);
        // One that was removed may still be named.
        if at.map_or(*id <= stored.highest, |at| at == address) {
            continue;
        }
        let there = stored.addresses.iter().find(|(_, at)| *at == address);
        if at.is_some()
            && let Some((other, _)) = there
        {
            return Err(StartError::MixedUp {
                id: *id,
                address: address.clone(),
                other: *other,
            });
        }
        differs.push(Differs {
            id: *id,
            configured: address.clone(),
            stored: at.cloned(),
        });
    }
    Ok(differs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(all: &[(u64, &str)]) -> BTreeMap<u64, String> {
        all.iter().map(|(id, at)| (*id, (*at).to_owned())).collect()
    }

    fn stored() -> Members {
        Members {
            addresses: members(&[(1, "a:1"), (2, "a:2"), (4, "a:4")]),
            highest: 4,
            ..Members::default()
        }
    }

    fn refusal(configured: &[(u64, &str)]) -> String {
        compare(&stored(), &members(configured))
            .expect_err("it is refused")
            .to_string()
    }

    #[test]
    fn what_changes_of_members_may_have_brought_about_is_told_with_what_counts() {
        // The third was removed.
        let configured = members(&[(1, "a:1"), (2, "b:2"), (3, "a:3"), (5, "a:5")]);
        let differs = compare(&stored(), &configured).expect("it starts");
        let told: Vec<String> = differs.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2);
        assert!(
            told[0].starts_with("the configuration has member 2 at b:2, but the log has it at a:2"),
            "{told:?}"
        );
        assert!(
            told[1].starts_with("the configuration has member 5 at a:5, but the log knows no such member"),
            "{told:?}"
        );
        assert_eq!(compare(&Members::default(), &configured).expect("it starts"), []);
    }

    #[test]
    fn one_in_place_of_a_dead_one_at_the_same_address_is_told() {
        let configured = members(&[(1, "a:1"), (2, "a:2"), (5, "a:4")]);
        let differs = compare(&stored(), &configured).expect("it starts");
        assert_eq!(differs.len(), 1);
        // All that this one knew were replaced while it was down.
        let configured = members(&[(5, "a:5"), (6, "a:6")]);
        assert_eq!(compare(&stored(), &configured).expect("it starts").len(), 2);
        // All were moved since the configuration was written.
        let configured = members(&[(1, "b:1"), (2, "b:2"), (4, "b:4")]);
        assert_eq!(compare(&stored(), &configured).expect("it starts").len(), 3);
    }

    #[test]
    fn a_set_that_contradicts_the_store_is_refused() {
        let words = refusal(&[(1, "a:2"), (2, "a:1"), (4, "a:4")]);
        assert!(
            words.contains("member 1 at a:2, where the log has member 2"),
            "{words}"
        );
    }
}
