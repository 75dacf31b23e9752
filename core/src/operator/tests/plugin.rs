//! Operators that are programs, answered for by a test.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::super::{EffectRequest, Telling, Turn};
use super::fixture::{World, key};
use crate::object::ObjectKey;
use crate::plugin::{Answer, Charter, Failure, PluginOperator, PluginSpec, Program, Question};
use crate::resource::{EFFECTS, Registry, SECRETS, builtin};

/// A program that answers what a test puts in, to questions it keeps.
#[derive(Default)]
struct Script {
    asked: Mutex<Vec<Question>>,
    pending: Mutex<BTreeMap<ObjectKey, Question>>,
    answers: Mutex<VecDeque<Result<Answer, Failure>>>,
    complaints: Mutex<Vec<String>>,
}

impl Program for Script {
    fn answer(&self, key: &ObjectKey, question: &Question) -> Option<Result<Answer, Failure>> {
        let pending = self.pending.lock().unwrap().remove(key);
        if pending.is_some_and(|asked| asked.body == question.body) {
            return self.answers.lock().unwrap().pop_front();
        }
        self.asked.lock().unwrap().push(question.clone());
        self.pending.lock().unwrap().insert(key.clone(), question.clone());
        None
    }

    fn perform(&self, request: &EffectRequest, tell: Telling<'_>) -> Result<Value, String> {
        tell("half of it".to_owned());
        Ok(json!({"did": request.key, "with": request.input}))
    }

    fn complain(&self, _key: &ObjectKey, why: &str) {
        self.complaints.lock().unwrap().push(why.to_owned());
    }

    fn forget(&self, _key: &ObjectKey) {}
}

impl Script {
    fn will(&self, answer: Value) {
        self.answers.lock().unwrap().push_back(Ok(serde_json::from_value(answer).unwrap()));
    }

    fn questions(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap().clone()
    }
}

fn spec() -> Value {
    json!({"spec": {"command": ["it"], "primary": {"apiVersion": "v1", "kind": "ConfigMap"},
        "owns": [{"apiVersion": "v1", "kind": "Secret"}],
        "states": [{"name": "Waiting"}, {"name": "Done"}],
        "edges": [
            {"from": "Unobserved", "to": "*", "guard": "first observation"},
            {"from": "Waiting", "to": "Done", "guard": "it is there"}]}})
}

/// A world with one ConfigMap, `a`, whose operator is a program.
fn world(spec: &Value) -> (World, Arc<Script>) {
    let mut registry = Registry::default();
    builtin().into_iter().for_each(|definition| registry.register(definition));
    let spec = PluginSpec::read(spec).unwrap();
    let charter = Charter::new("scripted", &spec, &registry).unwrap();
    let script = Arc::new(Script::default());
    let program = script.clone();
    let mut world = World::new(move |driver| driver.add(PluginOperator::new(charter, spec, program)));
    world.put("a", "one");
    (world, script)
}

fn secret(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"k": "v"}})
}

fn resume(world: &mut World) {
    world.operators.resume("scripted", &key("a"));
    world.run_to_rest();
}

fn state(world: &World) -> &'static str {
    world.operators.state("scripted", &key("a")).unwrap_or("Unobserved")
}

#[test]
fn a_step_waits_for_its_answer_and_then_commits_it() {
    let (mut world, script) = world(&spec());
    world.run_to_rest();
    assert_eq!((script.questions(), state(&world)), (1, "Unobserved"));
    script.will(json!({"state": "Done", "apply": [secret("s")]}));
    resume(&mut world);
    assert_eq!(state(&world), "Done");
    let snapshot = world.snapshot();
    let made = snapshot.get(&ObjectKey::namespaced(SECRETS, "default", "s")).unwrap();
    let owner = &made.metadata().owner_references[0];
    assert_eq!((&*owner.name, &*owner.kind), ("a", "ConfigMap"));
}

#[test]
fn while_an_answer_is_awaited_changes_gather_and_the_question_is_put_anew() {
    let (mut world, script) = world(&spec());
    world.run_to_rest();
    world.put("a", "two");
    world.run_to_rest();
    assert_eq!(script.questions(), 1, "one question of a key at a time");
    script.will(json!({"state": "Waiting"}));
    resume(&mut world);
    assert_eq!(script.questions(), 2, "an answer to what is not so any more is not taken");
    let asked = script.asked.lock().unwrap()[1].body.clone();
    assert_eq!(asked["primary"]["data"]["k"], "two");
    resume(&mut world);
    assert_eq!(state(&world), "Waiting");
}

