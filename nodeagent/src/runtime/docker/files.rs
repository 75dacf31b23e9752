//! The files of a pod on the node: volumes, hosts, resolver, hostname, last words.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, chownat, fstat, open, openat};

use super::subpath::Subpaths;
use crate::dns::CLUSTER_DOMAIN;
use crate::pod::volume::{Content, File, VolumePlan};
use crate::pod::{SandboxSpec, Uid};
use crate::removal::remove_folder;

/// Where volumes in memory live: a file system in memory on every Linux.
const MEMORY: &str = "/dev/shm";
/// The link that is swapped when a volume's files change, as users of Kubernetes know it.
const DATA_LINK: &str = "..data";
/// What pods with a network of their own begin to call addresses.
const OWN_HOSTS: &str = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";
/// What a pod's name servers may be at most.
const MOST_NAMESERVERS: usize = 3;

/// Where the files of pods are.
#[derive(Debug, Clone)]
pub(super) struct PodFiles {
    root: PathBuf,
}

impl PodFiles {
    /// Files below `data_dir/pods`.
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { root: data_dir.join("pods") }
    }

    /// The directory of a pod.
    pub(super) fn pod(&self, uid: &Uid) -> PathBuf {
        self.root.join(&*uid.0)
    }

    /// The directory of a volume.
    pub(super) fn volume(&self, uid: &Uid, name: &str, in_memory: bool) -> PathBuf {
        if in_memory { memory_root(uid).join(name) } else { self.pod(uid).join("volumes").join(name) }
    }

    /// Where a run leaves its last words.
    pub(super) fn last_words(&self, uid: &Uid, container: &str, attempt: u32) -> PathBuf {
        self.pod(uid).join("containers").join(container).join(format!("{attempt}.log"))
    }

    /// The files every container sees: the path here and in the container. On the host's network it has the host's name.
    pub(super) fn shared(&self, uid: &Uid, host_network: bool) -> Vec<(PathBuf, String)> {
        let own_name = (!host_network).then_some("hostname");
        let files = ["hosts", "resolv.conf"].into_iter().chain(own_name);
        files.map(|file| (self.pod(uid).join(file), format!("/etc/{file}"))).collect()
    }

    /// Writes the shared files. The address is added when it is known; containers are started only then.
    pub(super) fn write_shared(
        &self,
        uid: &Uid,
        spec: &SandboxSpec,
        server: Option<IpAddr>,
        address: Option<&str>,
    ) -> io::Result<()> {
        let pod = self.pod(uid);
        fs::create_dir_all(&pod)?;
        fs::write(pod.join("hosts"), hosts(spec, address))?;
        if address.is_none() {
            fs::write(pod.join("resolv.conf"), resolv_conf(spec, server))?;
            fs::write(pod.join("hostname"), format!("{}\n", spec.hostname))?;
        }
        Ok(())
    }

    /// Makes the empty file for a run's last words.
    pub(super) fn prepare_last_words(&self, uid: &Uid, container: &str, attempt: u32) -> io::Result<PathBuf> {
        let path = self.last_words(uid, container, attempt);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, "")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
        Ok(path)
    }

    /// Writes a pod's volumes. What is there already is kept, but for files that changed: they are swapped in together.
    pub(super) fn write_volumes(&self, uid: &Uid, volumes: &[VolumePlan]) -> Result<(), String> {
        for volume in volumes {
            let written = match &volume.content {
                Content::Empty { in_memory } => {
                    empty_directory(&self.volume(uid, &volume.name, *in_memory), volume.group)
                }
                Content::Host { path, kind } => host_path(path, kind),
                Content::Disk { path, is_own } => disk(path, *is_own, volume.group),
                Content::Files(files) => swap_in(&self.volume(uid, &volume.name, false), files, volume.group),
            };
            written.map_err(|error| format!("MountVolume.SetUp failed for volume \"{}\" : {error}", volume.name))?;
        }
        Ok(())
    }

    /// Removes everything of a pod.
    pub(super) fn remove(&self, uid: &Uid) -> io::Result<()> {
        Subpaths::of(uid).remove()?;
        remove_folder(&self.pod(uid))?;
        remove_folder(&memory_root(uid))
    }
}

