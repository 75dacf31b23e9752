//! What is tried from a state beside all that can happen there: interference that must change nothing of how the world
//! ends, new specs, deletion.

use jiff::SignedDuration;
use sampan_core::object::Object;
use serde_json::Value;

use crate::act::{count, deeds};
use crate::cluster::{Cluster, Moment, Moved};
use crate::digest::{Digest, Incidental, canonical};
use crate::done::{Became, Done, Written};
use crate::end::End;
use crate::property::{Breach, Property};
use crate::world::{Deed, Edit, World};

/// How many of the possible deeds the driver hears of late, from one state.
const LATE_DEEDS_MAX: usize = 2;
/// How many of the possible deeds are done while an effect is run, from one state.
const DEEDS_MEANWHILE_MAX: usize = 4;
/// How often an operator comes to rest beside a stranger's object of the name it wants.
const TRIES_BESIDE_A_STRANGER: usize = 3;
/// The steps made at most before it is looked where the world ends.
const STEPS_TO_REST_MAX: usize = 50;

/// What was tried, and what the world must end like.
pub(crate) struct Probed<'w> {
    pub(crate) property: Property,
    pub(crate) what: String,
    pub(crate) cluster: Result<Cluster<'w>, Breach>,
    /// `None` where nothing must be left of the subject.
    pub(crate) expected: Option<Expected<'w>>,
}

/// How a world must end.
pub(crate) enum Expected<'w> {
    Look(Digest),
    EndOf(Box<Cluster<'w>>),
}

/// Everything to try from a state whose end is `end`; `fresh` are the ends of fresh deploys of the world's specs.
pub(crate) fn probes<'w>(at: &Cluster<'w>, fresh: &[Digest], end: &End) -> Vec<Probed<'w>> {
    let mut probes = interferences(at, end);
    probes.extend(crashes(at, end));
    probes.extend(late_deeds(at));
    probes.extend(refusal(at, end));
    probes.extend(squatter(at));
    probes.extend(slow_effects(at, end));
    probes.extend(wiped_status(at, end));
    probes.extend(new_specs(at, fresh));
    probes.extend(deletion(at));
    probes
}

fn interfered<'w>(
    at: &Cluster<'w>,
    property: Property,
    what: &str,
    expected: Digest,
    interfere: impl FnOnce(&mut Cluster<'w>),
) -> Probed<'w> {
    let mut cluster = at.fork();
    interfere(&mut cluster);
    // What woke a step, and when, is no part of a state's digest: nobody should look at it, and so it is tried here.
    cluster.run_to_rest(STEPS_TO_REST_MAX);
    Probed { property, what: what.to_owned(), cluster: Ok(cluster), expected: Some(Expected::Look(expected)) }
}

fn interferences<'w>(at: &Cluster<'w>, end: &End) -> Vec<Probed<'w>> {
    let mut probes = vec![
        interfered(at, Property::WakeUps, "every machine is woken again, in another order", end.look, |cluster| {
            cluster.wake_everything();
            cluster.driver.postpone();
        }),
        interfered(at, Property::Clock, "the clock jumps an hour forward", end.look, |cluster| {
            cluster.jump(SignedDuration::from_hours(1));
        }),
        interfered(at, Property::Clock, "the clock is set back by five seconds", end.look, |cluster| {
            cluster.jump(SignedDuration::from_secs(-5));
        }),
    ];
    if at.driver.queued() > 1 {
        let postpone = |cluster: &mut Cluster<'w>| cluster.driver.postpone();
        probes.push(interfered(at, Property::WakeUps, "the next wake-up comes last", end.look, postpone));
    }
    probes
}

/// What a crash tries here: that work is taken up again, or that an effect nobody has told of is run again.
pub(crate) fn of_crashes(at: &Cluster<'_>) -> Property {
    if at.driver.effects_under_way() > 0 { Property::Effects } else { Property::Crashes }
}

fn crashes<'w>(at: &Cluster<'w>, end: &End) -> Vec<Probed<'w>> {
    let mut probes =
        vec![interfered(at, of_crashes(at), "the power goes, the store is read back", end.look, Cluster::power_cut)];
    if at.driver.is_ready() && at.next_effect().is_none() {
        for (moment, what) in [
            (Moment::Before, "step, and crash before its commit is durable"),
            (Moment::After, "step, and crash after its commit was heard of"),
        ] {
            let crash = |cluster: &mut Cluster<'w>| _ = cluster.step_and_crash(moment);
            probes.push(interfered(at, Property::Crashes, what, end.look, crash));
        }
    }
    probes
}

