//! An answer as it came, and what of it may be shown.

use std::time::Duration;

use canary_core::ports::PortError;
use reqwest::{Request, StatusCode};

/// How long what a header says must be to be taken for a secret; what is shorter is a name, such as a team's.
const SHORTEST: usize = 8;

/// Holds an answer as it came.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) kind: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
    pub(super) secrets: Secrets,
}

impl Page {
    /// Notes with an error how long the server asks to be left alone.
    pub(crate) fn with_rest<T>(&self, answer: Result<T, PortError>) -> Result<T, PortError> {
        match self.retry_after {
            Some(wait) => answer.map_err(|error| error.with_retry_after(wait)),
            None => answer,
        }
    }

    /// Quotes the beginning of what the server says, without what it was told in confidence: some show the request that
    /// they refuse.
    pub(crate) fn quote(&self, said: &str) -> String {
        beginning(&self.secrets.out_of(said))
    }
}

/// Holds what a request told in confidence.
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Finds them in the headers that are marked so, and adds passwords, which stand there in another form.
    pub(super) fn of<'a>(
        request: &'a Request,
        passwords: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let marked = request.headers().values().filter(|value| value.is_sensitive());
        let said = marked.filter_map(|value| value.to_str().ok());
        // `Bearer` and `Basic` are none.
        let said = said.map(|text| text.rsplit(' ').next().unwrap_or(text));
        let said = said.filter(|text| text.len() >= SHORTEST);
        let passwords = passwords.into_iter().filter(|password| !password.is_empty());
        Self(said.chain(passwords).map(str::to_owned).collect())
    }

    fn out_of(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(&**secret, "…"))
    }
}

/// Returns the beginning of a text on one line.
pub(crate) fn beginning(text: &str) -> String {
    const LONGEST: usize = 300;
    let mut line: String =
        (text.chars().take(LONGEST)).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}
