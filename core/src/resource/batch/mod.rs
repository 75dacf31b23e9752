//! The kinds of `batch/v1`.

mod cron_job;
mod job;
pub mod schedule;

use super::ResourceDefinition;

pub use cron_job::CRON_JOBS;
pub use job::JOBS;

/// The kinds of this group.
pub(super) fn definitions() -> [ResourceDefinition; 2] {
    [cron_job::definition(), job::definition()]
}