/// What somebody does comes to the driver's ears after steps that may have seen it, and twice.
fn late_deeds<'w>(at: &Cluster<'w>) -> Vec<Probed<'w>> {
    let mut probes = Vec::new();
    for (actor, deed) in deeds(at, 1).into_iter().take(LATE_DEEDS_MAX) {
        let (mut prompt, mut late) = (at.fork(), at.fork());
        if prompt.edit(&deed.edit).is_err() || late.edit_unheard(&deed.edit).is_err() {
            continue;
        }
        count(&mut prompt, actor);
        count(&mut late, actor);
        let before = at.snapshot().revision();
        let _ = (0..STEPS_TO_REST_MAX).any(|_| late.step_unheard() == Moved::AtRest);
        late.hear();
        late.hear_again(before);
        let what = format!("{}, and the driver hears of it late and twice", deed.what);
        let expected = Some(Expected::EndOf(Box::new(prompt)));
        probes.push(Probed { property: Property::WakeUps, what, cluster: Ok(late), expected });
    }
    probes
}

/// The effect that is run next takes its time: others step meanwhile, and somebody may act.
fn slow_effects<'w>(at: &Cluster<'w>, end: &End) -> Vec<Probed<'w>> {
    let Some((_, acts)) = at.next_effect() else { return Vec::new() };
    let mut slow = at.fork();
    let begun = slow.step_slow();
    let _ = slow.run_to_rest(STEPS_TO_REST_MAX);
    slow.finish(begun);
    let what = format!("the effect takes its time over {acts} acts");
    let expected = Some(Expected::Look(end.look));
    let mut probes = vec![Probed { property: Property::Effects, what, cluster: Ok(slow), expected }];
    for (actor, deed) in deeds(at, 1).into_iter().take(DEEDS_MEANWHILE_MAX) {
        let (mut prompt, mut slow) = (at.fork(), at.fork());
        prompt.step();
        let begun = slow.step_slow();
        if prompt.edit(&deed.edit).is_err() || slow.edit(&deed.edit).is_err() {
            continue;
        }
        count(&mut prompt, actor);
        count(&mut slow, actor);
        let _ = slow.run_to_rest(STEPS_TO_REST_MAX);
        slow.finish(begun);
        let what = format!("{}, while the effect is run", deed.what);
        let expected = Some(Expected::EndOf(Box::new(prompt)));
        probes.push(Probed { property: Property::Effects, what, cluster: Ok(slow), expected });
    }
    probes
}

/// The next step's creations are refused, once.
fn refusal<'w>(at: &Cluster<'w>, end: &End) -> Option<Probed<'w>> {
    let mut accepted = at.fork();
    accepted.step();
    let creates = accepted.done.iter().any(|done| done.lasting().any(|written| written.became == Became::Created));
    if !creates {
        return None;
    }
    let mut cluster = at.fork();
    let moved = cluster.step_refused();
    let is_known = moved == Moved::Stepped && tells_the_same(at, &cluster);
    let is_told = is_known || cluster.done.iter().any(Done::tells);
    let what = "step, and every creation is refused".to_owned();
    let untold =
        || Breach::of(Property::Refusals, "the refusal is told nowhere: neither status, Event nor what is waited for");
    let cluster = if is_told { Ok(cluster) } else { Err(untold()) };
    Some(Probed { property: Property::Refusals, what, cluster, expected: Some(Expected::Look(end.look)) })
}

/// What the next step would create under a name of its own choice is there already, and a stranger's.
fn squatter<'w>(at: &Cluster<'w>) -> Option<Probed<'w>> {
    at.subject().filter(|subject| !subject.metadata().is_terminating())?;
    let mut accepted = at.fork();
    accepted.step();
    let created = accepted.done.iter().flat_map(Done::lasting).filter(|written| written.became == Became::Created);
    let mut strangers = created.filter_map(|written| strangers(&written.after));
    let stranger = strangers.next()?;
    let what = format!("a stranger creates {}", stranger.pointer("/metadata/name")?.as_str()?);
    let mut cluster = at.fork();
    cluster.edit(&Edit::Create(stranger)).ok()?;
    for _ in 0..TRIES_BESIDE_A_STRANGER {
        cluster.run_to_rest(STEPS_TO_REST_MAX);
        cluster.advance();
    }
    // Nothing else is asked: its author's laws need not hold where it cannot have what it wants.
    let breach = cluster.breach.take().filter(|breach| breach.property == Property::Ownership)?;
    Some(Probed { property: Property::Ownership, what, cluster: Err(breach), expected: None })
}

/// The object as somebody would have it who means something else by it: without owners, labels, data.
fn strangers(object: &Object) -> Option<Value> {
    let mut value = object.value();
    let fields = value.as_object_mut()?;
    let metadata = fields.get_mut("metadata")?.as_object_mut()?;
    if metadata.contains_key("generateName") {
        return None;
    }
    metadata.retain(|field, _| ["name", "namespace"].contains(&field.as_str()));
    fields.retain(|field, _| !["data", "status"].contains(&field.as_str()));
    Some(value)
}

/// Whether a step left its machine where it was, as one does that was refused before.
fn tells_the_same(before: &Cluster<'_>, after: &Cluster<'_>) -> bool {
    let Some(step) = after.driver.last_step() else { return false };
    let state = before.driver.state(step.operator, &step.key);
    state != Some(sampan_machine::UNOBSERVED) && state == after.driver.state(step.operator, &step.key)
}