fn memory_root(uid: &Uid) -> PathBuf {
    Path::new(MEMORY).join(format!("sampan-{uid}"))
}

fn empty_directory(path: &Path, group: Option<u32>) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    let mode = if group.is_some() { 0o2777 } else { 0o777 };
    chown_group(path, group)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// A directory that outlives the pod. One that is the node's own is made where it is missing, and left as it is where not:
/// but for the group of its files, which is set once for all of them where it is another.
fn disk(path: &Path, is_own: bool, group: Option<u32>) -> io::Result<()> {
    if is_own && !path.is_dir() {
        return empty_directory(path, group);
    }
    let found = fs::metadata(path)?;
    if !found.is_dir() {
        return Err(io::Error::other(format!("{} is not a directory", path.display())));
    }
    match group {
        Some(group) if found.gid() != group || found.mode() & 0o2000 == 0 => own(path, group),
        _ => Ok(()),
    }
}

/// Gives everything in a directory to a group, itself last: where that was broken off, it begins anew. A running pod may put links
/// in the place of what is there: nothing is followed.
fn own(path: &Path, group: u32) -> io::Result<()> {
    let directory = open(path, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    own_opened(&directory, Gid::from_raw(group))
}

fn own_opened(directory: &OwnedFd, group: Gid) -> io::Result<()> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        let found = openat(directory, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        match FileType::from_raw_mode(fstat(&found)?.st_mode) {
            FileType::Directory => {
                let inner = openat(&found, c".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
                own_opened(&inner, group)?;
            }
            kind => {
                chownat(&found, c"", None, Some(group), AtFlags::EMPTY_PATH)?;
                if kind == FileType::RegularFile {
                    allow(&found, 0o660)?;
                }
            }
        }
    }
    chownat(directory, c"", None, Some(group), AtFlags::EMPTY_PATH)?;
    allow(directory, 0o2770)
}

/// Adds to the mode of what is open, be it only as a path.
fn allow(found: &OwnedFd, mode: u32) -> io::Result<()> {
    let itself = format!("/proc/self/fd/{}", found.as_raw_fd());
    let before = fstat(found)?.st_mode & 0o7777;
    fs::set_permissions(itself, fs::Permissions::from_mode(before | mode))
}

fn chown_group(path: &Path, group: Option<u32>) -> io::Result<()> {
    match group {
        Some(group) => chown(path, None, Some(group)),
        None => Ok(()),
    }
}

/// Checks or makes a path of the host, as <https://kubernetes.io/docs/concepts/storage/volumes/#hostpath> says.
fn host_path(path: &Path, kind: &str) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let is = |test: fn(&fs::FileType) -> bool| fs::metadata(path).is_ok_and(|found| test(&found.file_type()));
    let holds = match kind {
        "DirectoryOrCreate" => return fs::create_dir_all(path),
        "FileOrCreate" if !path.exists() => return fs::write(path, ""),
        "Directory" => is(fs::FileType::is_dir),
        "File" | "FileOrCreate" => is(fs::FileType::is_file),
        "Socket" => is(FileTypeExt::is_socket),
        "CharDevice" => is(FileTypeExt::is_char_device),
        "BlockDevice" => is(FileTypeExt::is_block_device),
        _ => return Ok(()),
    };
    let message = || format!("hostPath type check failed: {} is not a {kind}", path.display());
    if holds { Ok(()) } else { Err(io::Error::other(message())) }
}

/// Writes the files into a fresh directory, then points `..data` at it in one rename. Readers see all old or all new.
fn swap_in(volume: &Path, files: &BTreeMap<String, File>, group: Option<u32>) -> io::Result<()> {
    fs::create_dir_all(volume)?;
    let before = fs::read_link(volume.join(DATA_LINK)).ok();
    let fresh = fresh_name(volume, before.as_deref());
    let directory = volume.join(&fresh);
    fs::create_dir(&directory)?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))?;
    for (path, file) in files {
        write_file(&directory, path, file, group)?;
    }
    let staged = volume.join("..data_tmp");
    let _ = fs::remove_file(&staged);
    symlink(&fresh, &staged)?;
    fs::rename(&staged, volume.join(DATA_LINK))?;
    let tops: BTreeSet<&str> = files.keys().filter_map(|path| path.split('/').next()).collect();
    for top in &tops {
        let link = volume.join(top);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA_LINK).join(top), link)?;
        }
    }
    remove_stale(volume, &tops, &fresh)
}

