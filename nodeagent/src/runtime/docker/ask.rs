//! Questions put to a container: commands, requests, connections. Probes and hooks are made of them.

use std::time::Duration;

use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bytes::Bytes;
use futures::StreamExt;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::{Docker, grpc, tls};
use crate::pod::Hook;
use crate::pod::probe::Target;

/// Bytes of an answer shown in an event.
const SHOWN_BYTES: usize = 1024;
/// Bytes of an answer read at most.
const READ_BYTES: usize = 10 * 1024;
/// How long a hook's request may take.
const HOOK_LIMIT: Duration = Duration::from_secs(60);

impl Docker {
    /// Puts a question to a container.
    pub(super) async fn ask(&self, id: &str, target: &Target) -> Result<(), String> {
        match target {
            Target::Exec(command) => self.exec(id, command).await,
            Target::Http { scheme, host, port, path, headers } => request(scheme, (host, *port), path, headers).await,
            Target::Tcp { host, port } => {
                let connected = TcpStream::connect((host.as_str(), *port)).await;
                connected.map(|_| ()).map_err(|error| format!("dial tcp {host}:{port}: {error}"))
            }
            Target::Grpc { host, port, service } => grpc::check(host, *port, service).await,
            Target::Unusable(why) => Err(why.clone()),
        }
    }

    /// The same, within a time.
    pub(super) async fn ask_within(&self, id: &str, target: &Target, limit: Duration) -> Result<(), String> {
        match tokio::time::timeout(limit, self.ask(id, target)).await {
            Ok(result) => result,
            Err(_) => Err(timed_out(target, limit)),
        }
    }

    /// Runs a hook in or against a container.
    pub(super) async fn run_hook(&self, id: &str, address: Option<&str>, hook: &Hook) -> Result<(), String> {
        match hook {
            Hook::Sleep(seconds) => {
                tokio::time::sleep(Duration::from_secs(*seconds)).await;
                Ok(())
            }
            Hook::Ask(Target::Exec(command)) => self.exec(id, command).await,
            Hook::Ask(target) => {
                let mut target = target.clone();
                if let Target::Http { host, .. } = &mut target
                    && host.is_empty()
                {
                    address.unwrap_or_default().clone_into(host);
                }
                self.ask_within(id, &target, HOOK_LIMIT).await
            }
        }
    }

    /// Runs a command in a container: it must end with 0.
    async fn exec(&self, id: &str, command: &[String]) -> Result<(), String> {
        let text = |error: bollard::errors::Error| error.to_string();
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.to_vec()),
            ..CreateExecOptions::default()
        };
        let exec = self.api.create_exec(id, options).await.map_err(text)?.id;
        let mut said = Vec::new();
        let started = self.api.start_exec(&exec, None::<StartExecOptions>).await.map_err(text)?;
        if let StartExecResults::Attached { mut output, .. } = started {
            while let Some(Ok(chunk)) = output.next().await {
                let room = SHOWN_BYTES.saturating_sub(said.len());
                let bytes = chunk.into_bytes();
                said.extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or_default());
            }
        }
        match self.api.inspect_exec(&exec).await.map_err(text)?.exit_code {
            Some(0) => Ok(()),
            _ => Err(String::from_utf8_lossy(&said).trim_end().to_owned()),
        }
    }
}

fn timed_out(target: &Target, limit: Duration) -> String {
    let seconds = limit.as_secs();
    match target {
        Target::Exec(command) => format!("command timed out: {command:?} timed out after {seconds}s"),
        Target::Http { scheme, host, port, path, .. } => {
            format!(
                "Get \"{scheme}://{host}:{port}{path}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            )
        }
        Target::Tcp { host, port } => format!("dial tcp {host}:{port}: i/o timeout"),
        Target::Grpc { host, port, .. } => {
            format!("timeout: failed to connect service \"{host}:{port}\" within {seconds}s: context deadline exceeded")
        }
        Target::Unusable(why) => why.clone(),
    }
}

async fn request(
    scheme: &str,
    (host, port): (&str, u16),
    path: &str,
    headers: &[(String, String)],
) -> Result<(), String> {
    let url = format!("{scheme}://{host}:{port}{path}");
    let failed = |error: &dyn std::fmt::Display| format!("Get \"{url}\": {error}");
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(|error| failed(&format_args!("dial tcp {host}:{port}: connect: {error}")))?;
    let mut request = http::Request::get(path).header("User-Agent", "kube-probe/1.35").header("Accept", "*/*");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header("Host", format!("{host}:{port}"));
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Empty::new()).map_err(|error| failed(&error))?;
    let code = match scheme {
        "https" => exchange(tls::unchecked(stream, host).await.map_err(|error| failed(&error))?, request).await,
        _ => exchange(stream, request).await,
    };
    match code.map_err(|error| failed(&error))? {
        200..400 => Ok(()),
        code => Err(format!("HTTP probe failed with statuscode: {code}")),
    }
}

/// Sends a request and gives the code it is answered with.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: http::Request<Empty<Bytes>>,
) -> hyper::Result<u16> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await;
    let code = match response {
        Ok(response) => {
            let code = response.status().as_u16();
            let _ = Limited::new(response.into_body(), READ_BYTES).collect().await;
            Ok(code)
        }
        Err(error) => Err(error),
    };
    driver.abort();
    code
}
