//! Answers remembered for callers who ask again: a retry finds what the first attempt did.

use node_base::plant::{self, Bug};
use node_base::{Sha256, TenantId, Timestamp, UserId, limits};

use super::Step;
use crate::caller::{Caller, Proposal, Remember};
use crate::outcome::{Answer, Invalid, Outcome, Refusal};
use crate::table::audit::{Answers, KeptAnswer, Outcomes, OutcomesByAge, Remembered};
use crate::table::{self, Table};
use crate::tables::{Reader, TableError};

/// The version outcomes are encoded with today.
const VERSION: u8 = 1;

/// Whose key it is, and the key.
type Key = (TenantId, UserId, String);

/// Whose outcome is remembered under which key, where the caller asked for it.
fn key(proposal: &Proposal) -> Option<(Key, &Remember)> {
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
    key: &Key,
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
        table::delete::<Answers>(step.tables, &key)?;
    }
    let (at, body) = (step.now, remember.request);
    let encoded = postcard::to_extend(outcome, vec![VERSION]);
    let outcome = encoded.map_err(|source| TableError::Row { table: Outcomes::NAME, source })?;
    table::put::<OutcomesByAge>(step.tables, &by_age(at), &())?;
    table::put::<Outcomes>(step.tables, &key, &Remembered { body, at, outcome })
}

/// Keeps what a caller was told of an outcome. Answers what was kept before, which stays; what is
/// of no outcome, or too long, is not kept.
pub(crate) fn keep(
    step: &mut Step<'_>,
    key: &Key,
    answer: &KeptAnswer,
) -> Result<Answer, TableError> {
    if !is_current(step.reader(), step.now, key, answer.request)? {
        return Ok(Answer::Done);
    }
    if let Some(first) = table::get::<Answers>(step.reader(), key)? {
        return Ok(Answer::Kept(first));
    }
    let is_whole = answer.body.len() <= limits::ANSWER_KEPT_MAX
        && answer.etag.as_ref().is_none_or(|tag| tag.len() <= limits::IDEMPOTENCY_KEY_MAX);
    if is_whole {
        table::put::<Answers>(step.tables, key, answer)?;
    }
    Ok(Answer::Done)
}

/// Whether an outcome of this very request is remembered under the key.
fn is_current(
    tables: &dyn Reader,
    now: Timestamp,
    key: &Key,
    request: Sha256,
) -> Result<bool, TableError> {
    let row = table::get::<Outcomes>(tables, key)?;
    let row = row.filter(|row| now.since(row.at) < limits::OUTCOME_KEPT);
    Ok(row.is_some_and(|row| row.body == request))
}

/// What the caller of this very request was told, as far as it is kept.
pub(crate) fn kept(
    tables: &dyn Reader,
    now: Timestamp,
    key: &Key,
    request: Sha256,
) -> Result<Option<KeptAnswer>, TableError> {
    if is_current(tables, now, key, request)? {
        table::get::<Answers>(tables, key)
    } else {
        Ok(None)
    }
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
    use node_base::{Duration, limits, sha256};

    use super::kept;
    use crate::caller::{Caller, Remember};
    use crate::command::{Command, People, Upkeep};
    use crate::fixture::Fixture;
    use crate::outcome::{Answer, Outcome, Refusal};
    use crate::table::audit::{Answers, KeptAnswer, Outcomes, OutcomesByAge};
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
    fn what_a_caller_was_told_is_kept_with_the_outcome_and_goes_with_it() {
        let mut fixture = Fixture::new();
        assert!(create_group(&mut fixture, "a", "one", "crew").is_ok());
        let told = |request: &str, body: &[u8]| KeptAnswer {
            request: sha256(request.as_bytes()),
            status: 201,
            etag: None,
            body: body.to_vec(),
        };
        let keep = |fixture: &mut Fixture, key: &str, answer: KeptAnswer| {
            let (tenant, user, key) = (fixture.tenant, fixture.root, key.to_owned());
            let keep = Upkeep::KeepAnswer { tenant, user, key, answer };
            fixture.run_node(Command::Upkeep(keep))
        };
        let rows = |fixture: &Fixture| {
            table::all::<Answers>(&fixture.tables, &()).expect("memory never fails").len()
        };
        assert_eq!(keep(&mut fixture, "other", told("one", b"x")), Ok(Answer::Done));
        assert_eq!(keep(&mut fixture, "a", told("two", b"x")), Ok(Answer::Done));
        let long = vec![b'x'; limits::ANSWER_KEPT_MAX + 1];
        assert_eq!(keep(&mut fixture, "a", told("one", &long)), Ok(Answer::Done));
        assert_eq!(rows(&fixture), 0, "of no outcome, of another request, too long");
        assert_eq!(keep(&mut fixture, "a", told("one", b"x")), Ok(Answer::Done));
        let first = Ok(Answer::Kept(told("one", b"x")));
        assert_eq!(keep(&mut fixture, "a", told("one", b"y")), first);
        let asked = |fixture: &Fixture, request: &str| {
            let key = (fixture.tenant, fixture.root, "a".to_owned());
            kept(&fixture.tables, fixture.now, &key, sha256(request.as_bytes())).expect("memory")
        };
        assert_eq!(asked(&fixture, "one"), Some(told("one", b"x")));
        assert_eq!(asked(&fixture, "two"), None);
        fixture.pass(limits::OUTCOME_KEPT);
        assert_eq!(asked(&fixture, "one"), None, "late");
        assert!(fixture.run_node(Command::Upkeep(Upkeep::Expire { limit: 10 })).is_ok());
        assert_eq!(rows(&fixture), 0);
        assert!(create_group(&mut fixture, "a", "one", "band").is_ok());
        assert!(keep(&mut fixture, "a", told("one", b"z")).is_ok());
        fixture.pass(limits::OUTCOME_KEPT);
        assert!(create_group(&mut fixture, "a", "new", "trio").is_ok());
        assert_eq!(rows(&fixture), 0, "another outcome took its place");
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
