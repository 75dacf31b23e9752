//! What is proved of a plugin: the suite that follows from its manifest, and from samples beside it.
//!
//! `plugin.yaml` holds the OperatorPlugin and the definitions of its kinds. Each file of `samples/` that holds an object of its
//! primary kind is one spec to try, each Effect says what an effect gives, and all other objects there stand beside it in every
//! world.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use sampan_conformance::{Actor, Deed, Edit, Suite, World, actors};
use sampan_core::manifest::{Document, documents, text};
use sampan_core::object::{Draft, Object, ObjectKey, ResourceType, Revision};
use sampan_core::plugin::{Charter, KindName, PluginOperator, PluginSpec};
use sampan_core::resource::custom::learn;
use sampan_core::resource::{OPERATOR_PLUGINS, Registry, ResourceDefinition};
use sampan_machine::lasting;
use sampan_pluginhost::{Given, Proof};
use serde_json::{Value, json};

use crate::operators::Carried;

/// The resource types that CustomResourceDefinitions define, for binaries that serve them from the start.
///
/// # Errors
/// What is wrong with the manifests.
pub fn kinds(manifests: &str) -> Result<Vec<ResourceDefinition>> {
    let manifests = text(manifests.as_bytes()).and_then(|text| documents(text, false));
    let manifests =
        manifests.map_err(|problem| anyhow!("{}:{}: {}", problem.at.line, problem.at.column, problem.message))?;
    learn_kinds(&manifests, &mut Carried::default().registry())
}

/// Whether what is to be proved is named as a file or folder, and not as an operator.
pub(crate) fn is_path(name: &str) -> bool {
    name.contains('/') || Path::new(name).exists()
}

/// The suite of the plugin in a folder, or of that manifest.
pub(crate) fn of(path: &Path, carried: &Carried) -> Result<Suite> {
    let file = if path.is_dir() { path.join("plugin.yaml") } else { path.to_owned() };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let manifests = read(&file)?;
    let mut registry = carried.registry();
    let definitions = learn_kinds(&manifests, &mut registry)?;
    let (name, spec) = plugin(&manifests, &registry).with_context(|| format!("in {}", file.display()))?;
    let charter = Charter::new(&name, &spec, &registry)?;
    let samples = Samples::read(&folder.join("samples"), &spec.primary)?;
    for effect in &spec.effects {
        let is_given = samples.given.0.iter().any(|(name, ..)| *name == effect.name);
        ensure!(
            is_given,
            "no sample says what the effect `{}` gives: write an Effect with a status.result",
            effect.name
        );
    }
    let program = Proof::start(&name, &spec, &folder, Path::new("/proc/self/exe"), samples.given.clone())?;
    let owns: BTreeSet<ResourceType> = charter.owns.iter().copied().collect();
    let writes_others = !spec.writes.is_empty();
    let mut suite = Suite::of(PluginOperator::new(charter, spec, Arc::new(program)));
    suite = suite.asked_as(lasting(&path.display().to_string()));
    // What was asked to be done tells how it came to be as it is: whoever was there from the start asked for less.
    suite = suite.incidental(|object| object.get("kind").is_none_or(|kind| kind != "Effect"));
    for definition in crate::operators::definitions().into_iter().chain(definitions) {
        suite = suite.serving(definition);
    }
    for (spec, manifest) in samples.specs.clone() {
        suite = suite.spec(lasting(&spec), manifest);
    }
    for object in samples.beside.clone() {
        suite = suite.beside(object);
    }
    if writes_others {
        // What it may do to others is its declaration, which is checked at each write.
        suite = suite.touching(|_, _| true);
        // A manifest does not say what of that is taken back.
        suite = suite.leaving_changed(|_| true);
    }
    if !owns.is_empty() {
        suite = suite.neighbour(meddler(owns));
    }
    Ok(if samples.beside.is_empty() { suite } else { suite.world(move |world| coming_and_going(world, samples)) })
}

/// Somebody who deletes what the plugin has made.
fn meddler(owns: BTreeSet<ResourceType>) -> Actor {
    actors::rare(1, "meddler", move |snapshot, _| {
        let made = owns.iter().flat_map(|resource| snapshot.list(*resource, None, None));
        let its = made.filter(|object| object.metadata().controller().is_some() && !object.metadata().is_terminating());
        its.map(|object| actors::deed(object, "is deleted by somebody", Edit::Delete(object.key().clone()))).collect()
    })
}

/// A world in which what stands beside the primary is not there at first, comes, and goes.
fn coming_and_going(world: World, samples: Samples) -> World {
    let first = samples.specs.into_iter().map(|(_, manifest)| manifest).next();
    let mut world =
        first.into_iter().fold(World { name: "what is beside comes and goes".into(), ..world }, World::holding);
    for object in samples.beside {
        let named = named(&object);
        world = world.with(actors::rare(2, "neighbour", move |snapshot, _| {
            let mut found = snapshot.resources().flat_map(|resource| snapshot.list(resource, None, None));
            match found.find(|it| is_it(it, &named)) {
                Some(there) if there.metadata().is_terminating() => Vec::new(),
                Some(there) => vec![actors::deed(there, "goes", Edit::Delete(there.key().clone()))],
                None => vec![Deed { what: format!("{} comes", named.1), edit: Edit::Create(object.clone()) }],
            }
        }));
    }
    world
}

