//! CronJobs: Jobs by the clock.
//!
//! Each time the schedule names gets one Job, which is named by its minute. The Job and the note that its time is served are one
//! commit: no time is served twice or forgotten, whatever crashes when. Of several times that were missed the last is made up
//! for, if that is not later than a start may be.
//!
//! Where no time zone is named the clocks show UTC.

mod calendar;
#[cfg(feature = "conformance")]
pub mod conformance;
mod job;
mod machine;
mod plan;
mod status;

use std::time::Duration;

use k8s_openapi::api::batch::v1::{CronJob, Job};
use sampan_core::gateway::{DeleteOptions, Propagation};
use sampan_core::object::ObjectKey;
use sampan_core::operator::{Context, Declaration, EventKind, Kind, Mapping, Operator, Wake, WriteVerb};
use sampan_machine::Chart;
use sampan_podset::controls;

pub use machine::CronJobMachine;

use crate::machine::Intent;
use crate::plan::{Reading, Refusal, View};

/// The CronJob operator.
#[derive(Debug, Clone, Copy, Default)]
pub struct CronJobOperator;

impl Operator for CronJobOperator {
    type Machine = CronJobMachine;

    fn chart(&self) -> &'static Chart {
        CronJobMachine::chart()
    }

    fn machine(&self) -> CronJobMachine {
        CronJobMachine::default()
    }

    fn declaration(&self) -> Declaration {
        Declaration::of::<CronJob>("cronjob")
            .watching::<Job>(Mapping::Owner)
            .writing::<Job>(WriteVerb::Create)
            .writing::<Job>(WriteVerb::Delete)
            .writing::<CronJob>(WriteVerb::UpdateStatus)
    }

    fn step(&self, machine: &mut CronJobMachine, _wake: &Wake, cx: &mut Context<'_>) {
        let Some(view) = look(cx) else { return };
        let (view, intents) = cx.observe(machine, view);
        view.wait(cx.trace());
        if let Some(delay) = view.next().map(|at| at.duration_since(view.now)) {
            cx.wake_after(Duration::try_from(delay).unwrap_or_default());
        }
        for intent in intents {
            carry_out(intent, &view, cx);
        }
    }
}

fn look(cx: &mut Context<'_>) -> Option<View> {
    let cron = cx.primary::<CronJob>()?;
    let refused = cx.refusal().filter(|refused| refused.verb == WriteVerb::Create);
    let refusal = refused.map(|refused| Refusal(refused.status.message.clone()));
    let mut view = View::new(Reading { now: cx.now(), owned: cx.owned::<Job>(), refusal, cron });
    if let Some(due) = view.due {
        let namespace = view.cron.metadata.namespace.clone().unwrap_or_default();
        let key = ObjectKey::namespaced(Job::RESOURCE, &namespace, &job::name(&view.cron, due));
        match cx.get::<Job>(&key) {
            // The time is served, whatever the status says.
            Some(job) if controls(&*view.cron, &*job) => view.due = None,
            other => view.is_taken = other.is_some(),
        }
    }
    Some(view)
}

fn carry_out(intent: Intent, view: &View, cx: &mut Context<'_>) {
    match intent {
        Intent::Start(due) => {
            let Ok(calendar) = &view.calendar else { return };
            let job = job::job(&view.cron, due, calendar);
            cx.create(&job);
            let name = job.metadata.name.unwrap_or_default();
            cx.event(EventKind::Normal, "SuccessfulCreate", format!("Created job {name}"));
        }
        Intent::Delete(job) => {
            let propagation = Some(Propagation::Background);
            cx.delete(&*job, DeleteOptions { propagation, ..DeleteOptions::default() });
            let name = job.metadata.name.as_deref().unwrap_or_default();
            cx.event(EventKind::Normal, "SuccessfulDelete", format!("Deleted job {name}"));
        }
        Intent::Announce(kind, reason, message) => cx.event(kind, reason, message),
        Intent::WriteStatus(status) => {
            let mut cron = CronJob::clone(&view.cron);
            cron.status = Some(*status);
            cx.update_status(&cron);
        }
    }
}
