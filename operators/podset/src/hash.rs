//! The hash that tells pod templates apart.

use k8s_openapi::api::core::v1::PodTemplateSpec;

/// The label that carries a template's hash on ReplicaSets and pods.
pub const HASH_LABEL: &str = "pod-template-hash";

/// The characters of a hash: Kubernetes' safe alphabet, which spells no words.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A short name for a template. `collisions` counts how often the name was found taken by another template: each leads to
/// another name.
///
/// FNV-1a over the template's JSON, whose fields stand in a fixed order. Equal templates have equal hashes on every run and
/// every version of the same types; the value itself is nobody's contract.
pub fn template_hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let text = serde_json::to_vec(template).expect("a pod template always encodes");
    let mut hash = fnv1a(0x811c_9dc5, &text);
    if let Some(collisions) = collisions.filter(|count| *count > 0) {
        hash = fnv1a(hash, &collisions.to_le_bytes());
    }
    let letter = |digit: u8| {
        let index = usize::from(digit) % ALPHABET.len();
        char::from(*ALPHABET.get(index).expect("the index is below the alphabet's length"))
    };
    hash.to_string().bytes().map(letter).collect()
}

fn fnv1a(seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_and_collisions_lead_to_other_names() {
        let mut template = PodTemplateSpec::default();
        let first = template_hash(&template, None);
        assert_eq!(first, template_hash(&template, Some(0)));
        assert_ne!(first, template_hash(&template, Some(1)));
        template.metadata.get_or_insert_default().labels = Some([("app".to_owned(), "web".to_owned())].into());
        assert_ne!(first, template_hash(&template, None));
        assert!(first.bytes().all(|byte| ALPHABET.contains(&byte)), "{first}");
    }
}
