//! Outputs and collectors: every line arrives, and by its id once, whatever becomes of either.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use sampan_logs::output::{Parser, Shape};
use sampan_outputs::receiver::{Collector, Demands, Received, Speaks};
use sampan_outputs::{Destination, FileSettings, ForwardSettings, HeaderSource, HttpSettings, State, Tls};

use self::world::{Running, World, forward, secret};

/// How long anything here may take.
const SOON: Duration = Duration::from_secs(20);

fn collector(demands: Demands) -> Collector {
    Collector::start(Speaks::Forward, demands).unwrap()
}

fn ids(received: &[Received]) -> BTreeSet<String> {
    received.iter().map(|it| it.record["id"].as_str().unwrap().to_owned()).collect()
}

/// Waits until there are so many lines by their ids, and holds that these are those that were written.
async fn arrives(collector: &Arc<Collector>, written: &[String]) -> Vec<Received> {
    let (waiting, count) = (collector.clone(), written.len());
    let waited = tokio::task::spawn_blocking(move || waiting.until(SOON, |received| ids(received).len() >= count));
    let received = match waited.await.unwrap() {
        Ok(received) => received,
        Err(received) => panic!("{} of {count} arrived; {:?}", ids(&received).len(), collector.refusals()),
    };
    let by_id: BTreeMap<&str, &str> =
        received.iter().map(|it| (it.record["id"].as_str().unwrap(), it.record["log"].as_str().unwrap())).collect();
    let mut texts: Vec<&str> = by_id.values().copied().collect();
    let mut expect: Vec<&str> = written.iter().map(String::as_str).collect();
    texts.sort_unstable();
    expect.sort_unstable();
    assert_eq!(texts, expect, "by its id each line arrives once");
    received
}

#[tokio::test]
async fn lines_arrive_in_order_with_their_time_and_whose_they_are() {
    for gzip in [true, false] {
        let collector = Arc::new(collector(Demands::default()));
        let mut world = World::new();
        world.write(5);
        let running = world.run(Destination::Forward(ForwardSettings { gzip, ..forward(&collector) }));
        let received = arrives(&collector, &world.written).await;
        let first = received.iter().find(|it| it.record["log"] == "line 0").unwrap();
        assert_eq!((first.tag.as_str(), first.time), ("sampan", Some((1, 0))));
        assert_eq!(first.record["id"], "aaaaaaaaaaaa-0-1000000000");
        assert_eq!(first.record["kubernetes"]["pod_name"], "web-0");
        let of_one: Vec<&str> = received
            .iter()
            .filter(|it| it.record["kubernetes"]["docker_id"] == "bbbbbbbbbbbbbbbb")
            .map(|it| it.record["log"].as_str().unwrap())
            .collect();
        assert_eq!(of_one, ["line 1", "line 2", "line 4"]);
        world.write(1);
        arrives(&collector, &world.written).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn an_outage_is_bridged_and_told_of() {
    let collector = Arc::new(collector(Demands::default()));
    let mut world = World::new();
    world.write(10);
    let mut running = world.run(Destination::Forward(forward(&collector)));
    running.until(|report| report.delivered == 10).await;
    collector.stop();
    world.write(2000);
    let report = running.until(|report| report.state == State::Retrying && report.waiting == 2000).await;
    assert!(report.last_error.unwrap().starts_with("failed to connect to 127.0.0.1:"), "and says why");
    world.write(10);
    collector.restart().unwrap();
    arrives(&collector, &world.written).await;
    let report = running.until(|report| report.delivered == 2020).await;
    assert_eq!((report.state, report.last_error, report.dropped), (State::Delivering, None, 0));
    running.until(|report| report.waiting == 0).await;
    running.stop().await;
}

#[tokio::test]
async fn a_collector_that_restarts_between_chunks_costs_no_wait() {
    let collector = Arc::new(collector(Demands::default()));
    let mut world = World::new();
    world.write(1);
    let mut running = world.run(Destination::Forward(forward(&collector)));
    for delivered in 1..4 {
        running.until(|report| report.delivered == delivered).await;
        collector.stop();
        collector.restart().unwrap();
        world.write(1);
    }
    arrives(&collector, &world.written).await;
    let report = running.report.borrow().clone();
    assert_eq!(report.last_error, None, "another connection is tried at once");
    running.stop().await;
}

#[tokio::test]
async fn a_chunk_that_is_not_acknowledged_is_sent_again_as_it_was() {
    let collector = Arc::new(collector(Demands::default()));
    collector.lose_acknowledgements(3);
    let mut world = World::new();
    world.write(10);
    let mut running = world.run(Destination::Forward(forward(&collector)));
    running.until(|report| report.delivered == 10).await;
    let received = arrives(&collector, &world.written).await;
    assert_eq!((received.len(), collector.chunks()), (40, 4));
    assert!(received.chunks(10).all(|again| again == &received[..10]));
    running.stop().await;
}

#[tokio::test]
async fn whoever_is_killed_goes_on_where_the_last_acknowledgement_was() {
    let collector = Arc::new(collector(Demands::default()));
    let mut world = World::new();
    world.write(100);
    world.flush();
    let mut running = world.run(Destination::Forward(forward(&collector)));
    running.until(|report| report.delivered == 100).await;
    running.kill().await;
    world.write(50);
    world.kill();
    collector.lose_acknowledgements(1);
    let mut running = world.run(Destination::Forward(forward(&collector)));
    arrives(&collector, &world.written).await;
    running.until(|report| report.delivered == 150).await;
    running.kill().await;
    world.kill();
    let mut running = world.run(Destination::Forward(forward(&collector)));
    world.write(1);
    running.until(|report| report.delivered == 151).await;
    let received = arrives(&collector, &world.written).await;
    assert_eq!(received.len(), 201, "what was acknowledged is not sent again; what was not is, once");
    running.stop().await;
}

fn identity() -> (Vec<u8>, Arc<ServerConfig>) {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["fluentd.logging.svc".to_owned()]).unwrap().self_signed(&key).unwrap();
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], private).unwrap();
    (certificate.pem().into_bytes(), Arc::new(config))
}