#[test]
fn what_wakes_while_an_answer_is_carried_out_is_not_lost() {
    let (mut world, script) = world(&spec());
    world.run_to_rest();
    script.will(json!({"state": "Done", "apply": [secret("s")]}));
    world.operators.resume("scripted", &key("a"));
    let (turn, launched) = world.turn();
    assert_eq!(turn, Turn::Launched);
    world.put("a", "two");
    world.settle(launched);
    world.run_to_rest();
    assert_eq!(script.questions(), 2, "the commit met the change, and the program is asked again");
}

#[test]
fn an_undeclared_write_is_refused_and_named() {
    let check = |answer: Value, why: &str| {
        let (mut world, script) = world(&spec());
        world.run_to_rest();
        script.will(answer);
        resume(&mut world);
        assert_eq!(script.complaints(), [why]);
        let fault = world.operators.last_step().unwrap().fault.clone();
        assert_eq!(fault.as_deref(), Some(why));
        assert_eq!(world.snapshot().list(SECRETS, None, None).count(), 0, "nothing of a void step is committed");
    };
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {}});
    let undeclared = "the plugin asked to update configmaps/default/a, which it does not declare";
    check(json!({"state": "Done", "apply": [secret("s"), map]}), undeclared);
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}});
    check(
        json!({"state": "Done", "apply": [pod]}),
        "the plugin asked to update pods/default/p, which it does not declare",
    );
    let away = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "other"}});
    let astray = "the plugin would own secrets/other/s, which is in another namespace than its owner";
    check(json!({"state": "Done", "apply": [away]}), astray);
    let mut held = secret("s");
    held["metadata"]["finalizers"] = json!(["example.com/mine"]);
    let finalizer = "the plugin puts the finalizer example.com/mine on secrets/default/s, which it does not declare: its own is plugin.sampan.dev/scripted";
    check(json!({"state": "Done", "apply": [held]}), finalizer);
    check(json!({"state": "Lost"}), "the plugin answers with the state \"Lost\", which it does not declare");
    let by = "the plugin goes from Unobserved to Done by \"luck\", a transition which it does not declare";
    check(json!({"state": "Done", "because": "luck"}), by);
    let shapeless =
        "the plugin answers with `{\"kind\":\"Secret\"}`, which is no object with apiVersion, kind and metadata.name";
    check(json!({"state": "Done", "apply": [{"kind": "Secret"}]}), shapeless);
}

#[test]
fn what_belongs_to_somebody_else_is_neither_changed_nor_deleted() {
    let mut others = spec();
    others["spec"]["owns"] = json!([{"apiVersion": "v1", "kind": "ConfigMap"}]);
    let (mut world, script) = world(&others);
    world.put("b", "theirs");
    world.run_to_rest();
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}, "data": {"k": "ours"}});
    script.will(json!({"state": "Done", "apply": [theirs]}));
    resume(&mut world);
    assert_eq!(world.values()[1], ("b".to_owned(), "theirs".to_owned()));
    assert_eq!(script.complaints(), Vec::<String>::new(), "it waits, which is no fault");
}

#[test]
fn what_the_api_server_refuses_is_told_and_nothing_of_the_answer_is_committed_without_it() {
    let (mut world, script) = world(&spec());
    world.run_to_rest();
    let broken = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "Not A Name"}});
    let answer = json!({"state": "Done", "apply": [secret("good"), broken]});
    script.will(answer.clone());
    resume(&mut world);
    assert_eq!(script.questions(), 2, "it is asked again, and told");
    let told = script.asked.lock().unwrap()[1].body["refused"].clone();
    assert_eq!((&told["verb"], &told["resource"]), (&json!("create"), &json!("secrets")));
    script.will(answer);
    resume(&mut world);
    assert_eq!(world.snapshot().list(SECRETS, None, None).count(), 0);
    assert_eq!(state(&world), "Unobserved");
    let decisions = world.sequencer.reader().decisions(&key("a")).unwrap();
    let unmet = &decisions.last().unwrap().unmet[0];
    assert_eq!(unmet.guard, "the API server lets it create secrets");
    script.will(json!({"state": "Done", "apply": [secret("good")]}));
    world.now = world.now.checked_add(Duration::from_secs(60)).unwrap();
    world.run_to_rest();
    resume(&mut world);
    assert_eq!(state(&world), "Done");
}

