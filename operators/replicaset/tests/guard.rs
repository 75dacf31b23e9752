//! What was read guards what is committed; and who is contradicted again and again is let through.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use std::sync::Arc;

use sampan_conformance::{Cluster, Edit, Moved, World, actors};
use sampan_core::store::Snapshot;
use sampan_podset::replicas::conformance::{self, orphan};
use sampan_replicaset::ReplicaSetOperator;
use sampan_replicaset::resource::definition;
use serde_json::Value;

fn replica_set(replicas: usize) -> Value {
    conformance::set::<ReplicaSetOperator>(replicas, 0)
}

fn active(snapshot: &Snapshot) -> Vec<Arc<Value>> {
    conformance::active::<ReplicaSetOperator>(snapshot)
}

fn world(replicas: usize) -> World {
    World::new("guarded", |driver| driver.add(ReplicaSetOperator)).serving(definition()).holding(replica_set(replicas))
}

/// A ReplicaSet that waits for its pods to become ready, and is to grow.
fn growing(replicas: usize, to: usize) -> Edit {
    let mut set = replica_set(replicas);
    set["spec"]["replicas"] = to.into();
    Edit::Update(set)
}

#[test]
fn a_matching_pod_created_between_snapshot_and_commit_refuses_the_commit_and_the_next_step_sees_it() {
    let world = world(1);
    let mut cluster = Cluster::new(&world);
    assert_eq!(cluster.step_while(&orphan().edit), Ok(Moved::Refused));
    assert_eq!(actors::pods(&cluster.snapshot()).count(), 1, "the refused commit left a pod");
    assert!(cluster.run_to_rest(50));
    let pods: Vec<_> = active(&cluster.snapshot());
    assert_eq!(pods.len(), 1, "the orphan is the replica: {pods:?}");
}

#[test]
fn parking_a_replica_set_of_1000_pods_turning_ready_makes_progress_while_it_is_scaled() {
    const REPLICAS: usize = 1_000;
    let world = world(REPLICAS);
    let mut cluster = Cluster::new(&world);
    assert!(cluster.run_to_rest(50));
    let step_while_one_turns_ready = |cluster: &mut Cluster<'_>| {
        let deed =
            actors::become_ready(&cluster.snapshot(), cluster.now).into_iter().next().expect("a pod is not ready yet");
        // Who had to wait for the step finds its pod gone, where the step has taken it.
        cluster.step_while(&deed.edit).unwrap_or(Moved::Committed)
    };
    // A pod becomes ready between every snapshot and its commit. Growing, it contradicts nothing; shrinking, it may be one
    // of those that are to go, and after three times it waits.
    for (to, contradicted_max) in [(REPLICAS + 100, 0), (REPLICAS, 3)] {
        cluster.edit(&growing(REPLICAS, to)).unwrap();
        let (mut contradicted, mut steps) = (0, 0);
        while active(&cluster.snapshot()).len() != to {
            let before = active(&cluster.snapshot()).len();
            contradicted += usize::from(step_while_one_turns_ready(&mut cluster) == Moved::Refused);
            assert!(contradicted <= contradicted_max, "contradicted {contradicted} times on the way to {to}");
            if active(&cluster.snapshot()).len() != before {
                contradicted = 0;
            }
            steps += 1;
            assert!(steps < 30, "no progress: {before} pods, wanted {to}");
        }
    }
}
