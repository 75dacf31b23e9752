//! What may I do?

use serde_json::{Value, json};

use super::set_status;
use crate::access::node_of;
use crate::object::Object;
use crate::resource::fill::set;
use crate::resource::read::text;
use crate::resource::{AnswerContext, Question};
use crate::status::Status;

/// What may I do, in a namespace?
pub(super) struct RulesQuestion;

impl Question for RulesQuestion {
    fn answer(&self, asked: &mut Value, _: Option<&Object>, cx: &mut AnswerContext<'_>) -> Result<(), Status> {
        let namespace = text(asked, "/spec/namespace");
        if namespace.is_empty() {
            return Err(Status::bad_request("no namespace on request"));
        }
        let rules = cx.authorizer.rules(cx.snapshot, cx.identity, Some(namespace));
        let (paths, resources): (Vec<_>, Vec<_>) =
            rules.into_iter().partition(|rule| !rule.non_resource_urls.is_empty());
        let mut status = json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false});
        // What a node may do depends on what runs on it, and is no list of rules.
        if node_of(cx.identity).is_some() {
            set(&mut status, "incomplete", true);
            set(&mut status, "evaluationError", "node authorizer does not support user rule resolution");
        }
        set_status(asked, status);
        Ok(())
    }
}