#[test]
fn a_program_that_fails_leaves_the_state_and_is_asked_again() {
    let (mut world, script) = world(&spec());
    world.run_to_rest();
    let failure = Failure { what: "it crashed".to_owned(), retry_after: Some(Duration::from_secs(2)) };
    script.answers.lock().unwrap().push_back(Err(failure));
    resume(&mut world);
    assert_eq!((script.questions(), state(&world)), (1, "Unobserved"));
    world.now = world.now.checked_add(Duration::from_secs(3)).unwrap();
    world.run_to_rest();
    assert_eq!(script.questions(), 2);
}

#[test]
fn what_is_so_already_is_not_written_again() {
    let (mut world, script) = world(&spec());
    world.run_to_rest();
    script.will(json!({"state": "Done", "apply": [secret("s")]}));
    resume(&mut world);
    // The secret it made wakes it.
    script.will(json!({"state": "Done", "apply": [secret("s")]}));
    resume(&mut world);
    let before = world.snapshot().revision();
    world.operators.wake("scripted", &key("a"), world.now);
    world.run_to_rest();
    script.will(json!({"state": "Done", "apply": [secret("s")]}));
    resume(&mut world);
    assert_eq!(world.snapshot().revision(), before);
}

#[test]
fn an_effect_is_asked_for_in_an_answer_run_by_the_program_and_shown_in_the_next_question() {
    let mut effecting = spec();
    effecting["spec"]["effects"] = json!([{"name": "send"}]);
    let (mut world, script) = world(&effecting);
    world.run_to_rest();
    assert_eq!(script.asked.lock().unwrap()[0].body["effects"], json!([]));
    let wish = json!([{"effect": "send", "key": "k", "input": 7}]);
    script.will(json!({"state": "Waiting", "effects": wish}));
    resume(&mut world);
    let [run] = world.effects.as_slice() else { panic!("the effect is to be run") };
    assert_eq!((run.request.name, run.request.primary.as_str()), ("send", "configmaps/default/a"));
    let ticket = run.ticket;
    let words = Mutex::new(Vec::new());
    run.perform_telling(&|word| words.lock().unwrap().push(word)).unwrap();
    words.into_inner().unwrap().into_iter().for_each(|word| world.operators.effect_tells(ticket, word));
    world.run_to_rest();
    let shown = |script: &Script| script.asked.lock().unwrap().last().unwrap().body["effects"].clone();
    script.will(json!({"state": "Waiting", "effects": wish}));
    // It was asked before that word, and is asked anew.
    resume(&mut world);
    resume(&mut world);
    let told = json!([{"effect": "send", "key": "k", "input": 7, "done": false, "tries": 0, "progress": "half of it"}]);
    assert_eq!(shown(&script), told);
    let unmet = world.sequencer.reader().decisions(&key("a")).unwrap().last().unwrap().unmet[0].clone();
    assert!(unmet.guard == "effect send k is done" && unmet.detail.ends_with("half of it"), "{unmet:?}");

    world.run_effects();
    world.run_to_rest();
    script.will(json!({"state": "Done", "effects": wish}));
    resume(&mut world);
    let result = json!({"did": "k", "with": 7});
    assert_eq!(shown(&script), json!([{"effect": "send", "key": "k", "input": 7, "done": true, "result": result}]));
    assert_eq!((state(&world), script.complaints()), ("Done", Vec::new()));

    world.put("a", "two");
    world.run_to_rest();
    script.will(json!({"state": "Done", "forget": [{"effect": "send", "key": "k"}]}));
    resume(&mut world);
    assert_eq!(world.snapshot().count(EFFECTS), 0, "what is forgotten may be asked for anew");
}

#[test]
fn an_effect_that_is_not_declared_is_refused_and_named() {
    let (mut world, script) = world(&spec());
    world.run_to_rest();
    script.will(json!({"state": "Done", "effects": [{"effect": "send", "key": "k"}]}));
    resume(&mut world);
    assert_eq!(script.complaints(), ["the plugin asked for the effect \"send\", which it does not declare"]);
    assert_eq!(world.snapshot().count(EFFECTS), 0);
}
