//! The host's own name servers, for every name that is none of the cluster's.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_server::net::NetError;
use hickory_server::net::runtime::TokioRuntimeProvider;
use hickory_server::proto::rr::{Name, RecordType};

/// Answers kept.
const CACHED: u64 = 4096;

/// The name servers of a file like `/etc/resolv.conf`; read again when that has changed.
pub(super) struct Upstream {
    file: PathBuf,
    /// Ourselves, who are not asked.
    own: IpAddr,
    resolver: Mutex<Option<(SystemTime, TokioResolver)>>,
}

impl Upstream {
    /// Those of `file`, but not `own`.
    pub(super) fn new(file: PathBuf, own: IpAddr) -> Self {
        Self { file, own, resolver: Mutex::default() }
    }

    /// What the first of them that answers says.
    ///
    /// # Errors
    /// What they say instead of an answer: that there is no such name, above all.
    pub(super) async fn look_up(&self, name: Name, kind: RecordType) -> Result<Lookup, NetError> {
        self.resolver()?.lookup(name, kind).await
    }

    fn resolver(&self) -> Result<TokioResolver, NetError> {
        let written = std::fs::metadata(&self.file).and_then(|file| file.modified())?;
        let mut resolver = self.resolver.lock().unwrap_or_else(PoisonError::into_inner);
        match &*resolver {
            Some((of, known)) if *of == written => Ok(known.clone()),
            _ => {
                let fresh = self.build()?;
                *resolver = Some((written, fresh.clone()));
                Ok(fresh)
            }
        }
    }

    fn build(&self) -> Result<TokioResolver, NetError> {
        let (config, mut options) = parse_resolv_conf(std::fs::read(&self.file)?)?;
        let others = config.name_servers().iter().filter(|server| server.ip != self.own).cloned().collect();
        options.use_hosts_file = ResolveHosts::Never;
        options.preserve_intermediates = true;
        options.cache_size = CACHED;
        let config = ResolverConfig::from_name_servers(others);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options).build()
    }
}
