//! A client of the API server that sends exactly the bytes it is given.

use std::io::BufReader;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::run;
use crate::wire::{Answer, JSON, Request, exchange, follow};

/// How kubectl asks for a table.
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
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
        self.connect_with(&self.config)
    }

    /// Host and port of the API.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The name the API's certificate must be for.
    ///
    /// # Errors
    /// When the address has no such name.
    pub fn server_name(&self) -> Result<ServerName<'static>> {
        let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host);
        Ok(ServerName::try_from(host.to_owned())?)
    }

    /// Whom to trust, and the certificate of the kubeconfig: for a client of one's own.
    pub fn tls(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// A connection without any certificate.
    pub fn connect_anonymously(&self) -> Api {
        self.connect_with(&self.anonymous)
    }

    fn connect_with(&self, config: &Arc<ClientConfig>) -> Api {
        let credentials = Self { config: Arc::clone(config), ..self.clone() };
        Api { credentials, connection: None }
    }
}

fn builder(roots: RootCertStore) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(versions.with_root_certificates(roots))
}

/// One connection to an API server, opened when first used and again when the server closed it.
#[derive(Debug)]
pub struct Api {
    credentials: Credentials,
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
        self.send("GET", path, JSON, b"")
    }

    /// GET, answered as a table, as kubectl asks for it.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn get_table(&mut self, path: &str) -> Result<Answer> {
        self.exchange("GET", path, TABLE, JSON, b"")
    }

    /// POST of JSON.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn create(&mut self, path: &str, object: &Value) -> Result<Answer> {
        self.send("POST", path, JSON, object.to_string().as_bytes())
    }

    /// DELETE without options.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn delete(&mut self, path: &str) -> Result<Answer> {
        self.send("DELETE", path, JSON, b"")
    }

    /// Sends these bytes, whatever they are.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn send(&mut self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Result<Answer> {
        self.exchange(method, path, JSON, content_type, body)
    }

    fn exchange(&mut self, method: &str, path: &str, accept: &str, content_type: &str, body: &[u8]) -> Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.open()?,
        };
        let request = Request { method, host: self.credentials.address(), path, accept, content_type, body };
        let answer = exchange(&mut connection, &request)?;
        if !answer.closes() {
            self.connection = Some(connection);
        }
        Ok(answer)
    }

    /// Watches from now on: every event, as it comes.
    ///
    /// # Errors
    /// When the API does not take the watch.
    pub fn watch(&self, path: &str) -> Result<impl Iterator<Item = Result<Value>> + use<>> {
        let path = format!("{path}{}watch=true", if path.contains('?') { '&' } else { '?' });
        let host = self.credentials.address();
        let request = Request { method: "GET", host, path: &path, accept: JSON, content_type: JSON, body: b"" };
        let lines = follow(self.open()?, &request)?;
        Ok(lines.map(|line| Ok(serde_json::from_str(&line?)?)))
    }

    fn open(&self) -> Result<BufReader<StreamOwned<ClientConnection, TcpStream>>> {
        let address = self.credentials.address();
        let tcp = TcpStream::connect(address).with_context(|| format!("failed to connect to {address}"))?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(ANSWER_WITHIN))?;
        let tls = ClientConnection::new(Arc::clone(self.credentials.tls()), self.credentials.server_name()?)?;
        Ok(BufReader::new(StreamOwned::new(tls, tcp)))
    }
}
