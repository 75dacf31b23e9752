//! The Service proxy: what is sent to a Service's address reaches one of its pods.
//!
//! ```text
//!                                          ┌──► netlink ──────► kernel   elements: nearly every change
//! Directory ──► frontends ──► Table ──Batch─┴──► script ──► nft ──► kernel   chains, and the table as a whole
//! ```
//!
//! The kernel does the rest: connections need no process of ours, and go on when this one is killed. All is kept in one table
//! of our own, in flat maps; a change is one transaction of a few elements. Somebody who takes the table away is noticed by
//! the kernel's own word, and it is put back as a whole.

pub mod element;
pub mod frontend;
pub mod health;
mod kernel;
mod marks;
pub mod netlink;
mod script;
pub mod table;

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use tokio_util::sync::CancellationToken;

pub use self::kernel::{KernelError, apply, remove, rules_see_bridge};
use self::netlink::{ELEMENTS_MAX, Line};
pub use self::script::{Ground, changes, draws, forgetting, removal, table_name, whole};
use self::table::{Batch, Table};
use crate::services::{Directory, Known, ServiceKey};

/// The first and the longest wait after the kernel refused.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Within this the kernel's word surely reaches us; a table lost before that is looked for once.
const LISTENS_WITHIN: Duration = Duration::from_secs(1);
/// Keeps the kernel's table as Services and EndpointSlices want it, until `shutdown`. The table stays.
pub async fn run(directory: &Directory, node: &str, ground: Ground, shutdown: CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = keep(directory, node, &ground) => {}
    }
}

async fn keep(directory: &Directory, node: &str, ground: &Ground) {
    let mut changes = directory.follow();
    let mut keeper = Keeper::new(ground);
    let (mut table, mut changed, mut is_complete) = (Table::default(), BTreeSet::new(), false);
    loop {
        tokio::select! {
            change = changes.recv() => match change {
                Some(change) => changed.extend(change.services.iter().chain(&change.endpoints).cloned()),
                None => return,
            },
            () = keeper.disturbed(), if is_complete => {}
        }
        while let Ok(change) = changes.try_recv() {
            changed.extend(change.services.iter().chain(&change.endpoints).cloned());
        }
        is_complete = directory.read(Known::is_complete);
        if is_complete {
            let batches = directory.read(|known| batches(known, &std::mem::take(&mut changed), &mut table, node));
            keeper.settle(&table, &batches).await;
            for left in batches.iter().flat_map(|batch| &batch.left) {
                kernel::forget(left).await;
            }
        }
    }
}

/// What has to change for these Services.
fn batches(known: &Known, changed: &BTreeSet<ServiceKey>, table: &mut Table, node: &str) -> Vec<Batch> {
    let batches = changed.iter().map(|key| {
        let slices: Vec<&EndpointSlice> = known.slices(key).collect();
        let frontends = known.service(key).map(|service| frontend::frontends(service, &slices, node));
        table.set(key, &frontends.unwrap_or_default())
    });
    batches.filter(|batch| !batch.is_empty()).collect()
}

/// Whether the kernel holds what it should.
struct Keeper<'a> {
    ground: &'a Ground,
    watch: Option<kernel::Watch>,
    /// Whether the table has to be written as a whole.
    is_lost: bool,
    /// Whether it was seen after the watch began for certain.
    is_checked: bool,
    /// What was said last of why it could not be written.
    complaint: String,
    retry: Duration,
    line: Option<Line>,
}

impl<'a> Keeper<'a> {
    fn new(ground: &'a Ground) -> Self {
        let (complaint, retry) = (String::new(), FIRST_RETRY);
        Self { ground, watch: None, is_lost: true, is_checked: false, complaint, retry, line: None }
    }

    /// Waits until there is something to put right: the table is gone, or it is time to try again.
    async fn disturbed(&mut self) {
        match &mut self.watch {
            Some(watch) if !self.is_lost => {
                let name = &self.ground.table;
                let ended = tokio::select! {
                    lost = watch.lost() => lost.is_err(),
                    () = tokio::time::sleep(LISTENS_WITHIN), if !self.is_checked => {
                        self.is_checked = true;
                        if kernel::is_there(name).await {
                            return;
                        }
                        false
                    }
                };
                if ended {
                    self.watch = None;
                    return;
                }
                tracing::warn!(table = %self.ground.table, "somebody removed the rules of Services; they are put back");
                self.is_lost = true;
            }
            _ => {
                tokio::time::sleep(self.retry).await;
                self.retry = (self.retry * 2).min(RETRY_MAX);
            }
        }
    }

    /// Brings the kernel up to the table.
    async fn settle(&mut self, table: &Table, batches: &[Batch]) {
        if self.is_lost || self.watch.is_none() {
            self.write_whole(table).await;
            return;
        }
        if let Err(error) = self.write_changes(batches).await {
            tracing::debug!(%error, "the table is not what it was; it is written anew");
            self.line = None;
            self.write_whole(table).await;
        }
    }

    async fn write_changes(&mut self, batches: &[Batch]) -> Result<(), KernelError> {
        let table = &self.ground.table;
        let elements: usize = batches.iter().map(|batch| batch.removed.len() + batch.added.len()).sum();
        let is_told = elements <= ELEMENTS_MAX;
        let by_script = if is_told { draws } else { changes };
        let script: String = batches.iter().map(|batch| by_script(table, batch)).collect();
        if !script.is_empty() {
            apply(&script).await?;
        }
        if is_told && elements > 0 {
            let line = self.line.take().map_or_else(Line::open, Ok).map_err(KernelError::Tell)?;
            self.line.insert(line).change(table, batches).map_err(KernelError::Tell)?;
        }
        Ok(())
    }

    async fn write_whole(&mut self, table: &Table) {
        self.is_lost = true;
        kernel::open_ways(self.ground).await;
        let (script, name) = (whole(self.ground, &table.whole()), &self.ground.table);
        let mut written = apply(&script).await;
        if written.is_err() {
            // An earlier version's table has maps of another kind: it goes, and with it who stays with which endpoint.
            written = apply(&(removal(name) + &script)).await;
        }
        let written = written.and_then(|()| kernel::Watch::open(name));
        match written {
            Ok(watch) => {
                self.watch = Some(watch);
                (self.is_lost, self.is_checked) = (false, false);
                self.retry = FIRST_RETRY;
                self.complaint.clear();
            }
            Err(error) => {
                self.watch = None;
                let complaint = error.to_string();
                if complaint != self.complaint {
                    tracing::error!(
                        "Services are not served on this node: {complaint}. Is nftables installed, and does Sampan run as root?"
                    );
                    self.complaint = complaint;
                }
            }
        }
    }
}
