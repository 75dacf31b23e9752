//! The states of a ReplicationController: those of [`sampan_podset::replicas`].

use sampan_machine::Chart;
use sampan_podset::replicas::{self, ReplicasMachine};

/// The chart of the ReplicationController machine.
pub static CHART: Chart = replicas::chart("replicationcontroller");

/// The ReplicationController machine.
pub type ReplicationControllerMachine = ReplicasMachine;
