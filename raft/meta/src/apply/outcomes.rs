//! Answers remembered for callers who ask again: a retry finds what the first attempt did.

use node_base::plant::{self, Bug};
use node_base::{Sha256, TenantId, Timestamp, UserId, limits};

use super::Step;
use crate::caller::{Caller, Proposal, Remember};
use crate::outcome::{Invalid, Outcome, Refusal};
use crate::table::audit::{Outcomes, OutcomesByAge, Remembered};
use crate::table::{self, Table};
use crate::tables::{Reader, TableError};

/// The version outcomes are encoded with today.
const VERSION: u8 = 1;

/// Whose outcome is remembered under which key, where the caller asked for it.
fn key(proposal: &Proposal) -> Option<((TenantId, UserId, String), &Remember)> {
    match (&proposal.caller, &proposal.remember) {
        (Caller::User(user), Some(remember)) => {
            Some(((user.tenant, user.user, remember.key.clone()), remember))
        }
        _ => None,
    }
}

/// The outcome of the same request before, where the caller asked to have it remembered.
pub(crate) fn recall(step: &Step<'_>, proposal: &Proposal) -> Result<Option<Outcome>, TableError> {
    let Some((key, remember)) = key(proposal) else { return Ok(None) };
    if let Err(reason) = check_key(&remember.key) {
        return Ok(Some(Err(Refusal::invalid("Idempotency-Key", reason))));
    }
    remembered(step.reader(), step.now, &key, remember.request)
}

/// What is remembered at this log time under a key, for a request that says this.
pub(crate) fn remembered(
    tables: &dyn Reader,
    now: Timestamp,
    key: &(TenantId, UserId, String),
    request: Sha256,
) -> Result<Option<Outcome>, TableError> {
    match table::get::<Outcomes>(tables, key)? {
        Some(row) if now.since(row.at) >= limits::OUTCOME_KEPT => Ok(None),
        Some(row) if row.body != request => Ok(Some(Err(Refusal::KeyReused))),
        Some(row) => decode(&row.outcome).map(Some),
        None => Ok(None),
    }
}

/// Remembers an answer; refusals are not remembered.
pub(crate) fn remember(
    step: &mut Step<'_>,
    proposal: &Proposal,
    outcome: &Outcome,
) -> Result<(), TableError> {
    let kept = outcome.is_ok() && !plant::on(Bug::ForgetOutcome);
    let Some((key, remember)) = key(proposal).filter(|_| kept) else { return Ok(()) };
    let by_age = |at: Timestamp| (at.after(limits::OUTCOME_KEPT), key.0, key.1, key.2.clone());
    if let Some(old) = table::get::<Outcomes>(step.reader(), &key)? {
        table::delete::<OutcomesByAge>(step.tables, &by_age(old.at))?;
    }
    let (at, body) = (step.now, remember.request);
    let encoded = postcard::to_extend(outcome, vec![VERSION]);
    let outcome = encoded.map_err(|source| TableError::Row { table: Outcomes::NAME, source })?;
    table::put::<OutcomesByAge>(step.tables, &by_age(at), &())?;
    table::put::<Outcomes>(step.tables, &key, &Remembered { body, at, outcome })
}

fn check_key(key: &str) -> Result<(), Invalid> {
    if key.is_empty() {
        return Err(Invalid::Empty);
    }
    if key.len() > limits::IDEMPOTENCY_KEY_MAX {
        return Err(Invalid::TooLong { max: limits::IDEMPOTENCY_KEY_MAX as u64 });
    }
    if key.chars().any(char::is_control) {
        return Err(Invalid::Rule("cannot contain control characters".to_owned()));
    }
    Ok(())
}

fn decode(bytes: &[u8]) -> Result<Outcome, TableError> {
    let wrong = |source| TableError::Row { table: Outcomes::NAME, source };
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(wrong),
        _ => Err(wrong(postcard::Error::DeserializeBadEncoding)),
    }
}

#[cfg(test)]
mod tests {
    use node_base::{Duration, sha256};

    use crate::caller::{Caller, Remember};
    use crate::command::{Command, People};
    use crate::fixture::Fixture;
    use crate::outcome::{Outcome, Refusal};
    use crate::table::audit::{Outcomes, OutcomesByAge};
    use crate::table::{self};

    fn create_group(fixture: &mut Fixture, key: &str, request: &str, name: &str) -> Outcome {
        let command = People::CreateGroup { name: name.to_owned(), description: String::new() };
        let caller = Caller::User(fixture.caller(fixture.root));
        let mut proposal = fixture.proposal(caller, Command::People(command));
        let request = sha256(request.as_bytes());
        proposal.remember = Some(Remember { key: key.to_owned(), request });
        fixture.apply(&proposal)
    }

    #[test]
    fn the_same_request_within_a_day_gets_the_first_answer() {
        let mut fixture = Fixture::new();
        let first = create_group(&mut fixture, "k", "one", "crew");
        assert!(first.is_ok());
        let before = fixture.tables.clone();
        assert_eq!(create_group(&mut fixture, "k", "one", "crew"), first);
        assert_eq!(fixture.tables, before, "nothing was done twice");
        assert_eq!(create_group(&mut fixture, "k", "two", "band"), Err(Refusal::KeyReused));
        assert!(create_group(&mut fixture, "l", "two", "band").is_ok());
    }

    #[test]
    fn refusals_are_not_remembered_and_answers_for_a_day() {
        let mut fixture = Fixture::new();
        let first = create_group(&mut fixture, "a", "one", "crew");
        assert!(create_group(&mut fixture, "b", "one", "crew").is_err(), "the name is taken");
        assert!(create_group(&mut fixture, "b", "other", "band").is_ok());
        fixture.pass(Duration::from_secs(24 * 3600 - 1));
        assert_eq!(create_group(&mut fixture, "a", "one", "crew"), first);
        fixture.pass(Duration::from_secs(1));
        assert!(create_group(&mut fixture, "a", "later", "trio").is_ok());
        let rows = table::all::<Outcomes>(&fixture.tables, &()).expect("memory never fails");
        let ages = table::all::<OutcomesByAge>(&fixture.tables, &()).expect("memory never fails");
        assert_eq!((rows.len(), ages.len()), (2, 2), "one row by age for each outcome");
    }

    #[test]
    fn a_key_that_cannot_be_one_is_refused() {
        let mut fixture = Fixture::new();
        for key in ["", "a\0b", &"k".repeat(256)] {
            let outcome = create_group(&mut fixture, key, "one", "crew");
            assert!(matches!(outcome, Err(Refusal::Invalid { .. })), "{key:?}");
        }
    }
}
