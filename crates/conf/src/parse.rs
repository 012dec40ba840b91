//! From texts to statements: comments, quoting, `include`, and the order in which everything is read.
//!
//! Generic directives take effect as they come, so that a later one overrides an earlier one and `dir` counts for
//! an `include` behind it. Sentinel directives are gathered and carried out afterwards.

use std::sync::Arc;

use bellwether_core::LogLevel;

use crate::diagnostic::{Diagnostic, Fault, Problems, Severity};
use crate::generic::{self, Effect};
use crate::lex::{self, LexErrorKind};
use crate::options::{Config, DaemonOptions, SentinelOptions};
use crate::places::Places;
use crate::sentinel::Executor;
use crate::source::{Source, Statement};
use crate::value::Names;
use crate::{coordination, secrets};

/// How deep `include` may nest. Real files have one level; a file that includes itself must end somewhere.
const MAX_INCLUDE_DEPTH: usize = 16;

/// How many files may be included in all. Without it two files that include each other twice would be read
/// 2^16 times before the depth ends it.
const MAX_INCLUDED: usize = 1000;

/// How much text is read in all, in bytes. A group with a dozen replicas takes about 1 KiB, so this is enough for
/// 60,000 groups.
const MAX_TEXT_LEN: usize = 64 << 20;

/// Longest line in bytes, as the bulk of a command has bounds too. The longest real ones are passwords.
const MAX_LINE_LEN: usize = 64 << 10;

/// Finds what an `include` names: a path, or a pattern with `* ? [`, relative ones already joined to `dir`.
/// The texts come in sorted order; a pattern that matches nothing gives none, a missing path is an error.
pub type Loader<'a> = dyn FnMut(&str) -> Result<Vec<Source>, String> + 'a;

/// Reads a `sentinel.conf`, then the texts that override it: standard input and the command line.
///
/// # Errors
/// All problems of all texts, in their order, if there is an error among them.
pub fn parse(main: &Source, overrides: &[Source], load: &mut Loader<'_>) -> Result<Config, Vec<Diagnostic>> {
    let mut walk = Walk::new(load);
    walk.text(main, 0);
    for source in overrides {
        walk.text(source, 0);
    }
    walk.finish()
}

/// Reads texts one after the other.
pub(crate) struct Walk<'a, 'l> {
    load: &'a mut Loader<'l>,
    daemon: DaemonOptions,
    sentinel: SentinelOptions,
    names_log_level: bool,
    main_log_level: LogLevel,
    queue: Vec<Statement>,
    /// The last `user` line: users can be judged only when everything is read.
    last_user: Option<Statement>,
    /// The lines that name files with passwords, for when the groups are known.
    secret_files: Vec<Statement>,
    /// The lines about how coordinators agree, which are judged together.
    coordination: Vec<Statement>,
    places: Places,
    problems: Problems,
    files: Vec<String>,
    included: usize,
    read_len: usize,
    names: Names,
}

impl<'a, 'l> Walk<'a, 'l> {
    pub(crate) fn new(load: &'a mut Loader<'l>) -> Self {
        Self {
            load,
            daemon: DaemonOptions::default(),
            sentinel: SentinelOptions::default(),
            names_log_level: false,
            main_log_level: LogLevel::default(),
            queue: Vec::new(),
            last_user: None,
            secret_files: Vec::new(),
            coordination: Vec::new(),
            places: Places::default(),
            problems: Problems::default(),
            files: Vec::new(),
            included: 0,
            read_len: 0,
            names: Names::Refused("sentinel resolve-hostnames yes"),
        }
    }

    /// Prepares for statements that come from a YAML text of this name.
    pub(crate) fn for_yaml(mut self, name: &str) -> Self {
        self.files.push(name.to_owned());
        self.names = Names::Refused("resolve-hostnames: true");
        self
    }

    /// Adds an error.
    pub(crate) fn refuse(&mut self, statement: &Statement, fault: Fault) {
        self.problems.error(statement, fault);
    }

    /// Adds an error about the text `file` as a whole unless there is a state directory.
    pub(crate) fn require_state_dir(&mut self, file: &str) {
        if self.daemon.state_dir.is_none() {
            self.problems.push(Diagnostic {
                severity: Severity::Error,
                file: file.to_owned(),
                line: 0,
                column: 0,
                directive: String::new(),
                message: "'state-dir' must be given, because a YAML file is never rewritten".to_owned(),
                hint: Some("add for example 'state-dir: /var/lib/bellwether'".to_owned()),
            });
        }
    }

