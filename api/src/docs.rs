//! The API as people read it: the OpenAPI document as one page.

use std::fmt::Write;
use std::sync::LazyLock;

use axum::response::Response;
use http::StatusCode;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{OpenApi, RefOr};

use crate::page::{self, Escaped};

/// `GET /api/docs`.
pub(crate) async fn page() -> Response {
    static BODY: LazyLock<String> = LazyLock::new(|| {
        let mut body = String::new();
        write(&mut body, &crate::router::document()).expect("memory takes text");
        body
    });
    page::page(StatusCode::OK, "ScaiDrive API", &BODY, "")
}

fn write(body: &mut String, document: &OpenApi) -> std::fmt::Result {
    let about = document.info.description.as_deref().unwrap_or_default();
    let about = about.split("```").next().unwrap_or_default().replace('`', "");
    write!(body, "<main><h1>ScaiDrive API</h1>")?;
    for paragraph in about.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        match paragraph.strip_prefix("## ") {
            Some(heading) => write!(body, "<h2>{}</h2>", Escaped(heading))?,
            None => write!(body, "<p>{}</p>", Escaped(paragraph))?,
        }
    }
    write!(
        body,
        "<p>Shapes, tables and all: <a href=\"/api/v1/openapi.json\">openapi.json</a></p>"
    )?;
    let mut tag = String::new();
    for (path, item) in &document.paths.paths {
        let operations = [
            ("GET", &item.get),
            ("POST", &item.post),
            ("PUT", &item.put),
            ("PATCH", &item.patch),
            ("DELETE", &item.delete),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            let own = operation.tags.as_ref().and_then(|tags| tags.first());
            if own.is_some_and(|own| *own != tag) {
                tag = own.cloned().unwrap_or_default();
                write!(body, "<h2>{}</h2>", Escaped(&tag))?;
            }
            write_operation(body, method, path, operation)?;
        }
    }
    write!(body, "</main>")
}

fn write_operation(
    body: &mut String,
    method: &str,
    path: &str,
    operation: &Operation,
) -> std::fmt::Result {
    let summary = Escaped(operation.summary.as_deref().unwrap_or_default());
    let path = Escaped(path);
    write!(body, "<details><summary><b>{method}</b> <code>{path}</code> {summary}</summary>")?;
    if let Some(about) = &operation.description {
        write!(body, "<p>{}</p>", Escaped(about))?;
    }
    write!(body, "<table>")?;
    for parameter in operation.parameters.iter().flatten() {
        if let RefOr::T(parameter) = parameter {
            let about = Escaped(parameter.description.as_deref().unwrap_or_default());
            write!(body, "<tr><td><code>{}</code><td>{about}", Escaped(&parameter.name))?;
        }
    }
    for (status, response) in &operation.responses.responses {
        if let RefOr::T(response) = response {
            let about = Escaped(&response.description);
            write!(body, "<tr><td><code>{}</code><td>{about}", Escaped(status))?;
        }
    }
    write!(body, "</table></details>")
}
