//! Effects as text.

use bellwether_core::{Answer, Command, Effect, GroupOverview, Level, LinkKind, Overview};

use super::{Stage, Target};

impl Stage {
    pub(super) fn print(&mut self, effect: &Effect) {
        let text = match effect {
            Effect::Connect { to, kind, .. } => {
                if !self.shown.contains("connect") {
                    return;
                }
                let name = match kind {
                    LinkKind::Peer { id, .. } => id.to_string(),
                    LinkKind::Instance { .. } => self.name_of(*to),
                };
                let password = format!("{kind:?}").contains("password");
                format!(
                    "connect {name}{}",
                    if password { ", with a password" } else { "" }
                )
            }
            Effect::Disconnect { link } => format!("disconnect {}", self.link_name(*link)),
            Effect::Send { link, batch, .. } => {
                let shown: Vec<String> = batch
                    .iter()
                    .filter_map(|(_, command)| self.wording(command))
                    .collect();
                if shown.is_empty() {
                    return;
                }
                format!("{} < {}", self.link_name(*link), shown.join("; "))
            }
            Effect::Resolve { name } => format!("resolve {}", name.as_str()),
            Effect::Persist { seq } => {
                if !self.shown.contains("persist") {
                    return;
                }
                format!("persist {}", seq.0)
            }
            Effect::WriteLog(write) => format!("write log {}", write.seq),
            Effect::Event(event) => {
                if event.kind.level() == Level::Debug
                    && event.kind.name() != "-odd-input"
                    && !self.shown.contains("links")
                {
                    return;
                }
                match &event.reason {
                    Some(reason) if self.shown.contains("reasons") => format!("{event} ({reason})"),
                    _ => event.to_string(),
                }
            }
            Effect::Answer { answer, .. } if self.shown.contains("whole") => {
                for line in whole(answer) {
                    self.say(&format!("= {line}"));
                }
                return;
            }
            Effect::Answer { answer, .. } => format!("= {}", answered(answer)),
            Effect::Addresses(book) => {
                let book: Vec<_> = book
                    .iter()
                    .map(|(name, (host, port))| format!("{name}={host}:{port}"))
                    .collect();
                format!("addresses {}", book.join(" "))
            }
            Effect::RunScript { path, args } => format!("run {path} {}", args.join(" ")),
            Effect::LogLevel(level) => format!("log from {}", level.name()),
            Effect::Exit { status } => format!("exit {status}"),
            Effect::FailoverEnded { group, receipt } => {
                let passed: Vec<_> = receipt
                    .passed_over
                    .iter()
                    .map(|(addr, why)| format!(", {addr}: {why}"))
                    .collect();
                let voters: Vec<_> = receipt.voters.iter().map(ToString::to_string).collect();
                let (outcome, epoch) = (receipt.outcome.label(), receipt.epoch);
                format!(
                    "receipt {group} {outcome}, epoch {epoch}, voters [{}]{}",
                    voters.join(" "),
                    passed.concat()
                )
            }
        };
        self.say(text.trim_end());
    }

    /// A command in words, unless it is hidden.
    fn wording(&self, command: &Command) -> Option<String> {
        let (kind, text) = match command {
            Command::Ping => ("ping", "ping".to_owned()),
            Command::Info => ("info", "info".to_owned()),
            Command::InfoAndAck => ("info", "info, and confirm".to_owned()),
            Command::Hello { message } => ("hello", format!("hello {message}")),
            Command::AskDown {
                port,
                epoch,
                candidate,
                ..
            } => {
                let vote = candidate
                    .as_ref()
                    .map(|id| format!(", vote for {id}?"))
                    .unwrap_or_default();
                ("ask", format!("is {port} down in {epoch}{vote}"))
            }
            Command::Frame { bytes, .. } => ("frame", format!("frame of {} bytes", bytes.len())),
            Command::TellView { port, down, .. } => ("view", format!("{port} is down: {down}")),
            Command::Reconfigure { follow: None } => return Some("be a primary".to_owned()),
            Command::Reconfigure {
                follow: Some((host, port)),
            } => return Some(format!("follow {host}:{port}")),
            Command::ScriptKill => return Some("script kill".to_owned()),
            Command::HandOver { to: (host, port), .. } => return Some(format!("hand over to {host}:{port}")),
            Command::Release => return Some("release".to_owned()),
            Command::Unpause => return Some("unpause".to_owned()),
            Command::AbortHandOver => return Some("end hand-over".to_owned()),
        };
        self.shown.contains(kind).then_some(text)
    }

