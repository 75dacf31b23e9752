//! CustomResourceDefinitions: resource types that come and go while the cluster runs.
//!
//! A definition asks for names. Once they are accepted the gateway serves the type, and once it does the definition is
//! established: whoever waits for that finds the type there. A definition that is deleted goes when none of its objects is
//! left.

#[cfg(feature = "conformance")]
pub mod conformance;
mod machine;
mod plan;
pub mod resource;
mod status;
mod validate;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use sampan_core::gateway::{DeleteOptions, Propagation};
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::{Command, Context, Declaration, Guarding, Mapping, Operator, Wake, Watch, WriteVerb};
use sampan_core::resource::custom::{CUSTOM_RESOURCE_DEFINITIONS, definition_of, resource_of};
use sampan_core::store::{IndexKey, ReadKey, Snapshot};
use sampan_machine::Chart;

pub use machine::CustomResourceDefinitionMachine;
use machine::Intent;
use plan::{Names, View};
pub use resource::definition;

/// The operator of CustomResourceDefinitions.
#[derive(Debug, Clone, Copy, Default)]
pub struct CustomResourceDefinitionOperator;

impl Operator for CustomResourceDefinitionOperator {
    type Machine = CustomResourceDefinitionMachine;

    fn chart(&self) -> &'static Chart {
        CustomResourceDefinitionMachine::chart()
    }

    fn machine(&self) -> CustomResourceDefinitionMachine {
        CustomResourceDefinitionMachine::default()
    }

    fn declaration(&self) -> Declaration {
        let mut declaration = Declaration::of::<CustomResourceDefinition>("customresourcedefinition")
            .writing::<CustomResourceDefinition>(WriteVerb::Update)
            .writing::<CustomResourceDefinition>(WriteVerb::UpdateStatus)
            .writing_everything(WriteVerb::Delete);
        declaration.watches.push(Watch::of(None, Mapping::function(definitions_concerned)));
        declaration.guarding = Guarding::Decisive {
            because: "nothing is created of a type whose definition is being deleted, and a deletion names its object's uid",
        };
        declaration
    }

    fn step(&self, machine: &mut CustomResourceDefinitionMachine, _wake: &Wake, cx: &mut Context<'_>) {
        let Some(view) = look(cx) else { return };
        let (view, intents) = cx.observe(machine, view);
        view.wait(cx.trace());
        for intent in intents {
            carry_out(intent, &view, cx);
        }
    }
}

fn look(cx: &mut Context<'_>) -> Option<View> {
    let definition = cx.primary::<CustomResourceDefinition>()?;
    let key = cx.key().clone();
    cx.rests_on(ReadKey::Object(key.clone()));
    let mut view = View { now: cx.now(), definition, taken: Names::default(), instances: Vec::new() };
    if view.is_deleted() {
        view.instances = cx.objects(resource_of(&key), None);
    }
    if view.seeks_names() {
        view.taken = taken_names(&view, cx);
    }
    Some(view)
}

/// The names others have in the definition's group: those of other definitions, and of what is built in.
fn taken_names(view: &View, cx: &mut Context<'_>) -> Names {
    let group = &view.definition.spec.group;
    let own = cx.key().name.clone();
    let mut taken = Names::default();
    for other in cx.with_field::<CustomResourceDefinition>(resource::GROUP, group) {
        if other.metadata.name.as_deref() != Some(&*own) {
            taken.take(&other);
        }
    }
    let built_in = cx.registry().definitions().filter(|it| it.defined_by.is_none() && it.resource.group == group);
    for definition in built_in {
        taken.resources.extend([definition.resource.plural.to_owned(), definition.singular.to_owned()]);
        taken.resources.extend(definition.short_names.iter().map(|name| (*name).to_owned()));
        taken.kinds.insert(definition.kind.to_owned());
    }
    taken
}

fn carry_out(intent: Intent, view: &View, cx: &mut Context<'_>) {
    match intent {
        Intent::WriteStatus => {
            let mut definition = (*view.definition).clone();
            definition.status = Some(status::status(view));
            cx.update_status(&definition);
        }
        Intent::Delete(object) => {
            let options = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
            cx.delete_object(&object, options);
        }
        Intent::LetGo => {
            let Some(stored) = cx.primary_object() else { return };
            let object = plan::without_finalizer(stored.value());
            cx.command(Command::Update { key: cx.key().clone(), object });
        }
    }
}

/// Whom a change concerns beside itself: the definition of an object that goes with it, and the definitions that wait for a
/// name another may have let go of.
fn definitions_concerned(object: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let resource = object.key().resource;
    if resource == CUSTOM_RESOURCE_DEFINITIONS {
        let group = resource_of(object.key()).group.into();
        let waiting = IndexKey::Field { resource, field: resource::WITHOUT_NAMES_IN, value: group };
        return snapshot.index(&waiting).map(|waiting| waiting.key().clone()).collect();
    }
    if resource.group.is_empty() {
        return Vec::new();
    }
    let definition = definition_of(resource);
    let goes = snapshot.get(&definition).is_some_and(|definition| definition.metadata().is_terminating());
    if goes { vec![definition] } else { Vec::new() }
}
