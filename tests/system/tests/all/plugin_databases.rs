//! `examples/postgresdatabase` against a real server: what its effects do, once each, whatever is killed when.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::SOON;
use sampan_system_tests::{Cluster, Run, Setup, eventually, run};

const ADMINISTRATOR: &str = "postgres";
const PASSWORD: &str = "of the server";

/// A PostgreSQL server of a test's own. It runs as the user Debian has for it: it refuses to run as root.
struct Server {
    folder: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
}

impl Server {
    fn start() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let programs = run(&mut Command::new(root.join("scripts/postgres")), "")?.succeeded()?.stdout;
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = Self { folder, programs: programs.trim().into(), port };
        std::fs::write(server.folder.path().join("password"), PASSWORD)?;
        run(Command::new("chown").args(["-R", ADMINISTRATOR]).arg(server.folder.path()), "")?.succeeded()?;
        let (data, password) = (server.data(), server.folder.path().join("password").display().to_string());
        server.program("initdb", &["-D", &data, "-A", "scram-sha-256", "--pwfile", &password])?;
        let options = format!("-p {port} -c listen_addresses=localhost -c unix_socket_directories= -c fsync=off");
        let log = server.folder.path().join("log").display().to_string();
        server.program("pg_ctl", &["-D", &data, "-w", "-l", &log, "-o", &options, "start"])?;
        Ok(server)
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn program(&self, name: &str, arguments: &[&str]) -> Result<Run> {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", ADMINISTRATOR, "--regid", ADMINISTRATOR, "--clear-groups"]);
        run(command.arg(self.programs.join(name)).args(arguments).current_dir(self.folder.path()), "")?.succeeded()
    }

    /// What somebody who logs in to a database is answered.
    fn asks(&self, user: &str, password: &str, database: &str, statement: &str) -> Result<Run> {
        let mut command = Command::new("psql");
        command.args(["-XAtq", "-h", "localhost", "-p", &self.port.to_string(), "-U", user, "-d", database]);
        run(command.args(["-c", statement]).env("PGPASSWORD", password), "")
    }

    fn told(&self, statement: &str) -> Result<String> {
        Ok(self.asks(ADMINISTRATOR, PASSWORD, "postgres", statement)?.succeeded()?.stdout.trim().to_owned())
    }

    /// The example, as its user sets it up for this server.
    fn install_example(&self, folder: &Path) -> Result<()> {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/postgresdatabase");
        std::fs::create_dir_all(folder)?;
        for file in ["postgresdatabase.py", "sampan_operator.py"] {
            std::fs::copy(example.join(file), folder.join(file)).with_context(|| format!("failed to copy {file}"))?;
        }
        let login = format!("localhost:{}:*:{ADMINISTRATOR}:{PASSWORD}\n", self.port);
        std::fs::write(folder.join("pgpass"), login)?;
        let manifest = std::fs::read_to_string(example.join("plugin.yaml"))?;
        let here = format!("PGHOST: localhost, PGPORT: \"{}\"", self.port);
        ensure!(manifest.contains("PGHOST: localhost"), "{manifest}");
        std::fs::write(folder.join("plugin.yaml"), manifest.replace("PGHOST: localhost", &here))?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.program("pg_ctl", &["-D", &self.data(), "-m", "immediate", "stop"]);
    }
}

fn sample(name: &str) -> String {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/postgresdatabase/samples");
    samples.join(name).display().to_string()
}

fn is_ready(cluster: &Cluster) -> Result<Option<()>> {
    let ready = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
    Ok((cluster.kubectl(&["get", "pgdb", "shop", "-o", ready])? == "True").then_some(()))
}

fn set_password(cluster: &Cluster, password: &str) -> Result<()> {
    let patch = serde_json::json!({"stringData": {"password": password}}).to_string();
    cluster.kubectl(&["patch", "secret", "shop-password", "-p", &patch]).map(drop)
}