fn write_file(directory: &Path, path: &str, file: &File, group: Option<u32>) -> io::Result<()> {
    let path = directory.join(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&path, &file.content)?;
    let mode = if group.is_some() { file.mode | 0o440 } else { file.mode };
    chown_group(&path, group)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))
}

/// A name no earlier directory of the volume has.
fn fresh_name(volume: &Path, before: Option<&Path>) -> String {
    let number = before.and_then(Path::to_str).and_then(|name| name.strip_prefix("..")?.parse::<u64>().ok());
    let mut number = number.map_or(1, |number| number + 1);
    while volume.join(format!("..{number}")).exists() {
        number += 1;
    }
    format!("..{number}")
}

/// Removes links to files that are no more, and the directories of earlier contents.
fn remove_stale(volume: &Path, tops: &BTreeSet<&str>, fresh: &str) -> io::Result<()> {
    for entry in fs::read_dir(volume)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name == DATA_LINK || name == fresh || tops.contains(name) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            remove_folder(&entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// What a pod calls addresses: itself, and what it was given; on the host's network, whatever the host does.
fn hosts(spec: &SandboxSpec, address: Option<&str>) -> String {
    let mut text = match spec.host_network {
        true => {
            "# Kubernetes-managed hosts file (host network).\n".to_owned()
                + &fs::read_to_string("/etc/hosts").unwrap_or_default()
        }
        false => OWN_HOSTS.to_owned(),
    };
    if let Some(address) = address.filter(|_| !spec.host_network) {
        let names = spec.domain_name.iter().chain(std::iter::once(&spec.hostname));
        let names: Vec<&str> = names.map(String::as_str).collect();
        text.extend([address, "\t", &names.join("\t"), "\n"]);
    }
    for (address, names) in &spec.host_aliases {
        text.extend([address, "\t", &names.join("\t"), "\n"]);
    }
    text
}

/// The pod's name servers, search domains and options; the host's where the cluster has no name server of its own.
fn resolv_conf(spec: &SandboxSpec, server: Option<IpAddr>) -> String {
    let resolver = &spec.resolver;
    let host = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let (mut servers, mut searches, mut options) = (Vec::new(), Vec::new(), Vec::new());
    let first = resolver.policy == "ClusterFirst" && !spec.host_network;
    let in_cluster = first || resolver.policy == "ClusterFirstWithHostNet";
    match (server, resolver.policy.as_str()) {
        (_, "None") => {}
        (Some(server), _) if in_cluster => {
            servers.push(server.to_string());
            let services = format!("svc.{CLUSTER_DOMAIN}");
            searches.extend([format!("{}.{services}", resolver.namespace), services, CLUSTER_DOMAIN.to_owned()]);
            searches.extend(words(&host, "search").into_iter().filter(|word| word != "."));
            options.push("ndots:5".to_owned());
        }
        _ => {
            // What listens on the host's loopback is reached on the host's network alone.
            let is_reached = |address: &String| spec.host_network || !address.starts_with("127.");
            servers.extend(words(&host, "nameserver").into_iter().filter(is_reached));
            searches.extend(words(&host, "search"));
            options.extend(words(&host, "options"));
        }
    }
    servers.extend(resolver.nameservers.iter().cloned());
    searches.extend(resolver.searches.iter().cloned());
    options.extend(resolver.options.iter().cloned());
    let mut text = String::new();
    for server in servers.iter().take(MOST_NAMESERVERS) {
        text.extend(["nameserver ", server, "\n"]);
    }
    if !searches.is_empty() {
        text.push_str(&format!("search {}\n", searches.join(" ")));
    }
    if !options.is_empty() {
        text.push_str(&format!("options {}\n", options.join(" ")));
    }
    text
}

fn words(text: &str, keyword: &str) -> Vec<String> {
    let lines =
        text.lines().filter_map(|line| line.trim().strip_prefix(keyword)).filter(|rest| rest.starts_with([' ', '\t']));
    lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

/// The node's address as other machines see it: the source of a packet that is never sent.
pub fn host_address() -> Option<String> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified()).then(|| address.to_string())
}
