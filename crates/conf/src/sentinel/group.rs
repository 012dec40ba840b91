//! The directives about a group that is monitored: its options, and what is known of it.

use bellwether_core::{Addr, ConfigEpoch, Epoch, MAX_REPLICAS, MAX_SENTINELS, Secret, SentinelId};

use super::{Executor, NOTIFICATION_SCRIPT, bad_id, count};
use crate::diagnostic::{Fault, Problems, Severity};
use crate::script::ScriptLine;
use crate::source::Statement;
use crate::value;

pub(super) fn down_after(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    let (name, record) = executor.group(statement)?;
    record.options.down_after = value::millis(statement, 3, 1, "negative or zero time parameter.")?;
    executor.named(name).down_after = true;
    Ok(())
}

pub(super) fn failover_timeout(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    let (name, record) = executor.group(statement)?;
    record.options.failover_timeout = value::millis(statement, 3, 1, "negative or zero time parameter.")?;
    executor.named(name).failover_timeout = true;
    Ok(())
}

/// Unlike Sentinel, 0 and less are read as 1. The reference takes them and then repoints no replica before the
/// failover has timed out, which nobody can want; but such files exist and must start.
pub(super) fn parallel_syncs(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    let (name, record) = executor.group(statement)?;
    let at_least_one = value::whole(statement, 3)? >= 1;
    record.options.parallel_syncs = if at_least_one { count(statement, 3, "")? } else { 1 };
    executor.named(name).parallel_syncs = true;
    if !at_least_one {
        executor.warn(statement, 3, "parallel-syncs is less than 1; 1 is used");
    }
    Ok(())
}

pub(super) fn auth_pass(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    let (name, record) = executor.group(statement)?;
    record.options.auth_pass = value::optional(statement, 3).map(Secret::new);
    executor.named(name).auth_pass = true;
    Ok(())
}

pub(super) fn auth_user(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    let (name, record) = executor.group(statement)?;
    record.options.auth_user = value::optional(statement, 3).map(str::to_owned);
    executor.named(name).auth_user = true;
    Ok(())
}

pub(super) fn config_epoch(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    let (_, record) = executor.group(statement)?;
    let epoch = value::epoch(statement, 3)?;
    record.config_epoch = ConfigEpoch(epoch);
    executor.raise_epoch(epoch);
    Ok(())
}

/// Unlike Sentinel, this raises the current epoch as well: a vote was given in that epoch, so it was seen.
pub(super) fn leader_epoch(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    let (_, record) = executor.group(statement)?;
    let epoch = value::epoch(statement, 3)?;
    record.vote.epoch = Epoch(epoch);
    executor.raise_epoch(epoch);
    Ok(())
}

pub(super) fn known_replica(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    let addr = value::addr(statement, 3, executor.names());
    let (name, record) = executor.group(statement)?;
    let addr = addr?;
    if addr == record.primary {
        executor.warn(
            statement,
            3,
            "this replica has the address of the primary; the line is ignored",
        );
        return Ok(());
    }
    if record.replicas.len() >= MAX_REPLICAS {
        return Err(Fault::new(
            2,
            format!("a group has at most {MAX_REPLICAS} replicas"),
        ));
    }
    let duplicate = "Duplicate hostname and port for replica.";
    let member = addr.to_string().to_ascii_lowercase();
    if executor.first_mention(statement, &name, member, duplicate)? {
        executor.group(statement)?.1.replicas.insert(addr);
    }
    Ok(())
}

pub(super) fn known_sentinel(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    let addr: Result<Addr, Fault> = value::addr(statement, 3, executor.names());
    let id = SentinelId::new(statement.text(5)).map_err(|cause| bad_id(5, "Invalid sentinel id", &cause));
    let (name, record) = executor.group(statement)?;
    let (addr, id) = (addr?, id?);
    if record.sentinels.len() >= MAX_SENTINELS {
        return Err(Fault::new(
            2,
            format!("a group has at most {MAX_SENTINELS} known sentinels"),
        ));
    }
    // Unlike Sentinel, which would count itself twice as a voter. It happens when a file is copied.
    if executor.config.my_id.as_ref() == Some(&id) {
        executor.warn(statement, 5, "this is our own id; the line is ignored");
        return Ok(());
    }
    let duplicate = "Duplicate runid for sentinel.";
    if executor.first_mention(statement, &name, id.to_string(), duplicate)? {
        executor.group(statement)?.1.sentinels.insert(id, addr);
    }
    Ok(())
}

pub(super) fn notification_script(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    let path = script(executor, statement)?;
    let (name, record) = executor.group(statement)?;
    record.options.notification_script = Some(path);
    executor.named(name).notification_script = true;
    Ok(())
}

pub(super) fn client_reconfig_script(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    let path = script(executor, statement)?;
    let (name, record) = executor.group(statement)?;
    record.options.client_reconfig_script = Some(path);
    executor.named(name).client_reconfig_script = true;
    Ok(())
}

/// The path of a script, which is noted: whether it can be run is for others to see.
fn script(executor: &mut Executor, statement: &Statement) -> Result<String, Fault> {
    executor.group(statement)?;
    let kind = match statement.text(1).eq_ignore_ascii_case(NOTIFICATION_SCRIPT) {
        true => "Notification",
        false => "Client reconfiguration",
    };
    let refusal = Fault::new(3, format!("{kind} script seems non existing or non executable."));
    let path = value::optional(statement, 3).ok_or_else(|| refusal.clone())?;
    let refusal = Problems::diagnostic(Severity::Error, statement, refusal);
    let path = path.to_owned();
    executor.config.scripts.push(ScriptLine {
        path: path.clone(),
        refusal,
    });
    Ok(path)
}

/// Unlike Sentinel, a command may be renamed in the main file and in another as well: rewriting puts it into the main
/// file, and the next start would fail.
pub(super) fn rename_command(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    let (name, _) = executor.group(statement)?;
    let (command, renamed) = (statement.text(3).to_ascii_uppercase(), statement.text(4));
    let duplicate = "Same command renamed multiple times with rename-command.";
    if executor.first_mention(statement, &name, format!("rename {command}"), duplicate)? {
        let (_, record) = executor.group(statement)?;
        record
            .options
            .renamed_commands
            .insert(command, renamed.to_owned());
    }
    Ok(())
}

pub(super) fn reboot_period(executor: &mut Executor, statement: &Statement) -> Result<(), Fault> {
    let (name, record) = executor.group(statement)?;
    record.options.reboot_down_after = value::millis(statement, 3, 0, "negative time parameter.")?;
    executor.named(name).reboot_down_after = true;
    Ok(())
}
