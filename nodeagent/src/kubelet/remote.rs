//! `/exec` and `/attach`: a command's streams, over a WebSocket or SPDY.

use std::pin::Pin;
use std::time::Duration;

use bollard::container::{AttachContainerResults, LogOutput};
use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults};
use bollard::query_parameters::{AttachContainerOptionsBuilder, ResizeContainerTTYOptionsBuilder};
use futures::{Stream, StreamExt};
use http::{Request, Response};
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::channel::{ERROR, RESIZE, Received, Receiver, STDERR, STDIN, STDOUT, Sender, channels};
use super::handshake::{Handshake, Purpose};
use super::query::Query;
use super::{Body, KubeletApi, Refused};

/// How often Docker is asked for an exit code it does not know yet, and how long between.
const EXIT_LOOKS: u32 = 50;
/// See [`EXIT_LOOKS`].
const EXIT_PAUSE: Duration = Duration::from_millis(20);

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;
type Input = Pin<Box<dyn AsyncWrite + Send>>;

/// The size of a terminal, as kubectl sends it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    width: u16,
    height: u16,
}

/// Whose terminal is resized and whose end is awaited.
enum Process {
    Exec(String),
    Container(String),
}

/// A process and what the client wants of it.
struct Session {
    api: bollard::Docker,
    process: Process,
    streams: Streams,
}

/// How a process's output came to its end.
enum Shown {
    /// The process has said all.
    All,
    /// The client takes no more.
    Refused,
    /// It cannot be read any more, and why.
    Broken(String),
}

/// Which streams the client wants.
#[derive(Debug, Clone, Copy)]
struct Streams {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

impl Streams {
    fn of(query: &Query) -> Self {
        let tty = query.flag(&["tty"]);
        Self {
            stdin: query.flag(&["input", "stdin"]),
            stdout: query.flag(&["output", "stdout"]),
            stderr: query.flag(&["error", "stderr"]) && !tty,
            tty,
        }
    }

    /// The channels a client with these streams opens.
    fn channels(self) -> Vec<u8> {
        let optional = [(self.stdin, STDIN), (self.stdout, STDOUT), (self.stderr, STDERR), (self.tty, RESIZE)];
        let wanted = optional.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, channel)| channel);
        std::iter::once(ERROR).chain(wanted).collect()
    }
}

impl KubeletApi {
    pub(super) async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        query: &Query,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refused> {
        let api = self.docker()?.client().clone();
        let run = self.running(namespace, pod, container).await?;
        let command = query.all("command");
        if command.is_empty() {
            return Err(Refused::BadRequest("you must specify at least one command to execute".to_owned()));
        }
        let streams = Streams::of(query);
        let handshake = Handshake::of(request, Purpose::Command)?;
        let options = CreateExecOptions {
            attach_stdin: Some(streams.stdin),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(streams.tty),
            cmd: Some(command),
            ..CreateExecOptions::default()
        };
        let id = api.create_exec(&run.id, options).await?.id;
        let start = StartExecOptions { detach: false, tty: streams.tty, output_capacity: None };
        let StartExecResults::Attached { output, input } = api.start_exec(&id, Some(start)).await? else {
            return Err(Refused::BadRequest("Docker did not attach to the command".to_owned()));
        };
        let input = streams.stdin.then_some(input);
        let session = Session { api, process: Process::Exec(id), streams };
        Ok(session.accept(handshake, output, input))
    }

    pub(super) async fn attach(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        query: &Query,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refused> {
        let api = self.docker()?.client().clone();
        let run = self.running(namespace, pod, container).await?;
        let streams = Streams::of(query);
        let handshake = Handshake::of(request, Purpose::Command)?;
        let attached = attached(&api, &run.id, streams).await?;
        let attached = attached.ok_or_else(|| Refused::NotRunning(pod.to_owned(), container.to_owned()))?;
        let input = streams.stdin.then_some(attached.input);
        let session = Session { api, process: Process::Container(run.id), streams };
        Ok(session.accept(handshake, attached.output, input))
    }
}

impl Session {
    /// Answers the client, and carries bytes once its streams are there.
    fn accept(self, handshake: Handshake, output: Output, input: Option<Input>) -> Response<Body> {
        handshake.accept(move |connection| async move {
            if let Some((sender, receiver)) = channels(connection, &self.streams.channels()).await {
                self.serve(output, input, sender, receiver).await;
            }
        })
    }

