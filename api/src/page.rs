//! Pages for people: plain HTML without scripts, each with a policy that allows nothing else.

use std::fmt::{Display, Write};
use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, StatusCode, header};

/// The one style, named by its hash in the policy.
const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:3rem auto;padding:0 1rem}\
main.narrow{max-width:22rem;margin:auto}\
label{display:block;margin:1rem 0 .2rem}\
input{font:inherit;width:100%;padding:.4rem;box-sizing:border-box}\
button{font:inherit;margin:1.2rem .6rem 0 0;padding:.4rem 1.2rem}\
code,pre{font:14px/1.4 ui-monospace,monospace}\
pre{overflow:auto;border:1px solid #8884;padding:.6rem}\
.wrong{border-left:4px solid #c33;padding-left:.8rem}\
table{border-collapse:collapse}\
td,th{text-align:left;padding:.1rem .8rem .1rem 0;vertical-align:top}\
summary{cursor:pointer}summary b{display:inline-block;min-width:4.5rem}";

/// Text as HTML shows it, also inside quoted attributes.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            letter => f.write_char(letter),
        })
    }
}

/// A page. `body` is HTML already; `forms_to` is an origin beside our own that a form may end at by
/// a redirect, or empty.
pub(crate) fn page(status: StatusCode, title: &str, body: &str, forms_to: &str) -> Response {
    static STYLE_HASH: LazyLock<String> =
        LazyLock::new(|| STANDARD.encode(node_base::sha256(STYLE.as_bytes()).0));
    let title = Escaped(title);
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style></head>\n<body>{body}</body></html>\n"
    );
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action 'self' {forms_to}; \
         frame-ancestors 'none'; base-uri 'none'",
        *STYLE_HASH
    );
    let mut response = (status, html).into_response();
    let headers = response.headers_mut();
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, html);
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

#[cfg(test)]
mod tests {
    use super::Escaped;

    #[test]
    fn nothing_that_is_shown_can_leave_its_place() {
        let shown = Escaped("<a href=\"x\">'&'</a>").to_string();
        assert_eq!(shown, "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
    }
}
