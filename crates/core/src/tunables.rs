//! The periods that `SENTINEL DEBUG` shows and changes, for tests and drills. They are never saved.

use std::time::Duration;

use crate::registry::{DEFAULT_DOWN_AFTER, DEFAULT_FAILOVER_TIMEOUT};
use crate::time::whole_millis;

macro_rules! tunables {
    ($($(#[$doc:meta])* $field:ident = $name:literal, $millis:expr;)+) => {
        /// All of them, with the defaults of the reference.
        #[derive(Clone, Debug)]
        pub(crate) struct Tunables { $($(#[$doc])* pub(crate) $field: Duration,)+ }

        impl Default for Tunables {
            fn default() -> Self {
                Self { $($field: Duration::from_millis($millis),)+ }
            }
        }

        impl Tunables {
            /// Names and values in milliseconds, in the order of the reference.
            pub(crate) fn listed(&self) -> Vec<(String, String)> {
                vec![$(($name.to_owned(), whole_millis(self.$field).to_string()),)+]
            }

            /// The one of this name, whatever its case.
            pub(crate) fn find(&mut self, name: &str) -> Option<&mut Duration> {
                match name.to_ascii_uppercase().as_str() {
                    $($name => Some(&mut self.$field),)+
                    _ => None,
                }
            }
        }
    };
}

tunables! {
    /// How often INFO is asked for in quiet times.
    info_period = "INFO-PERIOD", 10_000;
    /// The longest time between two pings; `down-after-milliseconds` usually asks for less.
    ping_period = "PING-PERIOD", 1_000;
    /// How often peers are asked about a primary that just stays down.
    ask_period = "ASK-PERIOD", 1_000;
    /// How often a hello goes to each instance and sentinel.
    publish_period = "PUBLISH-PERIOD", 2_000;
    /// `down-after-milliseconds` of groups added from now on.
    default_down_after = "DEFAULT-DOWN-AFTER", whole_millis(DEFAULT_DOWN_AFTER);
    /// `failover-timeout` of groups added from now on.
    default_failover_timeout = "DEFAULT-FAILOVER-TIMEOUT", whole_millis(DEFAULT_FAILOVER_TIMEOUT);
    /// How late a turn must be to be reported.
    tilt_trigger = "TILT-TRIGGER", 2_000;
    /// When mistrust ends at the latest, whatever the evidence.
    tilt_period = "TILT-PERIOD", 30_000;
    /// How long a replica that was told may take to report the new primary.
    reconfigure_timeout = "SLAVE-RECONF-TIMEOUT", 10_000;
    /// A link younger than this is not given up for silence.
    min_link_age = "MIN-LINK-RECONNECT-PERIOD", 15_000;
    /// How long an election may take at most.
    election_timeout = "ELECTION-TIMEOUT", 10_000;
    /// How long a script may run. Whoever runs scripts reads it.
    script_max_runtime = "SCRIPT-MAX-RUNTIME", 60_000;
    /// The wait before a script is tried again. Whoever runs scripts reads it.
    script_retry_delay = "SCRIPT-RETRY-DELAY", 30_000;
}
