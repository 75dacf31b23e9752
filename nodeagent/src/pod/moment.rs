//! Times as Kubernetes keeps them: seconds in objects, microseconds in leases and events.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};

/// As Kubernetes keeps a time: whole seconds.
pub fn time(moment: Timestamp) -> Time {
    Time(Timestamp::from_second(moment.as_second()).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// As Kubernetes keeps a time of a lease or an event: microseconds.
pub fn micro_time(moment: Timestamp) -> MicroTime {
    let moment = Timestamp::from_microsecond(moment.as_microsecond());
    MicroTime(moment.unwrap_or(Timestamp::UNIX_EPOCH))
}

/// The moment a time of Kubernetes names.
pub fn moment(time: &Time) -> Timestamp {
    Timestamp::from_second(time.0.as_second()).unwrap_or(Timestamp::UNIX_EPOCH)
}
