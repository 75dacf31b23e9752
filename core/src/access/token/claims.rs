//! What a token says.

use serde::{Deserialize, Serialize};

use crate::object::Object;

/// What a token says (RFC 7519), with what Kubernetes adds to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// For whom it is.
    #[serde(rename = "aud")]
    pub audiences: Vec<String>,
    /// When it ends, in seconds.
    #[serde(rename = "exp")]
    pub expires: i64,
    /// When it was given.
    #[serde(rename = "iat")]
    pub issued: i64,
    /// Who gave it.
    #[serde(rename = "iss")]
    pub issuer: String,
    /// What tells it from all others.
    #[serde(rename = "jti")]
    pub id: String,
    /// What it was given for.
    #[serde(rename = "kubernetes.io")]
    pub private: Private,
    /// When it begins.
    #[serde(rename = "nbf")]
    pub not_before: i64,
    /// The account, as a user name.
    #[serde(rename = "sub")]
    pub subject: String,
}

/// What a token was given for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Private {
    /// The account's namespace.
    pub namespace: String,
    /// The node it is bound to, or that the pod it is bound to is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    /// The pod it is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    /// The secret it is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    /// The account.
    #[serde(rename = "serviceaccount")]
    pub service_account: Reference,
}

/// An object by name and uid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Its name.
    pub name: String,
    /// Its uid; a node may be named that is not there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

impl Reference {
    /// The object as it is now.
    pub fn to(object: &Object) -> Self {
        Self { name: object.key().name.to_string(), uid: object.metadata().uid.to_string() }
    }
}
