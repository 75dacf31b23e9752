//! A program on kube-rs with a custom resource of its own, as operators are written.

use std::future::Future;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, Config, CustomResource, CustomResourceExt as _};
use sampan_system_tests::cluster::SOON;
use sampan_system_tests::{Cluster, Setup};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug)]
#[kube(group = "example.com", version = "v1", kind = "Gadget", namespaced, status = "GadgetStatus", shortname = "gd")]
struct GadgetSpec {
    size: u32,
    color: Option<String>,
}

#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default)]
struct GadgetStatus {
    phase: String,
}

async fn connect(cluster: &Cluster) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()?)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn run<T>(program: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { tokio::time::timeout(SOON, program).await.context("the program takes too long")? })
}

#[test]
fn a_program_installs_its_definition_and_works_with_its_objects() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    run(async {
        let client = connect(&cluster).await?;
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        definitions.patch("gadgets.example.com", &PatchParams::apply("test"), &Patch::Apply(Gadget::crd())).await?;
        await_condition(definitions.clone(), "gadgets.example.com", conditions::is_crd_established()).await?;

        let gadgets: Api<Gadget> = Api::default_namespaced(client);
        let made =
            gadgets.create(&PostParams::default(), &Gadget::new("one", GadgetSpec { size: 1, color: None })).await?;
        ensure!(made.metadata.generation == Some(1), "{made:?}");
        let applied = json!({"apiVersion": "example.com/v1", "kind": "Gadget", "spec": {"size": 2, "color": "red"}});
        let force = PatchParams::apply("test").force();
        let changed = gadgets.patch("one", &force, &Patch::Apply(applied)).await?;
        ensure!((changed.spec.size, changed.metadata.generation) == (2, Some(2)), "{changed:?}");
        let status = json!({"status": {"phase": "up"}});
        let told = gadgets.patch_status("one", &PatchParams::default(), &Patch::Merge(status)).await?;
        ensure!(told.status.as_ref().is_some_and(|status| status.phase == "up"), "{told:?}");
        let wrong = json!({"spec": {"size": -1}});
        let refused = gadgets.patch("one", &PatchParams::default(), &Patch::Merge(wrong)).await;
        ensure!(matches!(&refused, Err(kube::Error::Api(status)) if status.code == 422), "{refused:?}");

        let uid = told.metadata.uid.context("no uid")?;
        gadgets.delete("one", &DeleteParams::default()).await?;
        await_condition(gadgets.clone(), "one", conditions::is_deleted(&uid)).await?;
        Ok(())
    })
}
