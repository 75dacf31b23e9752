//! A client that sends exactly the bytes it is given: HTTP/1.1 over TLS on one connection, blocking.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::run;

/// A server that says nothing for so long has hung.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Who asks, and whom: cheap to copy, one connection for each copy.
#[derive(Debug, Clone)]
pub struct Credentials {
    address: String,
    config: Arc<ClientConfig>,
    anonymous: Arc<ClientConfig>,
}

impl Credentials {
    /// Reads a kubeconfig as kubectl does.
    ///
    /// # Errors
    /// When it names no server, or its certificates cannot be read.
    pub fn from_kubeconfig(path: &Path) -> Result<Self> {
        let kubectl = std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into());
        let mut view = Command::new(kubectl);
        view.arg("--kubeconfig").arg(path).args(["config", "view", "--raw", "--minify", "-o", "json"]);
        let view = run(&mut view, "")?.succeeded()?.json()?;
        let field = |pointer: &str| {
            let text = view.pointer(pointer).and_then(Value::as_str);
            text.with_context(|| format!("the kubeconfig has no {pointer}"))
        };
        let decoded = |pointer: &str| -> Result<Vec<u8>> { Ok(STANDARD.decode(field(pointer)?)?) };
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&decoded("/clusters/0/cluster/certificate-authority-data")?)?)?;
        let chain = decoded("/users/0/user/client-certificate-data")?;
        let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(&decoded("/users/0/user/client-key-data")?)?;
        let server = field("/clusters/0/cluster/server")?;
        let address = server.strip_prefix("https://").context("the server is not reached by TLS")?;
        Ok(Self {
            address: address.trim_end_matches('/').to_owned(),
            config: Arc::new(builder(roots.clone())?.with_client_auth_cert(chain, key)?),
            anonymous: Arc::new(builder(roots)?.with_no_client_auth()),
        })
    }

    /// A connection with the certificate of the kubeconfig.
    pub fn connect(&self) -> Api {
        Api { address: self.address.clone(), config: Arc::clone(&self.config), connection: None }
    }

    /// A connection without any certificate.
    pub fn connect_anonymously(&self) -> Api {
        Api { address: self.address.clone(), config: Arc::clone(&self.anonymous), connection: None }
    }
}

fn builder(roots: RootCertStore) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(versions.with_root_certificates(roots))
}

/// What the server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, whole.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("no JSON in answer {}: {}", self.status, self.text()))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// One connection to an API server, opened when first used and again when the server closed it.
#[derive(Debug)]
pub struct Api {
    address: String,
    config: Arc<ClientConfig>,
    connection: Option<BufReader<StreamOwned<ClientConnection, TcpStream>>>,
}

impl Api {
    /// A connection with the certificate of a kubeconfig.
    ///
    /// # Errors
    /// As [`Credentials::from_kubeconfig`].
    pub fn from_kubeconfig(path: &Path) -> Result<Self> {
        Ok(Credentials::from_kubeconfig(path)?.connect())
    }

    /// GET.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn get(&mut self, path: &str) -> Result<Answer> {
        self.send("GET", path, "application/json", b"")
    }

    /// POST of JSON.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn create(&mut self, path: &str, object: &Value) -> Result<Answer> {
        self.send("POST", path, "application/json", object.to_string().as_bytes())
    }

    /// DELETE without options.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn delete(&mut self, path: &str) -> Result<Answer> {
        self.send("DELETE", path, "application/json", b"")
    }

    /// Sends these bytes, whatever they are.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn send(&mut self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.open()?,
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        let stream = connection.get_mut();
        stream.write_all(&[head.as_bytes(), body].concat()).context("failed to send the request")?;
        stream.flush()?;
        let answer = read_answer(&mut connection)?;
        if answer.header("connection") != Some("close") {
            self.connection = Some(connection);
        }
        Ok(answer)
    }

    fn open(&self) -> Result<BufReader<StreamOwned<ClientConnection, TcpStream>>> {
        let tcp =
            TcpStream::connect(&self.address).with_context(|| format!("failed to connect to {}", self.address))?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(ANSWER_WITHIN))?;
        let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host).to_owned();
        let tls = ClientConnection::new(Arc::clone(&self.config), ServerName::try_from(host)?)?;
        Ok(BufReader::new(StreamOwned::new(tls, tcp)))
    }
}

type Reader = BufReader<StreamOwned<ClientConnection, TcpStream>>;

fn read_answer(reader: &mut Reader) -> Result<Answer> {
    let first = read_line(reader)?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let mut answer = Answer {
        status: status.with_context(|| format!("no HTTP answer, but `{first}`"))?,
        headers: Vec::new(),
        body: Vec::new(),
    };
    loop {
        let line = read_line(reader)?;
        let Some((name, value)) = line.split_once(':') else { break };
        answer.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    answer.body = read_body(reader, &answer)?;
    Ok(answer)
}

fn read_body(reader: &mut Reader, answer: &Answer) -> Result<Vec<u8>> {
    if answer.header("transfer-encoding") == Some("chunked") {
        return read_chunks(reader);
    }
    let length: u64 = answer.header("content-length").unwrap_or("0").parse()?;
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    Ok(body)
}

fn read_chunks(reader: &mut Reader) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = read_line(reader)?;
        let size = u64::from_str_radix(size.split(';').next().unwrap_or_default(), 16)?;
        reader.take(size).read_to_end(&mut body)?;
        read_line(reader)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

fn read_line(reader: &mut Reader) -> Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        bail!("the server closed the connection");
    }
    Ok(line.trim_end().to_owned())
}
