//! What a program may take of the machine, put on from within: between fork and program stands our own binary, which gives
//! up what it has and becomes the program.

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// The largest file a program may write.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// The most descriptors a program may hold.
const DESCRIPTORS_MAX: u64 = 256;
/// How far a program lets others go first where nobody but root could bound its time.
const YIELDING: i32 = 10;
/// The first descriptor that is none of the three pipes.
const FIRST_INHERITED: u32 = 3;

/// What a program may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// The user and group it becomes; `None` leaves it who we are, where we may not choose.
    pub user: Option<u32>,
    /// Address space of each process, in bytes.
    pub memory_bytes: u64,
    /// Processes and threads of its user.
    pub processes: u32,
    /// Whether it may use the network. Where we may not take it away, it may.
    pub network: bool,
    /// What to write oneself into to belong to its control group; `None` where there is none.
    pub group: Option<PathBuf>,
}

/// Why a program does not begin.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// A bound cannot be put on.
    #[error("failed to {what}: {source}")]
    Bound {
        /// Which.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// There is no such program, or it may not be run.
    #[error("failed to run {}: {source}", program.display())]
    Program {
        /// Its name.
        program: OsString,
        /// Why.
        source: std::io::Error,
    },
}

/// Becomes the program, within bounds. Descriptors beyond the three pipes are closed when it begins.
///
/// # Errors
/// Why it does not.
pub fn confine(bounds: &Bounds, program: OsString, arguments: Vec<OsString>) -> Result<Infallible, ConfineError> {
    let bound = |what| move |error: rustix::io::Errno| ConfineError::Bound { what, source: error.into() };
    for (resource, most, what) in [
        (Resource::As, bounds.memory_bytes, "bound its memory"),
        (Resource::Fsize, FILE_BYTES_MAX, "bound its files"),
        (Resource::Nofile, DESCRIPTORS_MAX, "bound its descriptors"),
        (Resource::Core, 0, "forbid core dumps"),
    ] {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }).map_err(bound(what))?;
    }
    match &bounds.group {
        Some(members) => {
            std::fs::write(members, "0").map_err(|source| ConfineError::Bound { what: "join its group", source })?
        }
        None if bounds.user.is_none() => drop(rustix::process::nice(YIELDING)),
        None => {}
    }
    if !bounds.network && rustix::process::geteuid().is_root() {
        leave_network().map_err(bound("leave the network"))?;
    }
    close_inherited().map_err(|source| ConfineError::Bound { what: "close descriptors", source })?;
    set_no_new_privs(true).map_err(bound("forbid new privileges"))?;
    if let Some(user) = bounds.user {
        become_user(user).map_err(bound("become its user"))?;
        // Without a user of its own this would bound everything that runs as ours.
        let most = Some(u64::from(bounds.processes));
        setrlimit(Resource::Nproc, Rlimit { current: most, maximum: most }).map_err(bound("bound its processes"))?;
    }
    // It does not outlive us, however we end. A change of user would take this back, so it comes after.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(bound("tie its life to ours"))?;
    let source = Command::new(&program).args(arguments).exec();
    Err(ConfineError::Program { program, source })
}

/// Leaves the machine's network for one where nobody else is.
#[expect(unsafe_code, reason = "what may not be unshared unseen are descriptors, and these are not")]
fn leave_network() -> rustix::io::Result<()> {
    // SAFETY: descriptors stay shared, and no other thread runs.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }
}

fn become_user(user: u32) -> rustix::io::Result<()> {
    let (uid, gid) = (rustix::process::Uid::from_raw(user), rustix::process::Gid::from_raw(user));
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)
}

/// Has every descriptor but the pipes close when the program begins, also those that whoever started us left open.
#[expect(unsafe_code, reason = "descriptors of unknown owners: nobody but the program that replaces us uses any again")]
fn close_inherited() -> std::io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(number) = number.filter(|number| *number >= FIRST_INHERITED) else { continue };
        // SAFETY: the number is borrowed for one call that closes nothing now; a number that is gone gives an error.
        let descriptor = unsafe { std::os::fd::BorrowedFd::borrow_raw(number.cast_signed()) };
        let _ = rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC);
    }
    Ok(())
}
