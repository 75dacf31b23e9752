//! What is final rests on every pod.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_conformance::{Cluster, Deed, Moved, actors, read};
use sampan_job::conformance::suite;

const STEPS_MAX: usize = 50;

/// What somebody in the world could do now whose story holds these words.
fn deed(cluster: &Cluster<'_>, words: [&str; 2]) -> Deed {
    let snapshot = cluster.snapshot();
    let mut deeds = cluster.world().actors.iter().flat_map(|actor| (actor.deeds)(&snapshot, cluster.now));
    deeds.find(|deed| words.iter().all(|word| deed.what.contains(word))).unwrap()
}

fn happens(cluster: &mut Cluster<'_>, words: [&str; 2]) {
    let deed = deed(cluster, words);
    cluster.edit(&deed.edit).unwrap();
}

/// Found by exploring the world: the Job was told to be complete by a step that had not seen its pod get other labels, and nobody
/// looked at its pods any more.
#[test]
fn a_job_does_not_end_by_what_a_pod_was_like_before_somebody_changed_it() {
    let world = suite().worlds().into_iter().find(|world| world.name == "claimed").unwrap();
    let mut cluster = Cluster::new(&world);
    assert!(cluster.run_to_rest(STEPS_MAX));
    for words in [["work-", "becomes ready"], ["an orphan", "appears"], ["work-", "is Succeeded"]] {
        happens(&mut cluster, words);
        assert!(cluster.run_to_rest(STEPS_MAX));
    }
    happens(&mut cluster, ["orphan-", "is Failed"]);
    let relabelling = deed(&cluster, ["work-", "is relabelled"]);
    assert_eq!(cluster.step_while(&relabelling.edit), Ok(Moved::Refused));
    assert!(cluster.run_to_rest(STEPS_MAX));
    let snapshot = cluster.snapshot();
    let pod = actors::pods(&snapshot).find(|pod| pod.key().name.starts_with("work-")).unwrap();
    assert!(pod.metadata().owner_references.is_empty(), "{}", read(pod));
    let job = read(snapshot.get(world.subject.as_ref().unwrap()).unwrap());
    assert_eq!(job["status"]["conditions"][1]["type"], "Complete", "{job}");
}