#[test]
fn a_database_and_its_user_are_made_changed_and_dropped_on_a_real_server() -> Result<()> {
    let server = Server::start()?;
    let mut cluster = Setup::simulated(1).start()?;
    server.install_example(&cluster.manifests().join("databases"))?;
    eventually("the kind is served", SOON, || cluster.kubectl(&["get", "pgdb"]).map(Some))?;
    cluster.kubectl(&["apply", "-f", &sample("shop.yaml")])?;
    eventually("it waits for its password", SOON, || {
        let why = cluster.sampan(&["why", "pgdb/shop"])?.stdout;
        Ok(why.contains("waiting for: there is a password").then_some(()))
    })?;
    cluster.kubectl(&["apply", "-f", &sample("password.yaml")])?;
    eventually("the database is ready", SOON, || is_ready(&cluster))?;
    let logs_in = |password: &str| -> Result<bool> {
        Ok(server.asks("shop", password, "shop", "CREATE TABLE IF NOT EXISTS t()")?.code == 0)
    };
    ensure!(logs_in("ahoy")?, "its user logs in with the password of the Secret");
    ensure!(!logs_in("wrong")?, "and with no other");
    let connection = cluster.kubectl(&["get", "configmap", "shop", "-o", "jsonpath={.data.PGPORT}"])?;
    ensure!(connection == server.port.to_string(), "{connection}");
    let effects = cluster.kubectl(&["get", "effects", "-o", "yaml"])?;
    ensure!(effects.contains("SCRAM-SHA-256") && !effects.contains("ahoy"), "the password is kept nowhere\n{effects}");

    // A password that comes back is set again: what was done for it before does not count.
    for password in ["second", "ahoy"] {
        set_password(&cluster, password)?;
        eventually("the new password is the user's", SOON, || Ok(logs_in(password)?.then_some(())))?;
    }
    cluster.kill()?;
    cluster.up()?;
    set_password(&cluster, "third")?;
    eventually("it goes on after kill -9", SOON, || Ok(logs_in("third")?.then_some(())))?;

    cluster.kubectl(&["delete", "pgdb", "shop", "--timeout=60s"])?;
    let left = "SELECT count(*) FROM pg_roles WHERE rolname = 'shop' UNION ALL SELECT count(*) FROM pg_database WHERE datname = 'shop'";
    ensure!(server.told(left)? == "0\n0", "both are dropped");
    eventually("nothing is left of its effects", SOON, || {
        Ok(cluster.list("/apis/sampan.dev/v1/effects")?.is_empty().then_some(()))
    })
}

#[test]
fn a_database_that_is_somebody_elses_is_neither_taken_nor_dropped() -> Result<()> {
    let server = Server::start()?;
    server.told("CREATE ROLE shop LOGIN PASSWORD 'theirs'")?;
    let cluster = Setup::simulated(1).start()?;
    server.install_example(&cluster.manifests().join("databases"))?;
    eventually("the kind is served", SOON, || cluster.kubectl(&["get", "pgdb"]).map(Some))?;
    cluster.kubectl(&["apply", "-f", &sample("shop.yaml"), "-f", &sample("password.yaml")])?;
    eventually("the object says what is wrong", SOON, || {
        let row = cluster.kubectl(&["get", "pgdb", "shop"])?;
        Ok(row.contains("there is a role shop that is somebody else's").then_some(()))
    })?;
    ensure!(cluster.kubectl(&["get", "effects"])?.contains("somebody else's"));
    ensure!(cluster.kubectl(&["get", "operatorplugins"])?.contains("somebody else's"));
    ensure!(server.asks("shop", "theirs", "postgres", "SELECT 1")?.code == 0, "they log in as before");
    cluster.delete_manifest("databases/plugin.yaml")?;
    eventually("no finalizer is left stuck", SOON, || {
        Ok(cluster.list("/apis/sampan.dev/v1/effects")?.is_empty().then_some(()))
    })
}
