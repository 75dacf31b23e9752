//! The states of a ReplicaSet: those of [`sampan_podset::replicas`].

use sampan_machine::Chart;
use sampan_podset::replicas::{self, ReplicasMachine};

/// The chart of the ReplicaSet machine.
pub static CHART: Chart = replicas::chart("replicaset");

/// The ReplicaSet machine.
pub type ReplicaSetMachine = ReplicasMachine;