    fn name_of(&self, addr: std::net::SocketAddr) -> String {
        self.names.get(&addr).cloned().unwrap_or_else(|| addr.to_string())
    }

    fn link_name(&self, link: bellwether_core::LinkId) -> String {
        match self.links.get(&link) {
            Some(Target::Server(addr)) => self.name_of(*addr),
            Some(Target::Peer(name)) => name.clone(),
            None => "an unanswered attempt".to_owned(),
        }
    }
}

fn answered(answer: &Answer) -> String {
    match answer {
        Answer::Ok => "OK".to_owned(),
        Answer::Status(text) | Answer::Text(text) | Answer::Info { section: text, .. } => {
            text.trim_end().replace("\r\n", " | ")
        }
        Answer::Integer(number) => number.to_string(),
        Answer::Texts(texts) => texts.join(" "),
        Answer::Instance(fields) => listing(fields),
        Answer::Instances(all) => all
            .iter()
            .map(|fields| listing(fields))
            .collect::<Vec<_>>()
            .join(" | "),
        Answer::Addr(addr) => addr
            .as_ref()
            .map_or_else(|| "none".into(), |(host, port)| format!("{host}:{port}")),
        Answer::Verdict {
            down,
            leader,
            leader_epoch,
        } => format!("down {down}, voted for {leader} in {leader_epoch}"),
        Answer::Overview(overview) => format!(
            "epoch {}, odd inputs {}, link failures {}, tilt {}, save error {:?}",
            overview.current_epoch,
            overview.odd_inputs,
            overview.link_failures,
            overview.tilt,
            overview.save_error
        ),
        Answer::Log(log) => format!("{} of term {}", log.role.name(), log.term),
        Answer::Settings(settings) => {
            let pairs: Vec<_> = settings
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            pairs.join(" ")
        }
        Answer::InfoCache(groups) => {
            let known = |servers: &Vec<bellwether_core::CachedInfo>| {
                servers.iter().filter(|(_, text)| text.is_some()).count()
            };
            let groups: Vec<_> = groups
                .iter()
                .map(|(name, servers)| format!("{name}: {} of {}", known(servers), servers.len()))
                .collect();
            groups.join(" ")
        }
        Answer::Refused(refusal) => format!("-{refusal}"),
    }
}

/// An answer with nothing left out.
fn whole(answer: &Answer) -> Vec<String> {
    let fields = |listing: &Vec<(&'static str, String)>| {
        let fields: Vec<_> = listing
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        fields.join(" ")
    };
    match answer {
        Answer::Instance(listing) => vec![fields(listing)],
        Answer::Instances(all) => all.iter().map(fields).collect(),
        Answer::InfoCache(groups) => groups.iter().map(|group| format!("{group:?}")).collect(),
        Answer::Overview(overview) => {
            let mut overview: Overview = (**overview).clone();
            let groups = std::mem::take(&mut overview.groups);
            let parts = groups.into_iter().flat_map(parts);
            std::iter::once(format!("{overview:?}")).chain(parts).collect()
        }
        other => vec![answered(other)],
    }
}

/// A group, and below it each of its servers and sentinels.
fn parts(mut group: GroupOverview) -> Vec<String> {
    let (replicas, sentinels) = (
        std::mem::take(&mut group.replicas),
        std::mem::take(&mut group.sentinels),
    );
    let mut parts = vec![format!("{group:?}")];
    parts.extend(replicas.iter().map(|each| format!("{each:?}")));
    parts.extend(sentinels.iter().map(|each| format!("{each:?}")));
    parts
}

/// The fields that most scripts are about; after `show whole` all are printed.
fn listing(fields: &[(&'static str, String)]) -> String {
    const SHOWN: [&str; 6] = [
        "name",
        "flags",
        "failover-state",
        "config-epoch",
        "num-slaves",
        "num-other-sentinels",
    ];
    let shown = fields.iter().filter(|(field, _)| SHOWN.contains(field));
    shown
        .map(|(field, value)| format!("{field}={value}"))
        .collect::<Vec<_>>()
        .join(" ")
}
