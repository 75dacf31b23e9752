//! One question and its answer, as messages.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_server::net::runtime::Time;
use hickory_server::net::{DnsError, NetError, NoRecords};
use hickory_server::proto::ProtoError;
use hickory_server::proto::op::{Edns, Header, HeaderCounts, Metadata, OpCode, ResponseCode};
use hickory_server::proto::rr::{DNSClass, Name, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;

use super::upstream::Upstream;
use super::zone::{self, Answer, Zone};
use crate::services::Directory;

/// The largest answer sent in one datagram: larger ones are lost on some networks.
const DATAGRAM: u16 = 1232;

/// Answers questions.
pub struct Names {
    directory: Arc<Directory>,
    zone: Zone,
    upstream: Upstream,
    /// Counts the questions, so that each answer begins with another record.
    turn: AtomicUsize,
}

/// What is said to a question.
#[derive(Debug, Default)]
struct Reply {
    code: ResponseCode,
    is_ours: bool,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    additionals: Vec<Record>,
}

impl Reply {
    fn failed(code: ResponseCode) -> Self {
        Self { code, ..Self::default() }
    }
}

impl Names {
    /// Answers by the directory for names under `domain`, and by the servers of `resolv_conf` for others. It is itself
    /// reached at `own`.
    ///
    /// # Errors
    /// When `domain` is no domain.
    pub fn new(directory: Arc<Directory>, domain: &str, resolv_conf: PathBuf, own: IpAddr) -> Result<Self, ProtoError> {
        let upstream = Upstream::new(resolv_conf, own);
        Ok(Self { directory, zone: Zone::new(domain)?, upstream, turn: AtomicUsize::new(0) })
    }

    async fn reply(&self, request: &Request) -> Reply {
        let Ok(info) = request.request_info() else { return Reply::failed(ResponseCode::FormErr) };
        if info.metadata.op_code != OpCode::Query {
            return Reply::failed(ResponseCode::NotImp);
        }
        let query = info.query.original();
        if query.query_class() != DNSClass::IN {
            return Reply::failed(ResponseCode::Refused);
        }
        let (name, kind) = (query.name(), query.query_type());
        match self.known(name, kind) {
            Some(reply) => self.followed(reply, kind).await,
            None => self.asked(name.clone(), kind).await,
        }
    }

    /// What the cluster says of a name, and the name it leads to; nothing if it is none of its names.
    fn known(&self, name: &Name, kind: RecordType) -> Option<(Reply, Option<Name>)> {
        let answer = self.directory.read(|known| {
            if !self.zone.holds(name) {
                return self.zone.reverse(known, name, kind).map(Ok);
            }
            Some(if known.is_complete() { Ok(self.zone.answer(known, name, kind)) } else { Err(()) })
        })?;
        let Ok(answer) = answer else { return Some((Reply::failed(ResponseCode::ServFail), None)) };
        let mut reply = Reply { is_ours: true, ..Reply::default() };
        match answer {
            Answer::Found { answers, additionals } => {
                reply.answers = answers;
                let count = reply.answers.len();
                reply.answers.rotate_left(self.turn.fetch_add(1, Ordering::Relaxed) % count.max(1));
                reply.additionals = additionals;
            }
            Answer::Alias(target) => {
                reply.answers = vec![zone::alias(name, target.clone())];
                return Some((reply, Some(target).filter(|_| kind != RecordType::CNAME)));
            }
            Answer::Nothing => reply.authorities = vec![self.zone.authority()],
            Answer::NoName => {
                reply.code = ResponseCode::NXDomain;
                reply.authorities = vec![self.zone.authority()];
            }
        }
        Some((reply, None))
    }

    /// With what the alias stands for. One that leads to another alias of ours is left to whoever asks.
    async fn followed(&self, (mut reply, target): (Reply, Option<Name>), kind: RecordType) -> Reply {
        let Some(target) = target else { return reply };
        let further = match self.known(&target, kind) {
            Some((further, _)) => further,
            None => self.asked(target, kind).await,
        };
        reply.answers.extend(further.answers);
        reply
    }

    /// What the host's servers say of a name.
    async fn asked(&self, name: Name, kind: RecordType) -> Reply {
        match self.upstream.look_up(name, kind).await {
            Ok(found) => Reply { answers: found.answers().to_vec(), ..Reply::default() },
            Err(NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, soa, .. }))) => {
                let authorities = soa.into_iter().map(|soa| soa.into_record_of_rdata()).collect();
                Reply { code: response_code, authorities, ..Reply::default() }
            }
            Err(error) => {
                tracing::debug!(%error, "the host's name servers do not answer");
                Reply::failed(ResponseCode::ServFail)
            }
        }
    }
}

#[async_trait::async_trait]
impl RequestHandler for Names {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut sender: R) -> ResponseInfo {
        let reply = self.reply(request).await;
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = reply.code;
        metadata.authoritative = reply.is_ours;
        metadata.recursion_available = true;
        let mut edns = Edns::new();
        edns.set_max_payload(request.max_payload().min(DATAGRAM));
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if request.edns.is_some() {
            builder.edns(&edns);
        }
        let response = builder.build(metadata, &reply.answers, &reply.authorities, [], &reply.additionals);
        sender.send_response(response).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "an answer did not reach who asked");
            ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
        })
    }
}
