use axum::http::StatusCode;

use super::{Cluster, run, text};

/// The names in the root of a share, as a node tells them.
async fn names(cluster: &Cluster, number: usize, share: &str) -> Vec<String> {
    let path = format!("/folders/root/children?share_id={share}");
    let body = cluster.ask(number, "GET", &path, "").await;
    let name = |part: &str| part.split('"').next().expect("split gives something").to_owned();
    body.split("\"name\":\"").skip(1).map(name).collect()
}

#[test]
fn three_nodes_answer_alike_and_go_on_when_one_is_gone() {
    run(1, async |sim| {
        let mut cluster = Cluster::of(sim, 3).await;
        cluster.voters(&[1, 2, 3]).await;
        let share =
            format!(r#"{{"name":"Plans","share_type":"project","owner_id":"{}"}}"#, cluster.user);
        let share = cluster.ask(2, "POST", "/shares", &share).await;
        let share = text(&share, "id").to_owned();
        let folder = |name: &str| format!(r#"{{"name":"{name}","share_id":"{share}"}}"#);
        cluster.ask(2, "POST", "/folders", &folder("first")).await;
        assert_eq!(names(&cluster, 3, &share).await, ["first"]);
        cluster.crash(1);
        cluster.ask(2, "POST", "/folders", &folder("second")).await;
        let (again, body) = cluster.call(3, "POST", "/folders", &folder("second")).await;
        assert_eq!(again, StatusCode::CONFLICT, "{body}");
        cluster.restart(1).await;
        for number in 1..=3 {
            assert_eq!(names(&cluster, number, &share).await, ["first", "second"]);
        }
    });
}
