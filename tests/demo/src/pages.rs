//! The pages of the server: one that shows where it runs, two for probes, and some that break it.

use std::fmt::Write as _;
use std::time::Duration;

use crate::http::{Request, Response};
use crate::knobs::Knobs;

/// Answers a request.
///
/// | path | answer |
/// | --- | --- |
/// | `/` | greeting, version, host name, uptime |
/// | `/env` | the environment |
/// | `/healthz`, `/readyz` | 200 or 503 |
/// | `/fail/live`, `/fail/ready`, `/recover` | begin and end failing |
/// | `/slow?ms=N` | wait so long before each later answer |
/// | `/exit?code=N` | answer, then exit |
pub(crate) fn answer(knobs: &Knobs, request: &Request) -> Response {
    std::thread::sleep(knobs.delay());
    match request.path.as_str() {
        "/" => Response::new(200, front_page(knobs)),
        "/env" => Response::new(200, environment()),
        "/healthz" => health(knobs.is_alive()),
        "/readyz" => health(knobs.is_ready() && knobs.is_alive()),
        "/fail/ready" => done(|| knobs.set_ready(false)),
        "/fail/live" => done(|| knobs.set_alive(false)),
        "/recover" => done(|| {
            knobs.set_ready(true);
            knobs.set_alive(true);
            knobs.set_delay(Duration::ZERO);
        }),
        "/slow" => done(|| knobs.set_delay(Duration::from_millis(request.number("ms").unwrap_or(1000)))),
        "/exit" => {
            let code = request.number("code").and_then(|code| i32::try_from(code).ok()).unwrap_or(1);
            Response { then_exit: Some(code), ..Response::new(200, "goodbye\n") }
        }
        _ => Response::new(404, "no such page\n"),
    }
}

/// The environment, a line for each variable.
pub(crate) fn environment() -> String {
    let mut variables: Vec<String> = std::env::vars().map(|(name, value)| format!("{name}={value}\n")).collect();
    variables.sort();
    variables.concat()
}

fn front_page(knobs: &Knobs) -> String {
    let mut page = String::new();
    let greeting = std::env::var("GREETING").unwrap_or_else(|_| "Hello".to_owned());
    let version = std::env::var("VERSION").unwrap_or_else(|_| "unknown".to_owned());
    let _ = writeln!(page, "{greeting} from {}, version {version}, up {} s", host_name(), knobs.uptime().as_secs());
    page
}

fn host_name() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname");
    read.map_or_else(|_| "somewhere".to_owned(), |name| name.trim().to_owned())
}

fn health(good: bool) -> Response {
    if good { Response::new(200, "ok\n") } else { Response::new(503, "failing, as told\n") }
}

fn done(change: impl FnOnce()) -> Response {
    change();
    Response::new(200, "done\n")
}
