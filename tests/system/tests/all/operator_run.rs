//! `sampan operator run`: a plugin is installed as it is in its folder, followed, edited, broken, mended and removed.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::{SOON, sampan_binary};
use sampan_system_tests::{Cluster, Setup, eventually, run};

const PLUGIN: &str = "/apis/sampan.dev/v1/operatorplugins/tea";

/// A developer's folder and terminal.
struct Desk {
    folder: tempfile::TempDir,
    running: Option<Child>,
}

impl Desk {
    fn new() -> Result<Self> {
        let desk = Self { folder: tempfile::tempdir()?, running: None };
        let mut new = Command::new(sampan_binary());
        run(new.args(["operator", "new", "tea"]).current_dir(desk.folder.path()), "")?.succeeded()?;
        Ok(desk)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join("tea").join(file)
    }

    fn command(&self, cluster: &Cluster) -> Result<Command> {
        let mut command = Command::new(sampan_binary());
        command.args(["operator", "run", "./tea", "--against"]).arg(cluster.kubeconfig()?);
        command.current_dir(self.folder.path());
        Ok(command)
    }

    fn run(&mut self, cluster: &Cluster) -> Result<()> {
        let shown = File::create(self.folder.path().join("shown"))?;
        let mut command = self.command(cluster)?;
        self.running = Some(command.stdin(Stdio::null()).stderr(shown.try_clone()?).stdout(shown).spawn()?);
        Ok(())
    }

    fn edit(&self, file: &str, from: &str, to: &str) -> Result<()> {
        let text = std::fs::read_to_string(self.path(file))?;
        ensure!(text.contains(from), "{file} has no `{from}`");
        Ok(std::fs::write(self.path(file), text.replace(from, to))?)
    }

    /// Waits until all of it was shown, line by line and in this order.
    fn shows(&self, what: &[&str]) -> Result<()> {
        let read = || std::fs::read_to_string(self.folder.path().join("shown")).unwrap_or_default();
        let told = eventually(&format!("{what:?} is shown"), SOON, || {
            let shown = read();
            let mut lines = shown.lines();
            Ok(what.iter().all(|wanted| lines.any(|line| line.contains(wanted))).then_some(()))
        });
        told.with_context(read)
    }

    fn interrupt(&mut self) -> Result<()> {
        let mut running = self.running.take().context("it runs")?;
        run(Command::new("kill").args(["-INT", &running.id().to_string()]), "")?.succeeded()?;
        let ended = eventually("it ends", SOON, || Ok(running.try_wait()?))?;
        ensure!(ended.success(), "{ended}");
        Ok(())
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.kill();
            let _ = running.wait();
        }
    }
}

#[test]
fn a_plugin_is_tried_in_a_cluster_and_what_it_decides_is_shown_as_it_is_edited() -> Result<()> {
    let mut cluster = Setup::simulated(1).start()?;
    let mut desk = Desk::new()?;
    desk.run(&cluster)?;
    desk.shows(&["tea runs in https://", "Ready Running: it runs"])?;
    cluster.kubectl(&["wait", "crd/teas.operators.example.com", "--for=condition=Established", "--timeout=30s"])?;
    cluster.kubectl(&["apply", "-f", &desk.path("samples/message.yaml").display().to_string()])?;
    let sample = "teas.operators.example.com/default/sample";
    let published = format!("{sample} Unobserved → Published: there is a message");
    desk.shows(&[&published, "create configmaps/default/sample", &format!("update status {sample}")])?;

    let (answer, louder) = (
        "copy[\"data\"] = {\"message\": message}",
        "print('louder!'); copy[\"data\"] = {\"message\": message.upper()}",
    );
    desk.edit("tea.py", answer, louder)?;
    let said = format!("says, asked about {sample}: louder!");
    desk.shows(&["edited: tea.py", &said, &published, "update configmaps/default/sample"])?;
    let message = cluster.kubectl(&["get", "configmap", "sample", "-o", "jsonpath={.data.message}"])?;
    ensure!(message == "AHOY", "{message}");

    desk.edit("tea.py", "def reconcile", "deaf reconcile")?;
    desk.shows(&["edited: tea.py", "SyntaxError", "it ended: exit status: 1"])?;
    desk.edit("plugin.yaml", "edges:", "edges: [")?;
    desk.shows(&["plugin.yaml:44:3: invalid indentation"])?;
    desk.edit("plugin.yaml", "edges: [", "edges:")?;
    desk.edit("tea.py", "deaf reconcile", "def reconcile")?;
    desk.shows(&["not taken up", "edited: tea.py", "Ready Running: it runs"])?;

    // The cluster goes away and comes back: what it decides is told as before.
    cluster.kill()?;
    cluster.up()?;
    desk.shows(&["the cluster is there again"])?;
    cluster.kubectl(&["patch", "tea", "sample", "--type=merge", "-p", "{\"spec\":{\"message\":null}}"])?;
    desk.shows(&["→ Silent: there is no message", "delete configmaps/default/sample"])?;

    desk.interrupt()?;
    desk.shows(&["tea is removed"])?;
    eventually("the plugin is gone", SOON, || Ok(cluster.object(PLUGIN)?.is_none().then_some(())))
}

#[test]
fn a_plugin_is_removed_when_nobody_reads_on() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    let mut desk = Desk::new()?;
    let mut running = desk.command(&cluster)?.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut first = String::new();
    BufReader::new(running.stdout.take().context("it has an output")?).read_line(&mut first)?;
    desk.running = Some(running);
    ensure!(first.contains("tea runs in https://"), "{first}");
    // It finds out when it has something to say.
    desk.edit("tea.py", "def reconcile", "deaf reconcile")?;
    let ended = eventually("it ends", SOON, || Ok(desk.running.as_mut().context("it runs")?.try_wait()?))?;
    ensure!(ended.code() == Some(141), "{ended}");
    eventually("the plugin is gone", SOON, || Ok(cluster.object(PLUGIN)?.is_none().then_some(())))
}

#[test]
fn a_plugin_that_others_have_installed_is_not_taken_over() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    let desk = Desk::new()?;
    for file in ["plugin.yaml", "tea.py", "sampan_operator.py"] {
        cluster.write_manifest(&format!("tea/{file}"), &std::fs::read_to_string(desk.path(file))?)?;
    }
    eventually("the plugin is installed", SOON, || cluster.object(PLUGIN))?;
    run(&mut desk.command(&cluster)?, "")?.failed()?.complains("the plugin tea is installed in https://")?;
    let nowhere = desk.folder.path().join("none").display().to_string();
    let mut lost = Command::new(sampan_binary());
    run(lost.args(["operator", "run", &nowhere]), "")?.failed()?.complains("failed to find")?;
    ensure!(Path::new(&desk.path("plugin.yaml")).exists());
    Ok(())
}
