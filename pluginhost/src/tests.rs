//! Programs that do what they must not, run for real.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sampan_core::object::ObjectKey;
use sampan_core::plugin::{Answer, Failure, Question, Word};
use sampan_core::resource::CONFIG_MAPS;
use sampan_core::ticker::Ticker;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::health::Phase;
use crate::process::Launch;
use crate::supervisor::{Start, Supervisor};

/// A test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough for any answer of a program here that answers.
const DEADLINE: Duration = Duration::from_secs(10);
/// Answers everything.
const WELL: &str = r#"while read -r line; do
    printf '%s\n' "$line" | sed -n 's/.*"id":\([0-9]*\).*/{"id":\1,"state":"Done"}/p'
done"#;

struct Stage {
    folder: TempDir,
    supervisor: Supervisor,
}

impl Stage {
    fn of(script: &str) -> Self {
        Self::with(script, DEADLINE, 4)
    }

    fn with(script: &str, deadline: Duration, concurrency: usize) -> Self {
        Self::starting(&["/bin/sh", "-c", script], deadline, concurrency)
    }

    fn starting(command: &[&str], deadline: Duration, concurrency: usize) -> Self {
        Self::telling(command, deadline, concurrency, Arc::default())
    }

    fn telling(command: &[&str], deadline: Duration, concurrency: usize, words: Arc<Ticker<Word>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let launch = Launch {
            name: Arc::from("scripted"),
            confining: Vec::new(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            environment: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
            folder: folder.path().to_owned(),
            user: None,
            words,
        };
        let supervisor = Supervisor::start(launch, Start::AtOnce, deadline, concurrency);
        Self { folder, supervisor }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn begin(&self, name: &str) -> oneshot::Receiver<Result<Answer, Failure>> {
        let (tell, told) = oneshot::channel();
        let question = Question { body: json!({"primary": {"metadata": {"name": name}}}), now: Timestamp::UNIX_EPOCH };
        let reply = Box::new(move |answer| drop(tell.send(answer)));
        self.supervisor.line().ask(key(name), question, reply);
        told
    }

    async fn ask(&self, name: &str) -> Result<Answer, Failure> {
        tokio::time::timeout(PATIENCE, self.begin(name)).await.unwrap().unwrap()
    }

    /// Asks as a step does: again when it is told to.
    async fn ask_until_answered(&self, name: &str) -> Answer {
        let begun = Instant::now();
        loop {
            match self.ask(name).await {
                Ok(answer) => return answer,
                Err(failure) => tokio::time::sleep(failure.retry_after.unwrap()).await,
            }
            assert!(begun.elapsed() < PATIENCE, "it is not answered");
        }
    }

    fn answering(&self) -> (String, String) {
        let health = self.supervisor.health();
        let status = health.borrow().status(&json!({}), 1, None, Timestamp::UNIX_EPOCH);
        let text = |field: &str| status["conditions"][1][field].as_str().unwrap().to_owned();
        (text("reason"), text("message"))
    }

    async fn until(&self, what: impl Fn(&Phase) -> bool) {
        let mut health = self.supervisor.health();
        let reached = health.wait_for(|health| what(&health.phase));
        tokio::time::timeout(PATIENCE, reached).await.unwrap().unwrap();
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::namespaced(CONFIG_MAPS, "default", name)
}

/// What a program's first failure says, and that the plugin says so of itself.
async fn fails(script: &str, reason: &str, what: &str) {
    let stage = Stage::with(script, Duration::from_millis(500), 4);
    let failure = stage.ask("a").await.unwrap_err();
    assert!(failure.what.contains(what), "{}", failure.what);
    assert!(failure.retry_after.is_some_and(|wait| wait >= Duration::from_millis(100)), "it is asked again, later");
    let (said, message) = stage.answering();
    assert_eq!(said, reason, "{message}");
    assert!(message.starts_with("configmaps/default/a: ") && message.contains(what), "{message}");
    stage.supervisor.stop().await;
}

#[tokio::test]
async fn a_program_is_asked_and_answers_many_at_once() {
    let stage = Stage::of(WELL);
    let many: Vec<_> = (0..50).map(|number| stage.begin(&number.to_string())).collect();
    for told in many {
        assert_eq!(tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap().unwrap().state, "Done");
    }
    assert_eq!(stage.answering().0, "Answers");
    stage.supervisor.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_program_is_told_in_its_own_words() {
    fails("read line; exit 3", "Ended", "it ended: exit status: 3").await;
    fails("read line; kill -9 $$", "Ended", "it ended: signal: 9").await;
    fails("read line; echo hello; cat", "Garbage", "it answered with `hello`, which is no answer").await;
    fails("read line; printf '{\"id\":1,'", "Garbage", "it answered with `{\"id\":1,`, which is no answer").await;
    fails("read line; echo '{\"id\":7,\"state\":\"Done\"}'; cat", "Garbage", "nothing was asked under the id 7").await;
    fails("read line; echo '{\"id\":1,\"aply\":[]}'; cat", "Garbage", "unknown field `aply`").await;
    fails("head -c 5000000 /dev/zero | tr '\\0' x; cat", "Flood", "a line of more than 4194304 bytes").await;
    fails("exec sleep 1000", "Silent", "it did not answer within 0.5 s, asked about configmaps/default/a").await;
    fails("exec >&-; exec sleep 1000", "Closed", "it closed its output").await;
    fails("read line; echo '{\"id\":1,\"error\":\"no luck\"}'; cat", "Failed", "it failed: no luck").await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told_of() {
    let stage = Stage::starting(&["/nowhere/program"], DEADLINE, 4);
    stage.until(|phase| matches!(phase, Phase::BackingOff { what, .. } if what.contains("it does not start"))).await;
    let failure = stage.ask("a").await.unwrap_err();
    assert!(failure.what.contains("the plugin does not run: it does not start"), "{}", failure.what);
    stage.supervisor.stop().await;
}

#[tokio::test]
async fn a_program_that_ended_is_started_again_and_what_it_was_asked_is_answered() {
    let stage = Stage::of(&format!("[ -e again ] || {{ touch again; read line; exit 1; }}\n{WELL}"));
    assert_eq!(stage.ask_until_answered("a").await.state, "Done");
    assert_eq!(stage.supervisor.health().borrow().restarts, 1);
    assert_eq!(stage.answering().0, "Answers", "what was wrong is not any more");
    stage.supervisor.stop().await;
}

#[tokio::test]
async fn an_object_that_kills_its_program_does_not_keep_others_from_being_answered() {
    let script = r#"while read -r line; do
        case "$line" in *poison*) exit 1;; esac
        printf '%s\n' "$line" | sed -n 's/.*"id":\([0-9]*\).*/{"id":\1,"state":"Done"}/p'
    done"#;
    let stage = Stage::with(script, DEADLINE, 1);
    let poison = stage.ask("poison").await.unwrap_err();
    let again = stage.ask_until_answered("well").await;
    assert_eq!(again.state, "Done");
    let (_, message) = stage.answering();
    assert!(message.starts_with("configmaps/default/poison"), "{message}");
    tokio::time::sleep(poison.retry_after.unwrap()).await;
    let later = stage.ask("poison").await.unwrap_err();
    assert!(later.retry_after > poison.retry_after, "it is asked about less and less often");
    stage.supervisor.stop().await;
}

#[tokio::test]
async fn a_program_that_floods_the_log_or_does_not_read_answers_all_the_same() {
    let stage = Stage::of(&format!("yes 'a line of the log' >&2 &\n{WELL}"));
    assert_eq!(stage.ask("a").await.unwrap().state, "Done");
    stage.supervisor.stop().await;
    let deaf = Stage::with("exec sleep 1000", Duration::from_millis(300), 64);
    let many: Vec<_> = (0..64).map(|number| deaf.begin(&format!("{number:0>4000}"))).collect();
    for told in many {
        assert!(tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap().is_err());
    }
    deaf.supervisor.stop().await;
}

#[tokio::test]
async fn a_program_is_asked_no_more_at_once_than_it_says() {
    let script = r#"read -r line; lines=$line count=1
    while read -r -t 0.5 line; do lines="$lines"$'\n'"$line" count=$((count + 1)); done
    echo $count >count
    { echo "$lines"; cat; } | sed -nu 's/.*"id":\([0-9]*\).*/{"id":\1,"state":"Done"}/p'"#;
    let stage = Stage::starting(&["/bin/bash", "-c", script], DEADLINE, 3);
    for told in (0..10).map(|number| stage.begin(&number.to_string())).collect::<Vec<_>>() {
        assert_eq!(tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap().unwrap().state, "Done");
    }
    assert_eq!(std::fs::read_to_string(stage.path().join("count")).unwrap().trim(), "3");
    stage.supervisor.stop().await;
}

#[tokio::test]
async fn a_program_that_reads_slowly_is_waited_for() {
    // Eight kilobytes every ten milliseconds: questions are longer than what a pipe holds.
    let script = "while dd bs=8192 count=1 2>/dev/null; do sleep 0.01; done | ";
    let stage = Stage::of(&format!("{script}{{ {WELL}\n}}"));
    let asked: Vec<_> = (0..4).map(|number| stage.begin(&format!("{number}{}", "x".repeat(90_000)))).collect();
    for told in asked {
        assert_eq!(tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap().unwrap().state, "Done");
    }
    stage.supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_program_says_goes_to_the_log_with_the_object_it_was_asked_about() {
    let words = Arc::new(Ticker::default());
    let mut following = words.follow();
    // It answers at once after it has spoken, without starting another program.
    let script = r#"echo hello >&2
    while read -r line; do
        name=${line##*'"name":"'} id=${line##*'"id":'}
        about="about ${name%%\"*}"
        printf '%s\n' "$about" "$about" "$about" "$about" "$about" "$about" "$about" "$about" >&2
        echo "{\"id\":${id%%[,\}]*},\"state\":\"Done\"}"
    done"#;
    let stage = Stage::telling(&["/bin/sh", "-c", script], DEADLINE, 1, words.clone());
    stage.until(|phase| matches!(phase, Phase::Running { .. })).await;
    let names: Vec<String> = (b'a'..=b'h').map(|letter| char::from(letter).to_string()).collect();
    for told in names.iter().map(|name| stage.begin(name)).collect::<Vec<_>>() {
        tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap().unwrap();
    }
    let mut said = Vec::new();
    while said.len() <= 8 * names.len() {
        let news = tokio::time::timeout(PATIENCE, following.next()).await.unwrap().news;
        said.extend(news.iter().map(|word| (word.text.clone(), word.objects.clone())));
    }
    let eight = |name: &String| vec![(format!("about {name}"), key(name).to_string()); 8];
    let expected: Vec<_> = names.iter().flat_map(eight).collect();
    assert_eq!((&*said[0].0, &said[1..]), ("hello", &*expected));
    stage.supervisor.stop().await;
}

#[tokio::test]
async fn what_a_program_has_started_ends_with_it() {
    let stage = Stage::of(&format!("sleep 1000 & echo $! >child\n{WELL}"));
    stage.ask("a").await.unwrap();
    let child = std::fs::read_to_string(stage.path().join("child")).unwrap();
    let stat = format!("/proc/{}/stat", child.trim());
    assert!(Path::new(&stat).exists());
    stage.supervisor.stop().await;
    let begun = Instant::now();
    let is_over = || std::fs::read_to_string(&stat).map_or(true, |text| text.contains(") Z "));
    while !is_over() {
        assert!(begun.elapsed() < PATIENCE, "{stat} is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_program_gets_no_variable_it_was_not_given() {
    let stage = Stage::of(&format!("env >variables; {WELL}"));
    stage.ask("a").await.unwrap();
    let variables = std::fs::read_to_string(stage.path().join("variables")).unwrap();
    let names: Vec<&str> = variables.lines().filter_map(|line| line.split('=').next()).collect();
    assert!(names.iter().all(|name| ["PATH", "PWD", "_", "OLDPWD", "SHLVL"].contains(name)), "{names:?}");
    stage.supervisor.stop().await;
}
