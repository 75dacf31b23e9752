//! The processes of a plugin: one that answers and, where it declares effects, one that runs them, so that an effect that
//! is slow or hangs keeps no answer waiting. Each has a user and a folder of its own.

use std::time::Duration;

use sampan_core::plugin::PluginSpec;
use tokio::sync::watch;

use crate::asking::Effects;
use crate::folder::Folders;
use crate::group::Group;
use crate::health::Health;
use crate::launch::{Place, group, prepare};
use crate::source::Files;
use crate::supervisor::{Line, Start, Supervisor};

/// Effects are asked for one after the other: a program needs no threads to run them.
const EFFECTS_AT_ONCE: usize = 1;

/// The processes of a plugin.
pub(crate) struct Running {
    answering: One,
    performing: Option<One>,
    group: Option<Group>,
}

/// A process that is kept running.
struct One {
    folder: String,
    user: Option<u32>,
    supervisor: Supervisor,
}

impl Running {
    /// Starts the processes of a plugin. The one for effects begins once there is one to be run.
    pub(crate) fn start(name: &str, spec: &PluginSpec, files: &Files, place: &mut Place<'_>) -> std::io::Result<Self> {
        let deadline = Duration::from_secs(spec.deadline_seconds.into());
        place.group = group(name, spec, place.folders);
        let mut start = |folder: String, start, concurrency| -> std::io::Result<One> {
            let launch = prepare(name, &folder, spec, files, place)?;
            place.taken.extend(launch.user);
            let user = launch.user;
            Ok(One { folder, user, supervisor: Supervisor::start(launch, start, deadline, concurrency) })
        };
        let answering = start(name.to_owned(), Start::AtOnce, spec.concurrency)?;
        // No plugin has a name with a dot.
        let performing = format!("{name}.effects");
        let performing = (!spec.effects.is_empty()).then(|| start(performing, Start::WhenAsked, EFFECTS_AT_ONCE));
        let performing = performing.transpose()?;
        Ok(Self { answering, performing, group: place.group.take() })
    }

    /// Where questions are asked.
    pub(crate) fn line(&self) -> Line {
        self.answering.supervisor.line()
    }

    /// Who runs its effects.
    pub(crate) fn effects(&self, spec: &PluginSpec) -> Option<Effects> {
        let line = self.performing.as_ref()?.supervisor.line();
        Some(Effects { line, declared: spec.effects.clone() })
    }

    /// The user that answers.
    pub(crate) fn user(&self) -> Option<u32> {
        self.answering.user
    }

    /// The users they run as.
    pub(crate) fn users(&self) -> impl Iterator<Item = u32> {
        [&self.answering].into_iter().chain(&self.performing).filter_map(|one| one.user)
    }

    /// How the process that answers is.
    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.answering.supervisor.health()
    }

    /// How the process that runs effects is.
    pub(crate) fn performing(&self) -> Option<watch::Receiver<Health>> {
        self.performing.as_ref().map(|one| one.supervisor.health())
    }

    /// Ends all of them and waits for that.
    pub(crate) async fn stop(self, folders: &Folders) {
        for One { folder, supervisor, .. } in [self.answering].into_iter().chain(self.performing) {
            supervisor.stop().await;
            let _ = folders.remove(&folder);
        }
        self.group.iter().for_each(Group::remove);
    }
}