async fn refused(mut running: Running, because: &str) {
    let report = running.until(|report| report.last_error.is_some()).await;
    let error = report.last_error.unwrap();
    assert!(error.contains(because), "{because}: {error}");
    running.stop().await;
}

#[tokio::test]
async fn both_sides_prove_that_they_know_the_key_over_tls() {
    let (authorities, config) = identity();
    let demands = Demands {
        shared_key: Some("open sesame".into()),
        user: Some(("sampan".into(), "s3cret".into())),
        tls: Some(config),
        one_chunk_a_connection: true,
        ..Demands::default()
    };
    let collector = Arc::new(collector(demands));
    let mut settings = forward(&collector);
    settings.place.host = "fluentd.logging.svc".into();
    settings.shared_key = Some(secret("shared"));
    settings.user = Some(("sampan".into(), secret("password")));
    settings.tls = Some(Tls { authorities: authorities.clone(), server_name: None });
    let good = BTreeMap::from([("shared", "open sesame"), ("password", "s3cret")]);
    let mut world = World::new();
    world.write(3);
    let start = |settings: &ForwardSettings, secrets: &BTreeMap<&'static str, &'static str>| {
        world.run_as(Destination::Forward(settings.clone()), Shape::default(), secrets.clone())
    };
    let wrong_key = BTreeMap::from([("shared", "open barley"), ("password", "s3cret")]);
    refused(start(&settings, &wrong_key), "the collector refuses: shared_key mismatch").await;
    let wrong_password = BTreeMap::from([("shared", "open sesame"), ("password", "guess")]);
    refused(start(&settings, &wrong_password), "the collector refuses: username/password mismatch").await;
    refused(start(&settings, &BTreeMap::new()), "key \"shared\" of secret logging/fluentd: it is not there").await;
    let stranger = Some(Tls { authorities: identity().0, server_name: None });
    refused(start(&ForwardSettings { tls: stranger, ..settings.clone() }, &good), "failed to speak TLS").await;
    let other_name = Some(Tls { authorities, server_name: Some("other".into()) });
    refused(start(&ForwardSettings { tls: other_name, ..settings.clone() }, &good), "failed to speak TLS").await;
    assert_eq!(collector.chunks(), 0, "nobody sent anything to somebody it does not know");

    let running = start(&settings, &good);
    arrives(&collector, &world.written).await;
    world.write(2);
    arrives(&collector, &world.written).await;
    running.stop().await;
}

