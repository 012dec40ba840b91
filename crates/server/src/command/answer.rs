//! Answers of the core as replies.
//!
//! Owns the shape of each answer in RESP2 and RESP3. Knows no command.

use bellwether_core::{Answer, CachedInfo, Listing};
use bellwether_resp::Encoder;

use crate::client::session::Call;

/// Writes an answer in the way that suits most commands.
pub(super) fn write(call: &mut Call<'_>, answer: Answer) {
    let mut to = match answer {
        Answer::Refused(refusal) => {
            call.error(refusal.to_string());
            return;
        }
        // Only HTTP asks for it.
        Answer::Overview(_) | Answer::Log(_) => {
            call.error("ERR internal error: this answer has no wire format");
            return;
        }
        _ => call.reply(),
    };
    match answer {
        Answer::Ok => to.simple("OK"),
        Answer::Status(text) => to.simple(text),
        Answer::Integer(number) => to.integer(number),
        Answer::Text(text) | Answer::Info { section: text, .. } => to.bulk(text),
        Answer::Texts(texts) => to.bulks(&texts),
        Answer::Instance(listing) => instance(&mut to, &listing),
        Answer::Instances(listings) => {
            to.array(listings.len());
            listings.iter().for_each(|listing| instance(&mut to, listing));
        }
        Answer::Addr(addr) => address(&mut to, addr.as_ref()),
        Answer::Verdict {
            down,
            leader,
            leader_epoch,
        } => {
            to.array(3);
            to.integer(i64::from(down));
            to.bulk(leader);
            to.integer(i64::try_from(leader_epoch).unwrap_or(i64::MAX));
        }
        Answer::Settings(settings) => {
            to.map(settings.len());
            for (name, value) in settings {
                to.bulk(name);
                to.bulk(value);
            }
        }
        Answer::InfoCache(groups) => info_cache(&mut to, &groups),
        Answer::Overview(_) | Answer::Log(_) | Answer::Refused(_) => {}
    }
}

/// Writes the address of a primary: two bulk strings, or nothing for an unknown group.
pub(super) fn address(to: &mut Encoder<'_>, addr: Option<&(String, u16)>) {
    match addr {
        Some((host, port)) => {
            to.array(2);
            to.bulk(host);
            to.bulk(port.to_string());
        }
        None => to.null_array(),
    }
}

/// As Sentinel: a flat array of names and lists, in both protocols.
fn info_cache(to: &mut Encoder<'_>, groups: &[(String, Vec<CachedInfo>)]) {
    to.array(groups.len() * 2);
    for (name, servers) in groups {
        to.bulk(name);
        to.array(servers.len());
        for (age_ms, text) in servers {
            to.array(2);
            to.integer(i64::try_from(*age_ms).unwrap_or(i64::MAX));
            match text {
                Some(text) => to.bulk(text.as_bytes()),
                None => to.null(),
            }
        }
    }
}

/// Every value is a bulk string, numbers included, in both protocols.
fn instance(to: &mut Encoder<'_>, listing: &Listing) {
    to.map(listing.len());
    for (field, value) in listing {
        to.bulk(field);
        to.bulk(value);
    }
}
