//! Images: the one this crate carries, those at hand, those to be pulled.

use std::time::Instant;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ImageInspect;
use bollard::query_parameters::CreateImageOptionsBuilder;
use bytes::Bytes;
use futures::TryStreamExt;

use crate::NodeError;
use crate::pod::{Outcome, Refusal};

/// The program that holds a pod's namespaces.
static PAUSE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pause"));
/// Where it is in its image.
pub(super) const PAUSE_PATH: &str = "/pause";
/// The name of its image.
const PAUSE_REPOSITORY: &str = "sampan/pause";

/// Imports the pause image unless it is there already, and names it. Its tag is a digest of the program.
///
/// # Errors
/// When Docker refuses the import.
pub(super) async fn ensure_pause(docker: &Docker) -> Result<String, NodeError> {
    let digest = PAUSE
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let tag = format!("{digest:016x}");
    let name = format!("{PAUSE_REPOSITORY}:{tag}");
    if docker.inspect_image(&name).await.is_ok() {
        return Ok(name);
    }
    let options = CreateImageOptionsBuilder::new().from_src("-").repo(PAUSE_REPOSITORY).tag(&tag).build();
    let archive = bollard::body_full(Bytes::from(pause_archive()));
    let import = docker.create_image(Some(options), Some(archive), None).try_for_each(|_| async { Ok(()) });
    import.await.map_err(NodeError::docker("import the pause image"))?;
    Ok(name)
}

/// The pause program as the only file of a file system.
fn pause_archive() -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_size(PAUSE.len() as u64);
    header.set_mode(0o755);
    header.set_cksum();
    let mut archive = tar::Builder::new(Vec::new());
    let written = archive.append_data(&mut header, PAUSE_PATH.trim_start_matches('/'), PAUSE);
    written.and_then(|()| archive.into_inner()).expect("memory takes every write and the name is short")
}

/// Sees that an image is there, by policy.
///
/// An image that was built or imported here and never came from a registry is taken as it is under `Always` too: there is
/// nothing to pull it from.
pub(super) async fn ensure(docker: &Docker, image: &str, policy: &str, attempt: u32) -> Outcome {
    let present = match docker.inspect_image(image).await {
        Ok(shown) => Some(shown),
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => None,
        Err(error) => return refused("ErrImageInspect", format!("failed to inspect image \"{image}\": {error}")),
    };
    match (policy, present) {
        ("IfNotPresent" | "Never", Some(_)) => Outcome::ImagePresent { attempt, pulled: None },
        ("Always", Some(shown)) if is_local(&shown) => Outcome::ImagePresent { attempt, pulled: None },
        ("Never", None) => {
            let message = format!("Container image \"{image}\" is not present with pull policy of Never");
            refused("ErrImageNeverPull", message)
        }
        _ => pull(docker, image, attempt).await,
    }
}

fn is_local(shown: &ImageInspect) -> bool {
    shown.repo_digests.as_ref().is_none_or(Vec::is_empty)
}

fn refused(reason: &str, message: String) -> Outcome {
    Outcome::Refused(Refusal { reason: reason.to_owned(), message })
}

async fn pull(docker: &Docker, image: &str, attempt: u32) -> Outcome {
    let began = Instant::now();
    let options = CreateImageOptionsBuilder::new().from_image(&with_tag(image)).build();
    let pulled = docker.create_image(Some(options), None, None).try_for_each(|progress| async move {
        match progress.error_detail.and_then(|detail| detail.message) {
            Some(error) => Err(Error::DockerStreamError { error }),
            None => Ok(()),
        }
    });
    if let Err(error) = pulled.await {
        let message = match error {
            Error::DockerResponseServerError { message, .. } => message,
            other => other.to_string(),
        };
        return refused("ErrImagePull", format!("Failed to pull image \"{image}\": {message}"));
    }
    let bytes = docker.inspect_image(image).await.ok().and_then(|shown| shown.size).unwrap_or(0);
    let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Outcome::ImagePresent { attempt, pulled: Some((milliseconds, bytes)) }
}

/// The reference with a tag or digest: without one Docker would pull every tag there is.
fn with_tag(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}
