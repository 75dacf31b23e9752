//! What of the node's files a run of a container sees, as Docker is told.

use super::files::PodFiles;
use super::subpath::Subpaths;
use crate::pod::command::Mount;
use crate::pod::{ContainerSpec, Uid};

/// Makes the files of a run that are its own, and tells what is bound where.
pub(super) fn prepare(files: &PodFiles, uid: &Uid, spec: &ContainerSpec) -> Result<Vec<String>, String> {
    let last_words = files.prepare_last_words(uid, &spec.name, spec.attempt);
    let last_words = last_words.map_err(|error| format!("failed to prepare files: {error}"))?;
    let mut binds = vec![bind(&last_words.to_string_lossy(), &spec.termination_message_path, "")];
    let shared = files.shared(uid, spec.host_network);
    let shared = shared.iter().filter(|(_, target)| !is_mounted(target, &spec.mounts));
    binds.extend(shared.map(|(path, target)| bind(&path.to_string_lossy(), target, "")));
    for (index, mount) in spec.mounts.iter().enumerate() {
        binds.push(volume(files, uid, mount, &format!("{}-{index}", spec.name))?);
    }
    Ok(binds)
}

/// Whether the container brings a file of its own for that place: ours stays away then.
fn is_mounted(target: &str, mounts: &[Mount]) -> bool {
    mounts.iter().any(|mount| mount.container_path.trim_end_matches('/') == target)
}

fn volume(files: &PodFiles, uid: &Uid, mount: &Mount, place: &str) -> Result<String, String> {
    let own = || files.volume(uid, &mount.volume, mount.in_memory);
    let whole = mount.host_path.clone().unwrap_or_else(own);
    let source = match &mount.sub_path {
        None => whole,
        Some(inner) => Subpaths::of(uid)
            .prepare(&whole, inner, place)
            .map_err(|error| format!("failed to prepare subPath for volumeMount \"{}\": {error}", mount.volume))?,
    };
    let mut options: Vec<&str> = Vec::new();
    options.extend(mount.read_only.then_some("ro"));
    options.extend(mount.propagation);
    Ok(bind(&source.to_string_lossy(), &mount.container_path, &options.join(",")))
}

fn bind(source: &str, target: &str, options: &str) -> String {
    if options.is_empty() { format!("{source}:{target}") } else { format!("{source}:{target}:{options}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containers_own_file_takes_the_place_of_ours() {
        let mount = Mount {
            volume: "names".to_owned(),
            host_path: None,
            in_memory: false,
            sub_path: Some("hosts".to_owned()),
            container_path: "/etc/hosts".to_owned(),
            read_only: false,
            propagation: None,
        };
        assert!(is_mounted("/etc/hosts", std::slice::from_ref(&mount)));
        assert!(!is_mounted("/etc/resolv.conf", &[mount]));
    }
}
