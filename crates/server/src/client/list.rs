//! One client as a line of `CLIENT LIST`.
//!
//! Fields and order are those of Redis 7.2; what has no meaning here is shown as a data server without
//! anything going on would.

use std::io::Write as _;
use std::sync::atomic::Ordering;

use super::Client;
use crate::access::DEFAULT_USER;

impl Client {
    /// Appends the line, with its line end.
    pub(crate) fn describe(&self, now_ms: u64, to: &mut Vec<u8>) {
        let labels = self.labels().clone();
        let seconds_since = |ms: u64| now_ms.saturating_sub(ms) / 1000;
        // Writing to memory cannot fail.
        let _ = write!(
            to,
            "id={} addr={} laddr={} fd={} name=",
            self.id, self.peer, self.local, self.fd
        );
        to.extend_from_slice(&labels.name);
        let _ = write!(
            to,
            " age={} idle={} flags={} db=0 sub={} psub={} ssub=0 multi=-1 watch=0 qbuf=0 qbuf-free=0 argv-mem=0 \
             multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r cmd={} user={} redir={} resp={} \
             lib-name=",
            seconds_since(self.connected_ms),
            seconds_since(self.last_seen_ms.load(Ordering::Relaxed)),
            self.flags(),
            self.channels.load(Ordering::Relaxed),
            self.patterns.load(Ordering::Relaxed),
            labels.command.unwrap_or("NULL"),
            labels.user.as_deref().unwrap_or(DEFAULT_USER),
            self.redirect.load(Ordering::Relaxed),
            if self.resp3.load(Ordering::Relaxed) { 3 } else { 2 },
        );
        to.extend_from_slice(&labels.lib_name);
        to.extend_from_slice(b" lib-ver=");
        to.extend_from_slice(&labels.lib_version);
        to.push(b'\n');
    }

    /// The letters of the reference, in its order.
    fn flags(&self) -> String {
        let broadcast = self.is_tracking() && self.broadcast.load(Ordering::Relaxed);
        let letters = [
            (self.is_subscriber(), 'P'),
            (self.is_held.load(Ordering::Relaxed), 'b'),
            (self.is_tracking(), 't'),
            (broadcast, 'B'),
            (self.peer.tcp().is_none(), 'U'),
            (self.no_evict.load(Ordering::Relaxed), 'e'),
        ];
        let set = letters.into_iter().filter(|(is_set, _)| *is_set);
        let flags: String = set.map(|(_, letter)| letter).collect();
        if flags.is_empty() { "N".to_owned() } else { flags }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn a_line_has_the_fields_of_the_reference_in_order() {
        let addr = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let client = Client::new(6, addr(42500), addr(26379), 18, 1_000);
        client.labels().name = "abc".into();
        client.labels().command = Some("client|list");
        client.patterns.store(2, Ordering::Relaxed);
        let mut line = Vec::new();
        client.describe(9_999, &mut line);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "id=6 addr=127.0.0.1:42500 laddr=127.0.0.1:26379 fd=18 name=abc age=8 idle=8 flags=P db=0 sub=0 psub=2 \
             ssub=0 multi=-1 watch=0 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 \
             events=r cmd=client|list user=default redir=-1 resp=2 lib-name= lib-ver=\n"
        );
    }
}
