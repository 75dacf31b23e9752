//! `/sampan.dev/v1/operators/<name>/feed`: what an operator decides from now on, and what it says on its standard error where it is
//! a program, as it happens: a JSON object a line.
//!
//! | line | meaning |
//! | --- | --- |
//! | `{"decision": …}` | a decision that was committed, as `sampan history` shows it |
//! | `{"said": …}` | a line of a plugin's standard error, and the objects it was asked about just then |
//! | `{"missed": 7}` | so many were not told, because they were not read in time |

use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use sampan_core::plugin::Word;
use sampan_core::ticker::{Following, News};
use sampan_machine::Decision;
use serde::Serialize;
use serde_json::json;

use crate::response::{self, Body, Response};
use crate::state::State;

/// Where what operators do is told.
const PATH: &str = "/sampan.dev/v1/operators/";

/// The operator whose feed is at a path.
pub(crate) fn operator_at(path: &str) -> Option<&str> {
    path.strip_prefix(PATH)?.strip_suffix("/feed").filter(|name| !name.is_empty() && !name.contains('/'))
}

/// The feed of an operator. One that is not there decides nothing: it may come.
pub(crate) fn answer(state: &Arc<State>, operator: &str) -> Response {
    let feed = Feed {
        operator: operator.to_owned(),
        decisions: state.cluster.store().reader().follow_decisions(),
        words: state.cluster.words().follow(),
        state: state.clone(),
    };
    let pieces = stream::unfold(feed, async |mut feed| Some((feed.next().await?, feed)));
    response::typed(200, Body::stream(pieces), "application/jsonl")
}

struct Feed {
    operator: String,
    decisions: Following<Decision>,
    words: Following<Word>,
    state: Arc<State>,
}

impl Feed {
    /// The next lines; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let lines = tokio::select! {
                () = self.state.shutdown.cancelled() => return None,
                news = self.decisions.next() => lines("decision", &news, |decision| decision.operator == self.operator),
                news = self.words.next() => lines("said", &news, |word| *word.plugin == *self.operator),
            };
            if !lines.is_empty() {
                return Some(lines.into());
            }
        }
    }
}

fn lines<T: Serialize>(name: &str, news: &News<T>, is_its: impl Fn(&T) -> bool) -> String {
    let missed = (news.missed > 0).then(|| json!({"missed": news.missed}));
    let its = news.news.iter().filter(|one| is_its(one)).map(|one| json!({name: **one}));
    missed.into_iter().chain(its).flat_map(|line| [line.to_string(), "\n".to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_is_found_by_the_name_of_its_operator() {
        assert_eq!(operator_at("/sampan.dev/v1/operators/tea/feed"), Some("tea"));
        for path in
            ["/sampan.dev/v1/operators//feed", "/sampan.dev/v1/operators/a/b/feed", "/sampan.dev/v1/operators/a"]
        {
            assert_eq!(operator_at(path), None, "{path}");
        }
    }
}
