//! What clients already read: each shape as text, and back again.

use std::fmt::Debug;

use expect_test::{Expect, expect};
use node_base::{Timestamp, sha256};
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::PartialSchema;

use super::conflicts::{Conflict, ConflictStatus, ConflictType, Strategy};
use super::error::{Detail, ErrorBody, ErrorCode, ErrorInfo, ItemError};
use super::files::{ChecksumStatus, File, Manifest, ManifestChunk, PatchFile};
use super::folders::{ChildrenQuery, Folder, Order, PatchFolder, Sort};
use super::permissions::SetInheritance;
use super::realtime::{DeviceAnswer, DeviceEvent, DeviceFrame, ViewerFrame};
use super::shares::{CreateShare, ShareType};
use super::sync::{
    Apply, ApplyChange, ApplyType, Change, ChangeMetadata, ChangeType, SnapshotEnd, SnapshotLine,
};
use super::uploads::{
    BatchFrame, BatchResult, BatchStatus, CompletedUpload, CreateUpload, DeclaredChunk,
};
use super::{Item, ItemType, ResourceType};
use crate::{Hash, Patch, Time};

fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, golden: &Expect) {
    let json = serde_json::to_string_pretty(value).expect("writable");
    golden.assert_eq(&json);
    let back: T = serde_json::from_str(&json).expect("what was written can be read");
    assert_eq!(&back, value);
}