    /// Carries bytes both ways until the process ends or the client goes. Neither way waits for the other: a process that
    /// does not read may be waiting for its output to be taken.
    async fn serve(self, output: Output, input: Option<Input>, mut sender: Sender, mut receiver: Receiver) {
        // An empty message tells the client that the streams are there.
        sender.send(STDOUT, &[]).await;
        let shown = tokio::select! {
            shown = self.show(output, &mut sender) => shown,
            () = self.listen(input, &mut receiver) => return,
        };
        match shown {
            Shown::Refused => {}
            Shown::Broken(error) => sender.finish(Err(error)).await,
            Shown::All => {
                let ended = self.ended().await;
                sender.finish(ended).await;
                receiver.until_gone().await;
            }
        }
    }

    /// Passes the process's output on until it ends or nobody takes it.
    async fn show(&self, mut output: Output, sender: &mut Sender) -> Shown {
        while let Some(chunk) = output.next().await {
            let taken = match chunk {
                Ok(chunk) => self.pass_on(sender, chunk).await,
                Err(error) => return Shown::Broken(error.to_string()),
            };
            if !taken {
                return Shown::Refused;
            }
        }
        Shown::All
    }

    /// Takes what the client sends, and ends where a client that goes takes the session along.
    async fn listen(&self, mut input: Option<Input>, receiver: &mut Receiver) {
        while let Some(received) = receiver.next().await {
            self.take(received, &mut input).await;
        }
        close(&mut input).await;
        if !self.streams.tty {
            // A client that closes without input to give still waits for the output.
            std::future::pending().await
        }
    }

    async fn pass_on(&self, sender: &mut Sender, chunk: LogOutput) -> bool {
        match chunk {
            LogOutput::StdErr { message } => !self.streams.stderr || sender.send(STDERR, &message).await,
            LogOutput::StdOut { message } | LogOutput::Console { message } => {
                !self.streams.stdout || sender.send(STDOUT, &message).await
            }
            LogOutput::StdIn { .. } => true,
        }
    }

    async fn take(&self, received: Received, input: &mut Option<Input>) {
        match received {
            Received::Data(STDIN, bytes) => {
                let Some(writer) = input else { return };
                if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                    *input = None;
                }
            }
            Received::Data(RESIZE, bytes) => {
                if let Ok(size) = serde_json::from_slice::<Size>(&bytes) {
                    self.resize(size).await;
                }
            }
            Received::Closed(STDIN) => close(input).await,
            Received::Data(..) | Received::Closed(_) => {}
        }
    }

    async fn resize(&self, size: Size) {
        let resized = match &self.process {
            Process::Exec(id) => {
                self.api.resize_exec(id, ResizeExecOptions { height: size.height, width: size.width }).await
            }
            Process::Container(id) => {
                let options = ResizeContainerTTYOptionsBuilder::new();
                let options = options.h(i32::from(size.height)).w(i32::from(size.width)).build();
                self.api.resize_container_tty(id, options).await
            }
        };
        if let Err(error) = resized {
            tracing::debug!(%error, "a terminal was not resized");
        }
    }

    async fn ended(&self) -> Result<i64, String> {
        let Process::Exec(id) = &self.process else { return Ok(0) };
        for _ in 0..EXIT_LOOKS {
            let shown = self.api.inspect_exec(id).await.map_err(|error| error.to_string())?;
            if let (Some(code), Some(false) | None) = (shown.exit_code, shown.running) {
                return Ok(code);
            }
            tokio::time::sleep(EXIT_PAUSE).await;
        }
        Err("the command's exit code is unknown".to_owned())
    }
}

/// The streams of a container, unless it has ended by the time they are there: it says nothing any more then, and whoever is
/// told so can still have its log.
async fn attached(
    api: &bollard::Docker,
    id: &str,
    streams: Streams,
) -> Result<Option<AttachContainerResults>, bollard::errors::Error> {
    let options = AttachContainerOptionsBuilder::new()
        .stream(true)
        .stdin(streams.stdin)
        .stdout(streams.stdout)
        .stderr(streams.stderr || streams.tty)
        .build();
    let attached = match api.attach_container(id, Some(options)).await {
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404 | 409, .. }) => return Ok(None),
        attached => attached?,
    };
    Ok(is_running(api, id).await?.then_some(attached))
}

