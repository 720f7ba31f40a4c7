//! What is said over the socket besides the status: requests and answers, as both sides have them.

use serde::{Deserialize, Serialize};

/// Body of `POST /v1/drain` and `/v1/resume`: `{"instances":["VI_1"]}` or `{"all":true}`; to drain also `"force":true`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    #[serde(default)]
    pub instances: Vec<String>,
    #[serde(default)]
    pub all: bool,
    /// Drain although the other host could not take over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

/// What was done, in sentences.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    pub done: Vec<String>,
    /// What the operator should know all the same.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Body of every answer that is not 200.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub error: String,
}