/// Somebody wipes the subject's status, but for what no look at the world could tell.
fn wiped_status<'w>(at: &Cluster<'w>, end: &End) -> Option<Probed<'w>> {
    let subject = at.subject().filter(|it| at.world().tells_status && !it.metadata().is_terminating())?;
    let before = subject.value();
    let mut wiped = before.clone();
    wiped.as_object_mut()?.remove("status")?;
    for pointer in at.world().remembered {
        if let Some(kept) = before.pointer(&format!("/status{pointer}")) {
            put(&mut wiped, &format!("/status{pointer}"), kept.clone());
        }
    }
    let mut cluster = at.fork();
    cluster.edit(&Edit::UpdateStatus(wiped)).ok()?;
    let (what, expected) = ("the status is wiped".to_owned(), Some(Expected::Look(end.look)));
    Some(Probed { property: Property::Status, what, cluster: Ok(cluster), expected })
}

fn put(object: &mut Value, pointer: &str, value: Value) {
    let mut place = object;
    for step in pointer.split('/').skip(1) {
        if !place.is_object() {
            *place = Value::Object(serde_json::Map::new());
        }
        let Some(fields) = place.as_object_mut() else { return };
        place = fields.entry(step.to_owned()).or_insert(Value::Null);
    }
    *place = value;
}

fn new_specs<'w>(at: &Cluster<'w>, fresh: &[Digest]) -> Vec<Probed<'w>> {
    let Some(subject) = at.subject().filter(|subject| !subject.metadata().is_terminating()) else { return Vec::new() };
    let mut probes = Vec::new();
    for ((name, spec), expected) in at.world().specs.iter().zip(fresh) {
        let mut cluster = at.fork();
        if cluster.edit(&Edit::Update(respecified(&subject, spec))).is_ok() {
            let (what, expected) = (format!("the spec becomes `{name}`"), Some(Expected::Look(*expected)));
            probes.push(Probed { property: Property::NewSpec, what, cluster: Ok(cluster), expected });
        }
    }
    probes
}

/// The object as another manifest wants it.
pub(crate) fn respecified(object: &Object, manifest: &Value) -> Value {
    let mut value = object.value();
    let own = ["metadata", "status", "apiVersion", "kind"];
    if let (Some(fields), Some(wanted)) = (value.as_object_mut(), manifest.as_object()) {
        fields.retain(|name, _| own.contains(&name.as_str()));
        let wanted = wanted.iter().filter(|(name, _)| !own.contains(&name.as_str()));
        fields.extend(wanted.map(|(name, field)| (name.clone(), field.clone())));
    }
    value
}

fn deletion<'w>(at: &Cluster<'w>) -> Option<Probed<'w>> {
    let subject = at.subject()?;
    let mut cluster = at.fork();
    if !subject.metadata().is_terminating() {
        cluster.edit(&Edit::Delete(subject.key().clone())).ok()?;
    }
    let what = format!("{} is deleted", subject.key().name);
    Some(Probed { property: Property::Deletion, what, cluster: Ok(cluster), expected: None })
}

/// A step committed although `deed` came between its snapshot and its commit: it must be what a step that has seen the
/// deed would do as well. The status is derived and may lag, as may what the world says; everything else may not.
pub(crate) fn stale(before: &Cluster<'_>, deed: &Deed, after: &Cluster<'_>) -> Result<(), Breach> {
    let World { incidental, lags_behind, .. } = *before.world();
    let about = before.mutation(&deed.edit).map(|mutation| mutation.target.resource());
    let Some(done) = after.done.iter().rfind(|done| done.is_guarded) else { return Ok(()) };
    if about.is_ok_and(|about| lags_behind.contains(&about)) {
        return Ok(());
    }
    let mut informed = before.fork();
    if informed.edit(&deed.edit).is_err() {
        return Ok(());
    }
    informed.step();
    let would: Vec<Written> = informed.done.iter().flat_map(|done| done.lasting().cloned()).collect();
    let would: Vec<String> = would.iter().filter_map(|written| asked(written, incidental)).collect();
    for written in
        done.lasting().filter(|written| *written.after.key() != done.key || written.became != Became::Changed)
    {
        let Some(asked) = asked(written, incidental).filter(|asked| !would.contains(asked)) else { continue };
        let problem = format!("{}: a step that has seen `{}` would not do it: {asked}", done.story(), deed.what);
        return Err(Breach::of(Property::StaleSnapshots, problem));
    }
    Ok(())
}

/// What a change comes to, without what is incidental.
fn asked(written: &Written, incidental: Incidental) -> Option<String> {
    let resource = written.after.key().resource;
    if written.became == Became::Removed {
        return Some(format!("{:?} {}", written.became, written.after.key()));
    }
    let mut value = canonical(&written.after, crate::cluster::EPOCH, 0);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
    }
    incidental(&mut value).then(|| format!("{:?} {resource} {value}", written.became))
}