fn time() -> Time {
    Time(Timestamp::from_millis(1_795_442_709_007))
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn file() -> File {
    File {
        id: "fil_1".to_owned(),
        tenant_id: "tnt_1".to_owned(),
        share_id: "shr_1".to_owned(),
        folder_id: None,
        name: "a.txt".to_owned(),
        path: "/a.txt".to_owned(),
        mime_type: "text/plain".to_owned(),
        size: 3,
        checksum_sha256: Some(Hash(sha256(b"abc"))),
        checksum_status: ChecksumStatus::Verified,
        version: 1,
        version_id: "ver_1".to_owned(),
        owner_id: "usr_1".to_owned(),
        created_by: "usr_1".to_owned(),
        created_at: time(),
        modified_by: "usr_1".to_owned(),
        modified_at: time(),
        client_modified_at: Some(time()),
        executable: true,
        is_deleted: false,
        vectorized_at: None,
    }
}

fn conflict() -> Conflict {
    Conflict {
        id: "cfl_1".to_owned(),
        tenant_id: "tnt_1".to_owned(),
        share_id: "shr_1".to_owned(),
        device_id: text("dev_laptop"),
        user_id: "usr_1".to_owned(),
        resource_type: ItemType::File,
        resource_id: "fil_1".to_owned(),
        conflict_type: ConflictType::EditDelete,
        base_version_id: text("ver_1"),
        client_version: None,
        server_version_id: text("ver_2"),
        status: ConflictStatus::Open,
        resolution: Some(Strategy::LastWriterWins),
        resolved_by: None,
        created_at: time(),
        resolved_at: None,
    }
}

fn change() -> Change {
    Change {
        id: "chg_1".to_owned(),
        seq: 7,
        tenant_id: "tnt_1".to_owned(),
        share_id: "shr_1".to_owned(),
        resource_type: ResourceType::File,
        resource_id: "fil_1".to_owned(),
        change_type: ChangeType::Renamed,
        changed_by: "usr_1".to_owned(),
        device_id: None,
        changed_at: time(),
        old_path: text("/b.txt"),
        new_path: text("/a.txt"),
        parent_id: None,
        name: text("a.txt"),
        version_id: text("ver_1"),
        metadata: Some(ChangeMetadata {
            size: Some(3),
            mime_type: text("text/plain"),
            checksum_sha256: None,
            client_modified_at: None,
            executable: None,
        }),
        subtree: false,
    }
}

#[test]
fn a_file_in_a_list_has_a_type() {
    check(
        &Item::File(file()),
        &expect![[r#"
        {
          "type": "file",
          "id": "fil_1",
          "tenant_id": "tnt_1",
          "share_id": "shr_1",
          "folder_id": null,
          "name": "a.txt",
          "path": "/a.txt",
          "mime_type": "text/plain",
          "size": 3,
          "checksum_sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
          "checksum_status": "verified",
          "version": 1,
          "version_id": "ver_1",
          "owner_id": "usr_1",
          "created_by": "usr_1",
          "created_at": "2026-11-23T14:05:09.007Z",
          "modified_by": "usr_1",
          "modified_at": "2026-11-23T14:05:09.007Z",
          "client_modified_at": "2026-11-23T14:05:09.007Z",
          "executable": true,
          "is_deleted": false,
          "vectorized_at": null
        }"#]],
    );
}

#[test]
fn a_folder_in_a_snapshot_and_its_last_line() {
    let folder = Folder {
        id: "fld_1".to_owned(),
        tenant_id: "tnt_1".to_owned(),
        share_id: "shr_1".to_owned(),
        parent_id: None,
        name: "docs".to_owned(),
        path: "/docs".to_owned(),
        owner_id: "usr_1".to_owned(),
        created_by: "usr_1".to_owned(),
        created_at: time(),
        modified_at: time(),
        is_deleted: false,
    };
    check(
        &SnapshotLine::Item(Item::Folder(folder)),
        &expect![[r#"
        {
          "type": "folder",
          "id": "fld_1",
          "tenant_id": "tnt_1",
          "share_id": "shr_1",
          "parent_id": null,
          "name": "docs",
          "path": "/docs",
          "owner_id": "usr_1",
          "created_by": "usr_1",
          "created_at": "2026-11-23T14:05:09.007Z",
          "modified_at": "2026-11-23T14:05:09.007Z",
          "is_deleted": false
        }"#]],
    );
    check(
        &SnapshotLine::End(SnapshotEnd { cursor: "c1".to_owned() }),
        &expect![[r#"
        {
          "cursor": "c1"
        }"#]],
    );
}

#[test]
fn a_completed_upload_is_the_file_and_its_id_twice() {
    let done = CompletedUpload { file_id: "fil_1".to_owned(), file: file() };
    let json = serde_json::to_value(&done).expect("writable");
    assert_eq!((&json["file_id"], &json["id"]), (&"fil_1".into(), &"fil_1".into()));
    assert_eq!(serde_json::from_value::<CompletedUpload>(json).expect("readable"), done);
}

#[test]
fn a_change() {
    check(
        &change(),
        &expect![[r#"
        {
          "id": "chg_1",
          "seq": 7,
          "tenant_id": "tnt_1",
          "share_id": "shr_1",
          "resource_type": "file",
          "resource_id": "fil_1",
          "change_type": "renamed",
          "changed_by": "usr_1",
          "device_id": null,
          "changed_at": "2026-11-23T14:05:09.007Z",
          "old_path": "/b.txt",
          "new_path": "/a.txt",
          "parent_id": null,
          "name": "a.txt",
          "version_id": "ver_1",
          "metadata": {
            "size": 3,
            "mime_type": "text/plain",
            "checksum_sha256": null
          },
          "subtree": false
        }"#]],
    );
}

#[test]
fn a_version_conflict_carries_the_conflict() {
    let mut error = ErrorInfo::new(ErrorCode::VersionConflict, "r1".to_owned());
    error.conflict = Some(Box::new(conflict()));
    let detail = Detail::Sentence("The file was changed meanwhile.".to_owned());
    check(
        &ErrorBody { detail, error },
        &expect![[r#"
        {
          "detail": "The file was changed meanwhile.",
          "error": {
            "code": "VERSION_CONFLICT",
            "request_id": "r1",
            "conflict": {
              "id": "cfl_1",
              "tenant_id": "tnt_1",
              "share_id": "shr_1",
              "device_id": "dev_laptop",
              "user_id": "usr_1",
              "resource_type": "file",
              "resource_id": "fil_1",
              "conflict_type": "edit_delete",
              "base_version_id": "ver_1",
              "client_version": null,
              "server_version_id": "ver_2",
              "status": "open",
              "resolution": "LAST_WRITER_WINS",
              "resolved_by": null,
              "created_at": "2026-11-23T14:05:09.007Z",
              "resolved_at": null
            }
          }
        }"#]],
    );
}

#[test]
fn an_upload_by_declared_chunks_says_nothing_it_was_not_given() {
    let upload = CreateUpload {
        share_id: "shr_1".to_owned(),
        file_name: "a.txt".to_owned(),
        file_size: 3,
        folder_id: None,
        chunk_size: None,
        chunks: Some(vec![DeclaredChunk { sha256: Hash(sha256(b"abc")), size: 3 }]),
        mime_type: None,
        checksum_sha256: None,
        replace_file_id: None,
        base_version_id: None,
        client_modified_at: Some(time()),
        executable: None,
    };
    check(
        &upload,
        &expect![[r#"
        {
          "share_id": "shr_1",
          "file_name": "a.txt",
          "file_size": 3,
          "chunks": [
            {
              "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
              "size": 3
            }
          ],
          "client_modified_at": "2026-11-23T14:05:09.007Z"
        }"#]],
    );
}

#[test]
fn a_batch_tells_each_file_s_fate() {
    let result = BatchResult {
        client_ref: "7".to_owned(),
        status: BatchStatus::Rejected,
        file: None,
        conflict: None,
        error: Some(ItemError {
            code: ErrorCode::Validation,
            detail: "a name cannot contain ':'".to_owned(),
        }),
    };
    check(
        &result,
        &expect![[r#"
        {
          "client_ref": "7",
          "status": "rejected",
          "error": {
            "code": "VALIDATION",
            "detail": "a name cannot contain ':'"
          }
        }"#]],
    );
}

#[test]
fn a_batch_of_chunks_is_framed_in_little_endian() {
    let frame = BatchFrame { index: 1, length: 0x0102_0304 };
    assert_eq!(frame.to_bytes(), [1, 0, 0, 0, 4, 3, 2, 1]);
    assert_eq!(BatchFrame::from_bytes(frame.to_bytes()), frame);
}

#[test]
fn changes_of_a_device() {
    let change = ApplyChange {
        client_ref: "1".to_owned(),
        resource_type: ItemType::Folder,
        resource_id: None,
        change_type: ApplyType::Created,
        parent_id: None,
        parent_ref: text("0"),
        name: text("docs"),
        base_version_id: None,
        upload_session_id: None,
        client_modified_at: None,
        executable: None,
    };
    let apply = Apply {
        device_id: "dev_laptop".to_owned(),
        share_id: "shr_1".to_owned(),
        conflict_resolution: Some(Strategy::KeepBoth),
        changes: vec![change],
    };
    check(
        &apply,
        &expect![[r#"
        {
          "device_id": "dev_laptop",
          "share_id": "shr_1",
          "conflict_resolution": "KEEP_BOTH",
          "changes": [
            {
              "client_ref": "1",
              "resource_type": "folder",
              "change_type": "created",
              "parent_ref": "0",
              "name": "docs"
            }
          ]
        }"#]],
    );
}

#[test]
fn a_manifest() {
    let chunk = ManifestChunk { sha256: Hash(sha256(b"abc")), offset: 0, size: 3 };
    let manifest =
        Manifest { size: 3, checksum_sha256: None, chunks: vec![chunk], version_id: None };
    check(
        &manifest,
        &expect![[r#"
        {
          "size": 3,
          "checksum_sha256": null,
          "chunks": [
            {
              "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
              "offset": 0,
              "size": 3
            }
          ]
        }"#]],
    );
}

#[test]
fn frames_of_the_sockets() {
    let read = |json| serde_json::from_str::<DeviceFrame>(json).ok();
    assert_eq!(read(r#"{"type":"subscribe"}"#), Some(DeviceFrame::Subscribe));
    assert_eq!(read(r#"{"type":"ping","id":1}"#), Some(DeviceFrame::Ping));
    assert_eq!(read(r#"{"type":"shout"}"#), None);
    let pong = serde_json::to_string(&DeviceAnswer::Pong).expect("writable");
    assert_eq!(pong, r#"{"type":"pong"}"#);
    let event = DeviceEvent::Change { share_id: "shr_1".to_owned(), data: Box::new(change()) };
    let json = serde_json::to_value(&event).expect("writable");
    assert_eq!((&json["event_type"], &json["data"]["seq"]), (&"change".into(), &7.into()));
    let viewer = serde_json::from_str(r#"{"action":"subscribe","share_id":"shr_1"}"#);
    let subscribe = ViewerFrame::Subscribe { share_id: "shr_1".to_owned() };
    assert_eq!(viewer.ok(), Some(subscribe));
}

#[test]
fn a_patch_writes_only_what_it_changes() {
    let patch = PatchFile { client_modified_at: Patch::Clear, ..PatchFile::default() };
    let json = serde_json::to_string(&patch).expect("writable");
    assert_eq!(json, r#"{"client_modified_at":null}"#);
    assert_eq!(serde_json::from_str::<PatchFile>(&json).expect("readable"), patch);
}

#[test]
fn what_is_left_out_has_the_default_of_the_contract() {
    let query: ChildrenQuery = serde_json::from_str("{}").expect("all may be left out");
    assert_eq!((query.sort, query.order, query.include_deleted), (Sort::Name, Order::Asc, false));
    let set: SetInheritance =
        serde_json::from_str(r#"{"inherit_from_parent":false}"#).expect("the rest is left out");
    assert!(set.keep_caller && !set.copy_inherited);
}

#[test]
fn values_outside_a_closed_list_are_refused_and_unknown_fields_passed_over() {
    let share = |kind: &str| {
        serde_json::from_str::<CreateShare>(&format!(
            r#"{{"name":"x","share_type":"{kind}","owner_id":"usr_1","colour":"red"}}"#
        ))
    };
    assert_eq!(share("project").expect("known").share_type, ShareType::Project);
    let refused = share("Project").expect_err("case matters").to_string();
    assert!(refused.contains("expected one of `central`, `personal`, `project`"), "{refused}");
}

fn schema<T: PartialSchema>() -> String {
    serde_json::to_string_pretty(&T::schema()).expect("writable")
}

#[test]
fn the_description_of_an_item_tells_its_two_shapes_by_type() {
    let json = serde_json::to_value(Item::schema()).expect("writable");
    for (at, (shape, tag)) in [("File", "file"), ("Folder", "folder")].into_iter().enumerate() {
        let parts = &json["oneOf"][at]["allOf"];
        assert_eq!(parts[0]["$ref"], format!("#/components/schemas/{shape}"));
        assert_eq!(parts[1]["properties"]["type"]["enum"][0], tag);
    }
}

#[test]
fn the_description_of_a_patch_asks_for_nothing() {
    expect![[r#"
        {
          "type": "object",
          "description": "A change of a folder.",
          "properties": {
            "is_deleted": {
              "type": "boolean",
              "description": "`false` restores from the trash."
            },
            "name": {
              "type": "string"
            }
          }
        }"#]]
    .assert_eq(&schema::<PatchFolder>());
}

#[test]
fn the_description_of_a_hash_says_what_is_read() {
    expect![[r#"
        {
          "type": "string",
          "description": "A SHA-256: 64 lower-case hexadecimal digits.",
          "example": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
          "pattern": "^[0-9a-f]{64}$"
        }"#]]
    .assert_eq(&schema::<Hash>());
}