/// Whether Docker knows the container to be running.
async fn is_running(api: &bollard::Docker, id: &str) -> Result<bool, bollard::errors::Error> {
    let shown = match api.inspect_container(id, None).await {
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(false),
        shown => shown?,
    };
    Ok(shown.state.and_then(|state| state.running).unwrap_or(false))
}

async fn close(input: &mut Option<Input>) {
    if let Some(mut input) = input.take() {
        let _ = input.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, copy, duplex, split};
    use tokio::net::{UnixListener, UnixStream};
    use tokio::time::timeout;
    use tokio_util::io::ReaderStream;

    use super::super::handshake::Connection;
    use super::super::spdy::client::Client;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);
    const LOAD_BYTES: usize = 1 << 20;

    #[tokio::test]
    async fn a_process_that_writes_while_it_reads_does_not_hold_up_its_session() {
        let (near, far) = duplex(1 << 10);
        let (mut reads, mut writes) = split(far);
        let echo = tokio::spawn(async move {
            copy(&mut reads, &mut writes).await.unwrap();
            writes.shutdown().await.unwrap();
        });
        let (output, input) = split(near);
        let output = ReaderStream::new(output);
        let output = output.map(|bytes: Result<Bytes, _>| Ok(LogOutput::StdOut { message: bytes.unwrap() }));
        let streams = Streams { stdin: true, stdout: true, stderr: false, tty: false };
        let nobody = tempfile::NamedTempFile::new().unwrap();
        let nobody = nobody.path().to_str().unwrap();
        let api = bollard::Docker::connect_with_unix(nobody, 1, bollard::API_DEFAULT_VERSION).unwrap();
        let session = Session { api, process: Process::Container(String::new()), streams };

        let (mut client, sender, receiver) = Client::connect();
        for (stream, kind) in [(1, "error"), (3, "stdin"), (5, "stdout")] {
            client.open(stream, &[("streamtype", kind)]).await;
        }
        let (sender, receiver) = channels(Connection::Spdy(sender, receiver), &streams.channels()).await.unwrap();
        tokio::spawn(session.serve(Box::pin(output), Some(Box::pin(input)), sender, receiver));
        let (giver, told) = client.halves();
        let both = async { tokio::join!(giver.give(3, LOAD_BYTES), told.count(5, LOAD_BYTES)) };
        let ((), count) = timeout(PATIENCE, both).await.expect("both ways go on");
        assert_eq!(count, LOAD_BYTES);
        echo.await.unwrap();
    }

    /// Answers one connection as Docker does. The container of which it tells ends as somebody attaches to it.
    async fn answer_as_docker(mut connection: UnixStream, ends_on_attach: bool, is_running: Arc<AtomicBool>) {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(connection.read_u8().await.unwrap());
        }
        let answer = if request.starts_with(b"POST") {
            is_running.store(!ends_on_attach, Ordering::SeqCst);
            "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".to_owned()
        } else {
            let body = format!(r#"{{"State": {{"Running": {}}}}}"#, is_running.load(Ordering::SeqCst));
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
            format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        };
        connection.write_all(answer.as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn a_container_that_ends_while_it_is_attached_to_is_not_taken_for_a_silent_one() {
        for ends in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let socket = folder.path().join("docker.sock");
            let listener = UnixListener::bind(&socket).unwrap();
            let docker = tokio::spawn(async move {
                let is_running = Arc::new(AtomicBool::new(true));
                loop {
                    let (connection, _) = listener.accept().await.unwrap();
                    tokio::spawn(answer_as_docker(connection, ends, is_running.clone()));
                }
            });
            let api =
                bollard::Docker::connect_with_unix(socket.to_str().unwrap(), 5, bollard::API_DEFAULT_VERSION).unwrap();
            let streams = Streams { stdin: false, stdout: true, stderr: false, tty: false };
            let attached = timeout(PATIENCE, attached(&api, "c", streams)).await.unwrap().unwrap();
            assert_eq!(attached.is_none(), ends);
            docker.abort();
        }
    }
}