fn named(object: &Value) -> (String, String) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text("/kind"), text("/metadata/name"))
}

fn is_it(object: &Object, (kind, name): &(String, String)) -> bool {
    *object.key().name == **name && object.value().get("kind").is_some_and(|found| found == kind)
}

/// The manifests to try.
#[derive(Default)]
struct Samples {
    specs: Vec<(String, Value)>,
    beside: Vec<Value>,
    given: Given,
}

impl Samples {
    fn read(folder: &Path, primary: &KindName) -> Result<Self> {
        let entries = std::fs::read_dir(folder).with_context(|| {
            format!(
                "failed to read {}: it holds the manifests of {} to try, one a file",
                folder.display(),
                primary.kind
            )
        })?;
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"));
        files.sort();
        let mut samples = Self::default();
        let mut beside = BTreeMap::new();
        for file in files {
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            for Document { identity, value, .. } in read(&file)? {
                if identity.kind == primary.kind && identity.api_version() == primary.api_version {
                    samples.specs.push((name.clone(), value));
                } else if identity.kind == "Effect" {
                    samples.given.0.push(given(&value));
                } else {
                    beside.insert(identity, value);
                }
            }
        }
        ensure!(!samples.specs.is_empty(), "{} holds no {} to try", folder.display(), primary.kind);
        let (_, first) = samples.specs.first().map(|(_, spec)| named(spec)).unwrap_or_default();
        let other = samples.specs.iter().find(|(_, spec)| named(spec).1 != first);
        if let Some((name, _)) = other {
            bail!("the samples are about one object, {first}, with another spec each: {name} names another");
        }
        samples.beside = beside.into_values().collect();
        Ok(samples)
    }
}

/// What a sample says of an effect: its name, its key and what it gives.
fn given(sample: &Value) -> (String, String, Value) {
    let text = |pointer: &str| sample.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text("/spec/effect"), text("/spec/key"), sample.pointer("/status/result").cloned().unwrap_or_default())
}

fn read(file: &Path) -> Result<Vec<Document>> {
    let bytes = std::fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
    let read = text(&bytes).and_then(|text| documents(text, false));
    read.map_err(|problem| anyhow!("{}:{}:{}: {}", file.display(), problem.at.line, problem.at.column, problem.message))
}

/// Has the kinds served that the manifests define, as the operator of their definitions would.
fn learn_kinds(manifests: &[Document], registry: &mut Registry) -> Result<Vec<ResourceDefinition>> {
    let defines = |document: &&Document| document.identity.kind == "CustomResourceDefinition";
    let mut learnt = Vec::new();
    for document in manifests.iter().filter(defines) {
        let definition = accepted(document, registry).with_context(|| format!("{}", document.identity))?;
        let found = learn(&definition)?.ok_or_else(|| anyhow!("{} defines nothing", document.identity))?;
        // There is no such object in the worlds: the kind is there from the start and stays.
        learnt.push(ResourceDefinition { defined_by: None, ..found.definition.clone() });
        registry.register(found.definition);
    }
    Ok(learnt)
}

fn accepted(document: &Document, registry: &Registry) -> Result<Object> {
    let resource = sampan_customresourcedefinition::definition().resource;
    let strategy = &registry.definition(resource).context("definitions are served")?.strategy;
    let mut value = document.value.clone();
    strategy.default(&mut value);
    refuse(&strategy.validate(&value))?;
    let names = value.pointer("/spec/names").cloned().unwrap_or_default();
    let status = json!({"acceptedNames": names, "conditions": [{"type": "NamesAccepted", "status": "True"}]});
    let metadata = json!({"name": document.identity.name, "uid": "proof", "creationTimestamp": "2026-01-01T00:00:00Z"});
    if let Some(fields) = value.as_object_mut() {
        fields.insert("status".to_owned(), status);
        fields.insert("metadata".to_owned(), metadata);
    }
    let key = ObjectKey::cluster(resource, &document.identity.name);
    Ok(Draft::new(key, value, Vec::new())?.at(Revision(1)))
}

fn plugin(manifests: &[Document], registry: &Registry) -> Result<(String, PluginSpec)> {
    let mut plugins = manifests.iter().filter(|document| document.identity.kind == "OperatorPlugin");
    let document = plugins.next().context("there is no OperatorPlugin")?;
    ensure!(plugins.next().is_none(), "there is more than one OperatorPlugin");
    let strategy = &registry.definition(OPERATOR_PLUGINS).context("plugins are served")?.strategy;
    let mut value = document.value.clone();
    strategy.default(&mut value);
    refuse(&strategy.validate(&value))?;
    Ok((document.identity.name.clone(), PluginSpec::read(&value)?))
}

fn refuse(faults: &[sampan_core::status::StatusCause]) -> Result<()> {
    let told: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.field, fault.message)).collect();
    ensure!(told.is_empty(), "{}", told.join("\n"));
    Ok(())
}
