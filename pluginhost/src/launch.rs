//! What it takes to start a program: its folder, its user, its bounds, its variables.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use sampan_core::object::Quantity;
use sampan_core::plugin::{PluginSpec, Word};
use sampan_core::ticker::Ticker;

use crate::folder::Folders;
use crate::group::Group;
use crate::process::{Launch, users};
use crate::source::Files;

/// The users programs run as: those systemd gives to services, too, for as long as they run.
const USERS: std::ops::Range<u32> = 61_184..65_520;
/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where programs are started.
pub(crate) struct Place<'a> {
    pub(crate) folders: &'a Folders,
    /// The binary whose `confine` puts bounds on a program and becomes it.
    pub(crate) binary: &'a Path,
    /// Users that are other programs'.
    pub(crate) taken: BTreeSet<u32>,
    /// The control group of the plugin, where it has one.
    pub(crate) group: Option<Group>,
    /// Where it is told what they say.
    pub(crate) words: Arc<Ticker<Word>>,
}

/// The control group of a plugin, where there is one to be had.
pub(crate) fn group(name: &str, spec: &PluginSpec, folders: &Folders) -> Option<Group> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let millis = Quantity::parse(&spec.limits.cpu).map_or(i64::MAX, |cores| cores.milli_value());
    let group = Group::make(&folders.name(), name, millis);
    if group.is_none() {
        tracing::warn!(plugin = name, "there is no control group to be had: its processor time is not bounded");
    }
    group
}

/// Makes the folder of a process of a plugin, and says how it is started.
pub(crate) fn prepare(
    name: &str,
    folder: &str,
    spec: &PluginSpec,
    files: &Files,
    place: &Place<'_>,
) -> std::io::Result<Launch> {
    let user = rustix::process::geteuid().is_root().then(|| free_user(folder, place));
    let folder = place.folders.make(folder, files, user)?;
    Ok(Launch {
        name: Arc::from(name),
        confining: confining(place, user, spec),
        command: command(&spec.command, &spec.files),
        environment: environment(name, &folder, spec),
        folder,
        user,
        words: place.words.clone(),
    })
}

/// A user no other program runs as. Other clusters of this machine choose from the same users: whom a process runs as is
/// nobody to choose.
fn free_user(name: &str, place: &Place<'_>) -> u32 {
    let mut taken = users();
    taken.extend(&place.taken);
    let count = USERS.end - USERS.start;
    let salt = place.folders.path().to_string_lossy().into_owned();
    let hash = |sum: u32, byte: u8| sum.wrapping_mul(33) ^ u32::from(byte);
    let first = name.bytes().chain(salt.bytes()).fold(5381, hash) % count;
    let mut all = (0..count).map(|step| USERS.start + (first + step) % count);
    all.find(|user| !taken.contains(user)).unwrap_or(USERS.start)
}

fn environment(name: &str, folder: &Path, spec: &PluginSpec) -> BTreeMap<String, String> {
    let folder = folder.display().to_string();
    let own = [("PATH", PATH), ("LANG", "C.UTF-8"), ("HOME", &folder), ("TMPDIR", &folder), ("SAMPAN_PLUGIN", name)];
    let own = own.into_iter().map(|(variable, value)| (variable.to_owned(), value.to_owned()));
    own.chain(spec.environment.clone()).collect()
}

/// The words that start a program: one that is among its files is found in its folder.
fn command(words: &[String], files: &[String]) -> Vec<String> {
    let mut command = words.to_vec();
    if let Some(first) = command.first_mut().filter(|first| files.contains(first)) {
        *first = format!("./{first}");
    }
    command
}

/// What confines a program: our own binary, whose `confine` puts bounds on itself and becomes the program.
fn confining(place: &Place<'_>, user: Option<u32>, spec: &PluginSpec) -> Vec<OsString> {
    let memory = Quantity::parse(&spec.limits.memory).map_or(i64::MAX, |quantity| quantity.value());
    let mut words: Vec<OsString> = vec![place.binary.into(), "confine".into()];
    words.extend(user.into_iter().flat_map(|user| ["--user".into(), user.to_string().into()]));
    words.extend(["--memory-bytes".into(), memory.to_string().into()]);
    words.extend(["--processes".into(), spec.limits.processes.to_string().into()]);
    words.extend(spec.network.then(|| "--network".into()));
    words.extend(place.group.iter().flat_map(|group| ["--group".into(), group.members().into()]));
    words.push("--".into());
    words
}