    /// Reads one text; `depth` counts the includes around it.
    pub(crate) fn text(&mut self, source: &Source, depth: usize) {
        let index = self.files.len();
        self.files.push(source.name.clone());
        let file: Arc<str> = source.name.as_str().into();
        self.read_len = self.read_len.saturating_add(source.text.len());
        if self.read_len > MAX_TEXT_LEN {
            let message = format!("the configuration is longer than {MAX_TEXT_LEN} bytes");
            return self.problem(&file, 1, 1, "", message);
        }
        for (line, number) in source.text.split('\n').zip(1..) {
            if lex::is_silent(line) {
                continue;
            }
            if self.problems.is_full() {
                return;
            }
            // Blanks in front of the directive count for columns.
            let line = line.trim_end_matches([' ', '\t', '\r']);
            if line.len() > MAX_LINE_LEN {
                self.problem(
                    &file,
                    number,
                    1,
                    "",
                    format!("the line is longer than {MAX_LINE_LEN} bytes"),
                );
                continue;
            }
            match lex::split(line, number) {
                Ok(words) => {
                    let statement = Statement {
                        file: file.clone(),
                        source: index,
                        line: number,
                        words,
                        raw: line.to_owned(),
                    };
                    self.statement(statement, depth);
                }
                Err(error) => {
                    let message = match error.kind {
                        LexErrorKind::Unbalanced => "Unbalanced quotes in configuration line",
                        LexErrorKind::NotUtf8 => "the escapes of this word do not give valid UTF-8",
                        LexErrorKind::Nul => "the line holds a NUL character",
                    };
                    // The line may be a password with an odd quote, so it is not shown.
                    self.problem(&file, number, error.column, "", message.to_owned());
                }
            }
        }
    }

    /// Takes one statement: carries it out, or keeps it for later.
    pub(crate) fn statement(&mut self, statement: Statement, depth: usize) {
        let name = statement.text(0).to_ascii_lowercase();
        match name.as_str() {
            "sentinel" if statement.words.len() == 1 => {}
            "sentinel" => self.queue.push(statement),
            "include" => self.include(&statement, depth),
            _ if secrets::is_secret_file(&statement) => {
                self.places.note(&statement);
                self.secret_files.push(statement);
            }
            _ if coordination::is_directive(&statement) => {
                self.places.note(&statement);
                self.coordination.push(statement);
            }
            _ => match generic::run(&mut self.daemon, &mut self.sentinel, &statement) {
                Ok(Effect::Taken) if name == "loglevel" => self.note_log_level(&statement),
                Ok(Effect::Taken) => self.places.note(&statement),
                Ok(Effect::User) => {
                    self.places.note(&statement);
                    self.last_user = Some(statement);
                }
                Ok(Effect::None(message)) => self.problems.warning(&statement, Fault::new(0, message)),
                Err(fault) => self.problems.error(&statement, fault),
            },
        }
    }

    fn note_log_level(&mut self, statement: &Statement) {
        self.names_log_level = true;
        if statement.source == Statement::MAIN {
            self.main_log_level = self.daemon.loglevel;
        }
    }

    fn include(&mut self, statement: &Statement, depth: usize) {
        if let Err(fault) = self.try_include(statement, depth) {
            self.problems.error(statement, fault);
        }
    }

    fn try_include(&mut self, statement: &Statement, depth: usize) -> Result<(), Fault> {
        let [path] = statement.args(1) else {
            return Err(Fault::new(0, "wrong number of arguments").hint("usage: include <path>"));
        };
        if depth == MAX_INCLUDE_DEPTH {
            let message =
                format!("include is nested deeper than {MAX_INCLUDE_DEPTH}; does a file include itself?");
            return Err(Fault::new(0, message));
        }
        let path = self.daemon.dir.as_ref().map_or_else(
            || path.text.clone(),
            |dir| dir.join(&path.text).to_string_lossy().into_owned(),
        );
        let sources = (self.load)(&path).map_err(|cause| {
            Fault::new(
                1,
                format!("Fatal error, can't open config file '{path}': {cause}"),
            )
        })?;
        for source in sources {
            if self.included == MAX_INCLUDED {
                return Err(Fault::new(
                    0,
                    format!("more than {MAX_INCLUDED} files are included"),
                ));
            }
            self.included += 1;
            self.text(&source, depth + 1);
        }
        Ok(())
    }

    /// Carries out the gathered sentinel directives.
    pub(crate) fn finish(mut self) -> Result<Config, Vec<Diagnostic>> {
        generic::judge_users(&self.daemon, self.last_user.as_ref(), &mut self.problems);
        coordination::run(&mut self.daemon, &self.coordination, &mut self.problems);
        let mut executor = Executor::new(self.daemon, self.sentinel, self.problems, self.names);
        executor.run(&self.queue);
        let (mut config, mut problems) = executor.finish();
        if !config.sentinel.resolve_hostnames {
            coordination::judge_names(&config.daemon, &self.coordination, self.names, &mut problems);
        }
        secrets::run(&mut config, &self.secret_files, &mut problems);
        config.warnings = problems.finish(&self.files)?;
        config.named_globals.log_level = self.names_log_level;
        config.main_log_level = self.main_log_level;
        config.places = self.places;
        Ok(config)
    }

    fn problem(&mut self, file: &str, line: usize, column: usize, directive: &str, message: String) {
        self.problems.push(Diagnostic {
            severity: Severity::Error,
            file: file.to_owned(),
            line,
            column,
            directive: directive.to_owned(),
            message,
            hint: None,
        });
    }
}

#[cfg(test)]
mod tests;