#[tokio::test]
async fn a_key_the_collector_asks_for_and_we_do_not_have_is_told() {
    let collector = Arc::new(collector(Demands { shared_key: Some("k".into()), ..Demands::default() }));
    let mut world = World::new();
    world.write(1);
    refused(world.run(Destination::Forward(forward(&collector))), "keep to the protocol").await;
}

#[tokio::test]
async fn json_lines_are_posted_and_a_status_of_success_is_their_acknowledgement() {
    let demands = Demands { header: Some(("x-token".into(), "t0ken".into())), ..Demands::default() };
    let collector = Arc::new(Collector::start(Speaks::Http, demands).unwrap());
    let settings = HttpSettings {
        uri: format!("http://collector.logging.svc:{}/in?x=y", collector.port()).parse().unwrap(),
        gzip: true,
        headers: vec![("x-token".parse().unwrap(), HeaderSource::Secret(secret("token")))],
        tls: Tls::default(),
    };
    let mut world = World::new();
    world.write(20);
    let start = |world: &World, gzip: bool, token: &'static str| {
        let destination = Destination::Http(HttpSettings { gzip, ..settings.clone() });
        world.run_as(destination, Shape::default(), BTreeMap::from([("token", token)]))
    };
    refused(start(&world, true, "wrong"), "the server answered with status 401: who are you?").await;
    let running = start(&world, true, "t0ken\n");
    arrives(&collector, &world.written).await;
    collector.lose_acknowledgements(1);
    world.write(5);
    arrives(&collector, &world.written).await;
    collector.stop();
    world.write(5);
    collector.restart().unwrap();
    arrives(&collector, &world.written).await;
    running.stop().await;
    world.write(5);
    let running = start(&world, false, "t0ken");
    arrives(&collector, &world.written).await;
    running.stop().await;
}

#[tokio::test]
async fn https_is_spoken_with_whom_the_authorities_vouch_for() {
    let (authorities, tls) = identity();
    let demands = Demands { tls: Some(tls), one_chunk_a_connection: true, ..Demands::default() };
    let collector = Arc::new(Collector::start(Speaks::Http, demands).unwrap());
    let settings = |authorities| HttpSettings {
        uri: format!("https://fluentd.logging.svc:{}/", collector.port()).parse().unwrap(),
        gzip: false,
        headers: Vec::new(),
        tls: Tls { authorities, server_name: None },
    };
    let mut world = World::new();
    world.write(3);
    refused(world.run(Destination::Http(settings(identity().0))), "failed to speak TLS").await;
    let running = world.run(Destination::Http(settings(authorities)));
    arrives(&collector, &world.written).await;
    world.write(3);
    arrives(&collector, &world.written).await;
    running.stop().await;
}

#[tokio::test]
async fn a_file_has_every_line_and_what_is_read_from_it() {
    let mut world = World::new();
    world.say(r#"{"level":"warn","n":1}"#);
    world.write(3);
    let path = world.folder.path().join("out/web.jsonl");
    let destination = Destination::File(FileSettings { path: path.clone(), rotate_bytes: 1 << 20, files: 2 });
    let shape = Shape { parser: Parser::Json, fields: BTreeMap::from([("cluster".into(), "boat".into())]) };
    let mut running = world.run_as(destination, shape, BTreeMap::new());
    running.until(|report| report.delivered == 4).await;
    running.stop().await;
    let text = std::fs::read_to_string(&path).unwrap();
    let records: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let warned = records.iter().find(|record| record["level"] == "warn").unwrap();
    assert_eq!((&warned["n"], &warned["cluster"], warned.get("log")), (&1.into(), &"boat".into(), None));
    assert_eq!(records.iter().filter(|record| record["log"].is_string()).count(), 3);
}

#[tokio::test]
async fn a_disk_that_refuses_is_told_and_tried_on() {
    let mut world = World::new();
    world.write(1);
    let path = world.folder.path().join("out/web.jsonl");
    std::fs::write(world.folder.path().join("out"), "in the way").unwrap();
    let destination = Destination::File(FileSettings { path: path.clone(), rotate_bytes: 1 << 20, files: 2 });
    let mut running = world.run(destination);
    let report = running.until(|report| report.last_error.is_some()).await;
    assert!(report.last_error.unwrap().starts_with("failed to write "));
    std::fs::remove_file(world.folder.path().join("out")).unwrap();
    running.until(|report| report.delivered == 1).await;
    running.stop().await;
}
