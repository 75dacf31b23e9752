//! Which files of a directory are manifests, and what their `ManifestFile` objects are called.

/// Whether a file of this name is a manifest: YAML or JSON, and not what an editor leaves behind.
pub fn is_manifest(file_name: &str) -> bool {
    let hidden = file_name.starts_with(['.', '#', '~']);
    let extension = file_name.rsplit_once('.').map(|(_, extension)| extension);
    !hidden && matches!(extension, Some("yaml" | "yml" | "json"))
}

/// Whether a directory of this name is looked into. Hidden ones are not: `.git`, and the `..data` that a mounted
/// ConfigMap swaps its files through.
pub fn is_searched(directory_name: &str) -> bool {
    !directory_name.starts_with('.')
}

/// Whether a file's text is JSON, where tabs are plain white space.
pub fn is_json(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| extension == "json")
}

/// The name of the `ManifestFile` of a file: its path where that is a valid name, else made one, with a hash so that no
/// two paths share it.
pub fn object_name(path: &str) -> String {
    /// Leaves room for the hash in the 253 characters a name may have.
    const READABLE_MAX: usize = 200;
    let made: String = path
        .chars()
        .take(READABLE_MAX)
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { c.to_ascii_lowercase() })
        .map(|c| if c == '/' { '.' } else { c })
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .collect();
    let labels: Vec<&str> = made.split('.').map(|label| label.trim_matches('-')).filter(|l| !l.is_empty()).collect();
    let name = labels.join(".");
    if name == path { name } else { format!("{name}-{:08x}", hash(path.as_bytes()) as u32) }
}

/// FNV-1a, 64 bits: the same on every machine and in every version, for it is stored.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_editors_leave_behind_is_no_manifest() {
        for name in ["web.yaml", "web.yml", "a.b.json"] {
            assert!(is_manifest(name), "{name}");
        }
        for name in [
            ".#web.yaml",
            "web.yaml~",
            ".web.yaml.swp",
            "4913",
            "web.yaml.tmp",
            "#web.yaml#",
            "README.md",
            "yaml",
            "..data",
        ] {
            assert!(!is_manifest(name), "{name}");
        }
        assert!(is_searched("apps") && !is_searched("..2024_01_01") && !is_searched(".git"));
    }

    #[test]
    fn every_path_has_a_name_of_its_own() {
        assert_eq!(object_name("web.yaml"), "web.yaml");
        let made = ["apps/web.yaml", "apps.web.yml", "Apps/Web.yaml", "apps/_web_.yaml"].map(object_name);
        assert!(made[0].starts_with("apps.web.yaml-"), "{made:?}");
        assert_eq!(made[1], "apps.web.yml");
        assert_ne!(made[0], made[2]);
        assert!(made[3].starts_with("apps.-web-.yaml") || made[3].starts_with("apps.web"), "{made:?}");
    }
}
