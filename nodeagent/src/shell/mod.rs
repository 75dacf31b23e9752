//! The thin shell around a [`Host`]: it feeds messages in, reads the clock, and carries effects out.
//!
//! This is the only place of the crate that spawns tasks and sleeps.

mod api;
mod claims;
mod disposal;
mod events;
mod lean;
mod range;
mod registration;
mod sources;
mod tokens;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub(crate) use self::disposal::Disposal;
pub(crate) use self::range::claim_range;
pub(crate) use self::registration::{read, register};
pub(crate) use self::watch::Scope;
use crate::host::{Effect, Hands as CarryOut, Host, Message, PodRef};
use crate::pod::{Command, Situation};
use crate::runtime::Runtime;
use crate::services::Directory;

/// Messages that may wait for the host.
const MESSAGES_WAITING: usize = 8192;
/// Messages taken in between two rounds of steps.
const MESSAGES_AT_ONCE: usize = 512;
/// Questions that may wait for the host.
const QUESTIONS_WAITING: usize = 64;

/// A question to the host from the kubelet API.
pub(crate) enum Question {
    /// What is known of a pod: node, namespace, name.
    Find(String, String, String, oneshot::Sender<Option<Situation>>),
    /// Every pod of a node.
    Pods(String, oneshot::Sender<Vec<Situation>>),
}

/// Asks a running shell.
#[derive(Clone)]
pub(crate) struct Asker {
    questions: mpsc::Sender<Question>,
}

impl Asker {
    /// What is known of the pod `namespace/name` of `node`.
    pub(crate) async fn find(&self, node: &str, namespace: &str, name: &str) -> Option<Situation> {
        let (reply, answer) = oneshot::channel();
        let question = Question::Find(node.to_owned(), namespace.to_owned(), name.to_owned(), reply);
        self.questions.send(question).await.ok()?;
        answer.await.ok()?
    }

    /// Every pod of `node`.
    pub(crate) async fn pods(&self, node: &str) -> Vec<Situation> {
        let (reply, answer) = oneshot::channel();
        if self.questions.send(Question::Pods(node.to_owned(), reply)).await.is_err() {
            return Vec::new();
        }
        answer.await.unwrap_or_default()
    }
}

/// A host with all that moves it.
pub(crate) struct Shell {
    host: Host,
    runtime: Arc<dyn Runtime>,
    client: kube::Client,
    /// The Services pods are told of, where they are.
    directory: Option<Arc<Directory>>,
    messages: mpsc::Sender<Message>,
    inbox: mpsc::Receiver<Message>,
    questions: mpsc::Receiver<Question>,
}

impl Shell {
    /// A shell, a way to tell it things, and a way to ask it.
    pub(crate) fn new(
        host: Host,
        runtime: Arc<dyn Runtime>,
        client: kube::Client,
        directory: Option<Arc<Directory>>,
    ) -> (Self, mpsc::Sender<Message>, Asker) {
        let (messages, inbox) = mpsc::channel(MESSAGES_WAITING);
        let (questioner, questions) = mpsc::channel(QUESTIONS_WAITING);
        let shell = Self { host, runtime, client, directory, messages: messages.clone(), inbox, questions };
        (shell, messages, Asker { questions: questioner })
    }

    /// The host, before it runs.
    pub(crate) fn host_mut(&mut self) -> &mut Host {
        &mut self.host
    }

    /// Watches the pods of `scope` and runs them until `shutdown`.
    pub(crate) async fn run(mut self, scope: Scope, shutdown: CancellationToken) {
        let mut hands = Hands {
            runtime: self.runtime.clone(),
            writer: api::Writer::new(self.client.clone(), self.messages.clone()),
            recorder: events::Recorder::start(self.client.clone(), shutdown.clone()),
            sources: sources::SourceWatches::new(
                self.client.clone(),
                self.messages.clone(),
                self.directory.clone(),
                shutdown.clone(),
            ),
            messages: self.messages.clone(),
        };
        let watching = tokio::spawn(watch::pods(self.client.clone(), scope, self.messages.clone(), shutdown.clone()));
        let mut batch = Vec::with_capacity(MESSAGES_AT_ONCE);
        loop {
            let wake_at = self.host.wake_at();
            tokio::select! {
                () = shutdown.cancelled() => break,
                count = self.inbox.recv_many(&mut batch, MESSAGES_AT_ONCE) => if count == 0 { break },
                Some(question) = self.questions.recv() => self.answer(question),
                () = until(wake_at) => {}
            }
            self.host.turn(batch.drain(..), now, &mut hands);
        }
        watching.abort();
    }

    fn answer(&self, question: Question) {
        match question {
            Question::Find(node, namespace, name, reply) => {
                let _ = reply.send(self.host.find(&node, &namespace, &name).cloned());
            }
            Question::Pods(node, reply) => {
                let _ = reply.send(self.host.pods_of(&node).cloned().collect());
            }
        }
    }
}

/// What carries effects out.
struct Hands {
    runtime: Arc<dyn Runtime>,
    writer: api::Writer,
    recorder: events::Recorder,
    sources: sources::SourceWatches,
    messages: mpsc::Sender<Message>,
}

impl CarryOut for Hands {
    fn carry_out(&mut self, effect: Effect) -> Option<Message> {
        match effect {
            Effect::Run(pod, command) => self.run(pod, command),
            Effect::Probe(pod, order) => {
                let uid = pod.uid.clone();
                let run = crate::host::ProbedRun {
                    container: order.container.clone(),
                    container_id: order.container_id.clone(),
                    kind: order.kind,
                };
                let probe = self.runtime.probe(pod, order);
                self.at_once(probe.map(move |result| Message::Probed(uid, run, result)).boxed())
            }
            Effect::Post(post) => {
                self.writer.post(*post);
                None
            }
            Effect::Delete(pod) => {
                self.writer.delete(pod);
                None
            }
            Effect::Event(pod, note) => {
                self.recorder.record(pod, note);
                None
            }
            Effect::Watch(key) => self.sources.watch(key),
            Effect::Unwatch(key) => {
                self.sources.unwatch(&key);
                None
            }
        }
    }
}

impl Hands {
    fn run(&self, pod: PodRef, command: Command) -> Option<Message> {
        let (uid, operation) = (pod.uid.clone(), command.operation());
        let outcome = self.runtime.run(pod, command);
        self.at_once(outcome.map(move |outcome| Message::Outcome(uid, operation, outcome)).boxed())
    }

    /// The answer if it is there already; otherwise it comes as a message.
    fn at_once(&self, mut answer: BoxFuture<'static, Message>) -> Option<Message> {
        if let Some(message) = (&mut answer).now_or_never() {
            return Some(message);
        }
        let messages = self.messages.clone();
        tokio::spawn(async move {
            let message = answer.await;
            // The host is gone only when the node stops.
            let _ = messages.send(message).await;
        });
        None
    }
}

/// The wall clock, read in the shell only.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Waits until a moment of the wall clock; for ever without one.
async fn until(moment: Option<Timestamp>) {
    match moment {
        None => std::future::pending().await,
        Some(moment) => {
            let left = moment.duration_since(now());
            tokio::time::sleep(Duration::try_from(left).unwrap_or(Duration::ZERO)).await;
        }
    }
}
