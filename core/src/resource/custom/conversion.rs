//! The webhook that turns objects of a custom resource type from one version into another.

use serde::Deserialize;
use serde_json::Value;

use crate::resource::WebhookAddress;

/// The versions of the question that are spoken here.
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// The webhook that turns objects of a custom resource type from one version into another.
#[derive(Debug, PartialEq, Eq)]
pub struct ConversionWebhook {
    /// The definition's name, such as `widgets.example.com`.
    pub(crate) definition: String,
    /// Where it is asked, or why nobody can be.
    pub(crate) address: Result<WebhookAddress, String>,
    /// The version of the question it understands, the first of those it prefers; `None` where it understands none.
    pub(crate) review_version: Option<&'static str>,
    /// The versions there are, as objects name them.
    pub(crate) api_versions: Vec<String>,
}

/// `spec.conversion`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Conversion {
    strategy: String,
    webhook: Option<Webhook>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Webhook {
    client_config: Value,
    conversion_review_versions: Vec<String>,
}

impl Conversion {
    /// The webhook of a definition, where one converts.
    pub(super) fn webhook(&self, definition: &str, api_versions: Vec<String>) -> Option<ConversionWebhook> {
        let webhook = self.webhook.as_ref().filter(|_| self.strategy == "Webhook")?;
        let mut wanted = webhook.conversion_review_versions.iter();
        Some(ConversionWebhook {
            definition: definition.to_owned(),
            address: WebhookAddress::read(&webhook.client_config),
            review_version: wanted.find_map(|wanted| REVIEW_VERSIONS.into_iter().find(|known| known == wanted)),
            api_versions,
        })
    }
}
