//! The client against a server that answers as it was told.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use api_types::v1::ItemType;
use api_types::v1::auth::Tokens;
use api_types::v1::error::ErrorCode;
use api_types::v1::folders::CreateFolder;
use api_types::v1::sync::{SnapshotLine, SnapshotQuery};
use api_types::v1::uploads::BatchItem;
use bytes::Bytes;
use node_base::Duration;

use crate::fake::{Fake, FakeMachine, answer, client, refusal};
use crate::{CallError, ChunkFrame, Credentials, Keeper, Kept, Traffic};

const FOLDER: &str = r#"{"id":"fld_1","tenant_id":"t","share_id":"s","parent_id":null,"name":"n",
    "path":"/n","owner_id":"u","created_by":"u","created_at":"2026-11-23T14:05:09.000Z",
    "modified_at":"2026-11-23T14:05:09.000Z","is_deleted":false}"#;
const HEALTHY: &str = r#"{"status":"healthy","version":"1"}"#;
/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:9";

fn token(access: &str) -> Credentials {
    Credentials { access_token: Some(access.to_owned()), ..Credentials::default() }
}

fn folder() -> CreateFolder {
    CreateFolder { name: "n".to_owned(), share_id: "s".to_owned(), parent_id: None }
}

#[tokio::test]
async fn a_post_is_repeated_under_the_same_key_until_it_is_answered() {
    let fake = Fake::answering(vec![
        refusal(503, "UNAVAILABLE"),
        answer(502, "<html>"),
        answer(201, FOLDER),
    ])
    .await;
    let machine = FakeMachine::default();
    let client = client(&[&fake.address], token("t1"), &machine);
    let made = client.create_folder(&folder()).await.expect("made in the end");
    assert_eq!(made.id, "fld_1");
    let asked = fake.asked();
    assert_eq!(asked.len(), 3);
    for asked in &asked {
        assert_eq!(asked.line, "POST /api/v1/folders");
        assert_eq!(asked.header("authorization"), "Bearer t1");
        assert_eq!(asked.header("idempotency-key"), format!("{:032x}", 7));
        assert_eq!(asked.body, r#"{"name":"n","share_id":"s"}"#);
    }
    assert_eq!(machine.pauses().len(), 2);
}

#[tokio::test]
async fn a_refusal_comes_back_with_its_sentence_and_code() {
    let fake = Fake::answering(vec![refusal(409, "NAME_CONFLICT")]).await;
    let client = client(&[&fake.address], token("t"), &FakeMachine::default());
    let error = client.create_folder(&folder()).await.expect_err("refused");
    assert_eq!(error.to_string(), "No.");
    assert_eq!((error.code(), error.status()), (Some(ErrorCode::NameConflict), Some(409)));
    assert!(!error.is_transient());
    assert_eq!(fake.lines().len(), 1, "what is refused for good is asked once");
}

#[tokio::test]
async fn the_server_s_wish_to_wait_is_granted() {
    let mut limited = refusal(429, "RATE_LIMITED");
    limited.headers_mut().insert("retry-after", "7".parse().expect("a header"));
    let fake = Fake::answering(vec![limited, answer(200, HEALTHY)]).await;
    let machine = FakeMachine::default();
    client(&[&fake.address], token("t"), &machine).health().await.expect("then answered");
    assert_eq!(machine.pauses(), [Duration::from_secs(7)]);
}

#[tokio::test]
async fn another_address_is_asked_at_once_and_stayed_with() {
    let fake = Fake::answering(vec![answer(200, HEALTHY), answer(200, HEALTHY)]).await;
    let machine = FakeMachine::default();
    let client = client(&[NOBODY, &fake.address], token("t"), &machine);
    client.health().await.expect("the second address answers");
    client.health().await.expect("and is asked first now");
    assert_eq!((fake.lines().len(), machine.pauses().len()), (2, 0));
}

#[tokio::test]
async fn where_nobody_answers_the_attempts_end() {
    let machine = FakeMachine::default();
    let error = client(&[NOBODY], token("t"), &machine).health().await.expect_err("nobody there");
    assert!(matches!(&error, CallError::Unreachable { address, .. } if address == NOBODY));
    assert!(error.is_transient());
    assert_eq!(machine.pauses().len(), 3);
}

#[tokio::test]
async fn an_expired_token_is_renewed_once_and_its_holder_told() {
    let tokens = r#"{"access_token":"t2","token_type":"Bearer","refresh_token":"r2"}"#;
    let script = vec![
        refusal(401, "AUTH_TOKEN_INVALID"),
        answer(200, tokens),
        answer(200, FOLDER),
        refusal(401, "AUTH_TOKEN_INVALID"),
        answer(400, r#"{"error":"invalid_grant"}"#),
    ];
    let fake = Fake::answering(script).await;
    let keeper = Arc::new(Shelf::new("t1", "r1"));
    let credentials = Credentials {
        refresh_token: Some("r1".to_owned()),
        client_id: Some("cli".to_owned()),
        keeper: Some(keeper.clone()),
        ..token("t1")
    };
    let client = client(&[&fake.address], credentials, &FakeMachine::default());
    client.create_folder(&folder()).await.expect("with the new token");
    let asked = fake.asked();
    assert_eq!(asked[1].line, "POST /api/v1/auth/token");
    assert_eq!(asked[1].body, "grant_type=refresh_token&client_id=cli&refresh_token=r1");
    assert_eq!(asked[1].header("authorization"), "");
    assert_eq!(asked[2].header("authorization"), "Bearer t2");
    assert_eq!(keeper.load().map(|kept| kept.access_token).as_deref(), Some("t2"));
    let error = client.create_folder(&folder()).await.expect_err("the issuer says no");
    assert_eq!(error.code(), Some(ErrorCode::AuthTokenInvalid));
    assert!(fake.asked()[1].body.ends_with(b"refresh_token=r2"));
}

/// Tokens that outlive a client.
struct Shelf(Mutex<Kept>);

impl Shelf {
    fn new(access: &str, refresh: &str) -> Self {
        let refresh_token = Some(refresh.to_owned());
        Self(Mutex::new(Kept { access_token: access.to_owned(), refresh_token }))
    }
}

impl Keeper for Shelf {
    fn hold(&self) -> Pin<Box<dyn Future<Output = Box<dyn Send>> + Send + '_>> {
        Box::pin(async { Box::new(()) as Box<dyn Send> })
    }

    fn load(&self) -> Option<Kept> {
        Some(self.0.lock().expect("not poisoned").clone())
    }

    fn keep(&self, tokens: &Tokens) {
        let refresh = tokens.refresh_token.clone();
        let access_token = tokens.access_token.clone();
        *self.0.lock().expect("not poisoned") = Kept { access_token, refresh_token: refresh };
    }
}

#[tokio::test]
async fn a_token_that_another_process_has_renewed_is_taken_and_not_renewed_again() {
    let script = vec![refusal(401, "AUTH_TOKEN_INVALID"), answer(200, FOLDER)];
    let fake = Fake::answering(script).await;
    let credentials = Credentials {
        refresh_token: Some("r1".to_owned()),
        keeper: Some(Arc::new(Shelf::new("t2", "r2"))),
        ..token("t1")
    };
    let client = client(&[&fake.address], credentials, &FakeMachine::default());
    client.create_folder(&folder()).await.expect("with the other's token");
    assert_eq!(fake.asked()[1].header("authorization"), "Bearer t2");
}

#[tokio::test]
async fn a_refresh_token_that_may_be_used_up_is_not_sent_to_the_next_node() {
    let script = vec![refusal(401, "AUTH_TOKEN_INVALID"), answer(200, "{")];
    let (first, second) = (Fake::answering(script).await, Fake::answering(Vec::new()).await);
    let credentials = Credentials { refresh_token: Some("r1".to_owned()), ..token("t1") };
    let addresses = [first.address.as_str(), second.address.as_str()];
    let client = client(&addresses, credentials, &FakeMachine::default());
    let error = client.create_folder(&folder()).await.expect_err("it is not renewed");
    assert_eq!(error.code(), Some(ErrorCode::AuthTokenInvalid));
    assert!(second.asked().is_empty(), "the second node is asked nothing");
}

#[tokio::test]
async fn a_deletion_that_was_done_before_the_connection_broke_is_done() {
    let script = || vec![refusal(503, "UNAVAILABLE"), refusal(410, "TRASHED")];
    let fake = Fake::answering(script()).await;
    let client = client(&[&fake.address], token("t"), &FakeMachine::default());
    client.delete_item(ItemType::File, "fil_1", true).await.expect("gone is gone");
    assert_eq!(fake.lines()[0], "DELETE /api/v1/files/fil_1?permanent=true");
    let fake = Fake::answering(vec![refusal(410, "TRASHED")]).await;
    let client = crate::fake::client(&[&fake.address], token("t"), &FakeMachine::default());
    let error = client.delete_item(ItemType::File, "fil_1", false).await.expect_err("told");
    assert_eq!(error.code(), Some(ErrorCode::Trashed));
}

#[tokio::test]
async fn chunks_travel_framed_with_their_length_known() {
    let fake = Fake::answering(vec![answer(200, r#"{"results":[]}"#)]).await;
    let client = client(&[&fake.address], token("t"), &FakeMachine::default());
    let frame = |index, bytes: &'static [u8]| ChunkFrame { index, bytes: bytes.into() };
    client.put_chunks("upl_1", vec![frame(0, b"abc"), frame(9, b"d")]).await.expect("taken");
    let asked = fake.asked();
    assert_eq!(asked[0].line, "POST /api/v1/uploads/upl_1/chunks/batch");
    assert_eq!(asked[0].body, b"\0\0\0\0\x03\0\0\0abc\x09\0\0\0\x01\0\0\0d".as_slice());
    assert_eq!(asked[0].header("content-length"), "20");
    assert_eq!(client.traffic(), Traffic { sent: 20, received: 14 });
}

#[tokio::test]
async fn small_files_travel_as_a_form() {
    let fake = Fake::answering(vec![answer(200, r#"{"results":[]}"#)]).await;
    let client = client(&[&fake.address], token("t"), &FakeMachine::default());
    let item = BatchItem {
        client_ref: "1".to_owned(),
        path: "a/b".to_owned(),
        folder_id: None,
        replace_file_id: None,
        base_version_id: None,
        client_modified_at: None,
        executable: None,
    };
    let contents = vec![Bytes::from_static(b"--x\r\n")];
    client.put_files("shr_1", &[item], contents).await.expect("taken");
    let asked = fake.asked();
    assert_eq!(asked[0].line, "POST /api/v1/files/batch?share_id=shr_1");
    let boundary = format!("{:032x}", 7);
    let expected = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"items\"\r\n\
         Content-Type: application/json\r\n\r\n[{{\"client_ref\":\"1\",\"path\":\"a/b\"}}]\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"file\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n--x\r\n\r\n--{boundary}--\r\n"
    );
    assert_eq!(asked[0].body, expected);
}

#[tokio::test]
async fn a_snapshot_without_its_last_line_is_not_whole() {
    let item = format!("{{\"type\":\"folder\",{}", &FOLDER.replace('\n', " ")[1..]);
    let whole = format!("{item}\n\n{item}\n{{\"cursor\":\"c\"}}");
    let fake = Fake::answering(vec![answer(200, &whole), answer(200, &item)]).await;
    let client = client(&[&fake.address], token("t"), &FakeMachine::default());
    let query = SnapshotQuery { share_id: "shr_1".to_owned(), folder_id: None };
    let mut lines = client.snapshot(&query).await.expect("begun");
    let mut read = Vec::new();
    while let Some(line) = lines.next().await.expect("whole") {
        read.push(line);
    }
    assert_eq!(read.len(), 3);
    assert!(matches!(read.last(), Some(SnapshotLine::End(end)) if end.cursor == "c"));
    let mut lines = client.snapshot(&query).await.expect("begun");
    assert!(matches!(lines.next().await, Err(CallError::Truncated { .. })));
}

#[tokio::test]
async fn a_part_of_a_file_is_asked_for_by_its_ends() {
    let mut part = answer(206, "bcd");
    part.headers_mut().insert("content-range", "bytes 1-3/9".parse().expect("a header"));
    let fake = Fake::answering(vec![part]).await;
    let client = client(&[&fake.address], token("t"), &FakeMachine::default());
    let mut download =
        client.content_part("fil/../1", Some(2), Some("ver_1"), 1..4).await.expect("found");
    assert!(download.is_partial());
    assert_eq!(download.next().await.expect("whole"), Some(Bytes::from_static(b"bcd")));
    assert_eq!(download.next().await.expect("ended"), None);
    let asked = fake.asked();
    assert_eq!(asked[0].line, "GET /api/v1/files/fil%2F..%2F1/content?version=2");
    assert_eq!(asked[0].header("range"), "bytes=1-3");
    assert_eq!(asked[0].header("if-range"), "\"ver_1\"");
}
