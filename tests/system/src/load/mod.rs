//! An open-loop load of HTTP requests on the doors of a Service: each is sent when its time has come, whatever became of
//! those before it.
//!
//! Every other request opens a connection of its own; the rest go over connections that are kept. A request has failed when
//! it was not answered whole and right within [`ANSWER_WITHIN`], and a connection that was reset was not answered.

mod connection;
mod doors;
mod outcome;
mod pool;

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

pub use self::doors::{answering, doors};
pub use self::outcome::{Outcome, Request};
use self::pool::Pool;
use crate::run;

/// Who takes longer has not answered.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// The most requests a second one core is sure to send in time.
const PER_SECOND_MAX: u32 = 2_000;
/// What the addresses of Services begin with.
const SERVICES: [u8; 2] = [10, 96];
/// The most requests of one load: two minutes of the heaviest.
const REQUESTS_MAX: usize = 240_000;

/// A load, before it begins.
#[derive(Debug, Clone)]
pub struct Load {
    doors: Vec<SocketAddr>,
    per_second: u32,
}

impl Load {
    /// So many requests a second, on each of these doors in turn.
    ///
    /// # Errors
    /// When a door is not surely one of this machine: nobody else is to be loaded.
    pub fn on(doors: &[SocketAddr], per_second: u32) -> Result<Self> {
        ensure!((1..=PER_SECOND_MAX).contains(&per_second), "{per_second} requests a second is out of bounds");
        ensure!(!doors.is_empty(), "no door to knock at");
        for door in doors {
            ensure!(is_ours(door.ip())?, "{door} may be another machine's");
        }
        Ok(Self { doors: doors.to_vec(), per_second })
    }

    /// Keeps the load up while `work` is done, and gives what came of both.
    ///
    /// # Errors
    /// What `work` says, or that the load could not be kept up to its end.
    pub fn during<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(T, Outcome)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (done, is_done) = oneshot::channel();
        let (worked, loaded) = std::thread::scope(|scope| {
            let loading = scope.spawn(move || runtime.block_on(self.offer(is_done)));
            let worked = work();
            // The load may have come to its bound before.
            let _ = done.send(());
            (worked, loading.join())
        });
        let outcome = loaded.map_err(|_| anyhow::anyhow!("the load panicked"))?;
        let worked = worked.with_context(|| format!("under a load of {outcome}"))?;
        ensure!(outcome.requests().len() < REQUESTS_MAX, "the load ended before the work did");
        Ok((worked, outcome))
    }

    /// As [`during`](Self::during), with nothing to do but to wait.
    ///
    /// # Errors
    /// When the load could not be kept up.
    pub fn lasting(&self, length: Duration) -> Result<Outcome> {
        self.during(|| {
            std::thread::sleep(length);
            Ok(())
        })
        .map(|((), outcome)| outcome)
    }

    async fn offer(&self, mut is_done: oneshot::Receiver<()>) -> Outcome {
        let pools: Vec<Arc<Pool>> = self.doors.iter().map(|door| Arc::new(Pool::new(*door))).collect();
        let mut moments = interval(Duration::from_secs(1) / self.per_second);
        moments.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut asked = JoinSet::new();
        let turns = pools.iter().flat_map(|pool| [(pool, true), (pool, false)]).cycle().take(REQUESTS_MAX);
        for (pool, is_fresh) in turns {
            let due = tokio::select! {
                _ = &mut is_done => break,
                due = moments.tick() => due,
            };
            asked.spawn(ask(Arc::clone(pool), is_fresh, due.into_std()));
        }
        Outcome::new(asked.join_all().await)
    }
}

/// Whether an address is of this machine, of Docker's networks on it, or of a Service.
fn is_ours(address: IpAddr) -> Result<bool> {
    if let IpAddr::V4(address) = address
        && address.octets().starts_with(&SERVICES)
    {
        return Ok(true);
    }
    let route = run(Command::new("ip").args(["-oneline", "route", "get", &address.to_string()]), "")?;
    let device = route.stdout.split(" dev ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    Ok(device == "lo" || device == "docker0" || device.starts_with("br-"))
}

async fn ask(pool: Arc<Pool>, is_fresh: bool, due: Instant) -> Request {
    let began = Instant::now();
    let answer =
        timeout(ANSWER_WITHIN, async { if is_fresh { pool.ask_freshly().await } else { pool.ask_on_kept().await } });
    let answered = answer.await.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {ANSWER_WITHIN:?}")));
    let answered = answered.map_err(|error| format!("{error:#}"));
    Request { door: pool.door(), is_fresh, due, began, ended: Instant::now(), answered }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn nobody_elses_machine_is_loaded() {
        for (door, is_taken) in [("127.0.0.1:80", true), ("10.96.0.7:80", true), ("10.96.255.1:80", true)]
            .into_iter()
            .chain([("192.0.2.1:80", false), ("8.8.8.8:80", false), ("[2001:db8::1]:80", false)])
        {
            assert_eq!(Load::on(&[door.parse().unwrap()], 1).is_ok(), is_taken, "{door}");
        }
        assert!(Load::on(&["127.0.0.1:80".parse().unwrap()], PER_SECOND_MAX + 1).is_err());
    }

    /// A server on a port of its own that does with each connection what it is told.
    fn server(serve: fn(std::net::TcpStream)) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let door = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                std::thread::spawn(move || serve(connection.unwrap()));
            }
        });
        door
    }

    /// Answers requests with this, one after the other.
    fn answer(connection: std::net::TcpStream, answer: &str) {
        let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
        while lines.by_ref().map_while(Result::ok).any(|line| line.is_empty()) {
            if (&connection).write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn reasons(serve: fn(std::net::TcpStream)) -> Vec<String> {
        let outcome = Load::on(&[server(serve)], 50).unwrap().lasting(Duration::from_millis(200)).unwrap();
        assert!(outcome.requests().len() >= 5, "{outcome}");
        let failed: std::collections::BTreeSet<String> =
            outcome.failed().filter_map(|request| request.answered.clone().err()).collect();
        failed.into_iter().collect()
    }

    #[test]
    fn answers_that_are_right_are_counted_by_who_gave_them() {
        let right = |connection| {
            answer(connection, "HTTP/1.1 200 OK\r\nContent-Length: 34\r\n\r\nHello from web-1, version v1, up 0");
        };
        let load = Load::on(&[server(right)], 50).unwrap();
        let outcome = load.lasting(Duration::from_millis(200)).unwrap();
        assert_eq!(outcome.failed().count(), 0, "{outcome}");
        assert_eq!(outcome.by_pod(|_| true).into_keys().collect::<Vec<_>>(), ["web-1"]);
        assert!(outcome.requests().iter().any(|it| it.is_fresh) && outcome.requests().iter().any(|it| !it.is_fresh));
    }

    #[test]
    fn what_is_wrong_cut_short_or_reset_has_failed() {
        let wrong = |connection| answer(connection, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbye");
        assert_eq!(reasons(wrong), ["the body is not the page: bye"]);
        let refusing = |connection| answer(connection, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(reasons(refusing), ["status 503"]);
        let cutting = |connection: std::net::TcpStream| {
            (&connection).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nHello from").unwrap();
        };
        assert!(!reasons(cutting).is_empty());
        // What was sent and not read makes the kernel reset the connection.
        let resetting = |connection: std::net::TcpStream| drop(connection);
        assert!(!reasons(resetting).is_empty());
    }
}
