//! Programs on kube-rs with a custom resource of their own, as operators are written: a client, and a controller.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Event, finalizer};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::{Controller, watcher};
use kube::{Client, Config, CustomResource, CustomResourceExt as _, Resource as _, ResourceExt as _};
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

async fn define(client: &Client) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.patch("gadgets.example.com", &PatchParams::apply("test"), &Patch::Apply(Gadget::crd())).await?;
    await_condition(definitions, "gadgets.example.com", conditions::is_crd_established()).await?;
    Ok(())
}

#[test]
fn a_program_installs_its_definition_and_works_with_its_objects() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    run(async {
        let client = connect(&cluster).await?;
        define(&client).await?;
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

/// What a controller is given.
struct Workshop {
    client: Client,
    /// How many gadgets it has cleaned up after.
    cleaned: AtomicUsize,
}

/// Each gadget has a ConfigMap that holds its size, and is `up` once it has.
async fn reconcile(
    gadget: Arc<Gadget>,
    workshop: Arc<Workshop>,
) -> Result<Action, kube::runtime::finalizer::Error<kube::Error>> {
    let gadgets: Api<Gadget> = Api::default_namespaced(workshop.client.clone());
    let keep = |event| async {
        match event {
            Event::Apply(gadget) => build(&workshop.client, &gadget).await?,
            Event::Cleanup(_) => drop(workshop.cleaned.fetch_add(1, Ordering::SeqCst)),
        }
        Ok(Action::await_change())
    };
    finalizer(&gadgets, "example.com/workshop", gadget, keep).await
}

async fn build(client: &Client, gadget: &Gadget) -> Result<(), kube::Error> {
    let (name, own) = (gadget.name_any(), PatchParams::apply("workshop").force());
    let owner = gadget.controller_owner_ref(&());
    let plan = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"ownerReferences": [owner]},
        "data": {"size": gadget.spec.size.to_string()}});
    Api::<ConfigMap>::default_namespaced(client.clone()).patch(&name, &own, &Patch::Apply(plan)).await?;
    let status = json!({"apiVersion": "example.com/v1", "kind": "Gadget", "status": {"phase": "up"}});
    Api::<Gadget>::default_namespaced(client.clone()).patch_status(&name, &own, &Patch::Apply(status)).await?;
    Ok(())
}

/// Waits until a ConfigMap says so.
async fn size_is(maps: &Api<ConfigMap>, size: &'static str) -> Result<()> {
    let says =
        move |map: Option<&ConfigMap>| map.and_then(|map| map.data.as_ref()?.get("size")).is_some_and(|it| it == size);
    await_condition(maps.clone(), "one", says).await.map(drop).with_context(|| format!("the size is not {size}"))
}

#[test]
fn a_controller_of_kube_rs_keeps_what_it_owns_and_cleans_up_by_its_finalizer() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    run(async {
        let client = connect(&cluster).await?;
        define(&client).await?;
        let gadgets: Api<Gadget> = Api::default_namespaced(client.clone());
        let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
        let workshop = Arc::new(Workshop { client, cleaned: AtomicUsize::new(0) });
        let controller = Controller::new(gadgets.clone(), watcher::Config::default())
            .owns(maps.clone(), watcher::Config::default())
            .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(200)), workshop.clone())
            .for_each(|_| std::future::ready(()));
        let story = async {
            let made = Gadget::new("one", GadgetSpec { size: 1, color: None });
            let made = gadgets.create(&PostParams::default(), &made).await?;
            size_is(&maps, "1").await?;
            let is_up =
                |gadget: Option<&Gadget>| gadget.and_then(|it| it.status.as_ref()).is_some_and(|it| it.phase == "up");
            await_condition(gadgets.clone(), "one", is_up).await?;
            gadgets.patch("one", &PatchParams::default(), &Patch::Merge(json!({"spec": {"size": 2}}))).await?;
            size_is(&maps, "2").await?;
            maps.delete("one", &DeleteParams::default()).await?;
            size_is(&maps, "2").await?;
            gadgets.delete("one", &DeleteParams::default()).await?;
            let uid = made.metadata.uid.context("no uid")?;
            await_condition(gadgets.clone(), "one", conditions::is_deleted(&uid)).await?;
            ensure!(workshop.cleaned.load(Ordering::SeqCst) == 1, "it cleaned up once");
            let is_gone = |map: Option<&ConfigMap>| map.is_none();
            Ok(await_condition(maps.clone(), "one", is_gone).await.map(drop)?)
        };
        tokio::select! {
            told = story => told,
            () = controller => anyhow::bail!("the controller ended"),
        }
    })
}
